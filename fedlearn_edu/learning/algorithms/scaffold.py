"""SCAFFOLD: control variates on server and clients correct the drift of local training."""

from __future__ import annotations

import collections

import numpy as np
import tensorflow as tf
import tensorflow_federated as tff

from fedlearn_edu.checks import check_count, check_learning_rate
from fedlearn_edu.learning.aggregators.mean_and_sum import MeanAndSumFactory
from fedlearn_edu.learning.client_weighting import ClientWeighting, check_client_weighting
from fedlearn_edu.learning.local_training import subtract, train_locally
from fedlearn_edu.learning.process import StatefulFederatedProcess
from fedlearn_edu.learning.requirements import Requirements
from fedlearn_edu.learning.stateful import ClientOutput, compose_stateful_process, discard_if_not_finite

_WHY_UNIFORM = (
    "SCAFFOLD's control variate c is the plain average over all clients: with weights, local steps would be corrected "
    "towards one objective and averaged for another"
)


def build_scaffold(
    model: tff.learning.models.FunctionalModel,
    *,
    num_clients: int,
    client_lr: float = 0.1,
    server_lr: float = 1.0,
    server_optimizer: tff.learning.optimizers.Optimizer | None = None,
    client_weighting: ClientWeighting = "uniform",
    model_aggregator: tff.aggregators.UnweightedAggregationFactory | None = None,
) -> StatefulFederatedProcess:
    """Federated averaging in which every local step is corrected by what the clients' gradients are on average.

    Each client keeps a control variate c_i, an estimate of its own gradient, and the server keeps their average c.
    The server broadcasts the global model w and c. A client takes K steps of SGD along `gradient - c_i + c`: what its
    own data alone would pull it to is taken off, what all data pull to is put on. Then it renews its variate by option
    II of the paper, `c_i+ = c_i - c + (w - w_i) / (K * client_lr)`, keeps it, and returns its model delta w - w_i
    and the change c_i+ - c_i. The server steps against the mean delta, as in unweighted federated averaging, and adds
    to c the sum of the changes / `num_clients`, so that c stays the average over all clients, trained in the round or
    not. All variates start at zero: the first round is that of `build_unweighted_fed_avg`.

    Both messages carry the model's size twice, so a round costs twice the traffic of federated averaging.

    Args:
        model: What is trained.
        num_clients: Clients in all, of which a cohort trains in each round; `features.num_clients`.
        client_lr: Learning rate of the clients' SGD, above 0 and at most 100. It must be plain SGD: option II reads the
            mean gradient off the way a client has moved.
        server_lr: Learning rate of the server's SGD, above 0 and at most 100.
        server_optimizer: A TFF optimizer in place of SGD at `server_lr`.
        client_weighting: `"uniform"`, as in the paper, whose objective is the plain mean of the clients' losses. With
            weights, c would have to be an average over the examples of all clients, which no server knows.
        model_aggregator: A TFF factory that averages the deltas; default `UnweightedMeanFactory`. The changes of the
            variates are always summed plainly.

    Returns:
        A stateful process for `run_rounds`; `next` has the type `(<state@SERVER, {<data=<x, y>*, client_state=
        <control=...>>}@CLIENTS> -> <state@SERVER, metrics@SERVER, {<control=...>}@CLIENTS>)`.

    Shapes:
        c, c_i and delta have the shapes of the model's trainable weights.

    Raises:
        UsageError: A learning rate is not a finite number in its range, `num_clients` is no whole number above 0, or
            clients shall have weights.

    Example:
        >>> process = fl.build_scaffold(fl.linear_head(features), num_clients=features.num_clients)
        >>> [c.shape for c in process.initial_client_state("client_0")["control"]]
        [(8, 3), (3,)]

    References:
        Karimireddy et al., SCAFFOLD: stochastic controlled averaging for federated learning, ICML 2020,
        arXiv:1910.06378.
    """
    client_lr = check_learning_rate("client_lr", client_lr)
    server_sgd = tff.learning.optimizers.build_sgdm(check_learning_rate("server_lr", server_lr))
    num_clients = check_count("num_clients", num_clients)
    client_weighting = check_client_weighting(client_weighting, only_uniform=_WHY_UNIFORM)
    client_sgd = tff.learning.optimizers.build_sgdm(client_lr)
    zeros = [np.zeros_like(w) for w in model.initial_weights[0]]

    def client_work(weights, batches, state, server_control):
        correction = subtract(tuple(server_control), tuple(state["control"]))
        trained = train_locally(
            model,
            weights,
            batches,
            client_sgd,
            change_gradients=lambda gradients, trainable: tf.nest.map_structure(tf.add, gradients, correction),
        )
        delta = subtract(tuple(weights.trainable), trained.trainable)
        distance = tf.cast(trained.num_steps, tf.float32) * client_lr
        # c_i+ - c_i = (w - w_i) / (K * client_lr) - c
        change = [d / distance - c for d, c in zip(delta, server_control, strict=True)]
        control = [old + c for old, c in zip(state["control"], change, strict=True)]
        update = collections.OrderedDict(mean=delta, sum=change)
        output = ClientOutput(update, 1.0, {"control": control}, trained.metrics)
        return discard_if_not_finite(output, state, model)

    return compose_stateful_process(
        model,
        client_work=client_work,
        client_state={"control": zeros},
        aggregator=MeanAndSumFactory(model_aggregator).create,
        finalizer=lambda weights_type: _server_step(weights_type, server_optimizer or server_sgd, zeros, num_clients),
        broadcast_finalizer_state=lambda state: state["control"],
        algorithm="scaffold",
        requirements=[Requirements("scaffold", num_clients=num_clients)],
        hyperparameters={
            "client_lr": client_lr,
            "server_lr": server_lr,
            "num_clients": num_clients,
            "server_optimizer": server_optimizer,
            "client_weighting": client_weighting,
            "model_aggregator": model_aggregator,
        },
    )


def _server_step(weights_type, optimizer, zeros, num_clients) -> tff.learning.templates.FinalizerProcess:
    """A step of the optimizer against the mean delta; beside it c += sum of changes / number of all clients."""
    step = tff.learning.templates.build_apply_optimizer_finalizer(optimizer, weights_type)
    zero_control = tff.tensorflow.computation(lambda: [tf.constant(z) for z in zeros])
    control_type = zero_control.type_signature.result

    @tff.tensorflow.computation(control_type, control_type)
    def move(control, changes):
        return [c + change / num_clients for c, change in zip(control, changes, strict=True)]

    @tff.federated_computation
    def initialize():
        control = tff.federated_eval(zero_control, tff.SERVER)
        return tff.federated_zip(collections.OrderedDict(step=step.initialize(), control=control))

    update_type = tff.to_type(collections.OrderedDict(mean=weights_type.trainable, sum=control_type))

    @tff.federated_computation(
        initialize.type_signature.result,
        tff.FederatedType(weights_type, tff.SERVER),
        tff.FederatedType(update_type, tff.SERVER),
    )
    def next_fn(state, weights, update):
        output = step.next(state["step"], weights, update["mean"])
        control = tff.federated_map(move, (state["control"], update["sum"]))
        new_state = tff.federated_zip(collections.OrderedDict(step=output.state, control=control))
        return tff.templates.MeasuredProcessOutput(new_state, output.result, output.measurements)

    return tff.learning.templates.FinalizerProcess(initialize, next_fn)
