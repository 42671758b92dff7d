"""Texts as feature vectors without pre-training: which short runs of letters occur, hashed to a fixed length."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
from collections.abc import Callable

import numpy as np

from fedlearn_edu.checks import check_count
from fedlearn_edu.data.names import quoted
from fedlearn_edu.errors import UsageError

_VERSION = 1  # raise it whenever `HashedTextEncoder.features` changes its output
_BATCH_TEXTS = 64
_MOST_DIM = 1 << 20


@dataclasses.dataclass(frozen=True)
class HashedTextEncoder:
    """Turns a text into a vector that counts its character n-grams, with no knowledge of any language.

    The text is put in lower case between two spaces; every run of 1 to `longest` characters falls by its hash on one
    of `feature_dim` places and counts there as +1 or -1 (by one more bit of the hash, so that collisions cancel on
    average), and the vector is brought to length 1. Nothing is learned, so that no client has to send anything; what a
    pre-trained text module brings is measured against this.

    Args:
        feature_dim: Places, 16 to 2**20.
        longest: Characters of the longest n-gram, 1 to 8.
        max_characters: Of a longer text only the beginning is read, >= 1.

    Attributes:
        name: `"hashed_text"`.
        modality: `"text"`.

    Raises:
        UsageError: An argument is out of range.

    Example:
        >>> encoder = HashedTextEncoder(feature_dim=64)
        >>> encoder.features(["a cat", "A CAT", "two dogs"]).shape
        (3, 64)

    References:
        Weinberger, Dasgupta, Langford, Smola, Attenberg, "Feature Hashing for Large Scale Multitask Learning",
        ICML 2009, arXiv:0902.2206.
    """

    feature_dim: int = 1024
    longest: int = 4
    max_characters: int = 20_000
    name: str = dataclasses.field(default="hashed_text", init=False)
    modality: str = dataclasses.field(default="text", init=False)

    def __post_init__(self):
        for argument, low, high in (("feature_dim", 16, _MOST_DIM), ("longest", 1, 8), ("max_characters", 1, 10**9)):
            check_count(argument, getattr(self, argument), least=low, most=high)

    @property
    def fingerprint(self) -> str:
        """sha256 over everything that decides a feature."""
        content = [_VERSION, self.feature_dim, self.longest, self.max_characters]
        return hashlib.sha256(repr(content).encode()).hexdigest()

    def key(self) -> str:
        """Returns what the feature cache knows it by."""
        return f"{self.fingerprint[:32]}-text-v{_VERSION}"

    def features(
        self,
        inputs: np.ndarray,
        *,
        batch_size: int | None = None,
        on_batch: Callable[[int], object] = lambda num_texts: None,
    ) -> np.ndarray:
        """Returns float32 vectors of length 1 (0 for a text without a letter), `[num_texts, feature_dim]`.

        Args:
            inputs: Texts, `[num_texts]`.
            batch_size: Texts at a time, at least 1; it changes speed and memory, not results.
            on_batch: Called with the number of texts after each batch.

        Raises:
            UsageError: Something else than texts.
        """
        texts, batch_size = list(inputs), _BATCH_TEXTS if batch_size is None else batch_size
        check_count("batch_size", batch_size)
        for text in texts:
            if not isinstance(text, str):
                raise UsageError(f"inputs: expected texts, got {quoted(text)}")
        forward = self.serving_fn()
        rows = np.empty([len(texts), self.feature_dim], np.float32)
        for start in range(0, len(texts), batch_size):
            batch = texts[start : start + batch_size]
            # A half of a character, which UTF-8 cannot encode, is read as "?".
            rows[start : start + len(batch)] = forward([text.encode("utf-8", "replace") for text in batch])
            on_batch(len(batch))
        return rows

    def serving_fn(self):
        """Returns a `tf.function` string `[batch]` -> float32 `[batch, feature_dim]`; it has no variables."""
        return _serving_fn(self.feature_dim, self.longest, self.max_characters)


@functools.lru_cache(maxsize=8)
def _serving_fn(feature_dim: int, longest: int, max_characters: int):
    import tensorflow as tf

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="texts")], autograph=False)
    def encode(texts):
        start = tf.strings.substr(texts, 0, max_characters, unit="UTF8_CHAR")
        lower = tf.strings.lower(tf.strings.strip(start), encoding="utf-8")
        characters = tf.strings.unicode_split(tf.strings.join([" ", lower, " "]), "UTF-8")
        num_texts = tf.shape(texts, out_type=tf.int64)[0]
        sums = tf.zeros([num_texts * feature_dim])
        for width in range(1, longest + 1):
            grams = tf.strings.ngrams(characters, width, separator="")
            code = tf.strings.to_hash_bucket_fast(grams.values, 2 * feature_dim)
            sign = 1.0 - 2.0 * tf.cast(code % 2, tf.float32)
            place = grams.value_rowids() * feature_dim + code // 2
            counts = tf.strings.strip(grams.values) != ""  # spaces alone are in every text
            sums += tf.math.unsorted_segment_sum(
                tf.boolean_mask(sign, counts), tf.boolean_mask(place, counts), num_texts * feature_dim
            )
        return tf.math.l2_normalize(tf.reshape(sums, [num_texts, feature_dim]), axis=1)

    return encode
