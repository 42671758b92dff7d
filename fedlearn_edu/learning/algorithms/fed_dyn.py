"""FedDyn: each client's loss is regularised so that all of them agree on the optimum of the whole."""

from __future__ import annotations

import collections

import numpy as np
import tensorflow as tf
import tensorflow_federated as tff

from fedlearn_edu.checks import check_count, check_learning_rate, check_not_negative
from fedlearn_edu.learning.aggregators.mean_and_sum import MeanAndSumFactory
from fedlearn_edu.learning.client_weighting import ClientWeighting, check_client_weighting
from fedlearn_edu.learning.local_training import subtract, train_locally
from fedlearn_edu.learning.process import StatefulFederatedProcess
from fedlearn_edu.learning.requirements import Requirements
from fedlearn_edu.learning.stateful import ClientOutput, compose_stateful_process, discard_if_not_finite

_WHY_UNIFORM = (
    "FedDyn's server state h is the plain average over all clients: with weights, it would correct towards another "
    "objective than the mean"
)


def build_fed_dyn(
    model: tff.learning.models.FunctionalModel,
    *,
    num_clients: int,
    regularization_strength: float = 0.1,
    client_lr: float = 0.1,
    client_optimizer: tff.learning.optimizers.Optimizer | None = None,
    client_weighting: ClientWeighting = "uniform",
    model_aggregator: tff.aggregators.UnweightedAggregationFactory | None = None,
) -> StatefulFederatedProcess:
    """Federated averaging with a dynamic regulariser, by which the clients' own optima move to the common one.

    The server broadcasts the global model w. With alpha = `regularization_strength`, client i minimises its loss
    `- <g_i, w_i> + alpha/2 * ||w_i - w||^2`, i.e. every local gradient becomes `gradient - g_i + alpha * (w_i - w)`,
    where it keeps g_i, an estimate of its own gradient that starts at zero. Then it renews
    `g_i+ = g_i - alpha * (w_i - w)`, keeps it, and returns its model delta w - w_i. The server keeps h, the average of
    g_i over all clients (h += alpha * sum of deltas / `num_clients`), and the new model is the mean of the w_i less
    `h / alpha`.

    Where all clients stand still, their gradients at w equal g_i and add up to zero: w is the optimum of the whole,
    however many local steps are taken. The messages are those of federated averaging, and 8 bytes for counting.

    A client whose training diverges (NaN or infinity) sends zeros, keeps its g_i, and counts as one that stands still:
    h stays the average of the g_i.

    Args:
        model: What is trained.
        num_clients: Clients in all, of which a cohort trains in each round; `features.num_clients`.
        regularization_strength: The paper's alpha, at least 0; the paper tries 0.001 to 0.1. Small ones make long steps
            of the server: its correction `h / alpha` does not shrink with alpha. At exactly 0 nothing is corrected and
            the process is `build_unweighted_fed_avg`. Keep `client_lr * alpha` below 1.
        client_lr: Learning rate of the clients' SGD, above 0 and at most 100.
        client_optimizer: A TFF optimizer in place of SGD at `client_lr`; it is given the changed gradients.
        client_weighting: `"uniform"`, as in the paper, whose objective is the plain mean of the clients' losses.
        model_aggregator: A TFF factory that averages the deltas; default `UnweightedMeanFactory`. h is moved by its
            result times the size of the cohort, so that nobody moves h past a defence, and no delta reaches the server
            beside a secure sum or noise. If the result is no plain mean (a median, clipped, noised), h only estimates
            the average of the g_i, and the optimum is only met as well as that estimate.

    Returns:
        A stateful process for `run_rounds`; `next` has the type `(<state@SERVER, {<data=<x, y>*, client_state=
        <gradient=...>>}@CLIENTS> -> <state@SERVER, metrics@SERVER, {<gradient=...>}@CLIENTS>)`.

    Shapes:
        g_i, h and delta have the shapes of the model's trainable weights.

    Raises:
        UsageError: `regularization_strength` is negative or not finite, `client_lr` is out of its range, `num_clients`
            is no whole number above 0, or clients shall have weights.

    Example:
        >>> process = fl.build_fed_dyn(fl.linear_head(features), num_clients=4, regularization_strength=0.05)
        >>> process.requirements[0].num_clients
        4

    References:
        Acar et al., Federated learning based on dynamic regularization, ICLR 2021, arXiv:2111.04263.
    """
    client_sgd = tff.learning.optimizers.build_sgdm(check_learning_rate("client_lr", client_lr))
    strength = check_not_negative("regularization_strength", regularization_strength)
    num_clients = check_count("num_clients", num_clients)
    client_weighting = check_client_weighting(client_weighting, only_uniform=_WHY_UNIFORM)
    zeros = [np.zeros_like(w) for w in model.initial_weights[0]]

    def client_work(weights, batches, state):
        received = tuple(weights.trainable)

        def regularise(gradients, trainable):
            parts = zip(gradients, state["gradient"], trainable, received, strict=True)
            return tuple(gradient - own + strength * (w - start) for gradient, own, w, start in parts)

        trained = train_locally(model, weights, batches, client_optimizer or client_sgd, change_gradients=regularise)
        delta = subtract(received, trained.trainable)
        gradient = [own + strength * d for own, d in zip(state["gradient"], delta, strict=True)]
        output = ClientOutput(delta, 1.0, {"gradient": gradient}, trained.metrics)
        output = discard_if_not_finite(output, state, model)
        # A client that is discarded still counts in the aggregator's mean, with zeros.
        counted = tf.stack([1.0, output.update_weight])
        return output._replace(update=collections.OrderedDict(mean=output.update, sum=counted))

    return compose_stateful_process(
        model,
        client_work=client_work,
        client_state={"gradient": zeros},
        aggregator=MeanAndSumFactory(model_aggregator).create,
        finalizer=lambda weights_type: _server_step(weights_type, zeros, strength, num_clients),
        algorithm="fed_dyn",
        requirements=[Requirements("fed_dyn", num_clients=num_clients)],
        hyperparameters={
            "regularization_strength": strength,
            "client_lr": client_lr,
            "num_clients": num_clients,
            "client_optimizer": client_optimizer,
            "client_weighting": client_weighting,
            "model_aggregator": model_aggregator,
        },
    )


