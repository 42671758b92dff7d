"""FederatedDataset: whose example is whose, and which of them train."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from fedlearn_edu.data.arguments import as_class_names, as_examples, as_labels, as_provenance, as_rows
from fedlearn_edu.data.names import WHOLE, check_name, quoted, same_name
from fedlearn_edu.data.task import Task
from fedlearn_edu.errors import UsageError


@dataclasses.dataclass(frozen=True)
class ClientSplit:
    """The rows of the shared arrays that one client holds, as two index arrays.

    Attributes:
        train: Row numbers the client trains on, int64, shape `[num_train]`.
        test: Row numbers the client evaluates on, int64, shape `[num_test]`.
    """

    train: np.ndarray
    test: np.ndarray

    def __post_init__(self):
        for name in ("train", "test"):
            object.__setattr__(self, name, as_rows(name, getattr(self, name)))

    @property
    def all(self) -> np.ndarray:
        return np.concatenate([self.train, self.test])


class ExampleSpec(NamedTuple):
    """Dtype and shape of one example: its input, and its target."""

    shape: tuple[int, ...]
    dtype: np.dtype
    target_dtype: np.dtype


@dataclasses.dataclass(frozen=True)
class FederatedDataset:
    """Examples, their targets, and the client that holds each.

    The arrays are kept once for all clients; a client is a pair of index arrays. `examples` are images, texts, ...
    before feature extraction and feature vectors after it, everything else stays the same. `inputs` and `targets` are
    the same arrays by the names that a `Dataset` has for them.

    Attributes:
        name: What the examples are, e.g. `"fashion"`.
        examples: Inputs of one modality (see `Dataset`), such as uint8 images `[num_examples, height, width, 3]`, or
            float32 features `[num_examples, feature_dim]`. Images of a folder are `LazyImages`, decoded when they are
            indexed.
        labels: The targets: int32 `[num_examples]`, values in `[0, num_classes)`; of a regression float32.
        class_names: One name per label; none for a regression.
        clients: `client_id -> ClientSplit`, in the order in which clients are shown.
        task: What is asked of an example; None means a classification into `class_names`.
        modality: What the examples were before extraction: `"image"`, `"text"`, `"table"` or `"ids"`.
        encoder: What made the features; None for examples as they came.
        provenance: How the examples came about, nested and fit for JSON: `partition` and `extract_features` add to it,
            and a run keeps it in `History.settings`.

    Raises:
        UsageError: An example is held by two clients (or twice), an index is out of range, a client has no
            training example, or a client id has a "/" or control characters, is no UTF-8, or is `"global"`, as
            histories call all clients together; or `provenance` is not fit for JSON.
    """

    name: str
    examples: np.ndarray
    labels: np.ndarray
    class_names: tuple[str, ...]
    clients: Mapping[str, ClientSplit]
    task: Task | None = None
    modality: str = "image"
    encoder: Any = None
    provenance: Mapping[str, Any] = dataclasses.field(default_factory=dict, repr=False)

    def __post_init__(self):
        check_name("name", self.name, what="a data set")
        object.__setattr__(self, "provenance", as_provenance(self.provenance))
        examples, class_names = as_examples(self.examples, modality=self.modality), as_class_names(self.class_names)
        if self.task is None or self.task.kind == "classification":  # of other names the task is another, too
            task = Task.classification(class_names or getattr(self.task, "class_names", ()))
            class_names = task.class_names
            labels = as_labels(self.labels, num_examples=len(examples))
        else:
            task, class_names = self.task, self.task.class_names
            labels = task.as_targets(self.labels, num_examples=len(examples))
        checked = {"examples": examples, "labels": labels, "class_names": class_names, "task": task}
        for name, value in checked.items():
            object.__setattr__(self, name, value)
        if not isinstance(self.clients, Mapping) or not self.clients:
            raise UsageError(
                f"clients: expected at least one client, client_id -> ClientSplit, got {quoted(self.clients)}"
            )
        for client_id, split in self.clients.items():
            _check_client(client_id, split)
        if len({same_name(client_id) for client_id in self.clients}) < len(self.clients):
            raise UsageError("clients: expected different names, but two are the same in Unicode's composed form (NFC)")
        held = np.concatenate([split.all for split in self.clients.values()])
        if held.min() < 0 or held.max() >= len(self.examples):
            raise UsageError(f"clients: row numbers must lie in [0, {len(self.examples)})")
        if len(np.unique(held)) != len(held):
            raise UsageError("clients: every example may be held by one client only, and once")

    @property
    def client_ids(self) -> list[str]:
        return list(self.clients)

    @property
    def num_clients(self) -> int:
        return len(self.clients)

    @property
    def num_classes(self) -> int:
        return len(self.class_names)

    @property
    def feature_dim(self) -> int:
        """Length of one feature vector; only for extracted features.

        Raises:
            UsageError: The examples are still images, texts, ...
        """
        if self.are_features:
            return self.spec.shape[0]
        if self.modality == "image":
            raise UsageError(
                f"features: expected vectors [num_examples, feature_dim], got images of shape "
                f"{self.spec.shape}; call extract_features(clients, backbone) first"
            )
        raise UsageError(
            f"features: expected vectors [num_examples, feature_dim], got examples of the kind {self.modality!r} as "
            "they came; call extract_features(clients, encoder) first"
        )

    @property
    def are_features(self) -> bool:
        """Whether the examples are vectors of numbers that a head can be trained on."""
        vectors = len(self.spec.shape) == 1 and self.spec.dtype.kind in "iuf"
        return vectors and (self.encoder is not None or self.modality != "ids")

    @property
    def spec(self) -> ExampleSpec:
        """Dtype and shape of one example."""
        return ExampleSpec(self.examples.shape[1:], self.examples.dtype, self.labels.dtype)

    @property
    def inputs(self) -> np.ndarray:
        return self.examples

    @property
    def targets(self) -> np.ndarray:
        return self.labels

    def baseline(self) -> float | None:
        """Returns what the task's primary metric says of one answer for all test examples (see `Task.baseline`)."""
        return self.task.baseline(self.pooled("test")[1])

    def train(self, client_id: str) -> tuple[np.ndarray, np.ndarray]:
        """Returns one client's training `(examples, labels)`."""
        return self._rows(self._split_of(client_id).train)

    def test(self, client_id: str) -> tuple[np.ndarray, np.ndarray]:
        """Returns one client's test `(examples, labels)`; both may be empty."""
        return self._rows(self._split_of(client_id).test)

    def pooled(self, split: str) -> tuple[np.ndarray, np.ndarray]:
        """Returns all clients' `(examples, labels)` of a split ("train" or "test") in one place.

        This is what a federation may *not* do with training data; it serves the central ceiling that a
        federated result is compared with.
        """
        if split not in ("train", "test"):
            raise UsageError(f"split: expected 'train' or 'test', got {quoted(split)}")
        return self._rows(np.concatenate([getattr(c, split) for c in self.clients.values()]))

    def _split_of(self, client_id: str) -> ClientSplit:
        if not isinstance(client_id, str) or client_id not in self.clients:
            raise UsageError(
                f"client_id: expected one of {self.num_clients} clients such as {quoted(self.client_ids[0])}, "
                f"got {quoted(client_id)}"
            )
        return self.clients[client_id]

    def _rows(self, index: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return self.examples[index], self.labels[index]

    def label_counts(self) -> pd.DataFrame:
        """Returns how many examples of each class every client holds (train and test together).

        Returns:
            DataFrame with one row per client (index `client_id`) and one column per class name.
        """
        if not self.class_names:
            raise UsageError(f"label_counts: expected a task with classes, got a {self.task.kind} task")
        counts = [np.bincount(self.labels[c.all], minlength=self.num_classes) for c in self.clients.values()]
        return pd.DataFrame(counts, index=pd.Index(self.client_ids, name="client_id"), columns=list(self.class_names))

    def summary(self) -> pd.DataFrame:
        """Returns one row per client: `num_train`, `num_test`, `num_classes`, `top_class_share` (0 to 1).

        Of a regression in place of the last two: `target_mean` and `target_deviation`, in the target's unit.
        """
        if not self.class_names:
            return self._summary_of_numbers()
        counts = self.label_counts()
        return pd.DataFrame(
            {
                "num_train": [len(c.train) for c in self.clients.values()],
                "num_test": [len(c.test) for c in self.clients.values()],
                "num_classes": (counts > 0).sum(axis=1),
                "top_class_share": counts.max(axis=1) / counts.sum(axis=1),
            },
            index=counts.index,
        )

    def _summary_of_numbers(self) -> pd.DataFrame:
        rows = [
            (len(c.train), len(c.test), self.labels[c.all].mean(dtype=float), self.labels[c.all].std(dtype=float))
            for c in self.clients.values()
        ]
        columns = ["num_train", "num_test", "target_mean", "target_deviation"]
        return pd.DataFrame(rows, index=pd.Index(self.client_ids, name="client_id"), columns=columns)

    def fingerprint(self) -> str:
        """Returns a hash of everything that decides a run on these data: examples, labels, who holds what."""
        digest = hashlib.sha256(repr(self.class_names).encode())
        if self.task.kind != "classification":
            digest.update(repr(self.task).encode())
        arrays = [getattr(self.examples, "keys", self.examples), self.labels]  # of images in files, their hashes
        for client_id, split in self.clients.items():
            digest.update(client_id.encode() + b"\0")
            arrays += [split.train, split.test]
        for array in arrays:
            digest.update(f"{array.dtype}{array.shape}".encode())
            # What an array of objects holds are addresses; what they stand for is written out.
            digest.update(repr(array.tolist()).encode() if array.dtype.hasobject else np.ascontiguousarray(array))
        return digest.hexdigest()[:16]

    def with_examples(self, examples: np.ndarray, *, encoder: Any = None, **provenance: Any) -> FederatedDataset:
        """Returns the same clients over other examples, e.g. feature vectors in place of images.

        Args:
            examples: As many as before.
            encoder: What made feature vectors of them.
            **provenance: What made them, added to `provenance`.
        """
        provenance = {**self.provenance, **provenance}
        return dataclasses.replace(self, examples=examples, encoder=encoder, provenance=provenance)

    def select_clients(self, client_ids: Iterable[str]) -> FederatedDataset:
        """Returns the same examples with these clients only, in this order.

        Raises:
            UsageError: A client is unknown or named twice.
        """
        if isinstance(client_ids, str) or not isinstance(client_ids, Iterable):
            raise UsageError(f"client_ids: expected a list of client ids, got {quoted(client_ids)}")
        client_ids = list(client_ids)
        unknown = [name for name in client_ids if not isinstance(name, str) or name not in self.clients]
        if unknown or len(set(client_ids)) < len(client_ids):
            problem = f"no client is called {quoted(unknown[0])}" if unknown else "one is named twice"
            raise UsageError(f"client_ids: expected different ids of these {self.num_clients} clients, but {problem}")
        return dataclasses.replace(self, clients={client_id: self.clients[client_id] for client_id in client_ids})


def _check_client(client_id: str, split: ClientSplit) -> None:
    check_name("client_id", client_id, what="a client")
    if "/" in client_id or client_id in (".", ".."):
        raise UsageError(f"client_id: expected a name without '/', got {quoted(client_id)}")
    if client_id == WHOLE:
        raise UsageError(f"client_id: {WHOLE!r} is what a history calls all clients together; rename this client")
    if not isinstance(split, ClientSplit):
        raise UsageError(f"clients: expected a ClientSplit for {quoted(client_id)}, got {quoted(split)}")
    if len(split.train) == 0:
        raise UsageError(f"clients: {quoted(client_id)} has no training example; leave it out or merge it")
