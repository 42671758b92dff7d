"""What the builders of private processes share: the process around an aggregator."""

from __future__ import annotations

from typing import Any

import tensorflow_federated as tff

from fedlearn_edu.learning.algorithms.fed_avg import build_unweighted_fed_avg
from fedlearn_edu.learning.process import FederatedProcess, PrivacyAccountant


def private_fed_avg(
    model: tff.learning.models.FunctionalModel,
    *,
    algorithm: str,
    model_aggregator: tff.aggregators.UnweightedAggregationFactory,
    client_lr: float,
    server_lr: float,
    privacy: PrivacyAccountant | None,
    hyperparameters: dict[str, Any],
) -> FederatedProcess:
    """Returns unweighted federated averaging with an aggregator of ours, under its own name and with its accountant.

    `hyperparameters` holds what the accountant does not describe; a run's settings have both.
    """
    process = build_unweighted_fed_avg(
        model, client_lr=client_lr, server_lr=server_lr, model_aggregator=model_aggregator
    )
    return FederatedProcess(
        process,
        model=model,
        algorithm=algorithm,
        hyperparameters={"client_lr": client_lr, "server_lr": server_lr, **hyperparameters},
        privacy=privacy,
    )
