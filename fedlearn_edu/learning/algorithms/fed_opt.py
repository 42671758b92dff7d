"""FedOpt: federated averaging whose server adapts its step to each weight (FedAdam, FedYogi, FedAdagrad)."""

from __future__ import annotations

import collections
from collections.abc import Callable

import tensorflow as tf
import tensorflow_federated as tff

from fedlearn_edu.checks import check_learning_rate, check_momentum, check_positive
from fedlearn_edu.learning.aggregators.finite_only import AggregationFactory
from fedlearn_edu.learning.algorithms.fed_avg import build_weighted_fed_avg
from fedlearn_edu.learning.client_weighting import ClientWeighting
from fedlearn_edu.learning.process import FederatedProcess


def build_fed_adam(
    model: tff.learning.models.FunctionalModel,
    *,
    client_lr: float = 0.1,
    server_lr: float = 0.01,
    beta_1: float = 0.9,
    beta_2: float = 0.99,
    tau: float = 1e-3,
    client_optimizer: tff.learning.optimizers.Optimizer | None = None,
    client_weighting: ClientWeighting = "uniform",
    model_aggregator: AggregationFactory | None = None,
) -> FederatedProcess:
    """Federated averaging in which the server takes Adam's steps against the mean delta.

    Broadcast, client work and average are those of federated averaging. For each weight, the server keeps a running
    average m of the mean delta d and one, v, of its square, and divides: weights that hardly move get longer steps.

        m = beta_1 * m + (1 - beta_1) * d
        v = beta_2 * v + (1 - beta_2) * d^2
        w = w - server_lr * m / (sqrt(v) + tau)

    They start at m = 0 and v = tau^2, as in the paper. `tff.learning.optimizers.build_adam` is another algorithm: it
    starts at v = 0 and corrects both averages for their start (Kingma and Ba's bias correction), which the paper does
    not. Under a steady delta the paper's steps are longer, 2.1 times after 13 rounds and still 1.3 times after 100. To
    have TFF's, pass it as `server_optimizer` to `build_unweighted_fed_avg`.

    Args:
        model: What is trained.
        client_lr: Learning rate of the clients' SGD, above 0 and at most 100.
        server_lr: About how far a weight moves in a round, above 0 and at most 100; well below FedAvg's 1.
        beta_1: Part of m that is kept each round, at least 0 and below 1.
        beta_2: Part of v that is kept each round, at least 0 and below 1.
        tau: The paper's degree of adaptivity, above 0: deltas far above it get steps of about `server_lr`, deltas far
            below it steps in proportion to their size.
        client_optimizer: A TFF optimizer in place of SGD at `client_lr`.
        client_weighting: `"uniform"`: all clients count alike; `"num_examples"`: in proportion to their numbers of
            examples.
        model_aggregator: A TFF factory that averages the deltas; default TFF's mean with or without weights. With
            `"num_examples"` one that takes weights.

    Returns:
        A learning process; `next` has the type `(<state@SERVER, {<x, y>*}@CLIENTS> -> <state, metrics>@SERVER)`.

    Raises:
        UsageError: An argument is out of its range.

    Example:
        >>> process = fl.build_fed_adam(fl.linear_head(features), server_lr=0.02)
        >>> process.hyperparameters["beta_2"]
        0.99

    References:
        Reddi et al., Adaptive federated optimization, ICLR 2021, arXiv:2003.00295, Algorithm 2.
    """
    betas = {"beta_1": beta_1, "beta_2": beta_2}
    return _fed_opt(
        model,
        "fed_adam",
        _adam,
        betas,
        tau,
        client_lr=client_lr,
        server_lr=server_lr,
        client_optimizer=client_optimizer,
        client_weighting=client_weighting,
        model_aggregator=model_aggregator,
    )


