"""What a run is asked for, checked before anything starts: numbers that can be, and a process built for it."""

from __future__ import annotations

import os

import numpy as np

from fedlearn_edu.data.federated import FederatedDataset
from fedlearn_edu.errors import UsageError
from fedlearn_edu.learning.process import FederatedProcess, StatefulFederatedProcess
from fedlearn_edu.simulation.config import RunConfig


def check_run(
    process: FederatedProcess | StatefulFederatedProcess,
    features: FederatedDataset,
    config: RunConfig,
    *,
    resume: bool,
    checkpoint_dir: str | os.PathLike | None,
) -> None:
    """Raises UsageError if a run cannot be what its arguments say; see `iter_rounds` for them.

    Args:
        process: What is run.
        features: On whom.
        config: How.
        resume: Whether the run goes on from a checkpoint.
        checkpoint_dir: Where that would be.
    """
    if config.clients_per_round > features.num_clients:
        raise UsageError(
            f"clients_per_round: expected at most the number of clients ({features.num_clients}), "
            f"got {config.clients_per_round}"
        )
    for stated in process.requirements:
        stated.check(config, features)
    check_features(features)
    if resume and not checkpoint_dir:
        raise UsageError("resume: expected a checkpoint_dir to resume from, got none")


def check_features(features: FederatedDataset) -> None:
    """Raises UsageError if a client holds a number that is not finite, of which nothing sensible can be learned."""
    examples = features.examples
    if not np.issubdtype(examples.dtype, np.floating):
        return
    with np.errstate(over="ignore"):
        numbers = examples.astype(np.float32, copy=False)  # as the worker gets them
    if np.isfinite(numbers).all():
        return
    broken = ~np.isfinite(numbers).reshape(len(numbers), -1).all(axis=1)
    counts = {c: int(broken[s.train].sum() + broken[s.test].sum()) for c, s in features.clients.items()}
    counts = {client_id: count for client_id, count in counts.items() if count}
    if counts:
        client_id, count = next(iter(counts.items()))
        more = f" (and {len(counts) - 1} more clients)" if len(counts) > 1 else ""
        raise UsageError(
            f"features: expected finite numbers, got NaN or infinity (as float32) in {count} example(s) of client "
            f"{client_id!r}{more}; repair them, or leave such clients out with select_clients"
        )
