"""What a run's settings say of the process: its algorithm, its model, its hyperparameters, and all that it computes."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Any

import numpy as np
import tensorflow as tf

from fedlearn_edu.engine.fingerprint import DIGITS, digest_arrays, digest_computation
from fedlearn_edu.learning.process import FederatedProcess, StatefulFederatedProcess, compile_once
from fedlearn_edu.simulation.evaluation import local_sums, personal_sums


def describe_process(process: FederatedProcess | StatefulFederatedProcess, client_ids: Iterable[str]) -> dict[str, Any]:
    """Returns what a run's settings say of the process.

    Hyperparameters are what a builder chose to tell. Beside them the TensorFlow graphs themselves are compared: those
    of the initial state, the round and the evaluation, which hold the model's layers, its loss, every rate of every
    optimizer, and how updates are clipped, noised, attacked and aggregated.

    Args:
        process: Any learning process of this package.
        client_ids: Whose initial states are compared, if the process is stateful.

    Returns:
        `algorithm`; `model` with `weights` (type and shape of each) and `initial_weights` (a fingerprint);
        `hyperparameters`; and `computation`, the fingerprint of all that the process computes.
    """
    weights = [np.asarray(w) for w in tf.nest.flatten(process.model.initial_weights)]
    digest = hashlib.sha256()
    if isinstance(process, StatefulFederatedProcess):
        for client_id in client_ids:
            digest.update(digest_arrays(tf.nest.flatten(process.initial_client_state(client_id))))
    for part in compile_once(process, "digests", lambda: _digest_parts(process)):
        digest.update(part)
    return {
        "algorithm": process.algorithm,
        "model": {
            "weights": [f"{w.dtype}{list(w.shape)}" for w in weights],
            "initial_weights": digest_arrays(weights).hex()[:DIGITS],
        },
        "hyperparameters": process.hyperparameters,
        "computation": digest.hexdigest()[:DIGITS],
    }


def _digest_parts(process) -> list[bytes]:
    computations = [process.initialize, process.next, process.get_model_weights, local_sums(process)]
    if getattr(process, "personal_weights", None):
        computations.append(personal_sums(process))
    return [digest_computation(computation) for computation in computations]
