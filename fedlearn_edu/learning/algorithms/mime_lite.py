"""Mime Lite: clients step with the server's momentum, which they leave unchanged."""

from __future__ import annotations

import tensorflow_federated as tff

from fedlearn_edu.checks import check_learning_rate, check_momentum
from fedlearn_edu.learning.aggregators.finite_only import AggregationFactory, finite_only
from fedlearn_edu.learning.client_weighting import ClientWeighting, aggregator_for, check_client_weighting, with_weights
from fedlearn_edu.learning.process import FederatedProcess


def build_mime_lite(
    model: tff.learning.models.FunctionalModel,
    *,
    client_lr: float = 0.1,
    momentum: float = 0.9,
    server_lr: float = 1.0,
    base_optimizer: tff.learning.optimizers.Optimizer | None = None,
    server_optimizer: tff.learning.optimizers.Optimizer | None = None,
    client_weighting: ClientWeighting = "num_examples",
    model_aggregator: AggregationFactory | None = None,
    full_gradient_aggregator: AggregationFactory | None = None,
) -> FederatedProcess:
    """Weighted federated averaging in which all clients of a round share one momentum, computed by the server.

    The server broadcasts the global model and its optimizer's state (here: the momentum m). Each client first
    computes the gradient of its mean loss over all its examples at the model it received, then trains; every local
    step adds the same m to the gradient, so that clients with unlike data drift in one direction instead of each in
    its own. It returns model delta, full gradient and client weight. The server averages the deltas by weight and
    steps against the average, and updates its momentum with the averaged full gradients c:

        client:  w = w - client_lr * (gradient + momentum * m)
        server:  m = momentum * m + c

    The first round has m = 0 and equals federated averaging, as does every round with `momentum=0`. Broadcast and
    upload are twice those of FedAvg. The paper writes m as a running average, `(1 - momentum) * c` being added: TFF's m
    is `1 / (1 - momentum)` times the paper's, so its `client_lr` is `1 - momentum` times the paper's.

    Args:
        model: What is trained.
        client_lr: Learning rate of the clients' steps, above 0 and at most 100.
        momentum: Part of m that is kept each round, at least 0 and below 1. The steps add up to about
            `client_lr / (1 - momentum)`: ten times `client_lr` at 0.9.
        server_lr: Learning rate of the server's SGD, above 0 and at most 100.
        base_optimizer: A TFF optimizer in place of SGD with momentum; clients use its state, the server updates it.
        server_optimizer: A TFF optimizer in place of SGD at `server_lr`; it has a state of its own.
        client_weighting: `"num_examples"`: a client counts in proportion to its number of examples (an example seen in
            two local epochs counts twice); `"uniform"`: all count alike.
        model_aggregator: A TFF factory that averages the deltas; default TFF's mean with or without weights. With
            `"num_examples"` one that takes weights.
        full_gradient_aggregator: The same for the full gradients. What shall protect clients (a secure sum, clipping)
            is needed in both. It sees zeros with weight 0 in place of a gradient with NaN or infinity, see
            `finite_only`.

    Returns:
        A learning process; `next` has the type `(<state@SERVER, {<x, y>*}@CLIENTS> -> <state, metrics>@SERVER)`.

    Raises:
        UsageError: `momentum` is not in [0, 1), a learning rate is out of its range, or an aggregator would drop the
            weights.

    Example:
        >>> process = fl.build_mime_lite(fl.linear_head(features), client_lr=0.02, momentum=0.9)
        >>> process.hyperparameters["momentum"]
        0.9

    References:
        Karimireddy et al., Breaking the centralized barrier for cross-device federated learning (Mime), NeurIPS 2021,
        arXiv:2008.03606. (There every client counts alike.)
    """
    client_lr = check_learning_rate("client_lr", client_lr)
    momentum = check_momentum("momentum", momentum)
    server_lr = check_learning_rate("server_lr", server_lr)
    client_weighting = check_client_weighting(client_weighting)
    full_gradients = full_gradient_aggregator and with_weights(
        aggregator_for(client_weighting, full_gradient_aggregator, name="full_gradient_aggregator")
    )
    process = tff.learning.algorithms.build_weighted_mime_lite(
        model,
        base_optimizer or tff.learning.optimizers.build_sgdm(client_lr, momentum),
        server_optimizer or tff.learning.optimizers.build_sgdm(server_lr),
        client_weighting=tff.learning.ClientWeighting[client_weighting.upper()],
        model_aggregator=with_weights(aggregator_for(client_weighting, model_aggregator)),
        # TFF leaves out the delta of a client that diverged, but its gradient would make the momentum NaN for good.
        full_gradient_aggregator=finite_only(full_gradients, weighted=True),
        loop_implementation=tff.learning.LoopImplementation.DATASET_ITERATOR,
    )
    return FederatedProcess(
        process,
        model=model,
        algorithm="mime_lite",
        hyperparameters={
            "client_lr": client_lr,
            "momentum": momentum,
            "server_lr": server_lr,
            "base_optimizer": base_optimizer,
            "server_optimizer": server_optimizer,
            "client_weighting": client_weighting,
            "model_aggregator": model_aggregator,
            "full_gradient_aggregator": full_gradient_aggregator,
        },
    )
