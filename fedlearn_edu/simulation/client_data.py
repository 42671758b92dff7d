"""Clients' features as files that the TFF worker reads by client id."""

from __future__ import annotations

import functools
import hashlib
import os
import pathlib
import shutil
import tempfile
from collections.abc import Iterable

import numpy as np
import tensorflow as tf
import tensorflow_federated as tff

from fedlearn_edu.data.federated import FederatedDataset
from fedlearn_edu.learning.local_training import Batches

_PREFIX = "fedlearn_edu_clients_"


# What the worker is told of a client: the folder, the client's name there and the seed of its shuffles. They are data,
# so that a round is compiled once for all runs; and one tensor, since each further one takes as long as a step.
CLIENT_TYPE = tff.TensorType(np.str_, [3])


class ClientFiles:
    """Writes each client's features to a file once; from then on a round sends ids, not data.

    Passing datasets to `process.next` serialises them every round and costs several times the training itself.
    Here the worker is told where a client's file lies and builds the dataset from it.

    Args:
        features: Extracted features; float32 `[num_examples, feature_dim]`.

    The files live in a temporary folder that is removed with this object.
    """

    def __init__(self, features: FederatedDataset):
        _remove_leftovers()
        self._folder = tempfile.TemporaryDirectory(prefix=f"{_PREFIX}{os.getpid()}_")
        for split in ("train", "test"):
            folder = pathlib.Path(self._folder.name, split)
            folder.mkdir()
            for client_id in features.client_ids:
                x, y = getattr(features, split)(client_id)
                # One file, features then targets (int32 or float32): 4 bytes a number, so one read, no parsing.
                content = x.astype(np.float32).tobytes() + y.tobytes()
                (folder / worker_name(client_id)).write_bytes(content)

    def told(self, client_ids: Iterable[str], *, shuffle_seed: int = 0) -> list[np.ndarray]:
        """Returns what the worker is told of each client, of `CLIENT_TYPE`.

        Args:
            client_ids: Of the features.
            shuffle_seed: Of the order in which each trains on its examples, 0 to 2**31 - 1.
        """
        folder = os.fsencode(self._folder.name)  # as bytes: TFF's messages hold no text outside ASCII
        return [np.array([folder, worker_name(c).encode(), b"%d" % shuffle_seed]) for c in client_ids]


@functools.cache
def build_batches_computation(
    feature_dim: int, *, num_epochs: int, batch_size: int, target_dtype: str = "int32"
) -> tff.Computation:
    """Returns the computation that reads a client's training examples on the worker and puts them in order.

    Args:
        feature_dim: Numbers of an example.
        num_epochs: Local passes over the client's examples, each in a new order.
        batch_size: Examples per batch; the last batch of an epoch may be smaller.
        target_dtype: `"int32"`, or `"float32"` for targets that are numbers.

    Returns:
        `(string[3] -> Batches)`, from what `ClientFiles.told` tells; x float32 `[n, feature_dim]`, y int32 `[n]`. The
        order depends on the seed and the client's name only.
    """

    @tff.tensorflow.computation(CLIENT_TYPE)
    def build(client):
        x, y = read_examples("train", client, feature_dim, target_dtype)
        return Batches.of_epochs(x, y, _orders(client, tf.size(y), num_epochs), batch_size)

    return build


@functools.cache
def build_train_computation(
    feature_dim: int, *, num_epochs: int, batch_size: int, target_dtype: str = "int32"
) -> tff.Computation:
    """Returns the same batches as `build_batches_computation` as a dataset, for processes that take no other.

    Args:
        feature_dim, num_epochs, batch_size, target_dtype: As there.

    Returns:
        `(string[3] -> <float32[?,feature_dim], int32[?]>*)`.
    """

    @tff.tensorflow.computation(CLIENT_TYPE)
    def build(client):
        x, y = read_examples("train", client, feature_dim, target_dtype)
        dataset = None
        for order in _orders(client, tf.size(y), num_epochs):
            # Slices, not a mapped function: calling one per batch costs more than the training step.
            shuffled = tf.data.Dataset.from_tensor_slices((tf.gather(x, order), tf.gather(y, order)))
            batches = shuffled.batch(batch_size)
            dataset = batches if dataset is None else dataset.concatenate(batches)
        return _plain(dataset)

    return build


def _orders(client, num_examples, num_epochs: int) -> list[tf.Tensor]:
    """Returns the order of a client's examples in each local epoch, from its name and the round's seed."""
    of_client = tf.strings.to_hash_bucket_fast(client[1], 2**31 - 1)
    seed = tf.stack([tf.strings.to_number(client[2], tf.int64), of_client])
    rows = tf.range(num_examples)
    return [tf.random.experimental.stateless_shuffle(rows, seed + [epoch, 0]) for epoch in range(num_epochs)]


@functools.cache
def build_test_computation(feature_dim: int, *, target_dtype: str = "int32") -> tff.Computation:
    """Returns the computation that reads all test examples of a client, maybe none.

    Returns:
        `(string[3] -> <float32[?,feature_dim], int32[?]>)`, from what `ClientFiles.told` tells.
    """
    return tff.tensorflow.computation(
        lambda client: read_examples("test", client, feature_dim, target_dtype), CLIENT_TYPE
    )


def read_examples(split: str, client, feature_dim: int, target_dtype: str):
    """Returns `(x, y)` of a client's split, in TensorFlow, on the worker."""
    numbers = tf.io.decode_raw(tf.io.read_file(tf.strings.join([client[0], split, client[1]], "/")), tf.float32)
    num_examples = tf.size(numbers) // (feature_dim + 1)
    features = numbers[: num_examples * feature_dim]
    targets = tf.bitcast(numbers[num_examples * feature_dim :], tf.dtypes.as_dtype(target_dtype))
    return tf.reshape(features, [num_examples, feature_dim]), targets


def target_dtype(process) -> str:
    """Returns the dtype of the targets that a process trains on, by name."""
    return process.model.input_spec[1].dtype.name


def worker_name(client_id: str) -> str:
    """Returns the name by which the worker knows a client: ASCII, since TFF's messages hold no other text.

    It is a file's name as well, and so no longer than one may be. An id of plain text is its own name.

    Example:
        >>> worker_name("client_07"), len(worker_name("Zo\u00eb")), len(worker_name("x" * 300))
        ('client_07', 65, 65)
    """
    plain = client_id.isascii() and client_id.isprintable() and len(client_id) <= 200
    if plain and "/" not in client_id and client_id[:1] not in ("%", "."):
        return client_id
    return "%" + hashlib.sha256(client_id.encode()).hexdigest()


def _remove_leftovers() -> None:
    """Removes the folders of processes that were killed before they could do so themselves."""
    for folder in pathlib.Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        pid = folder.name.removeprefix(_PREFIX).split("_")[0]
        if pid.isdecimal() and not pathlib.Path("/proc", pid).exists():
            shutil.rmtree(folder, ignore_errors=True)


def _plain(dataset: tf.data.Dataset) -> tf.data.Dataset:
    """Turns tf.data's optimisations off: for a handful of batches they cost more than they bring."""
    options = tf.data.Options()
    options.autotune.enabled = False
    options.experimental_optimization.apply_default_optimizations = False
    return dataset.with_options(options)
