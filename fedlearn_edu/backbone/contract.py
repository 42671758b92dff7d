"""What a backbone must be: a SavedModel that maps images in [0, 1] to one finite vector each."""

from __future__ import annotations

import pathlib

import numpy as np

from fedlearn_edu.backbone.hub import DEFAULT_IMAGE_SIZE, FROM_KERAS, KERAS_SUFFIXES, import_hub
from fedlearn_edu.errors import UsageError

_EXPECTED = "expected a TF2 image feature vector (float32 [batch, height, width, 3] -> float32 [batch, dim])"


def load_layer(folder: pathlib.Path, *, name: str):
    """Returns the SavedModel in `folder` as a frozen `hub.KerasLayer`.

    Raises:
        UsageError: There is no SavedModel, it cannot be read, or it is no callable TF2 module.
    """
    tf, hub = import_hub()
    if not (folder / "saved_model.pb").is_file():
        raise UsageError(
            f"backbone: {_EXPECTED} with a saved_model.pb in {str(folder)!r}, found none" + _holds_hint(folder)
        )
    if (folder / "tfhub_module.pb").exists():
        raise _refusal(name, "a module in the old TF1 Hub format")
    try:
        return hub.KerasLayer(str(folder), trainable=False)
    except (ValueError, TypeError, OSError, AttributeError, KeyError, tf.errors.OpError) as error:
        if "non-callable" in str(error) or "not callable" in str(error):
            raise _refusal(name, "a SavedModel that cannot be called") from None
        raise _refusal(name, f"one that cannot be read: {_one_line(error)}") from None


def find_image_size(layer, *, name: str, image_size: int | None) -> int:
    """Returns the height and width to feed: the module's own if it has one, else the argument, else 224.

    Raises:
        UsageError: The module takes no square three-channel images, or another size than `image_size`.
    """
    shape = _input_shape(layer.resolved_object)
    if shape is None:
        return image_size or DEFAULT_IMAGE_SIZE
    if len(shape) != 4 or shape[3] not in (3, None):
        raise _refusal(name, f"one whose input has shape {list(shape)}")
    height, width = shape[1:3]
    if height != width:
        raise _refusal(name, f"one for images of {height} x {width} pixels; only square ones are supported")
    if height is None:
        return image_size or DEFAULT_IMAGE_SIZE
    if image_size not in (None, height):
        raise UsageError(f"image_size: {name!r} takes {height} pixels only, got {image_size}")
    return int(height)


def _input_shape(module) -> tuple[int | None, ...] | None:
    """Reads the image input's shape from the signature, or from `__call__`; None when neither says it."""
    tf, _ = import_hub()
    signatures = getattr(module, "signatures", {})
    functions = [signatures[key] for key in ("serving_default", "default") if key in signatures]
    call = module.__call__ if callable(module) else None  # a restored tf.function knows its graphs
    functions += getattr(call, "concrete_functions", [])
    for function in functions:
        specs = tf.nest.flatten(function.structured_input_signature)
        images = [s for s in specs if isinstance(s, tf.TensorSpec) and s.dtype == tf.float32 and s.shape.rank]
        if len(images) == 1:
            return tuple(images[0].shape.as_list())
    return None


def check_contract(layer, *, name: str, image_size: int) -> int:
    """Runs the layer on a few images and returns its feature dimension.

    Checked: one float32 vector of at least two finite numbers per image, whatever the batch size, and the
    same one each time.

    Raises:
        UsageError: One of these does not hold.
    """
    tf, _ = import_hub()
    images = np.random.default_rng(0).random([3, image_size, image_size, 3], np.float32)
    images[0], images[1] = 0.0, 1.0  # the ends of the range
    try:
        first, again, one = (
            layer(tf.constant(images)),
            layer(tf.constant(images)),
            layer(tf.constant(images[:1])),
        )
    except (ValueError, TypeError, tf.errors.OpError) as error:
        raise _refusal(
            name, f"one that refuses images of {image_size} x {image_size} pixels: {_one_line(error)}"
        ) from None
    if not tf.is_tensor(first):
        raise _refusal(name, f"one that returns a {type(first).__name__}")
    if first.shape.rank != 2 or first.dtype != tf.float32:
        raise _refusal(name, f"one that returns {first.dtype.name} {first.shape.as_list()} for 3 images")
    dim = int(first.shape[1])
    if first.shape[0] != 3 or one.shape != (1, dim):
        raise _refusal(name, f"one that returns {len(first)} and {len(one)} vectors for 3 images and 1 image")
    if dim < 2:
        raise _refusal(name, "one whose feature vector has fewer than 2 numbers")
    first, again, one = first.numpy(), again.numpy(), one.numpy()
    if not np.isfinite(first).all():
        raise _refusal(name, "one whose features are not finite numbers")
    scale = 1e-3 * max(1.0, float(np.abs(first).max()))
    if not np.allclose(first, again, atol=scale) or not np.allclose(first[:1], one, atol=scale):
        raise _refusal(name, "one whose features change from call to call or with the batch")
    return dim


def _refusal(name: str, found: str) -> UsageError:
    return UsageError(f"backbone: {_EXPECTED}, but {name!r} is {found}")


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())[:160]


def _holds_hint(folder: pathlib.Path) -> str:
    keras = [file.name for file in sorted(folder.iterdir()) if file.suffix in KERAS_SUFFIXES]
    if keras:
        return f" (but the Keras file {keras[0]!r}: {FROM_KERAS})"
    nested = [f.parent.name for f in folder.glob("*/saved_model.pb")]
    return f" (but one in its subfolder {nested[0]!r})" if nested else ""