def build_fed_yogi(
    model: tff.learning.models.FunctionalModel,
    *,
    client_lr: float = 0.1,
    server_lr: float = 0.01,
    beta_1: float = 0.9,
    beta_2: float = 0.99,
    tau: float = 1e-3,
    client_optimizer: tff.learning.optimizers.Optimizer | None = None,
    client_weighting: ClientWeighting = "uniform",
    model_aggregator: AggregationFactory | None = None,
) -> FederatedProcess:
    """As `build_fed_adam`, but v follows the square of the mean delta in small steps, however far away it is.

        v = v - (1 - beta_2) * d^2 * sign(v - d^2)

    After a burst of large deltas Adam forgets exponentially and its steps jump up again; Yogi's v falls slowly.
    `tff.learning.optimizers.build_yogi` differs from the paper by its bias correction and by starting at v = 1e-6 (the
    paper's value for tau = 1e-3) whatever its epsilon is.

    Args:
        model: What is trained.
        client_lr: Learning rate of the clients' SGD, above 0 and at most 100.
        server_lr: About how far a weight moves in a round, above 0 and at most 100.
        beta_1: Part of m that is kept each round, at least 0 and below 1.
        beta_2: 1 - `beta_2` is the size of v's steps in units of d^2; at least 0 and below 1.
        tau: As in `build_fed_adam`, above 0.
        client_optimizer: A TFF optimizer in place of SGD at `client_lr`.
        client_weighting: `"uniform"`: all clients count alike; `"num_examples"`: in proportion to their numbers of
            examples.
        model_aggregator: A TFF factory that averages the deltas; default TFF's mean with or without weights. With
            `"num_examples"` one that takes weights.

    Returns:
        A learning process; `next` has the type `(<state@SERVER, {<x, y>*}@CLIENTS> -> <state, metrics>@SERVER)`.

    Raises:
        UsageError: An argument is out of its range.

    Example:
        >>> process = fl.build_fed_yogi(fl.linear_head(features), server_lr=0.02, client_weighting="num_examples")
        >>> process.algorithm
        'fed_yogi'

    References:
        Reddi et al., Adaptive federated optimization, ICLR 2021, arXiv:2003.00295, Algorithm 2. Yogi itself: Zaheer et
        al., Adaptive methods for nonconvex optimization, NeurIPS 2018.
    """
    betas = {"beta_1": beta_1, "beta_2": beta_2}
    return _fed_opt(
        model,
        "fed_yogi",
        _yogi,
        betas,
        tau,
        client_lr=client_lr,
        server_lr=server_lr,
        client_optimizer=client_optimizer,
        client_weighting=client_weighting,
        model_aggregator=model_aggregator,
    )


def build_fed_adagrad(
    model: tff.learning.models.FunctionalModel,
    *,
    client_lr: float = 0.1,
    server_lr: float = 0.1,
    beta_1: float = 0.0,
    tau: float = 1e-3,
    client_optimizer: tff.learning.optimizers.Optimizer | None = None,
    client_weighting: ClientWeighting = "uniform",
    model_aggregator: AggregationFactory | None = None,
) -> FederatedProcess:
    """As `build_fed_adam`, but v is the sum of all squared deltas so far, so that steps shrink from round to round.

        v = v + d^2

    `tff.learning.optimizers.build_adagrad` differs from the paper: it starts at v = 0.1 and divides by
    `sqrt(v + epsilon)`, which leaves deltas well below 0.3 almost unadapted, and it has no momentum.

    Args:
        model: What is trained.
        client_lr: Learning rate of the clients' SGD, above 0 and at most 100.
        server_lr: How far a weight moves in the first round, above 0 and at most 100.
        beta_1: Part of m that is kept each round, at least 0 and below 1. The paper's experiments have none.
        tau: As in `build_fed_adam`, above 0.
        client_optimizer: A TFF optimizer in place of SGD at `client_lr`.
        client_weighting: `"uniform"`: all clients count alike; `"num_examples"`: in proportion to their numbers of
            examples.
        model_aggregator: A TFF factory that averages the deltas; default TFF's mean with or without weights. With
            `"num_examples"` one that takes weights.

    Returns:
        A learning process; `next` has the type `(<state@SERVER, {<x, y>*}@CLIENTS> -> <state, metrics>@SERVER)`.

    Raises:
        UsageError: An argument is out of its range.

    Example:
        >>> process = fl.build_fed_adagrad(fl.linear_head(features), server_lr=0.05, beta_1=0.9)
        >>> process.hyperparameters["beta_1"]
        0.9

    References:
        Reddi et al., Adaptive federated optimization, ICLR 2021, arXiv:2003.00295, Algorithm 2.
    """
    betas = {"beta_1": beta_1}
    return _fed_opt(
        model,
        "fed_adagrad",
        _adagrad,
        betas,
        tau,
        client_lr=client_lr,
        server_lr=server_lr,
        client_optimizer=client_optimizer,
        client_weighting=client_weighting,
        model_aggregator=model_aggregator,
    )


