"""Data sets fetched on demand through the field's own loaders, each kept in a cache and never half-written."""

from __future__ import annotations

import contextlib
import importlib
import io
import os
import pathlib
import socket
import tempfile
from collections.abc import Callable, Sequence

import numpy as np

from fedlearn_edu.bars import progress_bar
from fedlearn_edu.cache_folder import cache_root
from fedlearn_edu.data import class_names
from fedlearn_edu.data.folder import load_folder
from fedlearn_edu.data.images import ImageDataset, allocate_images, grey_to_rgb
from fedlearn_edu.errors import RunError, UsageError, nearest_names
from fedlearn_edu.folders import check_private, make_private, take_over
from fedlearn_edu.quiet import silence_import_noise

TIMEOUT_SECONDS = 30.0  # a connection that says nothing for so long is given up

FLOWERS_URL = "https://storage.googleapis.com/download.tensorflow.org/example_images/flower_photos.tgz"
# As recorded by TensorFlow Datasets (url_checksums/tf_flowers.txt).
FLOWERS_SHA256 = "4c54ace7911aaffe13a365c34f650e71dd5bf1be0a58b464e5a7183e3e595d9c"


def load_emnist(
    *,
    only_digits: bool = True,
    cache_dir: str | os.PathLike | None = None,
    max_clients: int | None = None,
    seed: int = 0,
) -> ImageDataset:
    """Loads the handwriting of 3,400 people, one natural client each, through TFF.

    It comes over https from TFF's own address; TFF's authors publish no checksum, so nothing else is verified.

    Args:
        only_digits: Ten digit classes (3,383 writers, 382,705 images), or all 62 (3,400 writers, 749,068 images).
        cache_dir: Where downloads are kept; None for `datasets` in the package's cache folder.
        max_clients: How many writers to load, drawn by `seed`; None for all (0.9 or 1.8 GB of memory).
        seed: Draws the writers.

    Returns:
        Dark ink on white, 28 x 28 pixels; each writer's training and test images together.

    Raises:
        RunError: It could not be downloaded.
        UsageError: `max_clients` is out of range.

    References:
        Caldas et al., LEAF: A Benchmark for Federated Settings, 2018, arXiv:1812.01097.
    """
    client_data = _tff_client_data("emnist", "emnist_all.sqlite", cache_dir, only_digits=only_digits)
    classes = class_names.EMNIST_DIGITS if only_digits else class_names.EMNIST
    images, labels, owners = _pool_clients(client_data, "pixels", max_clients=max_clients, seed=seed)
    return ImageDataset("emnist" if only_digits else "emnist_all", images, labels, classes, owners)


def load_cifar100(
    *, cache_dir: str | os.PathLike | None = None, max_clients: int | None = None, seed: int = 0
) -> ImageDataset:
    """Loads CIFAR-100's 50,000 training images as 500 clients of 100 images, through TFF.

    TFF's authors dealt them out so that a client's classes are related (Pachinko allocation). Their 100 further
    clients, who hold CIFAR-100's test images, are not used: here every client has a test split of its own.

    Args:
        cache_dir: Where downloads are kept; None for `datasets` in the package's cache folder.
        max_clients: How many clients to load, drawn by `seed`; None for all.
        seed: Draws the clients.

    Returns:
        Colour images of 32 x 32 pixels in 100 classes.

    Raises:
        RunError: It could not be downloaded.
        UsageError: `max_clients` is out of range.

    References:
        Reddi et al., Adaptive Federated Optimization, ICLR 2021, arXiv:2003.00295.
    """
    train, _ = _tff_client_data("cifar100", "cifar100.sqlite", cache_dir)
    images, labels, owners = _pool_clients([train], "image", max_clients=max_clients, seed=seed)
    # "7" -> "007": ids of one length sort as numbers do.
    owners = np.char.zfill(owners, 3)
    return ImageDataset("cifar100", images, labels, class_names.CIFAR100, owners)


