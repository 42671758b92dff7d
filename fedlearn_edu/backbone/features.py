"""Frozen features: every image goes through the backbone once, ever, and comes from the disk after that."""

from __future__ import annotations

import os
from typing import Any

import numpy as np

from fedlearn_edu.backbone.cache import FeatureStore
from fedlearn_edu.backbone.hub import PREPROCESSING_VERSION, Backbone, check_images
from fedlearn_edu.bars import progress_bar
from fedlearn_edu.cache_folder import cache_root
from fedlearn_edu.data.federated import FederatedDataset
from fedlearn_edu.data.lazy_images import LazyImages, keys_of
from fedlearn_edu.errors import UsageError

# An interrupted extraction loses at most this many images.
CHUNK_IMAGES = 1024


def extract_features(
    clients: FederatedDataset,
    backbone: Backbone,
    *,
    cache_dir: str | os.PathLike | None = None,
    batch_size: int | None = None,
    progress: bool = True,
) -> FederatedDataset:
    """Replaces every client's images by the backbone's features of them.

    A frozen backbone gives an image the same features in every round, so they are computed once. They are
    kept on disk under a hash of the image's pixels, in a folder named by the backbone's fingerprint, its
    image size and the preprocessing: another partition of the same images costs nothing, and of a folder
    with some new images only these are computed. In a real federation each client does this by itself, on
    its own device; no features or images travel.

    Args:
        clients: Who holds which image.
        backbone: From `load_backbone`.
        cache_dir: Folder of the cache; else the variable `FEDLEARN_EDU_CACHE`, else the user's cache folder.
        batch_size: Images per call of the backbone; changes speed and memory, not results.
        progress: Show a progress bar while images are computed.

    Returns:
        The same clients, labels and splits over float32 features, with the backbone in their `provenance`.

    Shapes:
        `examples`: `[num_examples, height, width, 3]` -> `[num_examples, feature_dim]`.

    Raises:
        UsageError: `clients` holds no images (e.g. features already).
        RunError: The cache cannot be written: no room on the disk, or no permission.
    """
    if clients.examples.ndim == 2:
        raise UsageError("clients: expected images, got feature vectors; extract_features was called before")
    features = cached_features(
        clients.examples, backbone, cache_dir=cache_dir, batch_size=batch_size, progress=progress
    )
    return clients.with_examples(features, backbone=describe_backbone(backbone))


def describe_backbone(backbone: Backbone) -> dict[str, Any]:
    """Returns what of a backbone decides its features, for `FederatedDataset.provenance`."""
    whole = getattr(backbone, "backbone", backbone)  # of a split one
    return {
        "name": whole.name,
        "fingerprint": backbone.fingerprint,
        "image_size": backbone.image_size,
        "preprocessing_version": PREPROCESSING_VERSION,
    }


def cached_features(
    images: np.ndarray | LazyImages,
    backbone: Backbone,
    *,
    cache_dir: str | os.PathLike | None = None,
    batch_size: int | None = None,
    progress: bool = True,
) -> np.ndarray:
    """Returns the features of images, computing only what the cache does not have.

    Images in files are decoded a chunk at a time, and those that the cache knows not at all.

    Shapes:
        uint8 `[num_images, height, width, 3]` -> float32 `[num_images, feature_dim]`.

    Raises:
        UsageError: `images` is no uint8 array of that shape.
        RunError: The cache cannot be written.
    """
    images = check_images(images)
    keys = keys_of(images)
    first_row: dict[bytes, int] = {}
    for row, key in enumerate(keys):
        first_row.setdefault(key, row)  # images that occur twice are computed once

    identity = f"{backbone.fingerprint[:32]}-{backbone.image_size}px-v{PREPROCESSING_VERSION}"
    store = FeatureStore(cache_root(cache_dir), identity, backbone.feature_dim)
    features = np.empty([len(images), backbone.feature_dim], np.float32)
    found = store.read(first_row, features)
    missing = [key for key in first_row if key not in found]
    if missing:
        store.reserve(len(missing))
        with progress_bar(total=len(missing), desc="features", unit="image", disable=not progress) as bar:
            for start in range(0, len(missing), CHUNK_IMAGES):
                chunk = missing[start : start + CHUNK_IMAGES]
                rows = [first_row[key] for key in chunk]
                features[rows] = backbone.features(images[rows], batch_size=batch_size, on_batch=bar.update)
                store.write(chunk, features[rows])
    if len(first_row) < len(images):
        features = features[[first_row[key] for key in keys]]
    return features
