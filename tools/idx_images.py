"""Reads unlabelled images in the format MNIST and Fashion-MNIST come in."""

from __future__ import annotations

import gzip
import os

import numpy as np

from fedlearn_edu.errors import UsageError

_IDX_UINT8_IMAGES = 0x00000803


def read_idx_images(path: str | os.PathLike) -> np.ndarray:
    """Reads grey images from a gzipped IDX file, the format MNIST and Fashion-MNIST come in.

    Args:
        path: A `*-images-idx3-ubyte.gz` file.

    Returns:
        uint8 images, the grey value repeated in the three channels.

    Shapes:
        `[num_images, height, width, 3]`.

    Raises:
        UsageError: The file is missing or is no such file.
    """
    try:
        with gzip.open(path) as stream:
            data = stream.read()
    except (OSError, EOFError) as error:
        raise UsageError(f"fashion-train: cannot read {str(path)!r}: {error}") from None
    header = np.frombuffer(data[:16], ">u4")
    if len(header) != 4 or header[0] != _IDX_UINT8_IMAGES or len(data) != 16 + np.prod(header[1:], dtype=int):
        raise UsageError(f"fashion-train: expected a gzipped IDX file of uint8 images, got {str(path)!r}")
    grey = np.frombuffer(data, np.uint8, offset=16).reshape(header[1:])
    return np.repeat(grey[..., None], 3, axis=-1)
