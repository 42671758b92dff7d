"""What a client computes of its features: sums per class, counts, and half of the Gram matrix."""

from __future__ import annotations

import collections

import numpy as np
import tensorflow as tf
import tensorflow_federated as tff


def local_statistics_computation(*, feature_dim: int, num_classes: int, gram: bool) -> tff.Computation:
    """Returns the client's whole work: one pass over its batches, in float64, rounded to float32 at the end.

    Args:
        feature_dim: Length d of a feature vector.
        num_classes: Number C of classes.
        gram: Whether `X'X` is wanted as well.

    Returns:
        `(<float32[?,d], int32[?]>* -> <class_sums, class_counts, num_clients, gram>)`, all float32; `gram` only if
        wanted, packed by `pack_symmetric`. `num_clients` is 1: added up, it tells a sum from a mean.

    Shapes:
        class_sums `[C, d]` (row c: the sum of the features of class c), class_counts `[C]`, num_clients `[]`,
        gram `[d, d // 2 + 1]`.
    """

    def zeros():
        sums = collections.OrderedDict(
            class_sums=tf.zeros([num_classes, feature_dim], tf.float64),
            class_counts=tf.zeros([num_classes], tf.float64),
        )
        if gram:
            sums["gram"] = tf.zeros([feature_dim, feature_dim], tf.float64)
        return sums

    def add(sums, batch):
        x, y = batch
        x = tf.cast(x, tf.float64)
        added = collections.OrderedDict(
            class_sums=sums["class_sums"] + tf.math.unsorted_segment_sum(x, y, num_classes),
            class_counts=sums["class_counts"] + tf.math.bincount(y, minlength=num_classes, dtype=tf.float64),
        )
        if gram:
            added["gram"] = sums["gram"] + tf.matmul(x, x, transpose_a=True)
        return added

    @tff.tensorflow.computation(
        tff.SequenceType((tff.TensorType(np.float32, [None, feature_dim]), tff.TensorType(np.int32, [None])))
    )
    def local_statistics(batches):
        sums = batches.reduce(zeros(), add)
        message = collections.OrderedDict(
            class_sums=tf.cast(sums["class_sums"], tf.float32),
            class_counts=tf.cast(sums["class_counts"], tf.float32),
            num_clients=tf.ones([], tf.float32),
        )
        if gram:
            message["gram"] = tf.cast(pack_symmetric(sums["gram"]), tf.float32)
        return message

    return local_statistics


def pack_symmetric(matrix: tf.Tensor) -> tf.Tensor:
    """Returns one half of a symmetric matrix: column j holds the j-th diagonal, which wraps around at the edge.

    Each pair of mirrored entries is kept once (if d is even, those of the last diagonal twice). Slices and reshapes
    only: an index of all entries of a triangle would be larger than the triangle.

    Shapes:
        `[d, d]` -> `[d, d // 2 + 1]`; entry (i, j) is `matrix[i, (i + j) % d]`.

    Example:
        >>> pack_symmetric(tf.constant([[1, 2, 3], [2, 4, 5], [3, 5, 6]])).numpy().tolist()
        [[1, 2], [4, 5], [6, 3]]
    """
    dim = matrix.shape[0]
    twice = tf.reshape(tf.concat([matrix, matrix], axis=1), [-1])
    # Rows of length 2d + 1 in place of 2d: row i then begins at entry (i, i) of the doubled matrix.
    skewed = tf.reshape(tf.pad(twice, [[0, dim]]), [dim, 2 * dim + 1])
    return skewed[:, : dim // 2 + 1]


def unpack_symmetric(packed: np.ndarray) -> np.ndarray:
    """Returns the whole matrix that `pack_symmetric` halved.

    Example:
        >>> unpack_symmetric(np.array([[1, 2], [4, 5], [6, 3]])).tolist()
        [[1, 2, 3], [2, 4, 5], [3, 5, 6]]
    """
    dim, width = packed.shape
    row = np.arange(dim)[:, None]
    column = (row + np.arange(width)) % dim
    matrix = np.empty([dim, dim], packed.dtype)
    matrix[row, column] = packed
    matrix[column, row] = packed
    return matrix