def load_flowers(
    *, cache_dir: str | os.PathLike | None = None, image_size: int = 224, on_broken: str = "refuse"
) -> ImageDataset:
    """Loads 3,670 photographs of five kinds of flowers (the archive behind `tf_flowers`, 229 MB, sha256 checked).

    Args:
        cache_dir: Where downloads are kept; None for `datasets` in the package's cache folder.
        image_size: Height and width of every image in pixels, >= 1.
        on_broken: As in `load_folder`.

    Raises:
        RunError: It could not be downloaded.

    References:
        The TensorFlow Team, Flowers, 2019. Photographs under CC-BY, each named in the archive's LICENSE.txt.
    """

    def fetch(staging):
        _get_file("flower_photos.tgz", FLOWERS_URL, staging, file_hash=FLOWERS_SHA256, extract=True)

    folder = _cached("flowers", "flower_photos", cache_dir, fetch, source=FLOWERS_URL)
    return load_folder(folder, image_size=image_size, on_broken=on_broken)


def load_medmnist(flag: str, *, cache_dir: str | os.PathLike | None = None) -> ImageDataset:
    """Loads one of MedMNIST's two-dimensional, single-label sets, all its splits together.

    Addresses, checksums (MD5; every download has to match), class names and licences are those of the `medmnist`
    package. Its loader class is not used: it needs PyTorch, whose newer versions need a typing-extensions that
    TensorFlow Federated does not allow.

    Args:
        flag: The set, e.g. `"pathmnist"` (28 x 28 pixels), or its larger edition, e.g. `"pathmnist_64"`.
        cache_dir: Where downloads are kept; None for `datasets` in the package's cache folder.

    Raises:
        RunError: The package is missing, or the set could not be downloaded.
        UsageError: MedMNIST has no such set, or it is no single-label set of images.

    References:
        Yang et al., MedMNIST v2, Scientific Data 2023, arXiv:2110.14795.
    """
    table = _medmnist_info()
    name, _, size = flag.partition("_")
    name_of_dataset, info, url_key = f"medmnist:{flag}", table.get(name), f"url_{size}" if size else "url"
    if info is None:
        raise UsageError(f"dataset: MedMNIST has no {name!r}; {nearest_names(name, table)}")
    if url_key not in info:
        raise UsageError(f"dataset: MedMNIST has {name!r} in 28, 64, 128 and 224 pixels, got {flag!r}")
    if "multi-label" in info["task"] or name.endswith("3d"):
        raise UsageError(f"dataset: {name_of_dataset!r} is not supported (expected 2-D images with one label each)")

    def fetch(staging):
        _get_file(f"{flag}.npz", info[url_key], staging, file_hash=info[url_key.replace("url", "MD5")])

    path = _cached(name_of_dataset, f"{flag}.npz", cache_dir, fetch, source=info[url_key])
    splits = ("train", "val", "test")
    with np.load(path) as arrays:
        counts = [info["n_samples"][split] for split in splits]
        images = allocate_images(sum(counts), image_size=int(size or 28))
        for split, end in zip(splits, np.cumsum(counts), strict=True):
            part = arrays[f"{split}_images"]
            images[end - len(part) : end] = part if part.ndim == 4 else grey_to_rgb(part)
        labels = np.concatenate([arrays[f"{split}_labels"] for split in splits]).reshape(-1).astype(np.int32)
    names = tuple(info["label"][str(i)] for i in range(len(info["label"])))
    return ImageDataset(name_of_dataset, images, labels, names)


def _medmnist_info() -> dict:
    """Returns MedMNIST's own table of its sets; importing it needs neither PyTorch nor a network."""
    try:
        # The package prints an advice when PyTorch is missing.
        with contextlib.redirect_stdout(io.StringIO()):
            return importlib.import_module("medmnist").INFO
    except ImportError as error:
        raise RunError("dataset: 'medmnist:...' needs the package medmnist: pip install --no-deps medmnist") from error


def _tff_client_data(name: str, filename: str, cache_dir: str | os.PathLike | None, **arguments) -> tuple:
    """Returns TFF's (train, test) ClientData of the data set `name`."""
    silence_import_noise()
    import tensorflow_federated as tff

    load_data = getattr(tff.simulation.datasets, name).load_data

    def fetch(staging):
        # TFF writes to the final name while it downloads and would take a part for the whole next time. Opening
        # the part as a database, which load_data does, fails.
        load_data(cache_dir=str(staging), **arguments)

    path = _cached(name, filename, cache_dir, fetch, source="tff.simulation.datasets")
    return load_data(cache_dir=str(path.parent), **arguments)


