"""What a backbone must be: a SavedModel that maps images in [0, 1] to one finite vector each."""

from __future__ import annotations

import codecs
import pathlib

import numpy as np

from fedlearn_edu.backbone.scan import allows_unsafe, find_danger
from fedlearn_edu.backbone.sources import FROM_KERAS, KERAS_SUFFIXES
from fedlearn_edu.backbone.tfhub import DEFAULT_IMAGE_SIZE, import_hub
from fedlearn_edu.errors import UsageError

_EXPECTED = "expected a TF2 image feature vector (float32 [batch, height, width, 3] -> float32 [batch, dim])"


def check_is_saved_model(folder: pathlib.Path) -> None:
    """Refuses a folder that holds no SavedModel, and says what it holds instead.

    Raises:
        UsageError: See above.
    """
    if not (folder / "saved_model.pb").is_file():
        raise UsageError(
            f"backbone: {_EXPECTED} with a saved_model.pb in {str(folder)!r}, found none" + _holds_hint(folder)
        )


def load_layer(folder: pathlib.Path, *, name: str, allow_unsafe: bool = False):
    """Returns the SavedModel in `folder` as a frozen `hub.KerasLayer`.

    Raises:
        UsageError: Its graph could do more than compute features, it cannot be read, or it is no callable TF2 module.
    """
    _, hub = import_hub()
    if (folder / "tfhub_module.pb").exists():
        raise _refusal(name, "a module in the old TF1 Hub format")
    danger = None if allow_unsafe or allows_unsafe() else find_danger(folder)
    if danger:
        raise UsageError(f"backbone: {_short(name)!r} is a SavedModel {danger}")
    try:
        return hub.KerasLayer(str(folder), trainable=False)
    except Exception as error:  # damaged files make TensorFlow raise whatever it stumbles over
        if "non-callable" in str(error) or "not callable" in str(error):
            raise _refusal(name, "a SavedModel that cannot be called") from None
        reason = " ".join(str(error).split())[:160] or type(error).__name__
        raise _refusal(name, f"one that cannot be read: {reason}") from None


def read_card(folder: pathlib.Path) -> str | None:
    """Returns the text of a module's model card, in whatever encoding it was saved, or None if there is none."""
    card = folder / "MODEL_CARD.md"
    if not card.is_file():
        return None
    data = card.read_bytes()
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return data.decode("utf-16", errors="replace")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return data.decode("cp1252", errors="replace")


def find_image_size(layer, *, name: str, image_size: int | None) -> int:
    """Returns the height and width to feed: the module's own if it has one, else the argument, else 224.

    Raises:
        UsageError: The module takes no batches of square float32 three-channel images, or another size than
            `image_size`.
    """
    try:
        shape = _input_shape(layer.resolved_object, name)
    except UsageError:
        raise
    except Exception as error:  # what stands under these names may be anything
        raise _refusal(name, f"one whose signatures cannot be read: {_reason(error)}") from None
    if shape is None:
        return image_size or DEFAULT_IMAGE_SIZE
    if len(shape) != 4 or shape[3] not in (3, None):
        raise _refusal(name, f"one whose input has shape {list(shape)}")
    batch, height, width = shape[:3]
    if batch is not None:
        raise _refusal(name, f"one that takes {batch} images at a time, no more and no fewer")
    if height != width:
        raise _refusal(name, f"one for images of {height} x {width} pixels; only square ones are supported")
    if height is None:
        return image_size or DEFAULT_IMAGE_SIZE
    if image_size not in (None, height):
        raise UsageError(f"image_size: {name!r} takes {height} pixels only, got {image_size}")
    return int(height)


def _input_shape(module, name: str) -> tuple[int | None, ...] | None:
    """Reads the image input's shape from the signature, or from `__call__`; None when neither says it.

    Raises:
        UsageError: `__call__` takes something else than one float32 tensor.
    """
    tf, _ = import_hub()
    signatures = getattr(module, "signatures", {})
    call = module.__call__ if callable(module) else None  # a restored tf.function knows its graphs
    called = [_first_argument(function) for function in getattr(call, "concrete_functions", [])]
    served = [_first_argument(signatures[key]) for key in ("serving_default", "default") if key in signatures]
    if called and not any(_is_float32(spec) for spec in called):
        takes = called[0]
        takes = f"{takes.dtype.name} {takes.shape}" if isinstance(takes, tf.TensorSpec) else f"a {type(takes).__name__}"
        raise _refusal(name, f"one that takes {takes}")
    shapes = [tuple(spec.shape.as_list()) for spec in (*called, *served) if _is_float32(spec)]
    # Of several graphs, one for any number of images tells most.
    return min(shapes, key=lambda shape: shape[0] is not None, default=None)


def _first_argument(function):
    """Returns what a concrete function takes first: a TensorSpec, or for example a dict of them."""
    positional, named = function.structured_input_signature
    return [*positional, *named.values(), None][0]


def _is_float32(spec) -> bool:
    tf, _ = import_hub()
    return isinstance(spec, tf.TensorSpec) and spec.dtype == tf.float32 and bool(spec.shape.rank)


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
    except Exception as error:  # what is inside is unknown, so is what it raises
        raise _refusal(
            name, f"one that refuses images of {image_size} x {image_size} pixels: {_reason(error)}"
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
    # The reason first: a message is often cut.
    return UsageError(f"backbone: {_short(name)!r} is {found}; {_EXPECTED}")


def _short(name: str) -> str:
    return name if len(name) <= 60 else "..." + name[-57:]


def _reason(error: BaseException) -> str:
    """Returns what an error says last, where TensorFlow and Keras put the reason, at most 160 characters of it."""
    text = " ".join(str(error).split("Call arguments received")[0].split())
    return text if len(text) <= 160 else "..." + text[-157:]


def _holds_hint(folder: pathlib.Path) -> str:
    keras = [file.name for file in sorted(folder.iterdir()) if file.suffix in KERAS_SUFFIXES]
    if keras:
        return f" (but the Keras file {keras[0]!r}: {FROM_KERAS})"
    nested = [f.parent.name for f in folder.glob("*/saved_model.pb")]
    return f" (but one in its subfolder {nested[0]!r})" if nested else ""
