"""Federated averaging: clients train, the server averages their model deltas."""

from __future__ import annotations

import tensorflow_federated as tff

from fedlearn_edu.checks import check_learning_rate
from fedlearn_edu.learning.aggregators.finite_only import AggregationFactory
from fedlearn_edu.learning.algorithms.composition import compose_process, train_to_delta
from fedlearn_edu.learning.client_weighting import ClientWeighting, aggregator_for, check_client_weighting
from fedlearn_edu.learning.process import FederatedProcess


def build_unweighted_fed_avg(
    model: tff.learning.models.FunctionalModel,
    *,
    client_lr: float = 0.1,
    server_lr: float = 1.0,
    client_optimizer: tff.learning.optimizers.Optimizer | None = None,
    server_optimizer: tff.learning.optimizers.Optimizer | None = None,
    client_weighting: ClientWeighting = "uniform",
    model_aggregator: AggregationFactory | None = None,
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
        client_weighting: `"uniform"`; weights are for `build_weighted_fed_avg`.
        model_aggregator: A TFF factory that averages the deltas; default `UnweightedMeanFactory`.

    Returns:
        A learning process; `next` has the type `(<state@SERVER, {<x, y>*}@CLIENTS> -> <state, metrics>@SERVER)`.

    Shapes:
        Broadcast and delta both have the shapes of `model.initial_weights`.

    Raises:
        UsageError: A learning rate is not a finite number in its range, or the weighting is none for this builder.

    Example:
        >>> process = fl.build_unweighted_fed_avg(fl.linear_head(features), client_lr=0.3)
        >>> history = fl.run_rounds(process, features, num_rounds=10, clients_per_round=4, progress=False)
        >>> history.global_accuracy > 0.6  # one in three at the start
        True

    References:
        McMahan et al., Communication-efficient learning of deep networks from decentralized data, AISTATS 2017,
        arXiv:1602.05629. Server optimizers: Reddi et al., Adaptive federated optimization, ICLR 2021,
        arXiv:2003.00295.
    """
    client_weighting = check_client_weighting(
        client_weighting, only_uniform="build_weighted_fed_avg takes the same arguments and weighs"
    )
    optimizers = {"client_optimizer": client_optimizer, "server_optimizer": server_optimizer}
    return _fed_avg(model, "unweighted_fed_avg", client_lr, server_lr, client_weighting, model_aggregator, **optimizers)


def build_weighted_fed_avg(
    model: tff.learning.models.FunctionalModel,
    *,
    client_lr: float = 0.1,
    server_lr: float = 1.0,
    client_optimizer: tff.learning.optimizers.Optimizer | None = None,
    server_optimizer: tff.learning.optimizers.Optimizer | None = None,
    client_weighting: ClientWeighting = "num_examples",
    model_aggregator: AggregationFactory | None = None,
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
        client_weighting: `"num_examples"`, or `"uniform"`: the mean of `build_unweighted_fed_avg`.
        model_aggregator: A TFF factory that averages the deltas; default TFF's mean with or without weights. With
            `"num_examples"` one that takes weights.

    Returns:
        A learning process; `next` has the type `(<state@SERVER, {<x, y>*}@CLIENTS> -> <state, metrics>@SERVER)`.

    Raises:
        UsageError: A learning rate is not a finite number in its range, or `model_aggregator` would drop the weights.

    Example:
        >>> process = fl.build_weighted_fed_avg(fl.linear_head(features), client_weighting="uniform")
        >>> process.hyperparameters["client_weighting"]
        'uniform'

    References:
        McMahan et al., Communication-efficient learning of deep networks from decentralized data, AISTATS 2017,
        arXiv:1602.05629.
    """
    optimizers = {"client_optimizer": client_optimizer, "server_optimizer": server_optimizer}
    return _fed_avg(model, "weighted_fed_avg", client_lr, server_lr, client_weighting, model_aggregator, **optimizers)


def _fed_avg(
    model, algorithm, client_lr, server_lr, client_weighting, model_aggregator, *, client_optimizer, server_optimizer
) -> FederatedProcess:
    client_sgd = tff.learning.optimizers.build_sgdm(check_learning_rate("client_lr", client_lr))
    server_sgd = tff.learning.optimizers.build_sgdm(check_learning_rate("server_lr", server_lr))
    client_weighting = check_client_weighting(client_weighting)
    return compose_process(
        model,
        train_to_delta(model, client_optimizer or client_sgd, client_weighting),
        aggregator_for(client_weighting, model_aggregator),
        server_optimizer or server_sgd,
        algorithm=algorithm,
        hyperparameters={
            "client_lr": client_lr,
            "server_lr": server_lr,
            "client_optimizer": client_optimizer,
            "server_optimizer": server_optimizer,
            "client_weighting": client_weighting,
            "model_aggregator": model_aggregator,
        },
    )
