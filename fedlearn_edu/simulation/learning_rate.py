"""A learning rate at which a linear head trains steadily, found by a few short runs on training examples alone."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import numpy as np

from fedlearn_edu.data.federated import FederatedDataset
from fedlearn_edu.data.task import Task

LADDER = tuple(base * 10.0**power for power in range(-9, 2) for base in (1, 3))  # 1e-9 ... 10, 30
_ROUNDS = 6
_MAX_COHORT = 20
_MAX_STEPS = 200  # of a client a round: what is unsteady is so long before
_TOLERANCE = 1.05
_LEAST_FALL = 0.01
_MAX_MEASURED = 2000  # examples on which the loss is measured


def steady_client_lr(
    features: FederatedDataset,
    *,
    default: float = 0.1,
    clients_per_round: int = 20,
    num_epochs: int = 5,
    batch_size: int | None = 20,
    pooled: bool = False,
    seed: int = 0,
) -> float:
    """Returns the default rate if federated training of a linear head is steady with it, else one that is.

    Steady means: in six rounds of federated averaging from zero the mean loss on training examples (of numbers: around
    their mean) never rises above its start by more than a twentieth. From the default the rate goes down (0.1, 0.03,
    0.01, ...) until that holds and the loss falls. If the default is steady, it goes up as long as the loss falls at
    least twice as far with the higher rate, which only features much smaller than usual need. If no rate will do, it is
    the default. No test example is looked at. A real federation would have to pay for the rounds tried.

    Args:
        features: Extracted features.
        default: Where to begin, above 0.
        clients_per_round: Size of the cohort; of more than 20 clients 20 are tried.
        num_epochs: Local passes over a client's examples per round; of more than 200 steps 200 are tried.
        batch_size: Examples per step; None means all of a client's in one.
        pooled: Put all training examples into one place first, as for the central ceiling.
        seed: Of cohorts and shuffles.

    Returns:
        The learning rate.
    """
    clients = [features.pooled("train")] if pooled else [features.train(name) for name in features.client_ids]
    task = features.task
    if task.kind == "regression":
        mean, std = _moments(clients)
        if not std:
            return default
        # Of scaled numbers all is scaled alike, and steady at the same rate.
        clients = [(x, (y - mean) / std) for x, y in clients]
    start = 1.0 if task.kind == "regression" else math.log(features.num_classes)

    def fall(rate: float) -> float:
        """How far the loss falls in all; minus infinity if it is ever well above its start, or no number."""
        losses = _losses(clients, task, rate, min(clients_per_round, _MAX_COHORT), num_epochs, batch_size, seed)
        return start - losses[-1] if all(loss <= _TOLERANCE * start for loss in losses) else -math.inf

    rate, best, least = default, fall(default), _LEAST_FALL * start
    if best == -math.inf:
        lower = (rate for rate in reversed(LADDER) if rate < default)
        return next((rate for rate in lower if fall(rate) > least), default)
    for higher in (rate for rate in LADDER if rate > default):
        reached = fall(higher)
        if reached == -math.inf or least < reached < 2 * best:
            break
        rate, best = higher, reached
    return rate if best > least else default


def _losses(
    clients: Sequence[tuple[np.ndarray, np.ndarray]],
    task: Task,
    rate: float,
    cohort_size: int,
    num_epochs: int,
    batch_size: int | None,
    seed: int,
) -> list[float]:
    """Returns the mean training loss after every round; the last one may be no number."""
    rng = np.random.default_rng(seed)
    x, y = _sample(clients, rng)
    kernel = np.zeros([x.shape[1], task.num_outputs], np.float32)  # the last row is the bias
    losses_of, errors_of = _LOSSES.get(task.kind, _LOSSES["classification"])
    losses = []
    with np.errstate(all="ignore"):  # what overflows is no number, and no steady rate
        for _ in range(_ROUNDS):
            cohort = rng.choice(len(clients), min(cohort_size, len(clients)), replace=False)
            trained = [_train(kernel, *clients[i], errors_of, rate, num_epochs, batch_size, rng) for i in cohort]
            kernel = np.mean(trained, axis=0)
            losses.append(float(losses_of(x @ kernel, y).mean()))
            if not math.isfinite(losses[-1]):
                break
    return losses


def _train(kernel, x, y, errors_of, rate, num_epochs, batch_size, rng) -> np.ndarray:
    batch_size = batch_size or len(y)
    kernel = kernel.copy()
    batches = (
        order[first : first + batch_size]
        for order in (rng.permutation(len(y)) for _ in range(num_epochs))
        for first in range(0, len(y), batch_size)
    )
    for rows in itertools.islice(batches, _MAX_STEPS):
        examples = _with_one(x[rows])
        kernel -= np.float32(rate / len(rows)) * (examples.T @ errors_of(examples @ kernel, y[rows]))
    return kernel


def _moments(clients) -> tuple[np.float32, np.float32]:
    targets = np.concatenate([y for _, y in clients]).astype(np.float64)
    return np.float32(targets.mean()), np.float32(targets.std())


def _sample(clients, rng) -> tuple[np.ndarray, np.ndarray]:
    share = max(1, _MAX_MEASURED // len(clients))
    parts = [(x[rows], y[rows]) for x, y in clients for rows in [rng.permutation(len(y))[:share]]]
    return _with_one(np.concatenate([x for x, _ in parts])), np.concatenate([y for _, y in parts])


def _with_one(x: np.ndarray) -> np.ndarray:
    return np.concatenate([x, np.ones([len(x), 1], np.float32)], axis=1)


def _log_softmax(logits: np.ndarray) -> np.ndarray:
    logits = logits - logits.max(axis=1, keepdims=True)
    return logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))


def _cross_entropies(logits, y):
    return -_log_softmax(logits)[np.arange(len(y)), y]


def _errors_of_classes(logits, y):
    errors = np.exp(_log_softmax(logits))
    errors[np.arange(len(y)), y] -= 1
    return errors


def _binary_cross_entropies(logits, y):
    return np.logaddexp(0, np.where(y == 1, -logits[:, 0], logits[:, 0]))


def _errors_of_yes_or_no(logits, y):
    return np.exp(-np.logaddexp(0, -logits)) - y[:, None].astype(np.float32)


_LOSSES = {  # losses, and their gradients by the outputs; what `learning.tasks` has in TensorFlow
    "classification": (_cross_entropies, _errors_of_classes),
    "binary": (_binary_cross_entropies, _errors_of_yes_or_no),
    "regression": (lambda outputs, y: (outputs[:, 0] - y) ** 2, lambda outputs, y: 2 * (outputs - y[:, None])),
}
