"""The teacher of a distillation: a TF-Hub feature vector, run at a smaller image size if wanted."""

from __future__ import annotations

import dataclasses

import numpy as np
import tensorflow as tf

from fedlearn_edu.backbone.features import cached_features
from fedlearn_edu.backbone.hub import Backbone, load_backbone
from fedlearn_edu.errors import UsageError


def load_teacher(source: str, *, image_size: int | None = None) -> Backbone:
    """Loads a teacher at `image_size`; a MobileNetV2 module of another fixed size is rebuilt at that one.

    A SavedModel fixes its input size, the weights of a convolutional network do not: they are copied into the same
    network from Keras. At 96 pixels a teacher is five times as quick as at 224, and sees about as much detail as a
    student at 64 can.

    Args:
        source: Name, URL or folder of a TF-Hub image feature vector.
        image_size: Height and width in pixels, at least 32; None for its own.

    Raises:
        UsageError: The teacher has another fixed size and is no MobileNetV2 of width 1.0.
    """
    teacher = load_backbone(source)
    if image_size in (None, teacher.image_size):
        return teacher
    variables = getattr(teacher.layer.resolved_object, "variables", [])
    rebuilt = _mobilenet_v2(image_size)
    if [tuple(v.shape) for v in variables] != [tuple(w.shape) for w in rebuilt.weights]:
        raise UsageError(
            f"teacher_size: {source!r} takes {teacher.image_size} pixels; only a MobileNetV2 of width 1.0 can be "
            f"rebuilt at {image_size}"
        )
    weights = [v.numpy() for v in variables]
    # Equal shapes do not prove an equal order: at its own size the copy has to give the module's own features.
    original = _mobilenet_v2(teacher.image_size)
    original.set_weights(weights)
    image = tf.random.stateless_uniform([1, teacher.image_size, teacher.image_size, 3], seed=[0, 0])
    if not np.allclose(original(image, training=False), teacher.layer(image), atol=1e-3):
        raise UsageError(f"teacher_size: {source!r} has MobileNetV2's variables but computes something else")
    rebuilt.set_weights(weights)
    rebuilt.trainable = False
    return dataclasses.replace(teacher, image_size=image_size, layer=rebuilt)


def _mobilenet_v2(image_size: int) -> tf.keras.Model:
    images = tf.keras.Input([image_size, image_size, 3])
    network = tf.keras.applications.MobileNetV2(
        input_shape=(image_size, image_size, 3), include_top=False, weights=None, pooling="avg"
    )
    return tf.keras.Model(images, network(tf.keras.layers.Rescaling(2.0, offset=-1.0)(images)))


def teacher_features(groups: list[np.ndarray], teacher: Backbone, *, progress: bool = True) -> list[np.ndarray]:
    """Returns the teacher's features of each group of images.

    They go through the feature cache: a run that is interrupted does not start from nothing.

    Shapes:
        uint8 groups `[num_images, height, width, 3]` -> float32 `[num_images, teacher_dim]` each.
    """
    return [cached_features(images, teacher, progress=progress) for images in groups]


def standardise(features: np.ndarray) -> np.ndarray:
    """Returns the features with mean 0 and deviation 1 in each dimension, as targets."""
    deviation = features.std(axis=0)
    # A dimension that never fires on these images would be divided by nothing and drown the others in noise.
    return (features - features.mean(axis=0)) / np.maximum(deviation, 0.05 * deviation.mean())
