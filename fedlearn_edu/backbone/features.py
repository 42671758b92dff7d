"""Frozen features: every example goes through its encoder once, ever, and comes from the disk after that."""

from __future__ import annotations

import os
from typing import Any

import numpy as np

from fedlearn_edu.backbone.cache import FeatureStore
from fedlearn_edu.backbone.encoder import Encoder, example_key
from fedlearn_edu.backbone.hub import PREPROCESSING_VERSION, check_images
from fedlearn_edu.bars import progress_bar
from fedlearn_edu.cache_folder import cache_root
from fedlearn_edu.data.federated import FederatedDataset
from fedlearn_edu.data.lazy_images import LazyImages, keys_of
from fedlearn_edu.errors import UsageError

# An interrupted extraction loses at most this many examples.
CHUNK_IMAGES = 1024
_KINDS = {"image": "images", "text": "texts", "table": "tables", "ids": "ids"}


def extract_features(
    clients: FederatedDataset,
    backbone: Encoder,
    *,
    cache_dir: str | os.PathLike | None = None,
    batch_size: int | None = None,
    progress: bool = True,
) -> FederatedDataset:
    """Replaces every client's images, texts, ... by an encoder's features of them.

    A frozen backbone gives an image the same features in every round, so they are computed once. They are
    kept on disk under a hash of the image's pixels, in a folder named by the backbone's fingerprint, its
    image size and the preprocessing: another partition of the same images costs nothing, and of a folder
    with some new images only these are computed. In a real federation each client does this by itself, on
    its own device; no features or images travel.

    Args:
        clients: Who holds which example.
        backbone: From `load_backbone`, or any `Encoder` of the examples' kind.
        cache_dir: Folder of the cache; else the variable `FEDLEARN_EDU_CACHE`, else the user's cache folder.
        batch_size: Examples per call of the backbone; changes speed and memory, not results.
        progress: Show a progress bar while features are computed.

    Returns:
        The same clients, targets and splits over float32 features, with the backbone in their `provenance` and as
        their `encoder`.

    Shapes:
        `examples`: `[num_examples, height, width, 3]` -> `[num_examples, feature_dim]`.

    Raises:
        UsageError: `clients` holds features already, or examples of another kind than the backbone reads.
        RunError: The cache cannot be written: no room on the disk, or no permission.
    """
    check_encoder(clients, backbone)
    features = cached_features(
        clients.examples, backbone, cache_dir=cache_dir, batch_size=batch_size, progress=progress
    )
    return with_features(clients, features, backbone)


def check_encoder(clients: FederatedDataset, backbone: Encoder) -> None:
    """Raises UsageError if the clients hold features already, or examples that the encoder does not read."""
    reads = getattr(backbone, "modality", None)
    if clients.are_features and (clients.encoder is not None or clients.modality == reads):
        raise UsageError(
            f"clients: expected {_KINDS[clients.modality]}, got feature vectors; extract_features was called before"
        )
    if reads != clients.modality:
        raise UsageError(
            f"backbone: expected an encoder of {_KINDS[clients.modality]}, which {clients.name!r} holds, got "
            f"{getattr(backbone, 'name', type(backbone).__name__)!r} for {_KINDS.get(reads, 'nothing that is known')}"
        )


def with_features(clients: FederatedDataset, features: np.ndarray, backbone: Encoder) -> FederatedDataset:
    """Returns the same clients over features that an encoder made, which is recorded with them."""
    return clients.with_examples(features, encoder=backbone, backbone=describe_backbone(backbone))


def describe_backbone(backbone: Encoder) -> dict[str, Any]:
    """Returns what of a backbone or another encoder decides its features, for `FederatedDataset.provenance`."""
    whole = getattr(backbone, "backbone", backbone)  # of a split one
    described = {"name": whole.name, "fingerprint": backbone.fingerprint}
    if backbone.modality == "image":
        described |= {"image_size": backbone.image_size, "preprocessing_version": PREPROCESSING_VERSION}
    return described


def cached_features(
    inputs: np.ndarray | LazyImages,
    backbone: Encoder,
    *,
    cache_dir: str | os.PathLike | None = None,
    batch_size: int | None = None,
    progress: bool = True,
) -> np.ndarray:
    """Returns the features of images, texts, ..., computing only what the cache does not have.

    Images in files are decoded a chunk at a time, and those that the cache knows not at all.

    Shapes:
        Of images uint8 `[num_images, height, width, 3]` -> float32 `[num_images, feature_dim]`.

    Raises:
        UsageError: `inputs` should be images and are no uint8 array of that shape.
        RunError: The cache cannot be written.
    """
    if backbone.modality == "image":
        inputs = check_images(inputs)
        keys = keys_of(inputs)
    else:
        keys = [example_key(example) for example in inputs]
    first_row: dict[bytes, int] = {}
    for row, key in enumerate(keys):
        first_row.setdefault(key, row)  # examples that occur twice are computed once

    store = FeatureStore(cache_root(cache_dir), backbone.key(), backbone.feature_dim)
    features = np.empty([len(inputs), backbone.feature_dim], np.float32)
    found = store.read(first_row, features)
    missing = [key for key in first_row if key not in found]
    if missing:
        store.reserve(len(missing))
        with progress_bar(
            total=len(missing),
            desc="features",
            unit="image" if backbone.modality == "image" else "example",
            disable=not progress,
        ) as bar:
            for start in range(0, len(missing), CHUNK_IMAGES):
                chunk = missing[start : start + CHUNK_IMAGES]
                rows = [first_row[key] for key in chunk]
                features[rows] = backbone.features(inputs[rows], batch_size=batch_size, on_batch=bar.update)
                store.write(chunk, features[rows])
    if len(first_row) < len(inputs):
        features = features[[first_row[key] for key in keys]]
    return features
