"""One client's model delta, as a server receives it: a round of the process with that client alone."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from fedlearn_edu.checks import check_seed
from fedlearn_edu.errors import UsageError
from fedlearn_edu.learning.process import FederatedProcess, StatefulFederatedProcess
from fedlearn_edu.privacy.attacks.received import check_count
from fedlearn_edu.simulation.client_states import ClientStates
from fedlearn_edu.simulation.runtime import start_runtime


def client_delta(
    process: FederatedProcess | StatefulFederatedProcess,
    examples: np.ndarray,
    labels: np.ndarray,
    *,
    num_epochs: int = 1,
    batch_size: int = 20,
    model_weights: Sequence[np.ndarray] | None = None,
    seed: int = 0,
) -> list[np.ndarray]:
    """Runs one round in which a single client takes part, and returns the delta that the server gets.

    The mean over one client is that client's own delta, so this is what a server without secure aggregation sees of
    every client. With a process that clips and noises on the client it is the clipped and noised delta. The process
    must have a server learning rate of 1.

    Args:
        process: From a `build_*` function; if its clients keep a state, this one has its initial state.
        examples: The client's features, `[num_examples, feature_dim]`.
        labels: Their classes.
        num_epochs: Local passes, at least 1.
        batch_size: Examples per local step, at least 1; as many as there are make one full-batch step an epoch.
        model_weights: The model that the server sends; None for the process' initial one.
        seed: Of the shuffle before each local pass.

    Returns:
        initial - trained, float32 arrays in the model's weight order.

    Raises:
        UsageError: No examples, a number of labels that differs, or a number is out of range.
    """
    import tensorflow as tf
    import tensorflow_federated as tff

    check_count("num_epochs", num_epochs)
    check_count("batch_size", batch_size)
    check_seed(seed)
    if not len(examples) or len(examples) != len(labels):
        raise UsageError(f"labels: expected one per example and some of both, got {len(labels)} for {len(examples)}")
    start_runtime()
    state = process.initialize()
    if model_weights is not None:
        sent = [np.asarray(w, np.float32) for w in model_weights]
        state = process.set_model_weights(state, tff.learning.models.ModelWeights(sent, []))
    before = process.get_model_weights(state).trainable
    dataset = tf.data.Dataset.from_tensor_slices((np.float32(examples), np.int32(labels)))
    dataset = dataset.shuffle(len(labels), seed=seed).batch(batch_size).repeat(num_epochs)
    clients = ClientStates(process).hand_out(["client"], [dataset])
    after = process.get_model_weights(process.next(state, clients).state).trainable
    return [np.asarray(a) - np.asarray(b) for a, b in zip(before, after, strict=True)]
