"""FedProx: clients are held near the model they received."""

from __future__ import annotations

import collections

import tensorflow as tf
import tensorflow_federated as tff

from fedlearn_edu.checks import check_learning_rate, check_not_negative
from fedlearn_edu.learning.aggregators.finite_only import AggregationFactory
from fedlearn_edu.learning.algorithms.fed_avg import build_weighted_fed_avg
from fedlearn_edu.learning.client_weighting import ClientWeighting
from fedlearn_edu.learning.process import FederatedProcess


def build_fed_prox(
    model: tff.learning.models.FunctionalModel,
    *,
    proximal_strength: float = 0.1,
    client_lr: float = 0.1,
    server_lr: float = 1.0,
    client_optimizer: tff.learning.optimizers.Optimizer | None = None,
    server_optimizer: tff.learning.optimizers.Optimizer | None = None,
    client_weighting: ClientWeighting = "num_examples",
    model_aggregator: AggregationFactory | None = None,
) -> FederatedProcess:
    """Weighted federated averaging in which each client also minimises its distance to the global model.

    The server broadcasts the global model w(t). Each client minimises its own loss plus
    `proximal_strength / 2 * ||w - w(t)||^2`, so that every local gradient grows by
    `proximal_strength * (w - w(t))`: however many steps it takes on data unlike the others', it stays near. Delta,
    client weight and server step are those of `build_weighted_fed_avg`; with strength 0 it is that process.

    It is not built on `tff.learning.algorithms.build_weighted_fed_prox`: in TFF 0.87 that one adds
    `proximal_strength * (w(t) - w)`, which has the wrong sign and pushes clients away from the global model.

    Args:
        model: What is trained.
        proximal_strength: The paper's mu, at least 0. The paper tries 0.001 to 1. A step multiplies the distance to
            the global model by `1 - client_lr * proximal_strength`: keep this product below 1.
        client_lr: Learning rate of the clients' SGD, above 0 and at most 100.
        server_lr: Learning rate of the server's SGD, above 0 and at most 100.
        client_optimizer: A TFF optimizer in place of SGD at `client_lr`; it is given the grown gradients.
        server_optimizer: A TFF optimizer in place of SGD at `server_lr`.
        client_weighting: `"num_examples"`: a client counts in proportion to its number of examples (an example seen in
            two local epochs counts twice); `"uniform"`: all count alike.
        model_aggregator: A TFF factory that averages the deltas; default TFF's mean with or without weights. With
            `"num_examples"` one that takes weights.

    Returns:
        A learning process; `next` has the type `(<state@SERVER, {<x, y>*}@CLIENTS> -> <state, metrics>@SERVER)`.

    Raises:
        UsageError: `proximal_strength` is negative or not finite, a learning rate is out of its range, or
            `model_aggregator` would drop the weights.

    Example:
        >>> process = fl.build_fed_prox(fl.linear_head(features), proximal_strength=0.5)
        >>> process.hyperparameters["proximal_strength"]
        0.5

    References:
        Li et al., Federated optimization in heterogeneous networks, MLSys 2020, arXiv:1812.06127. (There clients are
        sampled in proportion to their examples and count alike; here they are sampled alike and, by default, weighted.)
    """
    strength = check_not_negative("proximal_strength", proximal_strength)
    optimizer = client_optimizer
    if strength > 0:
        sgd = tff.learning.optimizers.build_sgdm(check_learning_rate("client_lr", client_lr))
        optimizer = ProximalOptimizer(client_optimizer or sgd, strength)
    process = build_weighted_fed_avg(
        model,
        client_lr=client_lr,
        server_lr=server_lr,
        client_optimizer=optimizer,
        server_optimizer=server_optimizer,
        client_weighting=client_weighting,
        model_aggregator=model_aggregator,
    )
    return FederatedProcess(
        process,
        model=model,
        algorithm="fed_prox",
        hyperparameters={
            **process.hyperparameters,
            "client_optimizer": client_optimizer,
            "proximal_strength": strength,
        },
    )


class ProximalOptimizer(tff.learning.optimizers.Optimizer):
    """Gives another optimizer the gradient of the loss plus `strength / 2` times the squared way it has come.

    TFF tells an optimizer the shapes of the weights before it starts, not their values. The state therefore holds
    how far they have moved since.

    Args:
        optimizer: Takes the steps.
        strength: Of the pull back to where the weights started, at least 0.
    """

    def __init__(self, optimizer: tff.learning.optimizers.Optimizer, strength: float):
        self._optimizer = optimizer
        self._strength = strength

    def initialize(self, specs):
        moved = tf.nest.map_structure(lambda spec: tf.zeros(spec.shape, spec.dtype), specs)
        return collections.OrderedDict(optimizer=self._optimizer.initialize(specs), moved=moved)

    def next(self, state, weights, gradients):
        pulled = tf.nest.map_structure(lambda g, m: g + self._strength * m, gradients, state["moved"])
        optimizer_state, new_weights = self._optimizer.next(state["optimizer"], weights, pulled)
        moved = tf.nest.map_structure(lambda m, new, old: m + (new - old), state["moved"], new_weights, weights)
        return collections.OrderedDict(optimizer=optimizer_state, moved=moved), new_weights

    def get_hparams(self, state):
        return self._optimizer.get_hparams(state["optimizer"])

    def set_hparams(self, state, hparams):
        optimizer_state = self._optimizer.set_hparams(state["optimizer"], hparams)
        return collections.OrderedDict(optimizer=optimizer_state, moved=state["moved"])
