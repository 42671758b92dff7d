"""Local training on arrays: a client's examples, the batches that an order makes of them, and the steps along them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import tensorflow as tf
import tensorflow_federated as tff


class Batches(NamedTuple):
    """A client's examples and the batches that it trains on, one after the other; all tensors.

    Batch i holds the examples `order[bounds[i] : bounds[i + 1]]`. A dataset says the same, but handing each batch from
    one of its threads to another takes longer than a step of training.

    Attributes:
        x: Inputs of n examples, each once: a tensor `[n, ...]`, or a structure of such.
        y: What is to be predicted, `[n, ...]`.
        order: int32 `[m]`, rows of all batches, local epochs one after the other.
        bounds: int32 `[num_batches + 1]`, from 0 to m.
    """

    x: Any
    y: Any
    order: tf.Tensor
    bounds: tf.Tensor

    @classmethod
    def of_epochs(cls, x: tf.Tensor, y: tf.Tensor, orders: list[tf.Tensor], batch_size: int) -> Batches:
        """Returns the batches of local epochs, each with an order of its own; the last of an epoch may be smaller."""
        num_examples = tf.size(orders[0])
        starts = tf.range(0, num_examples, batch_size)
        of_epochs = [starts + epoch * num_examples for epoch in range(len(orders))]
        bounds = tf.concat([*of_epochs, [len(orders) * num_examples]], axis=0)
        return cls(x, y, tf.concat(orders, axis=0), bounds)

    def repeated(self, times: int) -> Batches:
        """Returns all batches `times` times over, in the same order."""
        again = [self.bounds[:-1] + i * tf.size(self.order) for i in range(times)]
        bounds = tf.concat([*again, [times * tf.size(self.order)]], axis=0)
        return self._replace(order=tf.tile(self.order, [times]), bounds=bounds)

    def reduce(self, state, step: Callable):
        """Returns the last state of `step(state, x, y) -> state` along all batches."""

        # The bounds are gathered by vectors of length 1: slicing by scalars would pack each into a vector again, and a
        # step is so short that every operation counts.
        def body(i, state):
            following = i + 1
            rows = tf.strided_slice(self.order, tf.gather(self.bounds, i), tf.gather(self.bounds, following))
            x, y = tf.nest.map_structure(lambda column: tf.gather(column, rows), (self.x, self.y))
            return following, step(state, x, y)

        num_batches = tf.size(self.bounds) - 1
        state = tf.nest.map_structure(tf.convert_to_tensor, state)
        return tf.while_loop(lambda i, _: tf.reshape(i < num_batches, []), body, (tf.constant([0]), state))[1]


def build_batches_of_dataset(input_spec) -> tff.Computation:
    """Returns `(<x, y>* -> Batches)`: the batches of a dataset as they are; `input_spec` is that of a TFF model."""
    specs = _columns(input_spec)

    @tff.tensorflow.computation(tff.SequenceType(tff.types.tensorflow_to_type(input_spec)))
    def collect(dataset):
        def array_of(dtype, shape):
            return tf.TensorArray(dtype, size=0, dynamic_size=True, infer_shape=False, element_shape=shape)

        def add(state, batch):
            arrays, sizes, i = state
            columns = tf.nest.flatten(_columns(batch))
            size = tf.shape(columns[0])[:1]
            arrays = tuple(array.write(i, column) for array, column in zip(arrays, columns, strict=True))
            return arrays, sizes.write(i, size), i + 1

        arrays = tuple(array_of(spec.dtype, [None, *spec.shape[1:]]) for spec in tf.nest.flatten(specs))
        arrays, sizes, _ = dataset.reduce((arrays, array_of(tf.int32, [None]), 0), add)
        x, y = tf.nest.pack_sequence_as(specs, [array.concat() for array in arrays])
        bounds = tf.concat([[0], tf.cumsum(sizes.concat())], axis=0)
        return Batches(x, y, tf.range(bounds[-1]), bounds)

    return collect


def _columns(batch) -> tuple:
    return (batch["x"], batch["y"]) if isinstance(batch, Mapping) else tuple(batch)


class LocalTraining(NamedTuple):
    """What `train_locally` returns: new trainable weights, and sums over all local steps (both int64 scalars)."""

    trainable: tuple
    metrics: Any
    num_examples: tf.Tensor
    num_steps: tf.Tensor


def train_locally(
    model: tff.learning.models.FunctionalModel,
    weights: tff.learning.models.ModelWeights,
    batches: Batches,
    optimizer: tff.learning.optimizers.Optimizer,
    *,
    change_gradients: Callable[[tuple, tuple], tuple] = lambda gradients, trainable: gradients,
) -> LocalTraining:
    """One step of the optimizer per batch; to be called inside a client's work, i.e. in TensorFlow.

    Args:
        model: Whose loss is minimised.
        weights: Where to start.
        batches: What to train on.
        optimizer: A TFF optimizer.
        change_gradients: `(gradients, trainable) -> gradients`, both tuples of tensors; adds a correction to the
            gradients at the weights of the step.
    """
    start = tuple(weights.trainable)

    def step(state, x, y):
        trainable, optimizer_state, metrics = state
        gradients, batch = gradients_of(model, trainable, weights.non_trainable, x, y)
        optimizer_state, trainable = optimizer.next(optimizer_state, trainable, change_gradients(gradients, trainable))
        metrics = model.update_metrics_state(metrics, labels=y, batch_output=batch)
        return trainable, optimizer_state, metrics

    optimizer_state = optimizer.initialize(tuple(tf.TensorSpec(w.shape, w.dtype) for w in start))
    trainable, _, metrics = batches.reduce((start, optimizer_state, model.initialize_metrics_state()), step)
    return LocalTraining(trainable, metrics, tf.size(batches.order, tf.int64), tf.size(batches.bounds, tf.int64) - 1)


def gradients_of(model, trainable: tuple, non_trainable, x, y) -> tuple[tuple, tff.learning.models.BatchOutput]:
    """Returns the gradients of a batch's loss with respect to the trainable weights, and what the model gave."""
    with tf.GradientTape() as tape:
        tape.watch(trainable)
        output = model.predict_on_batch((trainable, tuple(non_trainable)), x, training=True)
        loss = model.loss(output=output, label=y)
    size = tf.shape(tf.nest.flatten(output)[0])[0]
    batch = tff.learning.models.BatchOutput(loss=loss, predictions=output, num_examples=size)
    return tuple(tape.gradient(loss, trainable)), batch


def subtract(a, b):
    """Returns a - b of two structures of tensors of the same form."""
    return tf.nest.map_structure(tf.subtract, a, b)


def keep_if(condition: tf.Tensor, kept, otherwise):
    """Returns `kept` if the condition holds, else `otherwise`, a structure of the same form that gives it."""
    pairs = zip(tf.nest.flatten(kept), tf.nest.flatten(otherwise), strict=True)
    return tf.nest.pack_sequence_as(otherwise, [tf.where(condition, a, b) for a, b in pairs])
