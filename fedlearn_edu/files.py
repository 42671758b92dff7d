"""Writes files whole or not at all, one alone or several together."""

from __future__ import annotations

import errno
import os
import pathlib
import secrets
import tempfile
from collections.abc import Callable, Mapping
from typing import BinaryIO

from fedlearn_edu.errors import RunError

_FULL = (errno.ENOSPC, errno.EDQUOT)


def write_whole(path: pathlib.Path, write: Callable[[BinaryIO], object], *, to_disk: bool = True) -> None:
    """Writes a file beside its place and renames it: whole or not there at all.

    Args:
        path: Where it belongs.
        write: Called with the open file.
        to_disk: Whether to wait until the disk has it, so that it survives a loss of power as well as a kill.
    """
    # Not by tempfile, whose files are private whatever the user's umask says of those who share a folder.
    scratch = path.with_name(f".tmp-{secrets.token_hex(8)}")
    try:
        with open(scratch, "xb") as stream:
            write(stream)
            stream.flush()
            if to_disk:
                os.fsync(stream.fileno())
        os.replace(scratch, path)
    except BaseException:
        scratch.unlink(missing_ok=True)
        raise


def replace_files(texts: Mapping[pathlib.Path, str | bytes]) -> None:
    """Writes files for their owner's eyes alone, all of them or none.

    Each is written beside its place; only when all are there they are renamed, in their order. A disk that fills up
    leaves every file as it was.

    Args:
        texts: Content by path.

    Raises:
        RunError: One of them cannot be written.
    """
    scratch: dict[pathlib.Path, str] = {}
    try:
        for path, text in texts.items():
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            descriptor, scratch[path] = tempfile.mkstemp(dir=path.parent, prefix=".tmp-")  # its mode is 0600
            with os.fdopen(descriptor, "wb") as stream:
                stream.write(text if isinstance(text, bytes) else text.encode("utf-8"))
        for path in texts:
            if path.is_dir():
                raise IsADirectoryError(errno.EISDIR, "a folder of this name is there")
        for path in texts:
            os.replace(scratch[path], path)
            del scratch[path]
    except OSError as error:
        advice = "; make room, then go on with --resume" if error.errno in _FULL else ""
        raise RunError(f"{path} cannot be written: {error.strerror}{advice}") from None
    finally:
        for name in scratch.values():
            pathlib.Path(name).unlink(missing_ok=True)
