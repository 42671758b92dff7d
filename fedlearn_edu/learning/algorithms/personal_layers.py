"""A model of which some weights stay with each client: its parts, and the process in which only the rest travels."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf
import tensorflow_federated as tff

from fedlearn_edu.checks import check_learning_rate
from fedlearn_edu.errors import UsageError
from fedlearn_edu.learning.aggregators.finite_only import AggregationFactory
from fedlearn_edu.learning.client_weighting import ClientWeighting, create_aggregation, weight_of
from fedlearn_edu.learning.local_training import LocalTraining, subtract
from fedlearn_edu.learning.process import StatefulFederatedProcess
from fedlearn_edu.learning.stateful import ClientOutput, compose_stateful_process, discard_if_not_finite, server_step

LAST_LAYER = (-2, -1)  # the last kernel and bias of every model of this package


@dataclasses.dataclass(frozen=True)
class Layers:
    """Which of a model's trainable weights are personal and which are shared, by their place.

    Attributes:
        personal: Places in `model.initial_weights[0]`, ascending.
        shared: All others, ascending.
    """

    personal: tuple[int, ...]
    shared: tuple[int, ...]

    def split(self, trainable: Sequence) -> tuple[tuple, tuple]:
        """Returns `(shared, personal)` of all trainable weights."""
        return tuple(trainable[i] for i in self.shared), tuple(trainable[i] for i in self.personal)

    def join(self, shared: Sequence, personal: Sequence) -> tuple:
        """Returns all trainable weights in the model's order.

        Example:
            >>> Layers(personal=(0, 2), shared=(1,)).join(["b"], ["a", "c"])
            ('a', 'b', 'c')
        """
        by_place = dict(zip(self.shared + self.personal, (*shared, *personal), strict=True))
        return tuple(by_place[place] for place in sorted(by_place))


def layers_of(model: tff.learning.models.FunctionalModel, personal_indices: Sequence[int]) -> Layers:
    """Returns which weights are personal and which are shared.

    Args:
        model: What is trained.
        personal_indices: Places of the personal ones in `model.initial_weights[0]`; -1 is the last. May be empty.

    Raises:
        UsageError: One is no place or named twice, or nothing is left to share.
    """
    shapes = [np.shape(w) for w in model.initial_weights[0]]
    count = len(shapes)
    whole = [isinstance(i, int | np.integer) and not isinstance(i, bool) for i in personal_indices]
    if not all(whole) or any(not -count <= i < count for i in personal_indices):
        raise UsageError(
            f"personal_indices: expected places of the model's {count} trainable weights, {-count} to {count - 1}, "
            f"got {tuple(personal_indices)}"
        )
    personal = sorted(int(i) % count for i in personal_indices)
    if len(set(personal)) < len(personal):
        raise UsageError(f"personal_indices: expected different places, got {tuple(personal_indices)}; name each once")
    shared = [i for i in range(count) if i not in personal]
    if not shared:
        raise UsageError(
            f"personal_indices: expected some of the model's weights to be shared, got all (shapes {shapes}); a linear "
            "head alone is all personal: take mlp_head(features) or fine_tuned_backbone(features, split)"
        )
    return Layers(tuple(personal), tuple(shared))


def freeze(
    model: tff.learning.models.FunctionalModel, layers: Layers, *, trained: str
) -> tff.learning.models.FunctionalModel:
    """Returns the model with one part of it trainable and the other part fixed.

    Args:
        model: The whole.
        layers: Its parts.
        trained: `"shared"` or `"personal"`.

    Returns:
        A functional model whose trainable weights are those of the part; the non-trainable ones are those of the other
        part, followed by the model's own.
    """
    trainable, non_trainable = model.initial_weights
    shared, personal = layers.split(trainable)
    own, fixed = (shared, personal) if trained == "shared" else (personal, shared)

    @tf.function(autograph=False)
    def predict_on_batch(model_weights, x, training):
        part, others = model_weights
        other_part, rest = others[: len(fixed)], others[len(fixed) :]
        both = (part, other_part) if trained == "shared" else (other_part, part)
        return model.predict_on_batch((layers.join(*both), tuple(rest)), x, training)

    return _with_weights(model, (own, (*fixed, *non_trainable)), predict_on_batch)


def compose_partly_shared_process(
    model: tff.learning.models.FunctionalModel,
    layers: Layers,
    *,
    train: Callable[..., tuple[tuple, tuple, LocalTraining]],
    server_optimizer: tff.learning.optimizers.Optimizer,
    client_weighting: ClientWeighting,
    aggregator: AggregationFactory,
    algorithm: str,
    hyperparameters: Mapping[str, Any],
) -> StatefulFederatedProcess:
    """Composes the process in which the server has, broadcasts and averages the shared weights only.

    What `get_model_weights` returns, `run_rounds` evaluates as the global model and a history keeps, is the shared
    weights with the *initial* values of the personal ones: the model of a client that has never trained, since the
    server knows no other.

    Args:
        model: The whole.
        layers: Its parts.
        train: A client's work in TensorFlow, `(shared, personal, non_trainable, batches) -> (trained shared, trained
            personal, LocalTraining)`; the last gives the metrics and the client's number of examples.
        server_optimizer: Steps against the aggregated delta of the shared weights.
        client_weighting: How much a client counts, if the aggregator takes weights.
        aggregator: A TFF factory for the deltas, weighted or not.
        algorithm, hyperparameters: As for `StatefulFederatedProcess`.

    Returns:
        A process with personal models; a client's state is `{"personal": [...]}`.
    """
    trainable, non_trainable = model.initial_weights
    initial_shared, initial_personal = layers.split(trainable)

    def client_work(weights, batches, state):
        old_shared = tuple(weights.trainable)
        shared, personal, trained = train(old_shared, tuple(state["personal"]), tuple(weights.non_trainable), batches)
        delta = subtract(old_shared, shared)
        weight = weight_of(client_weighting, trained.num_examples)
        kept = {"personal": list(personal)}
        # The personal weights stand beside the delta while we look whether all is finite; only the delta is sent.
        output = ClientOutput((delta, personal), weight, kept, trained.metrics)
        output = discard_if_not_finite(output, state, model)
        return output._replace(update=output.update[0])

    @tf.function(autograph=False)
    def predict_with_initial(model_weights, x, training):
        shared, rest = model_weights
        return model.predict_on_batch((layers.join(shared, initial_personal), rest), x, training)

    process = compose_stateful_process(
        _with_weights(model, (initial_shared, non_trainable), predict_with_initial),
        client_work=client_work,
        client_state={"personal": list(initial_personal)},
        aggregator=functools.partial(create_aggregation, aggregator),
        finalizer=server_step(server_optimizer),
        algorithm=algorithm,
        hyperparameters=hyperparameters,
    )
    server_type = process.initialize.type_signature.result.member

    @tff.tensorflow.computation(server_type)
    def get_model_weights(state):
        weights = state.global_model_weights
        return tff.learning.models.ModelWeights(
            layers.join(weights.trainable, [tf.constant(w) for w in initial_personal]), weights.non_trainable
        )

    @tff.tensorflow.computation(server_type, get_model_weights.type_signature.result)
    def set_model_weights(state, weights):
        shared, _ = layers.split(weights.trainable)
        return tff.learning.templates.LearningAlgorithmState(
            tff.learning.models.ModelWeights(shared, weights.non_trainable),
            state.distributor,
            state.client_work,
            state.aggregator,
            state.finalizer,
        )

    def personal_weights(weights, state):
        shared, _ = layers.split(weights.trainable)
        return tff.learning.models.ModelWeights(layers.join(shared, state["personal"]), weights.non_trainable)

    return StatefulFederatedProcess(
        process.initialize,
        process.next,
        get_model_weights,
        set_model_weights,
        initial_client_state=process.initial_client_state,
        personal_weights=personal_weights,
        model=model,
        algorithm=algorithm,
        hyperparameters=process.hyperparameters,
        next_on_batches=process.next_on_batches,
        requirements=process.requirements,
    )


def sgd(name: str, learning_rate: float) -> tff.learning.optimizers.Optimizer:
    """Returns plain SGD at a learning rate that has been checked; `name` is the argument's."""
    return tff.learning.optimizers.build_sgdm(check_learning_rate(name, learning_rate))


def _with_weights(model, initial_weights, predict_on_batch):
    """Returns the model with other initial weights and the function that predicts from such."""
    return tff.learning.models.FunctionalModel(
        initial_weights=initial_weights,
        predict_on_batch_fn=predict_on_batch,
        loss_fn=model.loss,
        metrics_fns=(model.initialize_metrics_state, model.update_metrics_state, model.finalize_metrics),
        input_spec=model.input_spec,
    )
