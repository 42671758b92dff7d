"""FedRep: each client first fits its head to the common representation, then improves the representation."""

from __future__ import annotations

from collections.abc import Sequence

import tensorflow_federated as tff

from fedlearn_edu.checks import check_count
from fedlearn_edu.learning.aggregators.finite_only import AggregationFactory
from fedlearn_edu.learning.algorithms.personal_layers import (
    LAST_LAYER,
    compose_partly_shared_process,
    freeze,
    layers_of,
    sgd,
)
from fedlearn_edu.learning.client_weighting import ClientWeighting, aggregator_for, check_client_weighting
from fedlearn_edu.learning.local_training import train_locally
from fedlearn_edu.learning.process import StatefulFederatedProcess


def build_fed_rep(
    model: tff.learning.models.FunctionalModel,
    *,
    head_epochs: int = 5,
    personal_indices: Sequence[int] = LAST_LAYER,
    client_lr: float = 0.1,
    head_lr: float | None = None,
    server_lr: float = 1.0,
    server_optimizer: tff.learning.optimizers.Optimizer | None = None,
    client_weighting: ClientWeighting = "uniform",
    model_aggregator: AggregationFactory | None = None,
) -> StatefulFederatedProcess:
    """As `build_fed_per`, but a client trains its personal head and the shared representation one after the other.

    The server broadcasts the representation. Each client takes its head and trains it for `head_epochs` passes with the
    representation held still; then it trains the representation for one pass with the new head held still. It keeps
    the head and returns the delta (initial - trained) of the representation. The deltas are averaged, and the server
    steps against the average. A head that fits its representation asks for smaller changes of it than one that has been
    left behind by the others' updates.

    Args:
        model: What is trained: `mlp_head(features)`, `fine_tuned_backbone(features, split)`, or any other with more
            than one layer.
        head_epochs: Passes over the client's examples for the head, at least 0. (The paper takes 10 or so.) With 0 the
            heads stay as they start. A pass is what `run_rounds` gives: leave its `num_epochs` at 1.
        personal_indices: Places in `model.initial_weights[0]` of the head's weights; -1 is the last. Default: the last
            kernel and bias.
        client_lr: Learning rate of the clients' SGD on the representation, above 0 and at most 100.
        head_lr: Learning rate of the clients' SGD on the head; default `client_lr`.
        server_lr: Learning rate of the server's SGD, above 0 and at most 100.
        server_optimizer: A TFF optimizer in place of SGD at `server_lr`.
        client_weighting: `"uniform"`: all clients count alike; `"num_examples"`: in proportion to their numbers of
            examples.
        model_aggregator: A TFF factory that averages the deltas; default TFF's mean with or without weights. With
            `"num_examples"` one that takes weights.

    Returns:
        A stateful process for `run_rounds`; types as those of `build_fed_per`. The training metrics are those of the
        pass over the representation.

    Shapes:
        Broadcast and delta have the shapes of the shared weights, a client's state those of the personal ones.

    Raises:
        UsageError: `personal_indices` leave nothing to share, or are no different places of weights; `head_epochs` is
            no whole number of at least 0; a learning rate is out of its range.

    Example:
        >>> process = fl.build_fed_rep(fl.mlp_head(features, hidden_units=6), head_epochs=10)
        >>> process.hyperparameters["personal_indices"]
        [2, 3]

    References:
        Collins et al., Exploiting shared representations for personalized federated learning, ICML 2021,
        arXiv:2102.07078.
    """
    layers = layers_of(model, personal_indices)
    head_epochs = check_count("head_epochs", head_epochs, least=0)
    body_sgd, server_sgd = sgd("client_lr", client_lr), sgd("server_lr", server_lr)
    head_sgd = body_sgd if head_lr is None else sgd("head_lr", head_lr)
    client_weighting = check_client_weighting(client_weighting)
    head_model = freeze(model, layers, trained="personal")
    body_model = freeze(model, layers, trained="shared")

    def train(shared, personal, non_trainable, batches):
        if head_epochs and personal:
            start = tff.learning.models.ModelWeights(personal, (*shared, *non_trainable))
            personal = train_locally(head_model, start, batches.repeated(head_epochs), head_sgd).trainable
        start = tff.learning.models.ModelWeights(shared, (*personal, *non_trainable))
        trained = train_locally(body_model, start, batches, body_sgd)
        return trained.trainable, personal, trained

    return compose_partly_shared_process(
        model,
        layers,
        train=train,
        server_optimizer=server_optimizer or server_sgd,
        client_weighting=client_weighting,
        aggregator=aggregator_for(client_weighting, model_aggregator),
        algorithm="fed_rep",
        hyperparameters={
            "head_epochs": head_epochs,
            "personal_indices": list(layers.personal),
            "client_lr": client_lr,
            "head_lr": client_lr if head_lr is None else head_lr,
            "server_lr": server_lr,
            "server_optimizer": server_optimizer,
            "client_weighting": client_weighting,
            "model_aggregator": model_aggregator,
        },
    )
