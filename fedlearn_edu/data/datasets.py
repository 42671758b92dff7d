"""The data sets known by name, and the one door to all of them and to a folder of the user's own."""

from __future__ import annotations

import dataclasses
import importlib.resources
import lzma
import os
import pathlib
from collections.abc import Callable
from typing import Unpack

import numpy as np
import pandas as pd

from fedlearn_edu.checks import check_seed
from fedlearn_edu.data import class_names, download
from fedlearn_edu.data.dataset import Dataset
from fedlearn_edu.data.folder import load_folder
from fedlearn_edu.data.images import ImageDataset, grey_to_rgb, resize_images
from fedlearn_edu.data.names import quoted
from fedlearn_edu.data.own_files import TableArguments, load_own, refuse_columns
from fedlearn_edu.errors import UsageError, nearest_names

__all__ = ["ImageDataset", "dataset_names", "load_dataset"]

PHOTO_SIZE = 224  # pixels; what most image backbones were trained on


@dataclasses.dataclass(frozen=True)
class _Options:
    """The arguments of `load_dataset`, for the loaders that have a use for them."""

    photo_size: int
    cache_dir: str | os.PathLike | None
    max_clients: int | None
    seed: int
    on_broken: str

    @property
    def sampled(self) -> dict:
        return {"cache_dir": self.cache_dir, "max_clients": self.max_clients, "seed": self.seed}

    @property
    def photos(self) -> dict:
        return {"image_size": self.photo_size, "on_broken": self.on_broken}


@dataclasses.dataclass(frozen=True)
class _Entry:
    """One data set of the registry: what `dataset_names` tells of it, and how it is loaded."""

    description: str
    num_images: int
    num_classes: int
    num_clients: int  # natural ones; 0 if the owners are not known
    licence: str
    origin: str
    source: str
    load: Callable[[_Options], ImageDataset]


def load_dataset(
    name_or_dir: str | os.PathLike,
    *,
    image_size: int | None = None,
    cache_dir: str | os.PathLike | None = None,
    max_clients: int | None = None,
    seed: int = 0,
    on_broken: str = "refuse",
    **of_table: Unpack[TableArguments],
) -> Dataset:
    """Loads a data set by name, or a folder of images or texts or a table of the user's own.

    `"fashion"` and `"emoji"` are part of the package and need no network; `dataset_names` lists the others, which are
    downloaded at first use. A folder holds `DIR/<class>/<image>` or `DIR/<client>/<class>/<image>` (see
    `load_folder`), or `.txt` files in their place (see `load_texts`). A CSV file is a table, or with `text` the texts
    in one of its columns (see `load_table`). A known name goes before a folder of the same name; write `"./fashion"`
    for the folder.

    Args:
        name_or_dir: A known name, an existing folder or a CSV file.
        image_size: Height and width of every image in pixels, 8 to 1024. None keeps the own size of sets whose
            images all have one (`fashion`: 28, `emoji`: 64) and brings photographs to 224. Photographs stay
            in their files; other images are kept in memory, `num_images * image_size**2 * 3` bytes: `fashion` takes
            24 MB at 28 pixels and 1.5 GB at 224.
        cache_dir: Where downloads are kept; None for this user's cache folder.
        max_clients: How many natural clients to load, drawn by `seed`; None for all. Only for downloaded sets
            that have natural clients.
        seed: Draws the `max_clients` clients.
        on_broken: For photographs: `"refuse"` raises if one cannot be read, `"skip"` leaves it out, counts it in
            the report and prints a warning.
        **of_table: Of a table: `target`, `client`, `text`, `task`, `positive`, `unit`, `ignore`, `categories`,
            `encoding`, as in `load_table`; `encoding` also of a folder of texts.

    Returns:
        Examples, targets, what is asked of them, and the owners where they are known; an `ImageDataset` for images.

    Raises:
        UsageError: No such name, folder or file, or one that cannot be used, or an argument out of range or of no use.
        RunError: The data set could not be downloaded, or a table does not fit into memory.

    Example:
        >>> fashion = load_dataset("fashion")
        >>> fashion.images.shape, fashion.class_names[:2]
        ((10000, 28, 28, 3), ('T-shirt/top', 'Trouser'))
    """
    if image_size is not None and not (isinstance(image_size, int) and 8 <= image_size <= 1024):
        raise UsageError(
            f"image_size: expected a whole number of pixels from 8 to 1024, or None, got {quoted(image_size)}"
        )
    options = _Options(image_size or PHOTO_SIZE, cache_dir, max_clients, check_seed(seed), on_broken)
    try:
        name, entries = os.fsdecode(name_or_dir), _ENTRIES
    except TypeError as error:
        raise UsageError(f"dataset: expected a known name or a folder, got {quoted(name_or_dir)}") from error
    if max_clients is not None and not (name in entries and entries[name].source == _TFF):
        raise UsageError(
            f"max_clients: only for {', '.join(n for n in entries if entries[n].source == _TFF)}, "
            f"got {quoted(max_clients)} for {quoted(name)}; limit the clients with partition(..., num_clients=...)"
        )
    if name not in entries and (own := load_own(name, of_table)) is not None:
        return own
    refuse_columns(name, of_table)
    if name in entries:
        dataset = entries[name].load(options)
    elif name.startswith("medmnist:"):  # the larger editions, such as medmnist:pathmnist_64, are not listed
        dataset = download.load_medmnist(name.removeprefix("medmnist:"), cache_dir=cache_dir)
    elif isinstance(name_or_dir, pathlib.Path) or os.sep in name or os.path.isdir(name):
        return load_folder(name, **options.photos)
    else:
        raise UsageError(
            f"dataset: expected a known name or an existing folder, got {quoted(name)}; {nearest_names(name, entries)}"
        )
    if image_size is None or dataset.images.shape[1:3] == (image_size, image_size):
        return dataset
    return dataclasses.replace(dataset, images=resize_images(dataset.images, image_size=image_size))