def _server_step(weights_type, zeros, strength, num_clients) -> tff.learning.templates.FinalizerProcess:
    """Steps: h += strength * cohort size / number of all clients * mean delta; w -= mean delta + share * h / strength.

    The share is that of the cohort whose training was finite: a diverged client stands still, without h as well.
    """
    step = tff.learning.templates.build_apply_optimizer_finalizer(tff.learning.optimizers.build_sgdm(1.0), weights_type)
    zero = tff.tensorflow.computation(lambda: [tf.constant(z) for z in zeros])
    correction_type = zero.type_signature.result
    counts_type = tff.TensorType(np.float32, [2])
    update_type = tff.to_type(collections.OrderedDict(mean=weights_type.trainable, sum=counts_type))

    @tff.tensorflow.computation(correction_type, update_type)
    def correct(correction, update):
        deltas, (num_in_cohort, num_finite) = update["mean"], tf.unstack(update["sum"])
        share = num_in_cohort / num_clients
        moved = [h + strength * share * delta for h, delta in zip(correction, deltas, strict=True)]
        steps = [tf.math.divide_no_nan(h, strength) for h in moved]
        finite = num_finite / num_in_cohort
        return moved, tuple(delta + finite * step for step, delta in zip(steps, deltas, strict=True))

    @tff.federated_computation
    def initialize():
        correction = tff.federated_eval(zero, tff.SERVER)
        return tff.federated_zip(collections.OrderedDict(step=step.initialize(), correction=correction))

    @tff.federated_computation(
        initialize.type_signature.result,
        tff.FederatedType(weights_type, tff.SERVER),
        tff.FederatedType(update_type, tff.SERVER),
    )
    def next_fn(state, weights, update):
        correction, delta = tff.federated_map(correct, (state["correction"], update))
        output = step.next(state["step"], weights, delta)
        new_state = tff.federated_zip(collections.OrderedDict(step=output.state, correction=correction))
        return tff.templates.MeasuredProcessOutput(new_state, output.result, output.measurements)

    return tff.learning.templates.FinalizerProcess(initialize, next_fn)
