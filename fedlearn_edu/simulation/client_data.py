"""Clients' features as files that the TFF worker reads by client id."""

from __future__ import annotations

import collections
import hashlib
import os
import pathlib
import shutil
import tempfile

import numpy as np
import tensorflow as tf
import tensorflow_federated as tff

from fedlearn_edu.data.federated import FederatedDataset

_PREFIX = "fedlearn_edu_clients_"


class ClientFiles:
    """Writes each client's features to a file once; from then on a round sends ids, not data.

    Passing datasets to `process.next` serialises them every round and costs several times the training itself.
    Here the worker gets `(client_id, shuffle_seed)` and builds the dataset from the file.

    Args:
        features: Extracted features; float32 `[num_examples, feature_dim]`.

    The files live in a temporary folder that is removed with this object.
    """

    def __init__(self, features: FederatedDataset):
        self._feature_dim = features.feature_dim
        _remove_leftovers()
        self._folder = tempfile.TemporaryDirectory(prefix=f"{_PREFIX}{os.getpid()}_")
        for split in ("train", "test"):
            folder = pathlib.Path(self._folder.name, split)
            folder.mkdir()
            for client_id in features.client_ids:
                x, y = getattr(features, split)(client_id)
                # One file, features then labels: both are 4 bytes a number, so one read and no parsing.
                content = x.astype(np.float32).tobytes() + y.astype(np.int32).tobytes()
                (folder / worker_name(client_id)).write_bytes(content)

    def train_computation(self, *, num_epochs: int, batch_size: int) -> tff.Computation:
        """Returns the computation that builds a client's training batches on the worker.

        Args:
            num_epochs: Local passes over the client's examples, each in a new order.
            batch_size: Examples per batch; the last batch of an epoch may be smaller.

        Returns:
            `(<client_id=string, shuffle_seed=int64> -> <float32[?,feature_dim], int32[?]>*)`, where `client_id` is a
            `worker_name`. The order depends on the seed and the client id only.
        """

        def build(client):
            client_id = client["client_id"]
            x, y = self._read("train", client_id)
            seed = tf.stack([client["shuffle_seed"], tf.strings.to_hash_bucket_fast(client_id, 2**31 - 1)])
            dataset = None
            for epoch in range(num_epochs):
                order = tf.random.experimental.stateless_shuffle(tf.range(tf.size(y)), seed + [epoch, 0])
                # Slices, not a mapped function: calling one per batch costs more than the training step.
                shuffled = tf.data.Dataset.from_tensor_slices((tf.gather(x, order), tf.gather(y, order)))
                batches = shuffled.batch(batch_size)
                dataset = batches if dataset is None else dataset.concatenate(batches)
            return _plain(dataset)

        client_type = collections.OrderedDict(client_id=tf.string, shuffle_seed=tf.int64)
        return tff.tensorflow.computation(build, tff.types.tensorflow_to_type(client_type))

    def test_computation(self) -> tff.Computation:
        """Returns the computation that reads all test examples of a client, maybe none.

        Returns:
            `(string -> <float32[?,feature_dim], int32[?]>)`, from a `worker_name`.
        """
        return tff.tensorflow.computation(lambda client_id: self._read("test", client_id), np.str_)

    def _read(self, split: str, client_id):
        path = tf.strings.join([self._folder.name, "/", split, "/", client_id])
        numbers = tf.io.decode_raw(tf.io.read_file(path), tf.float32)
        num_examples = tf.size(numbers) // (self._feature_dim + 1)
        features = numbers[: num_examples * self._feature_dim]
        labels = tf.bitcast(numbers[num_examples * self._feature_dim :], tf.int32)
        return tf.reshape(features, [num_examples, self._feature_dim]), labels


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
