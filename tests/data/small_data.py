"""What several tests of the data room need: small labelled data sets and small image folders."""

import pathlib

import numpy as np
from PIL import Image

from fedlearn_edu.data.images import ImageDataset


def make_dataset(labels, owners=None) -> ImageDataset:
    """Returns one-pixel images whose colour is the row number."""
    labels = np.asarray(labels, np.int32)
    rows = np.arange(len(labels))
    images = np.stack([rows // 65536, rows // 256 % 256, rows % 256], axis=-1).astype(np.uint8)
    return ImageDataset(
        name="toy",
        images=images.reshape(-1, 1, 1, 3),
        labels=labels,
        class_names=tuple(f"class {i}" for i in range(labels.max() + 1)),
        natural_client_ids=None if owners is None else np.asarray(owners),
    )


def write_images(folder: pathlib.Path, *paths: str) -> pathlib.Path:
    """Writes one small image at each path below the folder; its red value is its place among `paths`."""
    for i, path in enumerate(paths):
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (10, 12), (i, 100, 200)).save(folder / path)
    return folder
