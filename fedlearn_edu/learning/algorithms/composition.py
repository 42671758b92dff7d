"""What ordinary processes are composed of: client work on arrays, and TFF's broadcast, aggregation and server step."""

from __future__ import annotations

import collections
from collections.abc import Callable, Mapping
from typing import Any

import tensorflow as tf
import tensorflow_federated as tff

from fedlearn_edu.errors import UsageError
from fedlearn_edu.learning.aggregators.finite_only import AggregationFactory
from fedlearn_edu.learning.client_weighting import ClientWeighting, weight_of, with_weights
from fedlearn_edu.learning.local_training import (
    Batches,
    build_batches_of_dataset,
    keep_if,
    subtract,
    train_locally,
)
from fedlearn_edu.learning.process import FederatedProcess

ClientResult = tff.learning.templates.ClientResult


def train_to_delta(model, optimizer: tff.learning.optimizers.Optimizer, client_weighting: ClientWeighting) -> Callable:
    """Returns federated averaging's client work, `(weights, batches) -> (ClientResult, LocalTraining)` in TensorFlow.

    As in TFF's own, a delta that is not finite becomes zeros with weight 0, and its metrics those of no example.

    Args:
        model: What is trained.
        optimizer: Takes the local steps.
        client_weighting: How much a client counts.
    """

    def client_work(weights, batches: Batches):
        trained = train_locally(model, weights, batches, optimizer)
        weight = weight_of(client_weighting, trained.num_examples)
        delta = subtract(tuple(weights.trainable), trained.trainable)
        finite = is_finite(delta)
        result = discard_unless(finite, ClientResult(update=delta, update_weight=weight))
        return result, trained._replace(metrics=keep_if(finite, trained.metrics, model.initialize_metrics_state()))

    return client_work


def is_finite(update) -> tf.Tensor:
    """Whether all numbers of a structure are finite; bool scalar."""
    return tf.reduce_all([tf.reduce_all(tf.math.is_finite(part)) for part in tf.nest.flatten(update)])


def discard_unless(finite: tf.Tensor, result: ClientResult) -> ClientResult:
    """Returns a client's result, or zeros with weight 0."""
    return keep_if(finite, result, tf.nest.map_structure(tf.zeros_like, result))


