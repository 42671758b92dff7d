"""What the builders of algorithms for unlike clients share: TFF's client work and server step, extended."""

from __future__ import annotations

from collections.abc import Callable

import tensorflow as tf
import tensorflow_federated as tff


def extend_client_work(
    client_work: tff.learning.templates.ClientWorkProcess, finish_fn: Callable
) -> tff.learning.templates.ClientWorkProcess:
    """Returns `client_work` whose every result is turned into another one on the client, before it is uploaded.

    Args:
        client_work: Any client work of TFF.
        finish_fn: TensorFlow code, `(model_weights, dataset, client_result) -> ClientResult`; `model_weights` are those
            that were broadcast, and `dataset` may be iterated once more.

    Returns:
        A client work with the same state, metrics and hyperparameters.
    """
    state_type, weights_type, data_type = client_work.next.type_signature.parameter
    result_type = client_work.next.type_signature.result.result

    @tff.tensorflow.computation(weights_type.member, data_type.member, result_type.member)
    def finish(model_weights, dataset, client_result):
        return tf.function(finish_fn)(model_weights, dataset, client_result)

    @tff.federated_computation(state_type, weights_type, data_type)
    def next_fn(state, model_weights, client_data):
        output = client_work.next(state, model_weights, client_data)
        result = tff.federated_map(finish, (model_weights, client_data, output.result))
        return tff.templates.MeasuredProcessOutput(output.state, result, output.measurements)

    return tff.learning.templates.ClientWorkProcess(
        client_work.initialize,
        next_fn,
        get_hparams_fn=client_work.get_hparams,
        set_hparams_fn=client_work.set_hparams,
    )


def compose_process(
    model: tff.learning.models.FunctionalModel,
    client_work: tff.learning.templates.ClientWorkProcess,
    model_aggregator: tff.aggregators.WeightedAggregationFactory,
    update_fn: Callable,
    server_optimizer: tff.learning.optimizers.Optimizer,
) -> tff.learning.templates.LearningProcess:
    """Composes a learning process in which the server turns the aggregate into a model delta before it steps.

    Args:
        model: What is trained.
        client_work: Its results may have any type that `model_aggregator` takes.
        model_aggregator: Aggregates the clients' results with their weights.
        update_fn: TensorFlow code, from the aggregate to a structure like the trainable weights.
        server_optimizer: Steps against that structure.
    """

    @tff.tensorflow.computation
    def initial_model_weights():
        trainable, non_trainable = model.initial_weights
        return tff.learning.models.ModelWeights(
            tuple(tf.convert_to_tensor(w) for w in trainable), tuple(tf.convert_to_tensor(w) for w in non_trainable)
        )

    weights_type = initial_model_weights.type_signature.result
    result_type = client_work.next.type_signature.result.result.member
    aggregator = model_aggregator.create(result_type.update, result_type.update_weight)
    server_step = tff.learning.templates.build_apply_optimizer_finalizer(server_optimizer, weights_type)
    state_type, placed_weights_type, _ = server_step.next.type_signature.parameter
    aggregate_type = aggregator.next.type_signature.result.result
    to_update = tff.tensorflow.computation(update_fn, aggregate_type.member)

    @tff.federated_computation(state_type, placed_weights_type, aggregate_type)
    def step(state, model_weights, aggregate):
        return server_step.next(state, model_weights, tff.federated_map(to_update, aggregate))

    return tff.learning.templates.compose_learning_process(
        initial_model_weights,
        tff.learning.templates.build_broadcast_process(weights_type),
        client_work,
        aggregator,
        tff.learning.templates.FinalizerProcess(
            server_step.initialize,
            step,
            get_hparams_fn=server_step.get_hparams,
            set_hparams_fn=server_step.set_hparams,
        ),
    )