class AdaptiveOptimizer(tff.learning.optimizers.Optimizer):
    """The server's step in Algorithm 2 of Reddi et al., for any rule by which v follows the squared delta.

    Args:
        second_moment_fn: `(v, d^2, beta_2) -> v`.
        hparams: `learning_rate`, `beta_1`, `tau` and, if the rule has it, `beta_2`; kept in the state, where TFF looks
            for them.
    """

    def __init__(self, second_moment_fn: Callable, **hparams: float):
        self._second_moment_fn = second_moment_fn
        self._hparams = hparams

    def initialize(self, specs):
        start = self._hparams["tau"] ** 2
        return collections.OrderedDict(
            **self._hparams,
            first_moment=tf.nest.map_structure(lambda spec: tf.zeros(spec.shape, spec.dtype), specs),
            second_moment=tf.nest.map_structure(lambda spec: start * tf.ones(spec.shape, spec.dtype), specs),
        )

    def next(self, state, weights, gradients):
        beta_1, tau = state["beta_1"], state["tau"]
        first = tf.nest.map_structure(lambda m, d: beta_1 * m + (1 - beta_1) * d, state["first_moment"], gradients)
        second = tf.nest.map_structure(
            lambda v, d: self._second_moment_fn(v, tf.square(d), state.get("beta_2")),
            state["second_moment"],
            gradients,
        )
        new_weights = tf.nest.map_structure(
            lambda w, m, v: w - state["learning_rate"] * m / (tf.sqrt(v) + tau), weights, first, second
        )
        return collections.OrderedDict({**state, "first_moment": first, "second_moment": second}), new_weights

    def get_hparams(self, state):
        return collections.OrderedDict((name, state[name]) for name in self._hparams)

    def set_hparams(self, state, hparams):
        return collections.OrderedDict({**state, **hparams})


def _adam(v, squared_delta, beta_2):
    return beta_2 * v + (1 - beta_2) * squared_delta


def _yogi(v, squared_delta, beta_2):
    return v - (1 - beta_2) * squared_delta * tf.sign(v - squared_delta)


def _adagrad(v, squared_delta, beta_2):
    del beta_2
    return v + squared_delta


def _fed_opt(model, algorithm, second_moment_fn, betas, tau, *, server_lr, **arguments_of_fed_avg) -> FederatedProcess:
    betas = {name: check_momentum(name, beta) for name, beta in betas.items()}
    tau = check_positive("tau", tau, hint="try 0.001")
    rate = check_learning_rate("server_lr", server_lr)
    optimizer = AdaptiveOptimizer(second_moment_fn, learning_rate=rate, tau=tau, **betas)
    process = build_weighted_fed_avg(model, server_lr=server_lr, server_optimizer=optimizer, **arguments_of_fed_avg)
    return FederatedProcess(
        process, model=model, algorithm=algorithm, hyperparameters={**process.hyperparameters, **betas, "tau": tau}
    )
