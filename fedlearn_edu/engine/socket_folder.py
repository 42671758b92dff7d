"""A folder that only its owner can enter, and in it the Unix socket through which a worker is reached."""

from __future__ import annotations

import contextlib
import os
import pathlib
import shutil
import socket
import stat
import tempfile
import time
import urllib.parse

SOCKET_NAME = "7"  # a number, because the worker takes nothing else for its port
_PREFIX = "fedlearn_edu_worker_"
_MAX_PATH_BYTES = 107  # Linux's sockaddr_un has room for 108, the last of them a zero
_STALE_AFTER_S = 120.0  # longer than any start takes: a younger folder may be about to get its socket


class SocketFolder:
    """A new folder of mode 0700 with a Unix socket that listens already.

    It lies in XDG_RUNTIME_DIR, or else where temporary files go; a place in which another user could put something
    else under its name is passed over. What owners that were killed have left there is removed.

    Attributes:
        path: The folder.
        socket: The listening socket.

    Raises:
        OSError: No place will do.
    """

    def __init__(self):
        reasons = []
        for place in _places():
            try:
                place = os.path.realpath(place, strict=True)  # a link on the way could be another's, and lead elsewhere
                check_nobody_else_can_rename(place)
                _remove_stale(place)
                self.path = pathlib.Path(tempfile.mkdtemp(prefix=_PREFIX, dir=place))
            except OSError as error:
                reasons.append(f"{place}: {error.strerror or error}")
                continue
            try:
                self.socket = _listen(self.socket_path)
                return
            except OSError as error:  # too long, or a file system without sockets
                reasons.append(f"{place}: {error.strerror or error}")
                self.remove()
        raise OSError(
            f"no folder for the socket ({'; '.join(reasons)}): set XDG_RUNTIME_DIR to a folder of your own with mode "
            "0700 and a short path"
        )

    @property
    def socket_path(self) -> pathlib.Path:
        return self.path / SOCKET_NAME

    @property
    def target(self) -> str:
        """The socket as gRPC wants it named."""
        return "unix:" + urllib.parse.quote(os.fsencode(self.socket_path))

    def leave_to_worker(self) -> None:
        """Takes the socket away, so that the worker can bind its own under the same name."""
        self.socket.close()
        self.socket_path.unlink()

    def remove(self) -> None:
        shutil.rmtree(self.path, ignore_errors=True)


def check_nobody_else_can_rename(path: str | os.PathLike) -> None:
    """Checks that no other user can put something of theirs in the place of what `path` names.

    Every folder on the way must belong to us, to root or to whoever owns `/`, and if others may write into it, only
    they themselves may rename what they put there (the sticky bit of /tmp). Root itself is always trusted.

    Raises:
        PermissionError: Another user could.
    """
    trusted = {0, os.geteuid(), os.stat("/").st_uid}  # in a user namespace root's files may show another number
    real = pathlib.Path(os.path.realpath(path, strict=True))
    for folder in (real, *real.parents):
        status = os.stat(folder)
        if status.st_uid not in trusted:
            raise PermissionError(f"{folder} belongs to another user")
        if status.st_mode & (stat.S_IWGRP | stat.S_IWOTH) and not status.st_mode & stat.S_ISVTX:
            raise PermissionError(f"other users may write into {folder}")


def answers(path: str | os.PathLike) -> bool:
    """Whether a program listens on this Unix socket."""
    with socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(0.2)
        try:
            probe.connect(os.fspath(path))
        except (ConnectionRefusedError, FileNotFoundError, NotADirectoryError, PermissionError):
            return False
        except OSError:  # its queue is full: somebody listens
            return True
        return True


def _places() -> list[str]:
    places = [os.environ.get("XDG_RUNTIME_DIR")]
    with contextlib.suppress(FileNotFoundError):
        places.append(tempfile.gettempdir())
    places += ["/tmp", "/var/tmp", "/dev/shm"]
    return list(dict.fromkeys(os.path.abspath(place) for place in places if place))


def _listen(path: pathlib.Path) -> socket.socket:
    if len(os.fsencode(path)) > _MAX_PATH_BYTES:
        raise OSError("the path is too long for a socket")
    listening = socket.socket(socket.AF_UNIX)
    try:
        os.fchmod(listening.fileno(), 0o600)  # becomes the mode of the socket's file
        listening.bind(os.fspath(path))
        listening.listen()
    except BaseException:
        listening.close()
        raise
    listening.setblocking(False)
    return listening


def _remove_stale(place: str) -> None:
    for folder in pathlib.Path(place).glob(_PREFIX + "*"):
        with contextlib.suppress(OSError):
            status = os.lstat(folder)
            ours = stat.S_ISDIR(status.st_mode) and status.st_uid == os.geteuid()
            if ours and time.time() - status.st_mtime > _STALE_AFTER_S and not answers(folder / SOCKET_NAME):
                shutil.rmtree(folder, ignore_errors=True)