def dataset_names() -> pd.DataFrame:
    """Returns the data sets that `load_dataset` knows by name.

    Returns:
        DataFrame with one row per data set (index `name`) and the columns `description`, `num_images`,
        `num_classes`, `num_clients` (natural ones, 0 if unknown), `licence`, `origin`, and `source` (`"bundled"`,
        or what fetches it at first use).

    Example:
        >>> dataset_names().loc["fashion", ["num_images", "source"]].tolist()
        [10000, 'bundled']
    """
    rows = {name: dataclasses.asdict(entry) for name, entry in _ENTRIES.items()}
    return pd.DataFrame.from_dict(rows, orient="index").drop(columns="load").rename_axis("name")


_TFF = "tff.simulation.datasets"


def _load_fashion(options: _Options) -> ImageDataset:
    images, labels = (_read_asset(f"fashion_{part}.npy.xz") for part in ("images", "labels"))
    return ImageDataset("fashion", grey_to_rgb(images), labels.astype(np.int32), class_names.FASHION)


def _read_asset(filename: str) -> np.ndarray:
    with _asset(filename).open("rb") as packed, lzma.open(packed) as file:
        return np.load(file)


def _asset(filename: str):
    return importlib.resources.files("fedlearn_edu.data") / "assets" / filename


def _load_emoji(options: _Options) -> ImageDataset:
    indices, palettes = (_read_asset(f"emoji_{part}.npy.xz") for part in ("indices", "palettes"))
    with importlib.resources.as_file(_asset("emoji.csv.xz")) as path:
        table = pd.read_csv(path)
    groups = list(dict.fromkeys(table["group"]))  # the first vendor has them all, in Unicode's order
    colours = np.take_along_axis(palettes, indices.reshape(len(indices), -1, 1), axis=1)
    return ImageDataset(
        "emoji",
        colours.reshape(*indices.shape, 3),
        table["group"].map(groups.index).to_numpy(np.int32),
        tuple(groups),
        natural_client_ids=table["vendor"].to_numpy("U"),
        report=table,
        is_test=table["is_test"].to_numpy(bool),
    )


