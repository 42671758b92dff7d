"""FedNova: federated averaging that does not favour clients that take more steps."""

from __future__ import annotations

import collections

import tensorflow as tf
import tensorflow_federated as tff

from fedlearn_edu.checks import check_learning_rate
from fedlearn_edu.learning.aggregators.finite_only import AggregationFactory
from fedlearn_edu.learning.algorithms.composition import ClientResult, compose_process, train_to_delta
from fedlearn_edu.learning.client_weighting import ClientWeighting, aggregator_for, check_client_weighting
from fedlearn_edu.learning.process import FederatedProcess


def build_fed_nova(
    model: tff.learning.models.FunctionalModel,
    *,
    client_lr: float = 0.1,
    server_lr: float = 1.0,
    server_optimizer: tff.learning.optimizers.Optimizer | None = None,
    client_weighting: ClientWeighting = "num_examples",
    model_aggregator: AggregationFactory | None = None,
) -> FederatedProcess:
    """Normalised averaging: the server averages the clients' deltas per local step.

    The server broadcasts the global model. Each client takes tau_k steps of SGD (one a batch) and returns its delta
    divided by tau_k, tau_k itself, and its number of examples as client weight p_k. The server averages both by weight
    and steps against their product, `mean(tau) * mean(delta / tau)`.

    In FedAvg a client's pull is p_k * tau_k: who has more examples counts more, and counts more again for
    the steps they make, so that training ends beside the minimum of the weighted loss ("objective inconsistency").
    Here it is p_k alone. If all take equally many steps it is FedAvg of the same weighting. (An example counts once in
    every local epoch, so that p_k is a client's share of the examples if all train for equally many epochs.)

    Args:
        model: What is trained.
        client_lr: Learning rate of the clients' SGD, above 0 and at most 100. (With momentum or another optimizer, the
            number of steps would be the wrong divisor.)
        server_lr: Learning rate of the server's SGD, above 0 and at most 100.
        server_optimizer: A TFF optimizer in place of SGD at `server_lr`.
        client_weighting: What p_k is: `"num_examples"`, as in the paper, or 1 for all (`"uniform"`).
        model_aggregator: A TFF factory for the mean of `<delta per step, steps>`; default `MeanFactory`. With
            `"num_examples"` one that takes weights.

    Returns:
        A learning process; `next` has the type `(<state@SERVER, {<x, y>*}@CLIENTS> -> <state, metrics>@SERVER)`.

    Shapes:
        An upload has the shapes of `model.initial_weights` and one number, tau_k, more than that of FedAvg.

    Raises:
        UsageError: A learning rate is not a finite number in its range, or `model_aggregator` would drop the weights.

    Example:
        >>> process = fl.build_fed_nova(fl.linear_head(features), client_lr=0.2)
        >>> process.hyperparameters["client_weighting"]
        'num_examples'

    References:
        Wang et al., Tackling the objective inconsistency problem in heterogeneous federated optimization, NeurIPS 2020,
        arXiv:2007.07481.
    """
    client_lr = check_learning_rate("client_lr", client_lr)
    server_lr = check_learning_rate("server_lr", server_lr)
    client_weighting = check_client_weighting(client_weighting)

    train = train_to_delta(model, tff.learning.optimizers.build_sgdm(client_lr), client_weighting)

    def client_work(weights, batches):
        result, trained = train(weights, batches)
        num_steps = tf.cast(trained.num_steps, tf.float32)
        update = collections.OrderedDict(
            delta_per_step=tf.nest.map_structure(lambda d: tf.math.divide_no_nan(d, num_steps), result.update),
            num_steps=num_steps,
        )
        return ClientResult(update=update, update_weight=result.update_weight), trained

    def product(means):
        return tf.nest.map_structure(lambda d: means["num_steps"] * d, means["delta_per_step"])

    return compose_process(
        model,
        client_work,
        # With weights of 1, too, so that who diverged does not count: their 0 steps would shorten everybody's.
        aggregator_for(client_weighting, model_aggregator or tff.aggregators.MeanFactory()),
        server_optimizer or tff.learning.optimizers.build_sgdm(server_lr),
        update_fn=product,
        algorithm="fed_nova",
        hyperparameters={
            "client_lr": client_lr,
            "server_lr": server_lr,
            "server_optimizer": server_optimizer,
            "client_weighting": client_weighting,
            "model_aggregator": model_aggregator,
        },
    )
