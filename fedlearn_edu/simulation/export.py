"""The trained global model as one SavedModel that classifies images and needs nothing of this package."""

from __future__ import annotations

import json
import os
import pathlib
import shutil
from collections.abc import Sequence

import numpy as np
import tensorflow as tf
import tensorflow_federated as tff

from fedlearn_edu.backbone.hub import Backbone
from fedlearn_edu.errors import UsageError

_DESCRIPTION = "model.json"  # which no other SavedModel has


class _Classifier(tf.Module):
    """Backbone and trained head behind one call on images."""

    def __init__(self, backbone, model, weights, class_names):
        super().__init__()
        self.backbone_layer = backbone.layer  # tracked, so that its variables are saved
        self.head = [tf.Variable(w, trainable=False) for w in weights]
        self.class_names = tf.Variable(list(class_names), trainable=False)
        features_of = backbone.serving_fn()

        @tf.function(input_signature=[tf.TensorSpec([None, None, None, 3], tf.uint8, name="images")])
        def classify(images):
            weights = [v.read_value() for v in self.head]
            logits = model.predict_on_batch((weights, ()), features_of(images), training=False)
            probabilities = tf.nn.softmax(logits)
            names = tf.gather(self.class_names, tf.argmax(probabilities, axis=1))
            return {"probabilities": probabilities, "class_name": names}

        self.classify = classify


def export_model(
    directory: str | os.PathLike,
    *,
    backbone: Backbone,
    model: tff.learning.models.FunctionalModel,
    model_weights: Sequence[np.ndarray],
    class_names: Sequence[str],
) -> pathlib.Path:
    """Writes backbone, preprocessing and trained head as one TF2 SavedModel.

    ```python
    classifier = tf.saved_model.load(directory)  # TensorFlow alone is enough
    classifier.classify(images)["class_name"]    # images: uint8 [batch, height, width, 3], any size
    ```

    Args:
        directory: Replaced if it is an export made before; any other folder with content is refused.
        backbone: The backbone whose features the head was trained on.
        model: The functional model of the head.
        model_weights: Its trained weights, e.g. `history.model_weights`.
        class_names: One name per label.

    Returns:
        The directory.

    Shapes:
        `classify(images)` returns `probabilities` float32 `[batch, num_classes]` and `class_name` string `[batch]`.

    Raises:
        UsageError: `directory` has other content, or cannot be written.
    """
    directory = pathlib.Path(directory)
    is_free = not directory.exists() or (directory.is_dir() and not any(directory.iterdir()))
    if not is_free and not (directory / _DESCRIPTION).exists():  # any SavedModel, such as a backbone, may be the user's
        raise UsageError(f"directory: {directory} holds something that is no exported model; choose another one")
    temporary = directory.with_name(f".{directory.name}.{os.getpid()}.tmp")
    module = _Classifier(backbone, model, model_weights, class_names)
    log_level = tf.get_logger().level
    tf.get_logger().setLevel("ERROR")  # "Assets written to ..." of a temporary folder helps nobody
    try:
        tf.saved_model.save(module, str(temporary), signatures=module.classify)
        description = {"backbone": backbone.source, "input": "uint8 RGB images", "class_names": list(class_names)}
        (temporary / _DESCRIPTION).write_text(json.dumps(description, indent=2))
        if directory.exists():
            shutil.rmtree(directory)
        os.replace(temporary, directory)
    except (OSError, tf.errors.OpError) as error:
        reason = getattr(error, "strerror", None) or getattr(error, "message", error)
        raise UsageError(f"directory: {directory} cannot be written ({reason})") from None
    finally:
        tf.get_logger().setLevel(log_level)
        shutil.rmtree(temporary, ignore_errors=True)
    return directory