def compose_process(
    model: tff.learning.models.FunctionalModel,
    client_work: Callable,
    model_aggregator: AggregationFactory,
    server_optimizer: tff.learning.optimizers.Optimizer,
    *,
    update_fn: Callable | None = None,
    algorithm: str,
    hyperparameters: Mapping[str, Any],
) -> FederatedProcess:
    """Composes a learning process of clients that keep nothing.

    Args:
        model: What is trained.
        client_work: TensorFlow code, `(model_weights, batches) -> (ClientResult, LocalTraining)`; of the latter only
            the metrics are used. The result may have any type that `model_aggregator` takes.
        model_aggregator: Aggregates the clients' results, with their weights if it takes any.
        server_optimizer: Steps against the aggregate.
        update_fn: TensorFlow code, from the aggregate to a structure like the trainable weights, if it is none.
        algorithm, hyperparameters: As for `FederatedProcess`.

    Returns:
        The process. Its `next` takes datasets, and is TFF's own composition; `next_on_batches` is the same round on
        `Batches`.

    Raises:
        UsageError: `model` is no functional model.
    """
    if not isinstance(model, tff.learning.models.FunctionalModel):
        raise UsageError(
            "model: expected a tff.learning.models.FunctionalModel such as linear_head(features), "
            f"got {type(model).__name__}"
        )

    @tff.tensorflow.computation
    def initial_model_weights():
        trainable, non_trainable = model.initial_weights
        return tff.learning.models.ModelWeights(
            tuple(tf.convert_to_tensor(w) for w in trainable), tuple(tf.convert_to_tensor(w) for w in non_trainable)
        )

    weights_type = initial_model_weights.type_signature.result
    collect = build_batches_of_dataset(model.input_spec)
    batches_type = collect.type_signature.result

    @tff.tensorflow.computation(weights_type, batches_type)
    @tf.function(autograph=False)
    def work(weights, batches):
        result, trained = client_work(weights, batches)
        return result, trained.metrics

    sum_metrics = tff.learning.metrics.sum_then_finalize(model.finalize_metrics)
    no_state = tff.federated_computation(lambda: tff.federated_value((), tff.SERVER))
    at_clients = tff.FederatedType(weights_type, tff.CLIENTS)

    @tff.federated_computation(no_state.type_signature.result, at_clients, tff.FederatedType(batches_type, tff.CLIENTS))
    def work_on_batches(state, weights, batches):
        result, metrics = tff.federated_map(work, (weights, batches))
        measured = tff.federated_zip(collections.OrderedDict(train=sum_metrics(metrics)))
        return tff.templates.MeasuredProcessOutput(state, result, measured)

    sequences = tff.FederatedType(collect.type_signature.parameter, tff.CLIENTS)

    @tff.federated_computation(no_state.type_signature.result, at_clients, sequences)
    def work_on_datasets(state, weights, datasets):
        return work_on_batches(state, weights, tff.federated_map(collect, datasets))

    distributor = tff.learning.templates.build_broadcast_process(weights_type)
    result_type = work_on_batches.type_signature.result.result.member
    aggregator = with_weights(model_aggregator).create(result_type.update, result_type.update_weight)
    finalizer = _server_step(server_optimizer, weights_type, aggregator, update_fn)
    process = tff.learning.templates.compose_learning_process(
        initial_model_weights,
        distributor,
        tff.learning.templates.ClientWorkProcess(no_state, work_on_datasets),
        aggregator,
        finalizer,
    )

    # TFF composes rounds on datasets only.
    @tff.federated_computation(process.initialize.type_signature.result, tff.FederatedType(batches_type, tff.CLIENTS))
    def next_on_batches(state, batches):
        sent = distributor.next(state.distributor, state.global_model_weights)
        worked = work_on_batches(state.client_work, sent.result, batches)
        aggregated = aggregator.next(state.aggregator, worked.result.update, worked.result.update_weight)
        finalized = finalizer.next(state.finalizer, state.global_model_weights, aggregated.result)
        new_state = tff.learning.templates.LearningAlgorithmState(
            finalized.result, sent.state, worked.state, aggregated.state, finalized.state
        )
        metrics = collections.OrderedDict(
            distributor=sent.measurements,
            client_work=worked.measurements,
            aggregator=aggregated.measurements,
            finalizer=finalized.measurements,
        )
        return tff.learning.templates.LearningProcessOutput(tff.federated_zip(new_state), tff.federated_zip(metrics))

    return FederatedProcess(
        process,
        model=model,
        algorithm=algorithm,
        hyperparameters=hyperparameters,
        next_on_batches=next_on_batches,
    )


def _server_step(optimizer, weights_type, aggregator, update_fn) -> tff.learning.templates.FinalizerProcess:
    """Returns TFF's step against the aggregate, or against what `update_fn` makes of it."""
    step = tff.learning.templates.build_apply_optimizer_finalizer(optimizer, weights_type)
    if update_fn is None:
        return step
    state_type, placed_weights_type, _ = step.next.type_signature.parameter
    aggregate_type = aggregator.next.type_signature.result.result
    to_update = tff.tensorflow.computation(update_fn, aggregate_type.member)

    @tff.federated_computation(state_type, placed_weights_type, aggregate_type)
    def next_fn(state, model_weights, aggregate):
        return step.next(state, model_weights, tff.federated_map(to_update, aggregate))

    return tff.learning.templates.FinalizerProcess(
        step.initialize, next_fn, get_hparams_fn=step.get_hparams, set_hparams_fn=step.set_hparams
    )
