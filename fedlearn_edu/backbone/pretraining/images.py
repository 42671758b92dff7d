"""The public images of a pre-training run: named data sets, folders and arrays, brought into one shape."""

from __future__ import annotations

import dataclasses
import os
import pathlib
from typing import Any

import numpy as np

from fedlearn_edu.backbone.hub import check_images
from fedlearn_edu.bars import progress_bar
from fedlearn_edu.data.datasets import dataset_names, load_dataset
from fedlearn_edu.data.image_files import UnreadableImageError, decode_image, is_image_name
from fedlearn_edu.data.images import ImageDataset, allocate_images
from fedlearn_edu.errors import UsageError

Source = Any  # str | os.PathLike | ImageDataset | np.ndarray
HELD_OUT = 0.1  # of the images
_UNKNOWN = "not known to the program that wrote this card"


@dataclasses.dataclass(frozen=True)
class PublicImages:
    """Images to pre-train on.

    Attributes:
        groups: uint8 `[num_images, height, width, 3]` of each source.
        names: Of each source.
        licences: Of each source, as far as it is known.
        labels: int32 `[all images]`, numbers into `class_names`; None without labels.
        held_out: bool `[all images]`: True is not trained on.
        class_names: Classes of all sources side by side; empty without labels.
    """

    groups: list[np.ndarray]
    names: list[str]
    licences: list[str]
    labels: np.ndarray | None
    held_out: np.ndarray
    class_names: tuple[str, ...]


def gather_images(sources, *, with_labels: bool, size: int, max_images: int | None, seed: int) -> PublicImages:
    """Loads every source, draws from it if it is larger than wanted, and holds out a tenth.

    Args:
        sources: One source or a list: name, folder, `ImageDataset` or, without labels, a uint8 array.
        with_labels: Whether classes are needed.
        size: Pixels to which photographs of different sizes are brought.
        max_images: From each source at most.
        seed: Of what is drawn and held out.

    Raises:
        UsageError: Nothing usable, or with labels one class only.
    """
    sources = list(sources) if isinstance(sources, list | tuple) else [sources]
    if not sources:
        raise UsageError("images: expected at least one data set, folder or array, got none")
    groups, names, licences, labels, held_out, class_names = [], [], [], [], [], []
    for number, source in enumerate(sources):
        dataset, licence = _load(source, with_labels=with_labels, size=size)
        rng = np.random.default_rng([seed, number])
        rows = np.arange(len(dataset.images))
        if max_images is not None and len(rows) > max_images:
            rows = np.sort(rng.permutation(rows)[:max_images])
        if len(rows) < 20:
            raise UsageError(f"images: expected at least 20 images in {dataset.name!r}, got {len(rows)}")
        test = np.zeros(len(rows), bool) if dataset.is_test is None else dataset.is_test[rows]
        if not test.any():
            test[rng.permutation(len(rows))[: round(HELD_OUT * len(rows))]] = True
        groups.append(dataset.images[rows])
        names.append(dataset.name)
        licences.append(licence)
        held_out.append(test)
        if with_labels:
            labels.append(len(class_names) + dataset.labels[rows])
            prefix = f"{dataset.name}: " if len(sources) > 1 else ""
            class_names += [prefix + name for name in dataset.class_names]
    if with_labels:
        present = np.unique(np.concatenate(labels)[~np.concatenate(held_out)])
        if len(present) < 2:
            found = class_names[present[0]] if len(present) else "none"
            raise UsageError(
                f"images: expected at least two classes for method 'supervised', got only {found!r}; "
                "without classes there is method 'distil'"
            )
    return PublicImages(
        groups=groups,
        names=names,
        licences=licences,
        labels=np.concatenate(labels).astype(np.int32) if with_labels else None,
        held_out=np.concatenate(held_out),
        class_names=tuple(class_names),
    )


def _load(source, *, with_labels: bool, size: int) -> tuple[ImageDataset, str]:
    """Returns one source as a data set (labels are all 0 where none are needed), and its licence."""
    if isinstance(source, ImageDataset):
        return source, _UNKNOWN
    if isinstance(source, np.ndarray):
        if with_labels:
            raise UsageError(
                "images: an array has no classes; method 'supervised' takes an ImageDataset, a name or a folder"
            )
        return _unlabelled("an array of images", check_images(source)), _UNKNOWN
    if not isinstance(source, str | os.PathLike):
        raise UsageError(
            f"images: expected a name, a folder, an ImageDataset or a uint8 array, got {type(source).__name__}"
        )
    known = dataset_names()
    name = os.fspath(source)
    if name in known.index:
        return load_dataset(name), known.loc[name, "licence"]
    folder = pathlib.Path(name).expanduser()
    if not with_labels and folder.is_dir():
        return _unlabelled(folder.resolve().name, _read_images(folder, size=size)), _UNKNOWN
    return load_dataset(name, image_size=size), _UNKNOWN


def _unlabelled(name: str, images: np.ndarray) -> ImageDataset:
    return ImageDataset(name, images, np.zeros(len(images), np.int32), ("image",))


def _read_images(folder: pathlib.Path, *, size: int) -> np.ndarray:
    """Reads every image in a folder and the folders in it, in the order of their paths."""
    paths = [path for path in sorted(folder.rglob("*")) if is_image_name(path.name) and path.is_file()]
    if not paths:
        raise UsageError(f"images: expected images in the folder {str(folder)!r}, found none")
    images = allocate_images(len(paths), image_size=size)
    for row, path in enumerate(progress_bar(paths, desc="read", unit="image", leave=False)):
        try:
            images[row] = decode_image(path, image_size=size).pixels
        except UnreadableImageError as error:
            raise UsageError(f"images: {str(path)!r} cannot be read ({error}); repair or remove it") from None
    return images
