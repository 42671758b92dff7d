"""ImageDataset: labelled images, as this package keeps them (RGB, 8 bits, one size)."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import os

import numpy as np
import pandas as pd
from PIL import Image

from fedlearn_edu.bars import progress_bar
from fedlearn_edu.data.arguments import as_class_names, as_flags, as_images, as_labels, as_owners
from fedlearn_edu.data.fingerprint import fingerprint_of
from fedlearn_edu.data.names import check_name
from fedlearn_edu.errors import RunError


@dataclasses.dataclass(frozen=True, eq=False)
class ImageDataset:
    """Labelled images that nobody holds yet; `partition` says who holds which.

    Lists, pandas Series and tensors are accepted in place of the arrays, and kept as arrays.

    Attributes:
        name: What the images are, e.g. `"fashion"`.
        images: uint8, shape `[num_images, height, width, 3]`, RGB, values 0 to 255; those of a folder are
            `LazyImages`, which stay in their files.
        labels: int32, shape `[num_images]`, values in `[0, num_classes)`.
        class_names: One name per label, all different; names that Unicode writes in several ways are kept in its
            composed form (NFC).
        natural_client_ids: The owner of each image, str or whole numbers, shape `[num_images]`, or None when it is not
            known. Text is kept in composed form, too.
        report: What was met while reading, one row per client or class folder; may be empty.
        is_test: bool, shape `[num_images]`: the test examples of a data set that comes with a split of its own, which
            `partition` then keeps; None if it has none.

    Raises:
        UsageError: The arrays do not fit together, an image has no owner where others have, or a name cannot be
            encoded as UTF-8 or has control characters.
    """

    name: str
    images: np.ndarray
    labels: np.ndarray
    class_names: tuple[str, ...]
    natural_client_ids: np.ndarray | None = None
    report: pd.DataFrame = dataclasses.field(default_factory=pd.DataFrame)
    is_test: np.ndarray | None = None

    def __post_init__(self):
        check_name("name", self.name, what="a data set")
        images, class_names = as_images(self.images), as_class_names(self.class_names)
        arrays = {
            "images": images,
            "labels": as_labels(self.labels, num_examples=len(images), num_classes=len(class_names)),
            "class_names": class_names,
        }
        if self.natural_client_ids is not None:
            arrays["natural_client_ids"] = as_owners(self.natural_client_ids, num_examples=len(images))
        if self.is_test is not None:
            arrays["is_test"] = as_flags("is_test", self.is_test, num_examples=len(images))
        for name, array in arrays.items():
            object.__setattr__(self, name, array)

    @property
    def num_classes(self) -> int:
        return len(self.class_names)

    @functools.cached_property
    def fingerprint(self) -> str:
        """A hash of images, labels, class names, owners and split; computed when it is first asked for."""
        parts = {field.name: getattr(self, field.name) for field in dataclasses.fields(self) if field.name != "report"}
        parts["images"] = getattr(self.images, "keys", self.images)  # of images in files, their hashes
        return fingerprint_of(parts)


def image_key(image: np.ndarray) -> bytes:
    """Returns the sha256 of an image's shape and bytes: equal pixels, equal key, whatever file they came from."""
    digest = hashlib.sha256(repr(image.shape).encode())
    digest.update(np.ascontiguousarray(image))
    return digest.digest()


def grey_to_rgb(grey: np.ndarray) -> np.ndarray:
    """Returns grey images `[..., height, width]` as `[..., height, width, 3]`, three equal channels.

    Example:
        >>> grey_to_rgb(np.zeros((5, 28, 28), np.uint8)).shape
        (5, 28, 28, 3)
    """
    return np.repeat(grey[..., np.newaxis], 3, axis=-1)


def resize_images(images: np.ndarray, *, image_size: int) -> np.ndarray:
    """Returns RGB images brought to `image_size` pixels a side by bilinear resampling.

    Args:
        images: uint8, shape `[num_images, height, width, 3]`.
        image_size: Height and width of the result in pixels, >= 1.
    """
    resized = allocate_images(len(images), image_size=image_size)
    for i, image in enumerate(progress_bar(images, desc="resizing images", unit="image", delay=1)):
        square = Image.fromarray(image).resize((image_size, image_size), Image.Resampling.BILINEAR)
        resized[i] = np.asarray(square)
    return resized


def allocate_images(num_images: int, *, image_size: int) -> np.ndarray:
    """Returns an uninitialised uint8 `[num_images, image_size, image_size, 3]`.

    Raises:
        RunError: This machine does not have that much memory. (Linux would promise it, and end the process later.)
    """
    num_bytes = num_images * image_size**2 * 3
    machine = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    if num_bytes > machine:
        raise RunError(
            f"image_size: {num_images:,} images of {image_size} x {image_size} pixels need {num_bytes / 1e9:.1f} GB, "
            f"this machine has {machine / 1e9:.1f} GB of memory; use a smaller image_size or fewer images"
        )
    return np.empty((num_images, image_size, image_size, 3), np.uint8)
