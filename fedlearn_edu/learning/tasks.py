"""A task's loss and metrics in TensorFlow: sums and weights of batches, which add up over batches and clients."""

from __future__ import annotations

import collections
import math
from collections.abc import Callable

import tensorflow as tf

from fedlearn_edu.data.metrics import LARGEST_SCORE, NUM_BINS
from fedlearn_edu.data.task import Task


def example_losses(task: Task) -> Callable[[tf.Tensor, tf.Tensor], tf.Tensor]:
    """Returns the function `(outputs, targets) -> losses` of a task.

    Cross-entropy from logits (nats) for classes, items and, of one logit, yes or no; the squared error for a number.

    Shapes:
        outputs float32 `[batch, task.num_outputs]`, targets `[batch]` -> float32 `[batch]`.
    """
    # What Keras' losses compute (a test compares them), in fewer operations: at this size those of Keras cost as much
    # as the training.
    if task.kind == "binary":
        return lambda outputs, targets: tf.nn.sigmoid_cross_entropy_with_logits(
            labels=tf.cast(targets, tf.float32), logits=outputs[:, 0]
        )
    if task.kind == "regression":
        return lambda outputs, targets: tf.math.squared_difference(outputs[:, 0], targets)
    return lambda outputs, targets: tf.nn.sparse_softmax_cross_entropy_with_logits(labels=targets, logits=outputs)


def metrics_fns(task: Task) -> tuple[Callable, Callable, Callable]:
    """Returns the functions that a TFF functional model measures itself with: initialize, update and finalize.

    The state holds `(sum over examples, number of examples)` for each of the task's metrics, and `num_examples`.
    AUC's sum is `[2, NUM_BINS]`: how many negative and positive examples have a log-odds score in which bin.
    """
    names = [metric.name for metric in task.metrics if metric.name != "loss"]
    names.sort(key="accuracy".__ne__)  # accuracy first, as histories have always had it

    @tf.function(autograph=False)
    def initialize():
        zeros = {name: tf.zeros([2, NUM_BINS] if name == "auc" else []) for name in [*names, "loss"]}
        state = collections.OrderedDict((name, (zero, tf.zeros([]))) for name, zero in zeros.items())
        return collections.OrderedDict(**state, num_examples=tf.zeros([], tf.int64))

    @tf.function(autograph=False)
    def update(state, labels, batch_output, sample_weight=None):
        del sample_weight
        outputs, count = batch_output.predictions, tf.cast(batch_output.num_examples, tf.float32)
        sums = collections.OrderedDict((name, _SUMS[name](task, outputs, labels)) for name in names)
        sums["loss"] = batch_output.loss * count
        new = collections.OrderedDict((name, (state[name][0] + s, state[name][1] + count)) for name, s in sums.items())
        new["num_examples"] = state["num_examples"] + tf.cast(batch_output.num_examples, tf.int64)
        return new

    @tf.function(autograph=False)
    def finalize(state):
        values = collections.OrderedDict(
            (name, _FINAL.get(name, tf.math.divide_no_nan)(*state[name])) for name in names
        )
        return collections.OrderedDict(
            **values, loss=tf.math.divide_no_nan(*state["loss"]), num_examples=state["num_examples"]
        )

    return initialize, update, finalize


def _correct(task, outputs, labels):
    if task.kind == "binary":
        predicted = tf.cast(outputs[:, 0] > 0, tf.int32)
    else:
        predicted = tf.argmax(outputs, axis=-1, output_type=tf.int32)
    return tf.reduce_sum(tf.cast(tf.equal(predicted, labels), tf.float32))


def _score_counts(task, outputs, labels):
    del task
    scores = tf.where(tf.math.is_nan(outputs[:, 0]), 0.0, outputs[:, 0])  # the loss tells of them
    places = (tf.clip_by_value(scores, -LARGEST_SCORE, LARGEST_SCORE) + LARGEST_SCORE) * (NUM_BINS / 2 / LARGEST_SCORE)
    bins = tf.minimum(tf.cast(places, tf.int32), NUM_BINS - 1)
    counts = tf.math.unsorted_segment_sum(tf.ones_like(scores), labels * NUM_BINS + bins, 2 * NUM_BINS)
    return tf.reshape(counts, [2, NUM_BINS])


def _squared_errors(task, outputs, labels):
    return tf.reduce_sum(example_losses(task)(outputs, labels))


def _ranks(outputs, labels):
    """Returns the place of each example's item, 1 for the first; items of one score share the middle of theirs."""
    score = tf.gather(outputs, labels, axis=1, batch_dims=1)[:, None]
    above = tf.reduce_sum(tf.cast(outputs > score, tf.float32), axis=1)
    equal = tf.reduce_sum(tf.cast(tf.equal(outputs, score), tf.float32), axis=1) - 1
    return 1 + above + equal / 2


def _hits(task, outputs, labels):
    del task
    return tf.reduce_sum(tf.cast(_ranks(outputs, labels) <= 10, tf.float32))


def _discounted_gains(task, outputs, labels):
    del task
    ranks = _ranks(outputs, labels)  # one item is right, so that the ideal gain is 1
    return tf.reduce_sum(tf.where(ranks <= 10, math.log(2) / tf.math.log1p(ranks), 0.0))


def _auc(counts, _):
    negatives, positives = counts[0], counts[1]
    below = tf.cumsum(negatives, exclusive=True) + negatives / 2
    pairs = tf.reduce_sum(negatives) * tf.reduce_sum(positives)
    return tf.where(pairs > 0, tf.reduce_sum(positives * below) / pairs, float("nan"))


_SUMS = {
    "accuracy": _correct,
    "auc": _score_counts,
    "rmse": _squared_errors,
    "hit_at_10": _hits,
    "ndcg_at_10": _discounted_gains,
}
_FINAL = {"auc": _auc, "rmse": lambda total, count: tf.sqrt(tf.math.divide_no_nan(total, count))}
