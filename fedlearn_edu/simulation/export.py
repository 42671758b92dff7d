"""The trained global model as one SavedModel that takes images, texts or columns, and needs nothing of this package."""

from __future__ import annotations

import json
import os
import pathlib
import shutil
from collections.abc import Sequence

import numpy as np
import tensorflow as tf
import tensorflow_federated as tff

from fedlearn_edu.backbone.encoder import Encoder
from fedlearn_edu.data.task import Task
from fedlearn_edu.errors import UsageError
from fedlearn_edu.simulation.export_readme import BACKBONE_CARD, readme
from fedlearn_edu.simulation.export_serving import serving_module

_DESCRIPTION = "model.json"  # which no other SavedModel has
_INPUT = {"image": "uint8 RGB images", "text": "texts", "table": "columns"}


def export_model(
    directory: str | os.PathLike,
    *,
    backbone: Encoder,
    model: tff.learning.models.FunctionalModel,
    model_weights: Sequence[np.ndarray],
    class_names: Sequence[str] = (),
    task: Task | None = None,
    trained_on: str | None = None,
) -> pathlib.Path:
    """Writes encoder, preprocessing and trained head as one TF2 SavedModel.

    ```python
    classifier = tf.saved_model.load(directory)  # TensorFlow alone is enough
    classifier.classify(images)["class_name"]    # images: uint8 [batch, height, width, 3], any size
    ```

    Of images floats from 0 to 1 will do as well, and a single image without the batch's dimension. Texts are strings,
    one or `[batch]`. A table is a dictionary with one entry a column: float64 `[batch]` (NaN where a number is missing)
    or strings `[batch]` (`""` where a category is). A model of a number has `predict` in place of `classify`. Beside
    the model lies a `README.md` with such lines, the classes, and where encoder and examples come from.

    Args:
        directory: Replaced if it is an export made before; any other folder with content is refused.
        backbone: The backbone or other encoder whose features the head was trained on.
        model: The functional model of the head.
        model_weights: Its trained weights, e.g. `history.model_weights`.
        class_names: One name per label; not needed with `task`.
        task: What is asked of an example; None for a classification into `class_names`.
        trained_on: Whose examples the head was trained on, and under which licence, in one line for the README.

    Returns:
        The directory.

    Shapes:
        `classify(inputs)` returns `class_name` string `[batch]` and `probabilities` float32 `[batch, num_classes]`; of
        a binary task in place of these `probability`, that of the positive class, `[batch]`. `predict(inputs)` returns
        `value` float32 `[batch]`, in the task's unit. Of a single image or text without `[batch]`.

    Raises:
        UsageError: `directory` has other content, or cannot be written.
    """
    directory = pathlib.Path(directory)
    is_free = not directory.exists() or (directory.is_dir() and not any(directory.iterdir()))
    if not is_free and not (directory / _DESCRIPTION).exists():  # any SavedModel, such as a backbone, may be the user's
        raise UsageError(f"directory: {directory} holds something that is no exported model; choose another one")
    temporary = directory.with_name(f".{directory.name}.{os.getpid()}.tmp")
    task = task or Task.classification(class_names)
    module, signature = serving_module(backbone, model, model_weights, task)
    log_level = tf.get_logger().level
    tf.get_logger().setLevel("ERROR")  # "Assets written to ..." of a temporary folder helps nobody
    try:
        tf.saved_model.save(module, str(temporary), signatures=signature)
        (temporary / "README.md").write_text(readme(backbone, task, trained_on), encoding="utf-8")
        if card := getattr(backbone, "model_card", None):
            (temporary / BACKBONE_CARD).write_text(card, encoding="utf-8")
        description = {
            "backbone": backbone.name,
            "input": _INPUT[backbone.modality],
            "class_names": list(task.class_names),
        }
        if task.kind != "classification":
            description |= {"task": task.kind, "unit": task.unit}
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
