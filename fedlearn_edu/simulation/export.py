"""The trained global model as one SavedModel that classifies images and needs nothing of this package."""

from __future__ import annotations

import json
import os
import pathlib
import shutil
import sys
from collections.abc import Sequence

import numpy as np
import tensorflow as tf
import tensorflow_federated as tff

from fedlearn_edu.backbone.hub import Backbone
from fedlearn_edu.errors import UsageError

_DESCRIPTION = "model.json"  # which no other SavedModel has
_BACKBONE_CARD = "BACKBONE_CARD.md"
_FLOATS = (tf.float32, tf.float64)
_BATCH = [None, None, None, 3]
_ROUNDING = 1e-3  # by which a resized image may leave [0, 1]


class _Classifier(tf.Module):
    """Backbone and trained head behind one call on images."""

    def __init__(self, backbone, model, weights, class_names):
        super().__init__()
        self.backbone_variables = backbone.layer.variables  # tracked, so that they are saved; `classify` is all else
        self.head = [tf.Variable(w, trainable=False) for w in weights]
        self.class_names = tf.Variable(list(class_names), trainable=False)
        features_of = backbone.serving_fn()

        @tf.function(autograph=False)
        def classify(images):
            pixels = images if images.dtype == tf.uint8 else _pixels(images)
            is_single = pixels.shape.rank == 3
            weights = [v.read_value() for v in self.head]
            features = features_of(pixels[tf.newaxis] if is_single else pixels)
            logits = model.predict_on_batch((weights, ()), features, training=False)
            probabilities = tf.nn.softmax(logits)
            names = tf.gather(self.class_names, tf.argmax(probabilities, axis=1))
            result = {"probabilities": probabilities, "class_name": names}
            return {key: value[0] for key, value in result.items()} if is_single else result

        for dtype in (tf.uint8, *_FLOATS):  # a SavedModel can do what was traced, and nothing else
            for spec in (_BATCH, _BATCH[1:]):
                classify.get_concrete_function(tf.TensorSpec(spec, dtype, name="images"))
        self.classify = classify


def _pixels(images: tf.Tensor) -> tf.Tensor:
    """Returns floats in [0, 1] as uint8, in which the backbone knows images; others stop the call with one sentence."""
    is_right = tf.reduce_all((images > -_ROUNDING) & (images < 1 + _ROUNDING))  # not of a NaN
    message = "images: expected uint8 from 0 to 255 or floats from 0 to 1; divide by 255 what is larger"
    with tf.control_dependencies([tf.debugging.Assert(is_right, [message])]):
        return tf.cast(tf.round(tf.clip_by_value(images, 0, 1) * 255), tf.uint8)


def usage(directory: str | os.PathLike) -> str:
    """Returns the lines of Python that classify an image with an exported model."""
    return f"""\
import tensorflow as tf
model = tf.saved_model.load({os.fspath(directory)!r})
image = tf.io.decode_image(tf.io.read_file("my_image.jpg"), channels=3, expand_animations=False)
print(model.classify(image)["class_name"].numpy().decode())
"""


def export_model(
    directory: str | os.PathLike,
    *,
    backbone: Backbone,
    model: tff.learning.models.FunctionalModel,
    model_weights: Sequence[np.ndarray],
    class_names: Sequence[str],
    trained_on: str | None = None,
) -> pathlib.Path:
    """Writes backbone, preprocessing and trained head as one TF2 SavedModel.

    ```python
    classifier = tf.saved_model.load(directory)  # TensorFlow alone is enough
    classifier.classify(images)["class_name"]    # images: uint8 [batch, height, width, 3], any size
    ```

    Floats from 0 to 1 will do as well, and a single image without the batch's dimension. Beside the model lies a
    `README.md` with these lines, the classes, and where backbone and images come from.

    Args:
        directory: Replaced if it is an export made before; any other folder with content is refused.
        backbone: The backbone whose features the head was trained on.
        model: The functional model of the head.
        model_weights: Its trained weights, e.g. `history.model_weights`.
        class_names: One name per label.
        trained_on: Whose images the head was trained on, and under which licence, in one line for the README.

    Returns:
        The directory.

    Shapes:
        `classify(images)` returns `probabilities` float32 `[batch, num_classes]` and `class_name` string `[batch]`; of
        a single image `[num_classes]` and `[]`.

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
        signature = module.classify.get_concrete_function(tf.TensorSpec(_BATCH, tf.uint8, name="images"))
        tf.saved_model.save(module, str(temporary), signatures=signature)
        (temporary / "README.md").write_text(_readme(backbone, class_names, trained_on), encoding="utf-8")
        if backbone.model_card:
            (temporary / _BACKBONE_CARD).write_text(backbone.model_card, encoding="utf-8")
        description = {"backbone": backbone.name, "input": "uint8 RGB images", "class_names": list(class_names)}
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


def _readme(backbone: Backbone, class_names: Sequence[str], trained_on: str | None) -> str:
    release, python = tf.__version__.rpartition(".")[0], f"{sys.version_info.major}.{sys.version_info.minor}"
    card = f"; `{_BACKBONE_CARD}` has its data, method, limits and licence" if backbone.model_card else ""
    return f"""\
# An image classifier

A TensorFlow SavedModel: plain TensorFlow is all it needs. The environment that made it has it (`uv run python` in the
folder of fedlearn_edu, if that is how you run it); elsewhere, with Python {python}, as it was made:

```bash
pip install "tensorflow-cpu=={release}.*"
```

```python
{usage(".")}```

(`tensorflow` in place of `tensorflow-cpu` does as well; on a machine without a GPU it begins with lines about cuDNN,
cuFFT, cuBLAS and TensorRT, which mean just that.)

`'.'` is this folder. `classify` takes uint8 from 0 to 255 or floats from 0 to 1, RGB, of any height and width, one
image `[height, width, 3]` or several `[batch, height, width, 3]`. It returns `class_name` and `probabilities`, one for
each class in this order:

{_listed(class_names)}

* Head: trained by federated learning with fedlearn_edu on {trained_on or "images that its maker did not name"}.
* Backbone: {backbone.name}, {backbone.image_size} px, fingerprint (sha256)
  `{backbone.fingerprint}`{card}.
  Where no licence is given, that of its origin holds.

It knows these classes only, and names one of them whatever it is shown.
"""


def _listed(class_names: Sequence[str]) -> str:
    return "\n".join(f"{number}. `{name}`" for number, name in enumerate(class_names))
