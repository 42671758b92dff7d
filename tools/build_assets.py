"""Builds the bundled `fashion` data set from the files its authors publish.

    python tools/build_assets.py --images t10k-images-idx3-ubyte.gz --labels t10k-labels-idx1-ubyte.gz

Run again, it writes the same bytes. xz of the raw array was the smallest of the simple lossless ways: 3.78 MB, against
3.96 MB as WebP and 4.07 MB as an optimised PNG mosaic, and it needs nothing but the standard library to read.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import io
import lzma
import math
import os
import pathlib
import zlib

import numpy as np

from fedlearn_edu.errors import FedlearnError, UsageError

ASSETS = pathlib.Path(__file__).parent.parent / "fedlearn_edu" / "data" / "assets"
_UNSIGNED_BYTES = 0x08  # IDX's code for the type of its numbers


def read_idx(path: str | os.PathLike) -> np.ndarray:
    """Reads a gzip-compressed IDX file (MNIST's format) of unsigned bytes.

    Args:
        path: The file. Its header is two zero bytes, a type code, the number of dimensions, and one 32-bit
            big-endian length per dimension.

    Returns:
        uint8, in the shape that the header states.

    Raises:
        UsageError: The file is missing, damaged, or no IDX file of unsigned bytes.
    """
    try:
        content = gzip.decompress(pathlib.Path(path).read_bytes())
    except (OSError, EOFError, zlib.error) as error:
        raise UsageError(f"idx file: cannot read {os.fspath(path)!r}: {error}") from error
    if len(content) < 4 or len(content) < 4 + 4 * content[3] or content[:3] != bytes([0, 0, _UNSIGNED_BYTES]):
        raise UsageError(f"idx file: expected an IDX file of unsigned bytes, got {os.fspath(path)!r}")
    start = 4 + 4 * content[3]
    shape = np.frombuffer(content[4:start], ">u4").tolist()
    if len(content) - start != math.prod(shape):
        raise UsageError(f"idx file: {os.fspath(path)!r} should hold {shape} bytes, got {len(content) - start}")
    return np.frombuffer(content, np.uint8, offset=start).reshape(shape)


def write_asset(path: pathlib.Path, array: np.ndarray) -> None:
    """Writes an array as `.npy.xz`, atomically."""
    buffer = io.BytesIO()
    np.save(buffer, array)
    partial = path.with_name(path.name + ".partial")
    partial.write_bytes(lzma.compress(buffer.getvalue(), preset=9 | lzma.PRESET_EXTREME))
    os.replace(partial, path)


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Build the bundled fashion data set.")
    parser.add_argument("--images", required=True, help="t10k-images-idx3-ubyte.gz")
    parser.add_argument("--labels", required=True, help="t10k-labels-idx1-ubyte.gz")
    parser.add_argument("--output", default=ASSETS, type=pathlib.Path, help="folder to write to")
    options = parser.parse_args(arguments)
    try:
        images, labels = read_idx(options.images), read_idx(options.labels)
        if images.ndim != 3 or labels.shape != images.shape[:1]:
            raise UsageError(
                "--images, --labels: expected [num_images, height, width] and [num_images], "
                f"got {list(images.shape)} and {list(labels.shape)}"
            )
    except FedlearnError as error:
        parser.exit(error.exit_code, f"{error}\n")
    for name, array in (("images", images), ("labels", labels)):
        path = options.output / f"fashion_{name}.npy.xz"
        write_asset(path, array)
        print(f"{path.name}: {path.stat().st_size:,} bytes, sha256 of the array {sha256(array)}")


def sha256(array: np.ndarray) -> str:
    """Returns the hash of an array's bytes, as ORIGIN.md records it."""
    return hashlib.sha256(np.ascontiguousarray(array)).hexdigest()


if __name__ == "__main__":
    main()
