"""A private copy of TFF's worker that listens on a Unix socket: five of its bytes say another kind of address.

The worker listens on the address `[::]:` followed by its port, and no option changes that. Where these five bytes are
`unix:` instead, gRPC listens on a Unix socket whose file is named after the port, in the worker's current folder.
"""

from __future__ import annotations

import contextlib
import mmap
import os
import pathlib
import shutil
import stat
import tempfile

# Zeros end the texts in the program: the option's name stands before the address.
_LISTENS_EVERYWHERE, _LISTENS_ON_FILE = b"port\0[::]:\0", b"port\0unix:\0"
_CHUNK_BYTES = 1 << 24


def open_private_copy(source: str | os.PathLike, folder: pathlib.Path) -> int:
    """Returns a descriptor of the changed copy of `source` that is kept in `folder`; it is made where there is none.

    A copy is used only if it belongs to us, nobody else may open it, and every byte is that of the installed worker but
    for the five. Who runs the descriptor, not the name, runs what was compared.

    Raises:
        OSError: `folder` is open to others, or the copy cannot be written (it takes 300 MB).
        ValueError: The five bytes are not found exactly once: this is not the worker that we know.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    status = os.lstat(folder)
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.geteuid() or status.st_mode & 0o077:
        raise PermissionError(f"{folder} must be a folder of your own with mode 0700")
    path = folder / "worker_binary"
    with open(source, "rb") as stream, mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as original:
        at = original.find(_LISTENS_EVERYWHERE)
        if at < 0 or original.find(_LISTENS_EVERYWHERE, at + 1) >= 0:
            raise ValueError("this worker is not the one of TFF 0.87")
        with contextlib.suppress(OSError, ValueError):  # none yet, or not ours
            return _open_if_equal(path, original, at)
        _write(source, path, at)
        return _open_if_equal(path, original, at)


def _write(source: str | os.PathLike, path: pathlib.Path, at: int) -> None:
    descriptor, scratch = tempfile.mkstemp(dir=path.parent, prefix=".tmp-")
    try:
        with open(descriptor, "wb") as copy, open(source, "rb") as stream:
            shutil.copyfileobj(stream, copy, _CHUNK_BYTES)
            copy.flush()
            os.pwrite(descriptor, _LISTENS_ON_FILE, at)
            os.fchmod(descriptor, 0o700)
        os.replace(scratch, path)
    except BaseException:
        pathlib.Path(scratch).unlink(missing_ok=True)
        raise


def _open_if_equal(path: pathlib.Path, original: mmap.mmap, at: int) -> int:
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        status = os.fstat(descriptor)
        ours = stat.S_ISREG(status.st_mode) and status.st_uid == os.geteuid() and not status.st_mode & 0o077
        if not ours or not _equal(descriptor, status.st_size, original, at):
            raise ValueError(f"{path} is not the private copy of the installed worker")
        return descriptor
    except BaseException:
        os.close(descriptor)
        raise


def _equal(descriptor: int, size: int, original: mmap.mmap, at: int) -> bool:
    if size != len(original):
        return False
    for start in range(0, size, _CHUNK_BYTES):
        expected = bytearray(original[start : start + _CHUNK_BYTES])
        for i, byte in enumerate(_LISTENS_ON_FILE, at - start):
            if 0 <= i < len(expected):
                expected[i] = byte
        if os.pread(descriptor, len(expected), start) != expected:
            return False
    return True