def _medmnist(
    flag: str, description: str, num_images: int, num_classes: int, licence: str = "CC BY 4.0"
) -> tuple[str, _Entry]:
    return f"medmnist:{flag}", _Entry(
        description=f"{description}, 28 x 28",
        num_images=num_images,
        num_classes=num_classes,
        num_clients=0,
        licence=licence,
        origin="Yang et al. 2023, arXiv:2110.14795",
        source="medmnist",
        load=lambda options: download.load_medmnist(flag, cache_dir=options.cache_dir),
    )


_ENTRIES = {
    "fashion": _Entry(
        description="articles of clothing, grey, 28 x 28 (Fashion-MNIST's test images)",
        num_images=10_000,
        num_classes=10,
        num_clients=0,
        licence="MIT",
        origin="Xiao et al. 2017, arXiv:1708.07747",
        source="bundled",
        load=_load_fashion,
    ),
    "emoji": _Entry(
        description="emoji in Unicode's nine groups as four vendors draw them, colour, 64 x 64",
        num_images=6_482,
        num_classes=9,
        num_clients=4,
        licence="Apache 2.0, CC BY 4.0, MIT (by vendor)",
        origin="Noto, Twemoji, Fluent, EmojiOne",
        source="bundled",
        load=_load_emoji,
    ),
    "emnist": _Entry(
        description="handwritten digits by writer, grey, 28 x 28",
        num_images=382_705,
        num_classes=10,
        num_clients=3_383,
        licence="none stated (NIST Special Database 19)",
        origin="Caldas et al. 2018, arXiv:1812.01097",
        source=_TFF,
        load=lambda options: download.load_emnist(**options.sampled),
    ),
    "emnist_all": _Entry(
        description="handwritten digits and letters by writer, grey, 28 x 28",
        num_images=749_068,
        num_classes=62,
        num_clients=3_400,
        licence="none stated (NIST Special Database 19)",
        origin="Caldas et al. 2018, arXiv:1812.01097",
        source=_TFF,
        load=lambda options: download.load_emnist(only_digits=False, **options.sampled),
    ),
    "cifar100": _Entry(
        description="things and animals, colour, 32 x 32, clients with related classes",
        num_images=50_000,
        num_classes=100,
        num_clients=500,
        licence="none stated",
        origin="Krizhevsky 2009; clients by Reddi et al. 2021, arXiv:2003.00295",
        source=_TFF,
        load=lambda options: download.load_cifar100(**options.sampled),
    ),
    "flowers": _Entry(
        description="photographs of flowers, colour, several sizes",
        num_images=3_670,
        num_classes=5,
        num_clients=0,
        licence="CC BY (each photographer named in the archive)",
        origin="The TensorFlow Team 2019 (tf_flowers)",
        source="tf.keras.utils.get_file",
        load=lambda options: download.load_flowers(cache_dir=options.cache_dir, **options.photos),
    ),
    **dict(
        [
            _medmnist("pathmnist", "colon tissue under the microscope, colour", 107_180, 9),
            _medmnist("dermamnist", "skin lesions, colour", 10_015, 7, "CC BY-NC 4.0"),
            _medmnist("octmnist", "retina by optical coherence tomography, grey", 109_309, 4),
            _medmnist("pneumoniamnist", "chest X-rays of children, grey", 5_856, 2),
            _medmnist("retinamnist", "retina photographs, colour", 1_600, 5),
            _medmnist("breastmnist", "breast ultrasound, grey", 780, 2),
            _medmnist("bloodmnist", "blood cells under the microscope, colour", 17_092, 8),
            _medmnist("tissuemnist", "kidney cells under the microscope, grey", 236_386, 8),
            _medmnist("organamnist", "abdominal CT, axial, grey", 58_830, 11),
            _medmnist("organcmnist", "abdominal CT, coronal, grey", 23_583, 11),
            _medmnist("organsmnist", "abdominal CT, sagittal, grey", 25_211, 11),
        ]
    ),
}
