"""A lock on a folder, held by one Python object at a time and released by the kernel, however its process ends."""

from __future__ import annotations

import fcntl
import os
import pathlib
import warnings
import weakref

from fedlearn_edu.errors import UsageError

_NAME = ".fedlearn_edu.lock"  # a name of our own: the file is written to, and removed with its folder


class FolderLock:
    """Keeps a second run out of a folder, also one of the same process.

    The lock is the kernel's (`flock`) on a file in the folder, so that a killed run leaves none behind. It ends with
    `release`, or when nobody refers to this object any more. Where the file system knows no locks, it warns and goes
    on without.

    Args:
        folder: Exists.
        argument: By which the user named it, for messages.

    Raises:
        UsageError: Another run holds the lock.
        OSError: The folder cannot be written.
    """

    def __init__(self, folder: str | os.PathLike, *, argument: str):
        self._path = pathlib.Path(folder) / _NAME
        descriptor = None
        while descriptor is None:
            descriptor = _take(self._path, f"{argument}: {folder}")
        self._release = weakref.finalize(self, os.close, descriptor)

    def release(self) -> None:
        """Lets others in; may be called again."""
        self._release()

    def remove(self) -> None:
        """Lets others in and leaves no file, in a folder that shall go as well."""
        self._path.unlink(missing_ok=True)
        self.release()


def _take(path: pathlib.Path, named: str) -> int | None:
    """Returns the descriptor that holds the lock, or None if its last holder has removed the file meanwhile."""
    # A link could lead to any file of this user's, in a folder that came from someone else.
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o644)
    try:
        _lock(descriptor, named)
        if not path.exists() or not os.path.samestat(os.fstat(descriptor), os.stat(path)):
            os.close(descriptor)
            return None
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, str(os.getpid()).encode(), 0)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def _lock(descriptor: int, named: str) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        holder = os.pread(descriptor, 20, 0).decode("ascii", "replace")
        who = "this Python process; let it end, or close it" if holder == str(os.getpid()) else f"process {holder}"
        raise UsageError(
            f"{named} is in use by another run ({who}); choose another folder, or wait for its end"
        ) from None
    except OSError as error:
        warnings.warn(
            f"{named} cannot be locked ({error.strerror}); see to it that no second run uses it", stacklevel=4
        )
