"""Backbones: any TF-Hub image feature vector by name, URL or folder, its contract checked before use."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np

from fedlearn_edu.backbone import contract, pins, resolve
from fedlearn_edu.backbone.sources import source_of
from fedlearn_edu.backbone.tfhub import import_hub
from fedlearn_edu.data.lazy_images import LazyImages
from fedlearn_edu.errors import UsageError

MAX_IMAGE_SIZE = 2048
# Part of the feature cache's key: raise it whenever `Backbone.preprocess` changes its output.
PREPROCESSING_VERSION = 1


def image_folder(backbone) -> str:
    """Returns the name under which the features of images are cached: fingerprint, size, preprocessing."""
    return f"{backbone.fingerprint[:32]}-{backbone.image_size}px-v{PREPROCESSING_VERSION}"


@dataclasses.dataclass(frozen=True, eq=False)
class Backbone:
    """A pre-trained network that turns an image into a feature vector and is never trained here.

    Attributes:
        name: What the user asked for, e.g. `"bundled"` or a URL.
        source: The URL or folder it was loaded from.
        image_size: Height and width in pixels that the network takes; `preprocess` resizes to it.
        feature_dim: Length of one feature vector.
        fingerprint: sha256 over the content of the module's files; equal weights and graph, equal fingerprint.
        num_parameters: Number of numbers in all of its variables, moving statistics included.
        layer: The `hub.KerasLayer`, frozen (`trainable=False`).
        model_card: Text of the `MODEL_CARD.md` beside the SavedModel, if there is one.
    """

    name: str
    source: str
    image_size: int
    feature_dim: int
    fingerprint: str
    num_parameters: int
    layer: Any = dataclasses.field(repr=False)
    model_card: str | None = dataclasses.field(default=None, repr=False)
    _forward: Any = dataclasses.field(default=None, init=False, repr=False)
    modality: ClassVar[str] = "image"

    def key(self) -> str:
        """Returns the name of its folder in the feature cache."""
        return image_folder(self)

    def __post_init__(self):
        tf, _ = import_hub()
        # One tf.function for resize, scaling and network: one call a batch, and nothing in between to copy.
        forward = tf.function(lambda images: self.layer(self.preprocess(images)), autograph=False)
        object.__setattr__(self, "_forward", forward)

    def preprocess(self, images):
        """Resizes to `image_size` and scales to [0, 1], in TensorFlow, so that an export can contain it.

        Bilinear with antialiasing: an image that shrinks is low-pass filtered first (a 500-pixel photograph
        would otherwise keep one pixel in eight and alias); for an image that grows both ways are the same.

        Args:
            images: uint8 tensor `[batch, height, width, 3]`, sizes may be unknown.

        Returns:
            float32 tensor with values in [0, 1].

        Shapes:
            `[batch, height, width, 3]` -> `[batch, image_size, image_size, 3]`.
        """
        tf, _ = import_hub()
        size = [self.image_size, self.image_size]
        scaled = tf.cast(images, tf.float32) / 255.0
        if images.shape[1:3] != size:
            # The filter's weights sum to one only up to rounding, hence the clip.
            resized = tf.image.resize(scaled, size, method="bilinear", antialias=True)
            scaled = tf.clip_by_value(resized, 0.0, 1.0)
        return tf.ensure_shape(scaled, [None, *size, 3])

    def features(
        self,
        images: np.ndarray,
        *,
        batch_size: int | None = None,
        on_batch: Callable[[int], object] = lambda num_images: None,
    ) -> np.ndarray:
        """Computes the feature vector of every image; nothing is cached (`extract_features` does that).

        Args:
            images: uint8, all of one size.
            batch_size: Images per call of the network, at least 1; it changes speed and memory, not results.
            on_batch: Called with the number of images after each batch, e.g. a progress bar's `update`.

        Returns:
            float32 features.

        Shapes:
            `[num_images, height, width, 3]` -> `[num_images, feature_dim]`.

        Raises:
            UsageError: `images` is no uint8 array of that shape, or `batch_size` is below 1.
        """
        return run_in_batches(
            self.forward_fn, images, self.feature_dim, self.image_size, batch_size=batch_size, on_batch=on_batch
        )

    def forward_fn(self, height: int, width: int):
        """Returns the traced function uint8 `[batch, height, width, 3]` -> features, for any batch size."""
        tf, _ = import_hub()
        concrete = self._forward.get_concrete_function(tf.TensorSpec([None, height, width, 3], tf.uint8))
        return lambda batch: concrete(tf.constant(batch)).numpy()

    def serving_fn(self):
        """Returns a `tf.function` uint8 `[batch, height, width, 3]` of any size -> float32 features.

        For exporting: a `tf.Module` that calls it must also hold `layer` as an attribute, so that the
        variables are tracked.
        """
        tf, _ = import_hub()
        return tf.function(
            lambda images: self.layer(self.preprocess(images)),
            input_signature=[tf.TensorSpec([None, None, None, 3], tf.uint8, name="images")],
            autograph=False,
        )


def load_backbone(
    name: str | os.PathLike = "bundled", *, image_size: int | None = None, allow_unsafe: bool = False
) -> Backbone:
    """Loads a pre-trained image feature vector in TF-Hub format and checks that it behaves like one.

    The module is read through `hub.KerasLayer`. A URL is downloaded once, over https, into a folder of this user's
    alone (`tfhub` in the package's cache, or the environment variable `TFHUB_CACHE_DIR`).

    A SavedModel is a program: TensorFlow runs it with all of your rights. Its graph is therefore read first, and a
    module whose operations could touch files, processes, Python or other machines is refused before any of it runs.
    This does not protect against a fault in TensorFlow's harmless operations, or features made to mislead. What a
    URL gave this machine first is remembered (trust on first use, see `pins.check_pin`); append
    `#sha256=<fingerprint>` to a name, URL or folder to demand the files you mean. `"mobilenet_v2"` has no fingerprint
    built in.

    Args:
        name: `"bundled"` (needs no network), `"mobilenet_v2"`, the https URL of a TF2 image feature vector, or a
            folder that holds its SavedModel.
        image_size: Height and width in pixels, for a module that takes images of any size; 224 when not
            given. A module with a fixed size keeps its own.
        allow_unsafe: Load a module that reaches beyond a network, too. Only for makers whose programs you would run.
            The environment variable `FEDLEARN_EDU_ALLOW_UNSAFE=1` says the same for every module.

    Returns:
        The frozen backbone: float32 `[batch, image_size, image_size, 3]` in [0, 1] ->
        float32 `[batch, feature_dim]`.

    Raises:
        UsageError: Unknown name, a folder without a SavedModel, a SavedModel that is not a TF2 feature
            vector or could do more than compute one, or an `image_size` the module cannot take.
        RunError: The download failed, others could change its cached copy, the copy is damaged or has another
            fingerprint, or this process was forked from one that had used TensorFlow.

    References:
        Sandler, Howard, Zhu, Zhmoginov, Chen, "MobileNetV2: Inverted Residuals and Linear Bottlenecks",
        CVPR 2018, arXiv:1801.04381.
    """
    name, pinned, expected = os.fspath(name).partition("#sha256=")
    source = source_of(name)
    if image_size is not None and not 1 <= image_size <= MAX_IMAGE_SIZE:
        raise UsageError(f"image_size: expected pixels in [1, {MAX_IMAGE_SIZE}], got {image_size}")
    # TensorFlow is imported from here on; a wrong name above is answered at once.
    with resolve.open_module(source, name=name) as folder:
        fingerprint = pins.module_fingerprint(folder)
        pins.check_pin(source, fingerprint, expected=expected if pinned else None)
        layer = contract.load_layer(folder, name=name, allow_unsafe=allow_unsafe)
        card = contract.read_card(folder)
    size = contract.find_image_size(layer, name=name, image_size=image_size)
    return Backbone(
        name=name,
        source=source,
        image_size=size,
        feature_dim=contract.check_contract(layer, name=name, image_size=size),
        fingerprint=fingerprint,
        num_parameters=sum(int(np.prod(v.shape)) for v in layer.weights),
        layer=layer,
        model_card=card,
    )


def run_in_batches(forward_fn, images, dim, image_size, *, batch_size, on_batch) -> np.ndarray:
    """Returns float32 `[num_images, dim]`, what `forward_fn(height, width)` makes of the images, batch by batch."""
    images = check_images(images)
    import_hub()  # for its answer in a forked process
    batch_size = default_batch_size(image_size) if batch_size is None else batch_size
    if batch_size < 1:
        raise UsageError(f"batch_size: expected at least 1, got {batch_size}")
    rows = np.empty([len(images), dim], np.float32)
    if len(images):
        forward = forward_fn(*images.shape[1:3])
        for start in range(0, len(images), batch_size):
            batch = images[start : start + batch_size]
            rows[start : start + len(batch)] = forward(batch)
            on_batch(len(batch))
    return rows


def default_batch_size(image_size: int) -> int:
    """Returns how many images to give the network at once, a power of two from 1 to 64.

    Small on purpose: activations that stay below the C library's largest reusable block (32 MB) are not
    handed back to the system and zeroed again between two layers. At 224 pixels 4 images at a time were
    seen to be 1.5 to 2 times as quick as 32.

    Example:
        >>> default_batch_size(64), default_batch_size(224)
        (64, 4)
    """
    return 2 ** int(np.clip(np.round(np.log2(64 * (64 / image_size) ** 2)), 0, 6))


def check_images(images: np.ndarray) -> np.ndarray:
    """Returns `images` if it is a uint8 array `[num_images, height, width, 3]`, else raises UsageError."""
    images = images if isinstance(images, LazyImages) else np.asarray(images)
    if images.dtype != np.uint8 or images.ndim != 4 or images.shape[3] != 3 or 0 in images.shape[1:]:
        raise UsageError(
            f"images: expected a uint8 array [num_images, height, width, 3], got {images.dtype} {list(images.shape)}"
        )
    return images