def _pool_clients(
    splits: Sequence, image_key: str, *, max_clients: int | None, seed: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Returns the `(images, labels, owners)` of TFF ClientData objects in one place.

    Args:
        splits: ClientData whose examples have `image_key` (uint8, or float32 in [0, 1]) and `label`.
        image_key: Name of the image in an example.
        max_clients: How many clients, drawn by `seed`; None for all.
        seed: Draws the clients.
    """
    import tensorflow as tf

    client_ids = sorted({client_id for split in splits for client_id in split.client_ids})
    if max_clients is not None:
        if not 1 <= max_clients <= len(client_ids):
            raise UsageError(f"max_clients: expected 1 to {len(client_ids)}, got {max_clients}")
        client_ids = sorted(np.random.default_rng(seed).choice(client_ids, max_clients, replace=False).tolist())
    parts = []
    progress = progress_bar(desc="reading clients", unit="image", delay=1)
    for split in splits:

        def examples_of(client_id, split=split):
            return split.serializable_dataset_fn(client_id).map(
                lambda example: (client_id, example[image_key], tf.cast(example["label"], tf.int32))
            )

        held = sorted(set(client_ids).intersection(split.client_ids))
        # One pipeline for all clients: building one per client costs more than reading its images.
        pooled = tf.data.Dataset.from_tensor_slices(held).flat_map(examples_of).batch(1024)
        for owners, images, labels in pooled.as_numpy_iterator():
            if images.dtype != np.uint8:
                images = np.rint(255 * images).astype(np.uint8)
            parts.append((images, labels, np.char.decode(owners.astype(bytes), "utf-8")))
            progress.update(len(labels))
    progress.close()
    images, labels, owners = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
    return (images if images.ndim == 4 else grey_to_rgb(images)), labels, owners


def _get_file(name: str, url: str, folder: pathlib.Path, **arguments) -> None:
    """Downloads with Keras' own progress bar, over https alone, and checks the hash."""
    if url.startswith("http:"):
        raise RunError(f"expected a URL that begins with https://, got {url}")
    silence_import_noise()
    import tensorflow as tf

    tf.keras.utils.get_file(name, url, cache_dir=str(folder), cache_subdir="", **arguments)


def _cached(
    name: str,
    target: str,
    cache_dir: str | os.PathLike | None,
    fetch: Callable[[pathlib.Path], None],
    *,
    source: str,
) -> pathlib.Path:
    """Returns the file or folder `target` in the cache; at first use `fetch(staging)` makes it.

    It is made in a staging folder and moved into place when it is complete.

    Raises:
        RunError: The cache cannot be written, other users could change it, or fetching failed or met a silence of
            `TIMEOUT_SECONDS`.
    """
    root = pathlib.Path(cache_dir).expanduser() if cache_dir else cache_root() / "datasets"
    trust = {"what": "cache_dir", "advice": "chmod go-w it, or choose a folder of your own"}
    check_private(root / target, **trust)
    if (root / target).exists():
        return root / target
    try:
        make_private(root, **trust)
        staging_folder = tempfile.TemporaryDirectory(prefix=".partial-", dir=root)
    except OSError as error:
        raise RunError(f"cache_dir: cannot write to {str(root)!r}: {error.strerror}") from error
    with staging_folder as staging:
        try:
            with _give_up_on_silence():
                fetch(pathlib.Path(staging))
            take_over(pathlib.Path(staging, target))
            if not (root / target).exists():  # else another process was faster; its result stands
                os.replace(pathlib.Path(staging, target), root / target)
        except Exception as error:  # Keras raises bare Exception, TFF whatever urllib, lzma or sqlite raise
            reason = " ".join(f"{type(error).__name__}: {error}".split())
            raise RunError(
                f"dataset: {name!r} could not be downloaded from {source} into {str(root)!r} ({reason[:300]}); check "
                "network, proxy and disk space, or use dataset 'fashion', which works offline"
            ) from error
    return root / target


@contextlib.contextmanager
def _give_up_on_silence():
    """Gives every new connection a time limit; none of the loaders above takes one as an argument."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(TIMEOUT_SECONDS)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)
