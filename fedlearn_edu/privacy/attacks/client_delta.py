"""One client's model delta, as a server receives it: a round of the process with that client alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from fedlearn_edu.checks import check_count, check_seed
from fedlearn_edu.engine.runtime import start_runtime
from fedlearn_edu.errors import UsageError
from fedlearn_edu.learning.process import FederatedProcess, StatefulFederatedProcess
from fedlearn_edu.simulation.client_states import ClientStates


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
    every client. With a process that clips or noises on the client (norm bounding, local and distributed DP) it is the
    clipped and noised delta; with `build_fed_sgd` it is the gradient. Weights that a client keeps for itself have a
    delta of zero, and so has a client whose training diverges.

    It is read off the step that the server takes, whatever its learning rate; a process whose server does not step
    along the mean delta of its clients is refused.

    Args:
        process: From a `build_*` function or of TFF, with plain SGD on the server (with or without momentum). If its
            clients keep a state, this one has its initial state.
        examples: The client's features, `[num_examples, feature_dim]`.
        labels: Their classes, or the numbers of a regression.
        num_epochs: Local passes, at least 1.
        batch_size: Examples per local step, at least 1; as many as there are make one full-batch step an epoch.
        model_weights: The model that the server sends; None for the process' initial one.
        seed: Of the shuffle before each local pass.

    Returns:
        initial - trained, float32 arrays in the model's weight order.

    Raises:
        UsageError: No examples, a number of labels that differs, numbers where classes are meant, or a number is out
            of range; or the server does
            something else with a delta: an adaptive optimizer, FedDyn's or q-FedAvg's correction, noise of its own.
    """
    import tensorflow as tf
    import tensorflow_federated as tff

    check_count("num_epochs", num_epochs)
    check_count("batch_size", batch_size)
    check_seed(seed)
    if not len(examples) or len(examples) != len(labels):
        raise UsageError(f"labels: expected one per example and some of both, got {len(labels)} for {len(examples)}")
    labels = _as_targets(labels, process)
    start_runtime()
    state = _with_unit_steps(process)
    if model_weights is not None:
        sent = [np.asarray(w, np.float32) for w in model_weights]
        state = process.set_model_weights(state, tff.learning.models.ModelWeights(sent, []))
    before = process.get_model_weights(state).trainable
    dataset = tf.data.Dataset.from_tensor_slices((np.float32(examples), labels))
    dataset = dataset.shuffle(len(labels), seed=seed).batch(batch_size).repeat(num_epochs)

    def step_with(num_clients: int) -> list[np.ndarray]:
        clients = ClientStates(process).hand_out(["client"] * num_clients, [dataset] * num_clients)
        after = process.get_model_weights(process.next(state, clients).state).trainable
        return [np.asarray(a) - np.asarray(b) for a, b in zip(before, after, strict=True)]

    # A mean is the same if a client comes twice and a sum is twice as large; all else holds more than its delta.
    once, twice = step_with(1), step_with(2)
    if _alike(twice, once, before):
        return once
    privacy = getattr(process, "privacy", None)
    if privacy is not None and _alike(twice, [2 * step for step in once], before):
        return [step * np.float32(privacy.clients_per_round) for step in once]
    raise _refusal(process, "an aggregator that adds something of its own, or whose divisor is not known")


def _as_targets(labels, process) -> np.ndarray:
    """Returns targets in the dtype that the process trains on."""
    model, labels = getattr(process, "model", None), np.asarray(labels)
    dtype = np.dtype(np.int32 if model is None else model.input_spec[1].dtype.as_numpy_dtype)
    if labels.dtype.kind not in ("iu" if dtype.kind == "i" else "iuf"):
        raise UsageError(f"labels: expected {dtype} as the process trains on, got {labels.dtype}")
    return labels.astype(dtype)


def _with_unit_steps(process):
    """Returns the initial state with a server learning rate of 1, so that a step is as long as what is aggregated."""
    import tensorflow_federated as tff

    state = process.initialize()
    finalizer = state.finalizer
    scaffold = isinstance(finalizer, Mapping) and set(finalizer) == {"step", "control"}
    optimizer = finalizer["step"] if scaffold else finalizer
    found = set(optimizer) if isinstance(optimizer, Mapping) else set()
    # A momentum starts at zero: the first step is that of plain SGD.
    if "learning_rate" not in found or found - {"learning_rate", "momentum", "accumulator"}:
        raise _refusal(process, "another optimizer or a correction")
    if getattr(process, "algorithm", None) == "q_fed_avg":
        raise _refusal(process, "a quotient of sums over clients")
    optimizer = type(optimizer)({**optimizer, "learning_rate": np.float32(1)})
    finalizer = type(finalizer)({**finalizer, "step": optimizer}) if scaffold else optimizer
    return tff.learning.templates.LearningAlgorithmState(
        state.global_model_weights, state.distributor, state.client_work, state.aggregator, finalizer
    )


def _alike(steps, expected, before) -> bool:
    """Whether two steps from one model are the same but for rounding."""
    flat, wanted, weights = (np.concatenate([np.ravel(part) for part in parts]) for parts in (steps, expected, before))
    return np.linalg.norm(flat - wanted) <= 1e-3 * np.linalg.norm(wanted) + 1e-6 * np.linalg.norm(weights)


def _refusal(process, found: str) -> UsageError:
    return UsageError(
        "process: expected one whose server takes SGD steps along the clients' mean delta, got "
        f"{getattr(process, 'algorithm', 'one')} with {found}; take the process without it that has the same clients"
    )
