"""Composes a round in which each client keeps a value of its own."""

from __future__ import annotations

import collections
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf
import tensorflow_federated as tff

from fedlearn_edu.learning.local_training import build_batches_of_dataset, keep_if
from fedlearn_edu.learning.process import StatefulFederatedProcess, StatefulOutput
from fedlearn_edu.learning.requirements import Requirements


class ClientOutput(NamedTuple):
    """What a client's work results in.

    Attributes:
        update: What is sent and aggregated, usually the model delta (initial - trained).
        update_weight: float32, how much it counts if the aggregator is a weighted one.
        client_state: What the client keeps, of the structure and types that it was given.
        metrics: The model's metrics state (sums, not yet finalized) over the local training; summed over the cohort.
    """

    update: Any
    update_weight: Any
    client_state: Any
    metrics: Any


def discard_if_not_finite(output: ClientOutput, client_state, model) -> ClientOutput:
    """Returns a client's output, or one without effect if its update holds NaN or infinity, as TFF does.

    The update becomes zeros with weight 0, the metrics those of no example, and the client keeps its old state. The
    same goes for numbers whose squares are beyond float32: the robust aggregators would leave their client out, whose
    state must not go on alone.
    """
    finite = tf.math.is_finite(tf.linalg.global_norm(tf.nest.flatten(output.update)))
    without_effect = ClientOutput(
        tf.nest.map_structure(tf.zeros_like, output.update),
        tf.zeros_like(output.update_weight),
        client_state,
        model.initialize_metrics_state(),
    )
    return keep_if(finite, output, without_effect)


def server_step(optimizer: tff.learning.optimizers.Optimizer):
    """Returns the usual finalizer: a step of a TFF optimizer along the mean model delta."""
    return lambda weights_type: tff.learning.templates.build_apply_optimizer_finalizer(optimizer, weights_type)


