"""Randomness that a client draws itself and that still repeats: from the round's seed and what the client sends."""

from __future__ import annotations

import tensorflow as tf


def client_seed(record, *, seed: int, round_num) -> tf.Tensor:
    """Returns a seed for TensorFlow's stateless random numbers: int32 [2].

    An aggregator in TFF does not learn which client it runs on, and the clock would not repeat. What tells clients
    apart is what they send: a fingerprint of its bits, mixed with the seed of the run and the round number. Clients
    that send the same bits draw the same noise; this happens with values made up for a test, not with deltas of
    clients that trained on different examples.

    Args:
        record: Structure of float32 tensors that the client is about to send.
        seed: Of the run.
        round_num: int32 tensor.
    """
    flat = tf.concat([tf.reshape(v, [-1]) for v in tf.nest.flatten(record)], axis=0)
    fingerprint = tf.fingerprint(tf.reshape(tf.bitcast(flat, tf.uint8), [1, -1]))
    low_and_high = tf.bitcast(tf.reshape(fingerprint, [2, 4]), tf.int32)
    round_seed = tf.random.experimental.stateless_fold_in(tf.constant([seed, _CLIENTS], tf.int32), round_num)
    return tf.random.experimental.stateless_fold_in(
        tf.random.experimental.stateless_fold_in(round_seed, low_and_high[0]), low_and_high[1]
    )


_CLIENTS = 2  # 0 and 1 are the server's streams, see `seeded_queries`
