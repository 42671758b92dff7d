"""Encoder: whatever turns a client's examples into vectors of numbers, the same for every client and every round."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any, Protocol

import numpy as np


class Encoder(Protocol):
    """What `extract_features` takes: a `Backbone` for images, and others for texts, tables and ids.

    Attributes:
        name: For people.
        fingerprint: Hash of everything that decides its vectors; an encoder with other weights has another.
        feature_dim: Numbers in a vector.
        modality: Of the inputs that it reads: `"image"`, `"text"`, `"table"` or `"ids"`.

    Example:
        One of texts, from which no model is exported; `extract_features(clients, Lengths())` takes it.

        >>> class Lengths:
        ...     name, fingerprint, feature_dim, modality = "lengths", "lengths-1", 2, "text"
        ...
        ...     def key(self):
        ...         return self.fingerprint
        ...
        ...     def features(self, inputs, *, batch_size=None, on_batch=None):
        ...         return np.array([[len(text), len(text.split())] for text in inputs], np.float32)
        >>> Lengths().features(["tea", "a cup of tea"]).tolist()
        [[3.0, 1.0], [12.0, 4.0]]
    """

    @property
    def name(self) -> str: ...

    @property
    def fingerprint(self) -> str: ...

    @property
    def feature_dim(self) -> int: ...

    @property
    def modality(self) -> str: ...

    def key(self) -> str:
        """Returns the name of its folder in the feature cache: fingerprint, and the version of the preprocessing."""

    def features(self, inputs: np.ndarray, /, *, batch_size: int | None = None, on_batch=None) -> np.ndarray:
        """Returns float32 `[num_examples, feature_dim]`; calls `on_batch` with the number of examples done.

        An example's vector must not depend on the others in the array.
        """

    def serving_fn(self) -> Callable[..., Any]:
        """Returns a `tf.function` from raw inputs to features; only for exporting."""


def example_key(example: Any) -> bytes:
    """Returns the sha256 of one text, record or row of ids, by which its features are found in the cache.

    Example:
        >>> example_key("tea") == example_key(np.array(["tea", "coffee"])[0])
        True
    """
    if isinstance(example, str):
        return hashlib.sha256(b"text\0" + example.encode("utf-8", "surrogatepass")).digest()
    array = np.asarray(example)
    if array.dtype.names:  # as values: the same word in a wider column is the same word
        return hashlib.sha256(b"record\0" + repr((array.dtype.names, array.item())).encode()).digest()
    return hashlib.sha256(f"{array.dtype}{array.shape}\0".encode() + array.tobytes()).digest()
