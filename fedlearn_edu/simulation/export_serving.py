"""What an exported model does: an encoder and a trained head behind one call on raw images, texts or columns."""

from __future__ import annotations

from collections.abc import Callable

import tensorflow as tf

from fedlearn_edu.data.task import Task

_FLOATS = (tf.float32, tf.float64)
_BATCH = [None, None, None, 3]
_ROUNDING = 1e-3  # by which a resized image may leave [0, 1]


def serving_module(encoder, model, weights, task: Task) -> tuple[tf.Module, Callable | None]:
    """Returns a module whose `classify` (of a number: `predict`) takes an encoder's raw inputs, and its signature.

    Args:
        encoder: Whose features the head was trained on.
        model: The functional model of the head.
        weights: Its trained weights.
        task: What is asked of an example.

    Returns:
        The module, and what it serves by default; None where that cannot be described.
    """
    module = tf.Module()
    if layer := getattr(encoder, "layer", None):
        module.backbone_variables = layer.variables  # tracked, so that they are saved; the call holds all else
    module.head = [tf.Variable(w, trainable=False) for w in weights]
    if task.class_names:
        module.class_names = tf.Variable(list(task.class_names), trainable=False)
    features_of = encoder.serving_fn()

    def answer(inputs):
        weights = [v.read_value() for v in module.head]
        outputs = model.predict_on_batch((weights, ()), features_of(inputs), training=False)
        if task.kind == "regression":
            return {"value": outputs[:, 0]}
        if task.kind == "binary":
            probability = tf.sigmoid(outputs[:, 0])
            names = tf.gather(module.class_names, tf.cast(outputs[:, 0] > 0, tf.int32))
            return {"probability": probability, "class_name": names}
        probabilities = tf.nn.softmax(outputs)
        names = tf.gather(module.class_names, tf.argmax(probabilities, axis=1))
        return {"probabilities": probabilities, "class_name": names}

    trace = {"image": _of_images, "text": _of_texts}.get(encoder.modality)
    call, signature = trace(answer) if trace else (_of_columns(answer, features_of), None)
    setattr(module, call_name(task), call)
    return module, signature


def call_name(task: Task) -> str:
    """Returns how an exported model is called: `"predict"` for a number, else `"classify"`."""
    return "predict" if task.kind == "regression" else "classify"


def _of_images(answer: Callable):
    """Returns the call, traced for all that it takes, and its signature."""

    @tf.function(autograph=False)
    def call(images):
        pixels = images if images.dtype == tf.uint8 else _pixels(images)
        return _single(answer(pixels[tf.newaxis])) if pixels.shape.rank == 3 else answer(pixels)

    for dtype in (tf.uint8, *_FLOATS):  # a SavedModel can do what was traced, and nothing else
        for spec in (_BATCH, _BATCH[1:]):
            call.get_concrete_function(tf.TensorSpec(spec, dtype, name="images"))
    return call, call.get_concrete_function(tf.TensorSpec(_BATCH, tf.uint8, name="images"))


def _of_texts(answer: Callable):
    @tf.function(autograph=False)
    def call(texts):
        return _single(answer(texts[tf.newaxis])) if texts.shape.rank == 0 else answer(texts)

    call.get_concrete_function(tf.TensorSpec([], tf.string, name="texts"))
    return call, call.get_concrete_function(tf.TensorSpec([None], tf.string, name="texts"))


def _of_columns(answer: Callable, features_of):
    """Returns the call; it has no signature, which takes no names but Python's, and columns have others."""
    (columns,), _ = features_of.get_concrete_function().structured_input_signature
    specs = {name: tf.TensorSpec([None], spec.dtype) for name, spec in columns.items()}
    return tf.function(answer, input_signature=[specs], autograph=False)


def _single(answers: dict) -> dict:
    return {name: value[0] for name, value in answers.items()}


def _pixels(images: tf.Tensor) -> tf.Tensor:
    """Returns floats in [0, 1] as uint8, in which the backbone knows images; others stop the call with one sentence."""
    is_right = tf.reduce_all((images > -_ROUNDING) & (images < 1 + _ROUNDING))  # not of a NaN
    message = "images: expected uint8 from 0 to 255 or floats from 0 to 1; divide by 255 what is larger"
    with tf.control_dependencies([tf.debugging.Assert(is_right, [message])]):
        return tf.cast(tf.round(tf.clip_by_value(images, 0, 1) * 255), tf.uint8)
