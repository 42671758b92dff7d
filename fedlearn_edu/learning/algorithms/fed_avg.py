"""Federated averaging: clients train, the server averages their model deltas."""

from __future__ import annotations

import tensorflow_federated as tff

from fedlearn_edu.learning.algorithms.composition import compose_process, train_to_delta
from fedlearn_edu.learning.process import FederatedProcess, check_learning_rate


def build_unweighted_fed_avg(
    model: tff.learning.models.FunctionalModel,
    *,
    client_lr: float = 0.1,
    server_lr: float = 1.0,
    client_optimizer: tff.learning.optimizers.Optimizer | None = None,
    server_optimizer: tff.learning.optimizers.Optimizer | None = None,
    model_aggregator: tff.aggregators.UnweightedAggregationFactory | None = None,
) -> FederatedProcess:
    """Federated averaging in which every client of the cohort counts alike.

    The server broadcasts the global model. Each client trains a copy on its own examples and returns its model
    delta (initial - trained). The deltas are averaged with equal weights, and the server steps against the
    average: with the default server learning rate of 1 that is M(t+1) = M(t) + 1/k * sum_i dw_i, where
    dw_i = trained - initial is the delta with the other sign.

    Args:
        model: What is trained, e.g. from `linear_head(features)`.
        client_lr: Learning rate of the clients' SGD, above 0 and at most 100.
        server_lr: Learning rate of the server's SGD, above 0 and at most 100.
        client_optimizer: A TFF optimizer in place of SGD at `client_lr`.
        server_optimizer: A TFF optimizer in place of SGD at `server_lr`, e.g.
            `tff.learning.optimizers.build_adam(0.01)` for FedAdam.
        model_aggregator: A TFF factory that averages the deltas; default `UnweightedMeanFactory`.

    Returns:
        A learning process; `next` has the type `(<state@SERVER, {<x, y>*}@CLIENTS> -> <state, metrics>@SERVER)`.

    Shapes:
        Broadcast and delta both have the shapes of `model.initial_weights`.

    Raises:
        UsageError: A learning rate is not a finite number in its range.

    References:
        McMahan et al., Communication-efficient learning of deep networks from decentralized data, AISTATS 2017,
        arXiv:1602.05629. Server optimizers: Reddi et al., Adaptive federated optimization, ICLR 2021,
        arXiv:2003.00295.
    """
    client, server = _optimizers(client_lr, server_lr, client_optimizer, server_optimizer)
    if hasattr(model_aggregator, "with_weights"):
        # A weight of 0 tells that a client's delta was not finite; TFF's wrapper drops all weights.
        aggregator = model_aggregator.with_weights()
    else:
        aggregator = tff.aggregators.as_weighted_aggregator(model_aggregator or tff.aggregators.UnweightedMeanFactory())
    return compose_process(
        model,
        train_to_delta(model, client, weighted=False),
        aggregator,
        server,
        algorithm="unweighted_fed_avg",
        hyperparameters=_described(client_lr, server_lr, client_optimizer, server_optimizer, model_aggregator),
    )


def build_weighted_fed_avg(
    model: tff.learning.models.FunctionalModel,
    *,
    client_lr: float = 0.1,
    server_lr: float = 1.0,
    client_optimizer: tff.learning.optimizers.Optimizer | None = None,
    server_optimizer: tff.learning.optimizers.Optimizer | None = None,
    model_aggregator: tff.aggregators.WeightedAggregationFactory | None = None,
) -> FederatedProcess:
    """Federated averaging in which a client counts in proportion to its number of training examples.

    As `build_unweighted_fed_avg`, but each client also returns `client_weight` = number of examples it trained
    on (an example seen in two local epochs counts twice), and the server averages the deltas with these weights.
    This is the FedAvg of McMahan et al.; it is the average over *examples* where the unweighted one is the
    average over *clients*.

    Args:
        model: What is trained.
        client_lr: Learning rate of the clients' SGD, above 0 and at most 100.
        server_lr: Learning rate of the server's SGD, above 0 and at most 100.
        client_optimizer: A TFF optimizer in place of SGD at `client_lr`.
        server_optimizer: A TFF optimizer in place of SGD at `server_lr`.
        model_aggregator: A TFF factory for the weighted mean; default `MeanFactory`.

    Returns:
        A learning process; `next` has the type `(<state@SERVER, {<x, y>*}@CLIENTS> -> <state, metrics>@SERVER)`.

    Raises:
        UsageError: A learning rate is not a finite number in its range.

    References:
        McMahan et al., Communication-efficient learning of deep networks from decentralized data, AISTATS 2017,
        arXiv:1602.05629.
    """
    client, server = _optimizers(client_lr, server_lr, client_optimizer, server_optimizer)
    return compose_process(
        model,
        train_to_delta(model, client, weighted=True),
        model_aggregator or tff.aggregators.MeanFactory(),
        server,
        algorithm="weighted_fed_avg",
        hyperparameters=_described(client_lr, server_lr, client_optimizer, server_optimizer, model_aggregator),
    )


def _optimizers(client_lr, server_lr, client_optimizer, server_optimizer):
    client_sgd = tff.learning.optimizers.build_sgdm(check_learning_rate("client_lr", client_lr))
    server_sgd = tff.learning.optimizers.build_sgdm(check_learning_rate("server_lr", server_lr))
    return client_optimizer or client_sgd, server_optimizer or server_sgd


def _described(client_lr, server_lr, client_optimizer, server_optimizer, model_aggregator):
    return {
        "client_lr": client_lr,
        "server_lr": server_lr,
        "client_optimizer": client_optimizer,
        "server_optimizer": server_optimizer,
        "model_aggregator": model_aggregator,
    }
