"""Ditto: beside the global model each client trains one of its own, pulled towards the global one."""

from __future__ import annotations

import functools

import numpy as np
import tensorflow as tf
import tensorflow_federated as tff

from fedlearn_edu.checks import check_not_negative
from fedlearn_edu.errors import UsageError
from fedlearn_edu.learning.aggregators.finite_only import AggregationFactory
from fedlearn_edu.learning.algorithms.personal_layers import sgd
from fedlearn_edu.learning.client_weighting import (
    ClientWeighting,
    aggregator_for,
    check_client_weighting,
    create_aggregation,
    weight_of,
)
from fedlearn_edu.learning.local_training import subtract, train_locally
from fedlearn_edu.learning.process import StatefulFederatedProcess
from fedlearn_edu.learning.stateful import ClientOutput, compose_stateful_process, discard_if_not_finite, server_step


def build_ditto(
    model: tff.learning.models.FunctionalModel,
    *,
    regularization_strength: float = 0.1,
    client_lr: float = 0.1,
    personal_lr: float | None = None,
    server_lr: float = 1.0,
    client_optimizer: tff.learning.optimizers.Optimizer | None = None,
    server_optimizer: tff.learning.optimizers.Optimizer | None = None,
    client_weighting: ClientWeighting = "uniform",
    model_aggregator: AggregationFactory | None = None,
) -> StatefulFederatedProcess:
    """Federated averaging, and for each client a personal model between the global one and one of its own.

    The server broadcasts the global model w. Each client of the cohort trains a copy of it and returns the delta, which
    is averaged: this part is federated averaging, to the byte, and knows nothing of the rest. The client also trains
    its personal model v, which stays with it, on the same examples: it minimises its own loss plus
    `regularization_strength / 2 * ||v - w||^2`, so that every gradient grows by `regularization_strength * (v - w)`.
    With strength 0, v is what the client learns all alone; the larger the strength, the nearer v stays to the global
    model. Clients with few or poor examples want a larger one.

    A client that has not trained yet predicts by the global model; its v starts, as everybody's, at the model's initial
    weights.

    Args:
        model: What is trained; any, e.g. `linear_head(features)`.
        regularization_strength: The paper's lambda, at least 0. The paper tries 0.05 to 2. A step multiplies the
            distance to the global model by `1 - personal_lr * regularization_strength`: this product is at most 1.
        client_lr: Learning rate of the clients' SGD on the global model, above 0 and at most 100.
        personal_lr: Learning rate of the SGD on the personal models; default `client_lr`.
        server_lr: Learning rate of the server's SGD, above 0 and at most 100.
        client_optimizer: A TFF optimizer for the global model's local training in place of SGD at `client_lr`.
        server_optimizer: A TFF optimizer in place of SGD at `server_lr`.
        client_weighting: `"uniform"`: in the global model all clients count alike; `"num_examples"`: in proportion to
            their numbers of examples.
        model_aggregator: A TFF factory that averages the deltas; default TFF's mean with or without weights. A robust
            one protects the global model, and through it the personal ones.

    Returns:
        A stateful process for `run_rounds`; `next` has the type `(<state@SERVER, {<data=<x, y>*, client_state=
        <has_trained=bool, personal=...>>}@CLIENTS> -> <state@SERVER, metrics@SERVER, {...}@CLIENTS>)`.

    Shapes:
        Broadcast, delta and personal model have the shapes of the model's trainable weights.

    Raises:
        UsageError: `regularization_strength` is negative, not finite, or above `1 / personal_lr`; a learning rate is
            out of its range; `model_aggregator` would drop the weights.

    Example:
        >>> process = fl.build_ditto(fl.linear_head(features), regularization_strength=1.0)
        >>> sorted(process.initial_client_state("client_0"))
        ['has_trained', 'personal']

    References:
        Li, Hu, Beirami, Smith, Ditto: Fair and robust federated learning through personalization, ICML 2021,
        arXiv:2012.04221.
    """
    global_sgd, server_sgd = sgd("client_lr", client_lr), sgd("server_lr", server_lr)
    rate = client_lr if personal_lr is None else personal_lr
    personal_sgd = sgd("personal_lr", rate)
    strength = check_not_negative("regularization_strength", regularization_strength)
    if strength * rate > 1 + 1e-9:
        raise UsageError(
            f"regularization_strength: expected at most 1 / personal_lr = {1 / rate:g}, beyond which a step "
            f"overshoots the global model, got {strength:g}; take a smaller personal_lr"
        )
    client_weighting = check_client_weighting(client_weighting)
    aggregator = aggregator_for(client_weighting, model_aggregator)
    optimizer = client_optimizer or global_sgd
    initial, _ = model.initial_weights

    def client_work(weights, batches, state):
        received = tuple(weights.trainable)

        def pull(gradients, trainable):
            return tuple(g + strength * (v - w) for g, v, w in zip(gradients, trainable, received, strict=True))

        trained = train_locally(model, weights, batches, optimizer)
        start = tff.learning.models.ModelWeights(tuple(state["personal"]), tuple(weights.non_trainable))
        personal = train_locally(model, start, batches, personal_sgd, change_gradients=pull).trainable
        kept = {"has_trained": True, "personal": list(personal)}
        # Looked at one by one: a personal model that is not finite is not kept, and changes nothing of what is sent.
        kept = discard_if_not_finite(ClientOutput(personal, 1.0, kept, trained.metrics), state, model).client_state
        delta = subtract(received, trained.trainable)
        weight = weight_of(client_weighting, trained.num_examples)
        return discard_if_not_finite(ClientOutput(delta, weight, kept, trained.metrics), state, model)

    def personal_weights(weights, state):
        pairs = zip(state["personal"], weights.trainable, strict=True)
        own = tuple(tf.where(state["has_trained"], v, w) for v, w in pairs)
        return tff.learning.models.ModelWeights(own, weights.non_trainable)

    return compose_stateful_process(
        model,
        client_work=client_work,
        client_state={"has_trained": np.bool_(False), "personal": [np.asarray(w) for w in initial]},
        aggregator=functools.partial(create_aggregation, aggregator),
        finalizer=server_step(server_optimizer or server_sgd),
        personal_weights=personal_weights,
        algorithm="ditto",
        hyperparameters={
            "regularization_strength": strength,
            "client_lr": client_lr,
            "personal_lr": rate,
            "server_lr": server_lr,
            "client_optimizer": client_optimizer,
            "server_optimizer": server_optimizer,
            "client_weighting": client_weighting,
            "model_aggregator": model_aggregator,
        },
    )
