"""LazyImages: photographs that stay in their files, and are decoded when somebody asks for some of them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from fedlearn_edu.data.image_files import UnreadableImageError, decode_image
from fedlearn_edu.data.images import allocate_images, image_key
from fedlearn_edu.data.names import quoted
from fedlearn_edu.errors import RunError


class LazyImages:
    """Stands where an array uint8 `[num_images, image_size, image_size, 3]` may stand, and is indexed like one.

    `images[3]`, `images[[1, 5]]`, `images[10:20]` and `images[:, 0, 0]` are arrays, decoded at that moment; nothing is
    kept. `np.asarray(images)` decodes them all. What is kept of an image is its path and the hash of its pixels (`key`
    of the feature cache), 200 bytes or so, so that a file that has changed since is noticed.

    Args:
        paths: The files.
        keys: uint8, shape `[num_images, 32]`: what `image_key` gave of each when it was first decoded.
        image_size: Height and width of every image in pixels.
    """

    dtype, ndim = np.dtype(np.uint8), 4

    def __init__(self, paths: Sequence[str], keys: np.ndarray, *, image_size: int):
        self.paths, self.keys, self.image_size = list(paths), keys, image_size

    def __len__(self) -> int:
        return len(self.paths)

    @property
    def shape(self) -> tuple[int, int, int, int]:
        return len(self), self.image_size, self.image_size, 3

    def __getitem__(self, index) -> np.ndarray:
        index, rest = (index[0], index[1:]) if isinstance(index, tuple) and index else (index, ())
        if index is Ellipsis:
            index, rest = slice(None), (Ellipsis, *rest) if rest else ()
        rows = np.arange(len(self))[index]
        if rows.ndim == 0:
            return self._decode(int(rows))[rest]
        images = allocate_images(rows.size, image_size=self.image_size)
        for i, row in enumerate(rows.flat):
            images[i] = self._decode(row)
        return images.reshape(*rows.shape, *self.shape[1:])[(slice(None), *rest)]

    def __array__(self, dtype=None) -> np.ndarray:
        return self[:] if dtype is None else self[:].astype(dtype)

    def copy(self) -> np.ndarray:
        """Returns all of them in memory."""
        return self[:]

    def only(self, rows: np.ndarray) -> LazyImages:
        """Returns some of the images, in this order, still in their files."""
        return LazyImages([self.paths[row] for row in rows], self.keys[rows], image_size=self.image_size)

    def _decode(self, row: int) -> np.ndarray:
        path = self.paths[row]
        try:
            pixels = decode_image(path, image_size=self.image_size).pixels
        except UnreadableImageError as error:
            raise RunError(f"images: {quoted(path)} can no longer be read ({error}); load the folder again") from None
        if image_key(pixels) != self.keys[row].tobytes():
            raise RunError(f"images: {quoted(path)} has changed since its folder was read; load the folder again")
        return pixels


def only_rows(images: np.ndarray | LazyImages, rows: np.ndarray) -> np.ndarray | LazyImages:
    """Returns some images, without decoding any that lies in a file."""
    return images.only(rows) if isinstance(images, LazyImages) else images[rows]


def keys_of(images: np.ndarray | LazyImages) -> list[bytes]:
    """Returns the `image_key` of every image; of those in files none is read for it."""
    if isinstance(images, LazyImages):
        return [key.tobytes() for key in images.keys]
    return [image_key(image) for image in images]
