"""What a run is asked for, checked before anything starts: counts in range, and a process that was built for it."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping

import numpy as np

from fedlearn_edu.checks import check_count, check_seed
from fedlearn_edu.data.federated import FederatedDataset
from fedlearn_edu.errors import UsageError
from fedlearn_edu.learning.process import FederatedProcess, StatefulFederatedProcess


def check_run(
    process: FederatedProcess | StatefulFederatedProcess,
    features: FederatedDataset,
    counts: Mapping[str, int],
    *,
    seed: int,
    resume: bool,
    checkpoint_dir: str | os.PathLike | None,
) -> dict[str, int]:
    """Raises UsageError if a run cannot be what its arguments say; see `iter_rounds` for them.

    Args:
        process: What is run.
        features: On whom.
        counts: The whole numbers among the arguments, by name; `clients_per_round` is one of them.
        seed: Of the run.
        resume: Whether the run goes on from a checkpoint.
        checkpoint_dir: Where that would be.

    Returns:
        The counts and the seed as Python's own whole numbers, which JSON can hold.
    """
    counts = {name: check_count(name, value) for name, value in counts.items()} | {"seed": check_seed(seed)}
    if counts["clients_per_round"] > features.num_clients:
        raise UsageError(
            f"clients_per_round: expected at most the number of clients ({features.num_clients}), "
            f"got {counts['clients_per_round']}"
        )
    _check_built_for(process.hyperparameters, features, counts["clients_per_round"])
    check_features(features)
    if resume and not checkpoint_dir:
        raise UsageError("resume: expected a checkpoint_dir to resume from, got none")
    return counts


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


def _check_built_for(hyperparameters: Mapping, features: FederatedDataset, clients_per_round: int) -> None:
    num_clients = hyperparameters.get("num_clients", features.num_clients)
    if num_clients != features.num_clients:
        raise UsageError(
            f"num_clients: the process was built for {num_clients} clients, but there are {features.num_clients}; "
            "build it with num_clients=features.num_clients"
        )
    unknown = sorted(set(hyperparameters.get("attackers", ())) - set(features.client_ids))
    if unknown:
        raise UsageError(
            f"attackers: expected ids of these {features.num_clients} clients such as {features.client_ids[0]!r}, "
            f"got {unknown[0]!r}"
        )
    # A robust aggregator, maybe inside another, tells the cohort that it was built for in the call that describes it.
    aggregator = hyperparameters.get("model_aggregator") or ""
    for size in re.findall(r"\bclients_per_round=(\d+)", aggregator):
        if int(size) != clients_per_round:
            raise UsageError(
                f"clients_per_round: the process was built with {aggregator}, got {clients_per_round} for the run; "
                "give both the same number"
            )
