"""The feature cache on disk: chunk files of (image hash, feature vector), written whole or not at all."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import pathlib
import shutil
import tempfile
import time
import warnings
from collections.abc import Iterable

import numpy as np

from fedlearn_edu.cache_folder import CACHE_VARIABLE, cache_root
from fedlearn_edu.errors import RunError
from fedlearn_edu.files import write_whole
from fedlearn_edu.folders import check_private, make_private

_HASH_BYTES = 32
_STALE_SECONDS = 3600.0
_TRUST = {
    "what": "feature cache",
    "advice": f"chmod go-w it, delete it, or set {CACHE_VARIABLE} to a folder of your own",
}


def cache_info(*, cache_dir: str | os.PathLike | None = None) -> dict[str, object]:
    """Returns where the feature cache is and what it holds.

    Returns:
        `folder` (path), `num_backbones`, `num_files` and `num_bytes`.
    """
    folder = cache_root(cache_dir) / "features"
    files = list(folder.glob("*/*.npz"))
    return {
        "folder": str(folder),
        "num_backbones": len({f.parent for f in files}),
        "num_files": len(files),
        "num_bytes": sum(f.stat().st_size for f in files),
    }


def clear_cache(*, cache_dir: str | os.PathLike | None = None) -> int:
    """Deletes all cached features (nothing else in that folder) and returns how many bytes they took."""
    info = cache_info(cache_dir=cache_dir)
    shutil.rmtree(info["folder"], ignore_errors=True)
    return info["num_bytes"]


class FeatureStore:
    """The cached features of one backbone with one preprocessing.

    A chunk is named after the keys in it, so that two processes which compute the same images write the
    same file and the later one replaces it by its equal.

    Args:
        root: The cache's folder.
        identity: Names backbone, image size and preprocessing; usable as a folder's name.
        feature_dim: Length of one feature vector.

    Raises:
        RunError: Other users could put features of theirs there.
    """

    def __init__(self, root: pathlib.Path, identity: str, feature_dim: int):
        self.folder = root / "features" / identity
        self.feature_dim = feature_dim
        check_private(self.folder, **_TRUST)

    def read(self, rows: dict[bytes, int], out: np.ndarray) -> set[bytes]:
        """Copies the cached vector of each key into its row of `out`; returns the keys that were found.

        A damaged chunk is deleted with a warning; its images then count as not found.
        """
        found: set[bytes] = set()
        for file in sorted(self.folder.glob("*.npz")):
            if len(found) == len(rows):
                break
            try:
                found |= self._read_chunk(file, rows, out)
            except FileNotFoundError:
                continue  # another process found it damaged first
            except Exception as error:  # np.load and zipfile raise many kinds on altered bytes
                warnings.warn(
                    f"feature cache: {file} is damaged ({type(error).__name__}); deleted, its images are "
                    "computed again",
                    RuntimeWarning,
                    stacklevel=3,
                )
                with contextlib.suppress(OSError):
                    file.unlink()
        return found

    def _read_chunk(self, file: pathlib.Path, rows: dict[bytes, int], out: np.ndarray) -> set[bytes]:
        # Reading a member to its end makes zipfile compare its CRC-32 with the stored one.
        with open(file, "rb") as stream, np.load(stream, allow_pickle=False) as chunk:
            hashes = chunk["hashes"]
            if hashes.dtype != np.uint8 or hashes.ndim != 2 or hashes.shape[1] != _HASH_BYTES:
                raise ValueError("hashes")
            keys = [row.tobytes() for row in hashes]
            wanted = [i for i, key in enumerate(keys) if key in rows]
            if not wanted:
                return set()
            features = chunk["features"]
        if features.dtype != np.float32 or features.shape != (len(keys), self.feature_dim):
            raise ValueError("features")
        out[[rows[keys[i]] for i in wanted]] = features[wanted]
        return {keys[i] for i in wanted}

    def reserve(self, num_images: int) -> None:
        """Makes sure that so many more images can be stored, before they are computed.

        Raises:
            RunError: The folder cannot be written, or the disk has not enough room.
        """
        needed = num_images * (self.feature_dim * 4 + _HASH_BYTES + 16) + 4096
        try:
            make_private(self.folder, **_TRUST)
            for scratch in self.folder.glob(".tmp-*"):  # left by a process that was killed
                if time.time() - scratch.stat().st_mtime > _STALE_SECONDS:
                    scratch.unlink(missing_ok=True)
            free = shutil.disk_usage(self.folder).free
            with tempfile.TemporaryFile(dir=self.folder):
                pass
        except OSError as error:
            raise self._unwritable(needed, error) from None
        if free < needed:
            raise self._unwritable(needed, OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)))

    def write(self, keys: Iterable[bytes], features: np.ndarray) -> None:
        """Adds one chunk file.

        Raises:
            RunError: It cannot be written.
        """
        hashes = np.frombuffer(b"".join(keys), np.uint8).reshape(-1, _HASH_BYTES)
        name = hashlib.sha256(hashes).hexdigest()[:32]
        try:
            write_whole(self.folder / f"{name}.npz", lambda stream: np.savez(stream, hashes=hashes, features=features))
        except OSError as error:
            raise self._unwritable(features.nbytes + hashes.nbytes, error) from None

    def _unwritable(self, needed: int, error: OSError) -> RunError:
        folder = self.folder
        while not folder.is_dir():
            folder = folder.parent
        free = shutil.disk_usage(folder).free
        return RunError(
            f"feature cache: cannot write {self.folder} ({error.strerror or error}): {needed / 1e6:.1f} MB needed, "
            f"{free / 1e6:.1f} MB free; make room, or set {CACHE_VARIABLE} to a folder on another disk"
        )
