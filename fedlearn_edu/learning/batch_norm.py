"""Finds the batch normalisation that TFF would train with live statistics in a Keras model, and warns of it."""

from __future__ import annotations

import warnings
from collections.abc import Iterator

import tensorflow as tf
import tensorflow_federated as tff

from fedlearn_edu.backbone.live_norm import hub_layer_is_live, is_hub_layer
from fedlearn_edu.errors import BatchNormWarning, UsageError

_BATCH_NORM = (tf.keras.layers.BatchNormalization, tf.keras.layers.experimental.SyncBatchNormalization)
_SHOWN = 3  # names in the warning


def live_batch_norm_layers(keras_model: tf.keras.Model) -> list[str]:
    """Names the layers that normalise with each batch's own statistics when TFF trains this model.

    TFF calls the model with `training=True`. A batch normalisation then uses the mean and variance of the batch, unless
    its `trainable` is False or it, or a model around it, was called with `training=False` while a functional model was
    built. Nested models and wrappers are searched, and the graphs of TF-Hub layers (one name for a whole module).

    What a model or layer written as a Python class does in its `call` cannot be read: its layers are taken to be called
    with the `training` that it was given.

    Args:
        keras_model: Functional, sequential or subclassed. A subclassed one must have created its layers.

    Returns:
        Paths such as `"backbone/bn_Conv1"`, each layer once, without the name of the model itself; empty if
        nothing is live.

    Raises:
        UsageError: `keras_model` is no Keras model.

    Example:
        >>> inner = tf.keras.Sequential([tf.keras.layers.BatchNormalization(name="bn")], name="backbone")
        >>> model = tf.keras.Sequential([tf.keras.Input([4]), inner, tf.keras.layers.Dense(2)])
        >>> live_batch_norm_layers(model)
        ['backbone/bn']
        >>> inner.trainable = False
        >>> live_batch_norm_layers(model)
        []

    References:
        Ioffe and Szegedy, "Batch Normalization", ICML 2015, arXiv:1502.03167.
    """
    if not isinstance(keras_model, tf.keras.Model):
        raise UsageError(f"keras_model: expected a tf.keras.Model, got {type(keras_model).__name__}")
    found, seen = {}, set()

    def search(layer, path, training):
        if (id(layer), training) in seen:  # a layer that is used twice
            return
        seen.add((id(layer), training))
        if isinstance(layer, _BATCH_NORM):
            live = layer.trainable and training
        elif is_hub_layer(layer):
            live = hub_layer_is_live(layer, training=training)
        else:
            for part, given in _parts(layer):
                search(part, (*path, part.name), training if given is None else given)
            return
        if live:
            found.setdefault(id(layer), "/".join(path))

    search(keras_model, (), True)
    return list(found.values())


def from_keras_model(
    keras_model: tf.keras.Model,
    loss,
    input_spec,
    *,
    loss_weights: list[float] | None = None,
    metrics: list | None = None,
) -> tff.learning.models.VariableModel:
    """Makes a TFF model of a Keras model, and warns if clients would train with live batch normalisation.

    It is `tff.learning.models.from_keras_model` with a deeper look: TFF's own check sees only the outermost layers, and
    those also where they are frozen; its warning is replaced by this one.

    Args:
        keras_model: Not compiled.
        loss: A `tf.keras.losses.Loss`, or a list with one for each output.
        input_spec: Structure of `tf.TensorSpec` of a batch, `(x, y)`.
        loss_weights: One for each loss.
        metrics: Keras metrics, or functions that make them.

    Returns:
        A `tff.learning.models.VariableModel`.

    Raises:
        UsageError: `keras_model` is no Keras model.

    References:
        Hsieh et al., "The Non-IID Data Quagmire of Decentralized Machine Learning", ICML 2020, arXiv:1910.00189.
        Group normalisation: Wu and He, ECCV 2018, arXiv:1803.08494.
    """
    live = live_batch_norm_layers(keras_model)
    if live:
        names = ", ".join(live[:_SHOWN]) + (f" and {len(live) - _SHOWN} more" if len(live) > _SHOWN else "")
        warnings.warn(
            f"keras_model: {len(live)} batch normalisation layer{'s' if len(live) > 1 else ''} would train with the "
            f"statistics of each client's batches and be evaluated with stored ones that nobody updates ({names}); "
            "freeze them with layer.trainable = False, call them with training=False, use fl.fine_tuned_backbone, or "
            "build the model with GroupNormalization",
            BatchNormWarning,
            stacklevel=2,
        )
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Batch Normalization contains non-trainable", category=UserWarning)
        return tff.learning.models.from_keras_model(
            keras_model, loss=loss, input_spec=input_spec, loss_weights=loss_weights, metrics=metrics
        )


def _parts(layer) -> Iterator[tuple[tf.keras.layers.Layer, bool | None]]:
    """Yields the layers right inside a model or wrapper, with the `training` of the call if one was fixed."""
    if not getattr(layer, "_is_graph_network", False):
        for part in layer._flatten_layers(recursive=False, include_self=False):
            yield part, None
        return
    for _, nodes in sorted(layer._nodes_by_depth.items(), reverse=True):  # from the input to the output
        for node in nodes:
            given = node.call_kwargs.get("training")
            if given is None and len(node.call_args) > 1:  # written by position: call(inputs, training)
                given = node.call_args[1]
            yield node.layer, bool(given) if isinstance(given, bool | int) else None
