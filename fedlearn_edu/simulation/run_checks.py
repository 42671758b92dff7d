"""What a run is asked for, checked before anything starts: counts in range, and a process that was built for it."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping

import numpy as np

from fedlearn_edu.data.federated import FederatedDataset
from fedlearn_edu.errors import UsageError
from fedlearn_edu.learning.process import FederatedProcess, StatefulFederatedProcess


def check_run(
    process: FederatedProcess | StatefulFederatedProcess,
    features: FederatedDataset,
    counts: Mapping[str, int],
    *,
    resume: bool,
    checkpoint_dir: str | os.PathLike | None,
) -> None:
    """Raises UsageError if a run cannot be what its arguments say; see `iter_rounds` for them.

    Args:
        process: What is run.
        features: On whom.
        counts: The whole numbers among the arguments, by name; `clients_per_round` is one of them.
        resume: Whether the run goes on from a checkpoint.
        checkpoint_dir: Where that would be.
    """
    for name, value in counts.items():
        if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < 1:
            raise UsageError(f"{name}: expected a whole number of at least 1, got {value!r}")
    if counts["clients_per_round"] > features.num_clients:
        raise UsageError(
            f"clients_per_round: expected at most the number of clients ({features.num_clients}), "
            f"got {counts['clients_per_round']}"
        )
    _check_built_for(process.hyperparameters, features, counts["clients_per_round"])
    if resume and not checkpoint_dir:
        raise UsageError("resume: expected a checkpoint_dir to resume from, got none")


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
