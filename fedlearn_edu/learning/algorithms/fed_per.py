"""FedPer: the base is learned together, each client keeps the last layers for itself."""

from __future__ import annotations

from collections.abc import Sequence

import tensorflow_federated as tff

from fedlearn_edu.learning.aggregators.finite_only import AggregationFactory, no_nan_mean
from fedlearn_edu.learning.algorithms.personal_layers import (
    LAST_LAYER,
    compose_partly_shared_process,
    layers_of,
    sgd,
)
from fedlearn_edu.learning.client_weighting import ClientWeighting, aggregator_for, check_client_weighting
from fedlearn_edu.learning.local_training import train_locally
from fedlearn_edu.learning.process import StatefulFederatedProcess


def build_fed_per(
    model: tff.learning.models.FunctionalModel,
    *,
    personal_indices: Sequence[int] = LAST_LAYER,
    client_lr: float = 0.1,
    server_lr: float = 1.0,
    client_optimizer: tff.learning.optimizers.Optimizer | None = None,
    server_optimizer: tff.learning.optimizers.Optimizer | None = None,
    client_weighting: ClientWeighting = "num_examples",
    model_aggregator: AggregationFactory | None = None,
) -> StatefulFederatedProcess:
    """Federated averaging of all weights but the personal ones, which never leave their client.

    The server broadcasts the shared weights. Each client puts its personal ones to them, trains all of them together
    by SGD, keeps its personal ones for the next time, and returns the delta (initial - trained) of the shared ones;
    these are averaged, in proportion to the clients' examples unless told otherwise, and the server steps against the
    average. Where clients mean different things by one label, each head can say so, and all of them still learn one
    representation.

    The server never has personal weights. What a history calls the global model has their initial values; look at
    `personal_accuracy`, where each client predicts by its own. Without personal weights it is
    `build_weighted_fed_avg`.

    Args:
        model: What is trained: `mlp_head(features)`, `fine_tuned_backbone(features, split)`, or any other with more
            than one layer. With `linear_head` alone there is nothing to share.
        personal_indices: Places in `model.initial_weights[0]` of the weights that are personal; -1 is the last.
            Default: the last kernel and bias.
        client_lr: Learning rate of the clients' SGD, above 0 and at most 100.
        server_lr: Learning rate of the server's SGD, above 0 and at most 100.
        client_optimizer: A TFF optimizer in place of SGD at `client_lr`.
        server_optimizer: A TFF optimizer in place of SGD at `server_lr`.
        client_weighting: `"num_examples"`: a client counts in proportion to its number of examples (an example seen in
            two local epochs counts twice); `"uniform"`: all count alike.
        model_aggregator: A TFF factory that averages the deltas; default TFF's mean with or without weights. With
            `"num_examples"` one that takes weights.

    Returns:
        A stateful process for `run_rounds`; `next` has the type `(<state@SERVER, {<data=<x, y>*, client_state=
        <personal=...>>}@CLIENTS> -> <state@SERVER, metrics@SERVER, {<personal=...>}@CLIENTS>)`.

    Shapes:
        Broadcast and delta have the shapes of the shared weights, a client's state those of the personal ones.

    Raises:
        UsageError: `personal_indices` leave nothing to share, or are no different places of weights; a learning rate
            is out of its range; `model_aggregator` would drop the weights.

    Example:
        >>> process = fl.build_fed_per(fl.mlp_head(features, hidden_units=6))
        >>> [w.shape for w in process.initial_client_state("client_0")["personal"]]  # the last layer
        [(6, 3), (3,)]

    References:
        Arivazhagan et al., Federated learning with personalization layers, 2019, arXiv:1912.00818.
    """
    layers = layers_of(model, personal_indices)
    client_sgd, server_sgd = sgd("client_lr", client_lr), sgd("server_lr", server_lr)
    optimizer = client_optimizer or client_sgd
    client_weighting = check_client_weighting(client_weighting)
    aggregator = aggregator_for(client_weighting, model_aggregator)
    if model_aggregator is None and client_weighting == "num_examples":
        aggregator = no_nan_mean()  # where everybody diverged, the shared weights stay

    def train(shared, personal, non_trainable, batches):
        weights = tff.learning.models.ModelWeights(layers.join(shared, personal), non_trainable)
        trained = train_locally(model, weights, batches, optimizer)
        return (*layers.split(trained.trainable), trained)

    return compose_partly_shared_process(
        model,
        layers,
        train=train,
        server_optimizer=server_optimizer or server_sgd,
        client_weighting=client_weighting,
        aggregator=aggregator,
        algorithm="fed_per",
        hyperparameters={
            "personal_indices": list(layers.personal),
            "client_lr": client_lr,
            "server_lr": server_lr,
            "client_optimizer": client_optimizer,
            "server_optimizer": server_optimizer,
            "client_weighting": client_weighting,
            "model_aggregator": model_aggregator,
        },
    )
