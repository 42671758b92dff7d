"""ImageDataset: labelled images, as this package keeps them (RGB, 8 bits, one size)."""

from __future__ import annotations

import hashlib
import os

import numpy as np
import pandas as pd
from PIL import Image

from fedlearn_edu.bars import progress_bar
from fedlearn_edu.data.arguments import as_images
from fedlearn_edu.data.dataset import Dataset
from fedlearn_edu.data.task import Task
from fedlearn_edu.errors import RunError


class ImageDataset(Dataset):
    """Labelled images that nobody holds yet: a `Dataset` of images with a classification task.

    Lists, pandas Series and tensors are accepted in place of the arrays, and kept as arrays. `dataclasses.replace`
    takes the names below.

    Args:
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

    def __init__(
        self,
        name: str,
        images=None,
        labels=None,
        class_names=(),
        natural_client_ids=None,
        report: pd.DataFrame | None = None,
        is_test=None,
        **of_dataset,
    ):
        # `dataclasses.replace` hands over the fields of `Dataset`, too; what was named as above goes before them.
        super().__init__(
            name,
            as_images(of_dataset.get("inputs") if images is None else images),
            of_dataset.get("targets") if labels is None else labels,
            Task.classification(class_names),
            natural_client_ids=natural_client_ids,
            report=pd.DataFrame() if report is None else report,
            is_test=is_test,
        )

    @property
    def images(self) -> np.ndarray:
        return self.inputs


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
