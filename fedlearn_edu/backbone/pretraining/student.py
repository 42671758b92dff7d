"""The network that pre-training trains: a MobileNetV2 without its classifier, and images at its size."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

# Keras builds MobileNetV2 with momentum 0.999: after a few thousand steps the moving statistics that inference
# uses still remember the initial values. 0.9 forgets them within a few dozen steps.
_BATCH_NORM_MOMENTUM = 0.9


def build_student(*, image_size: int = 64, alpha: float = 0.35) -> tf.keras.Model:
    """Returns an untrained student: MobileNetV2 without its classifier, each feature standardised.

    The standardising BatchNorm has no scale and offset of its own: whatever linear head comes next has them.

    Args:
        image_size: Input in pixels, a multiple of 32.
        alpha: Width as a share of MobileNetV2 1.0, above 0.

    Shapes:
        `[batch, image_size, image_size, 3]` in [0, 1] -> `[batch, 1280]`.
    """
    images = tf.keras.Input([image_size, image_size, 3], name="inputs")
    network = tf.keras.applications.MobileNetV2(
        input_shape=(image_size, image_size, 3), alpha=alpha, include_top=False, weights=None, pooling="avg"
    )
    # MobileNetV2 is defined on [-1, 1], a TF-Hub image module on [0, 1].
    centred = tf.keras.layers.Rescaling(2.0, offset=-1.0)(images)
    features = tf.keras.layers.BatchNormalization(center=False, scale=False, name="standardise")(network(centred))
    model = tf.keras.Model(images, features)
    for layer in [*network.layers, *model.layers]:
        if isinstance(layer, tf.keras.layers.BatchNormalization):
            layer.momentum = _BATCH_NORM_MOMENTUM
    return model


def to_student_size(groups: list[np.ndarray], size: int) -> np.ndarray:
    """Returns all images at `size` as one uint8 array (float32 would need four times the memory)."""
    resized = np.empty([sum(map(len, groups)), size, size, 3], np.uint8)
    row = 0
    for images in groups:
        for start in range(0, len(images), 1024):
            block = images[start : start + 1024].astype(np.float32)
            block = tf.image.resize(block, [size, size], antialias=True).numpy()
            resized[row : row + len(block)] = np.clip(np.rint(block), 0, 255)
            row += len(block)
    return resized