def compose_stateful_process(
    model: tff.learning.models.FunctionalModel,
    *,
    client_work: Callable[..., ClientOutput],
    client_state: Any,
    aggregator: Any,
    finalizer: Callable[[tff.Type], tff.learning.templates.FinalizerProcess],
    algorithm: str,
    hyperparameters: Mapping[str, Any],
    requirements: Iterable[Requirements] = (),
    initial_client_state: Callable[[str], Any] | None = None,
    broadcast_finalizer_state: Callable[[Any], Any] | None = None,
    personal_weights: Callable[[Any, Any], tff.learning.models.ModelWeights] | None = None,
    privacy=None,
) -> StatefulFederatedProcess:
    """Composes the parts of a round as TFF's `compose_learning_process` does, with states of clients.

    The server broadcasts the model. Each client runs `client_work` as one TensorFlow computation; its update is
    aggregated by a TFF aggregation process, its metrics are summed, its state stays with it. A TFF finalizer updates
    the model.

    Args:
        model: What is trained.
        client_work: `(weights, batches, client_state) -> ClientOutput`, written in TensorFlow; `weights` is a
            `tff.learning.models.ModelWeights`, `batches` are the client's `Batches`. With
            `broadcast_finalizer_state` it takes what that returns as a fourth argument.
        client_state: What a client holds before it first trains: a structure (lists, dictionaries) of NumPy arrays
            and NumPy numbers. It also gives the types.
        aggregator: `(update type) -> tff.templates.AggregationProcess`, weighted or not, e.g. an aggregation
            factory's method `create` (a weighted factory's takes the weight's type as well).
        finalizer: `(weights' type) -> tff.learning.templates.FinalizerProcess`, whose `next` takes the model's weights
            and what was aggregated; `server_step(optimizer)` is the usual one.
        algorithm, hyperparameters, requirements, personal_weights, privacy: As for `StatefulFederatedProcess`.
        initial_client_state: A function from a client id to what this client starts with, where not all start with
            `client_state`.
        broadcast_finalizer_state: Picks what of the finalizer's state is broadcast beside the model; TensorFlow.

    Returns:
        The process; `next` has the type `(<state@SERVER, {<data=<x, y>*, client_state=S>}@CLIENTS> ->
        <state, metrics>@SERVER, {S}@CLIENTS)`.
    """
    weights = tff.learning.models.ModelWeights(*map(tuple, model.initial_weights))
    weights_type = tff.to_type(tf.nest.map_structure(_type_of, weights))
    state_type = tff.to_type(tf.nest.map_structure(_type_of, client_state))
    collect = build_batches_of_dataset(model.input_spec)
    batches_type = collect.type_signature.result
    finalization = finalizer(weights_type)
    prepare = _broadcast_of(weights_type, finalization, broadcast_finalizer_state)

    @tff.tensorflow.computation(prepare.type_signature.result, batches_type, state_type)
    @tf.function(autograph=False)
    def work(received, batches, state):
        weights, *extra = received if broadcast_finalizer_state else [received]
        output = client_work(weights, batches, state, *extra)
        kept = tf.nest.pack_sequence_as(client_state, tf.nest.flatten(output.client_state))
        return output._replace(client_state=kept)

    aggregation = aggregator(work.type_signature.result.update)
    sum_metrics = tff.learning.metrics.sum_then_finalize(model.finalize_metrics)

    @tff.tensorflow.computation
    def initial_weights():
        return tf.nest.map_structure(tf.constant, weights)

    @tff.federated_computation
    def initialize():
        return tff.federated_zip(
            tff.learning.templates.LearningAlgorithmState(
                tff.federated_eval(initial_weights, tff.SERVER),
                tff.federated_value((), tff.SERVER),
                tff.federated_value((), tff.SERVER),
                aggregation.initialize(),
                finalization.initialize(),
            )
        )

    def clients_with(data_type):
        return tff.FederatedType(tff.to_type({"data": data_type, "client_state": state_type}), tff.CLIENTS)

    @tff.federated_computation(initialize.type_signature.result, clients_with(batches_type))
    def next_on_batches(state, clients):
        prepared = tff.federated_map(prepare, (state.global_model_weights, state.finalizer))
        received = tff.federated_broadcast(prepared)
        output = tff.federated_map(work, (received, clients.data, clients.client_state))
        weight = [output.update_weight] if aggregation.is_weighted else []
        aggregated = aggregation.next(state.aggregator, output.update, *weight)
        finalized = finalization.next(state.finalizer, state.global_model_weights, aggregated.result)
        new_state = tff.learning.templates.LearningAlgorithmState(
            finalized.result, state.distributor, state.client_work, aggregated.state, finalized.state
        )
        metrics = collections.OrderedDict(
            client_work=tff.federated_zip(collections.OrderedDict(train=sum_metrics(output.metrics))),
            aggregator=aggregated.measurements,
            finalizer=finalized.measurements,
        )
        return StatefulOutput(tff.federated_zip(new_state), tff.federated_zip(metrics), output.client_state)

    @tff.federated_computation(initialize.type_signature.result, clients_with(collect.type_signature.parameter))
    def next_on_datasets(state, clients):
        batches = tff.federated_map(collect, clients.data)
        return next_on_batches(state, tff.federated_zip({"data": batches, "client_state": clients.client_state}))

    server_type = initialize.type_signature.result.member
    get_weights = tff.tensorflow.computation(lambda state: state.global_model_weights, server_type)

    @tff.tensorflow.computation(server_type, server_type.global_model_weights)
    def set_weights(state, weights):
        return tff.learning.templates.LearningAlgorithmState(
            weights, state.distributor, state.client_work, state.aggregator, state.finalizer
        )

    return StatefulFederatedProcess(
        initialize,
        next_on_datasets,
        get_weights,
        set_weights,
        initial_client_state=initial_client_state or client_state,
        model=model,
        algorithm=algorithm,
        hyperparameters=hyperparameters,
        requirements=requirements,
        personal_weights=personal_weights,
        privacy=privacy,
        next_on_batches=next_on_batches,
    )


def _broadcast_of(weights_type, finalization, pick) -> tff.Computation:
    """Returns the computation from weights and finalizer's state to what is broadcast."""
    state_type = finalization.initialize.type_signature.result.member

    @tff.tensorflow.computation(weights_type, state_type)
    def prepare(weights, finalizer_state):
        return weights if pick is None else (weights, pick(finalizer_state))

    return prepare


def _type_of(value) -> tff.TensorType:
    value = np.asarray(value)
    return tff.TensorType(value.dtype, value.shape)
