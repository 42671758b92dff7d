"""Looks into what was handed in: a folder or a zip as a tree of names, and files read in bounded pieces."""

from __future__ import annotations

import errno
import io
import os
import pathlib
import re
import stat
import zipfile
from collections.abc import Callable, Iterator
from typing import BinaryIO, Protocol

from fedlearn_edu.course.grading.text import clean

MAX_DEPTH = 32  # folders within folders
_JUNK = re.compile(r"(\..*|__MACOSX|__pycache__|Thumbs\.db|desktop\.ini)", re.IGNORECASE)

Path = tuple[str, ...]


class BadArchive(OSError):
    """Why a zip, or a file in one, cannot be read: one line."""


class TooLarge(OSError):
    """A file holds more than the caller wants to read."""


class Tree(Protocol):
    """Names below a place. Kinds are "file", "folder", "link" and "other" (pipes, sockets, devices)."""

    problems: list[str]

    def list(self, path: Path) -> list[tuple[str, str]]:
        """Names and kinds in a folder, in order, without mere litter. Raises OSError."""

    def read(self, path: Path, limit: int) -> bytes:
        """A file of at most `limit` bytes. Raises TooLarge or another OSError."""

    def open_file(self, path: Path, limit: int) -> BinaryIO:
        """A file to be read from any place in it; at most `limit` bytes are unpacked for that. Raises like `read`."""


class Folder:
    """A folder on disk. No link is ever followed below it, not even one put there while it is being read.

    Args:
        root: The folder.
    """

    def __init__(self, root: pathlib.Path):
        self.root = os.path.realpath(root)
        self.problems: list[str] = []

    def list(self, path: Path) -> list[tuple[str, str]]:
        descriptor = self._open(path, os.O_DIRECTORY)
        try:
            with os.scandir(descriptor) as entries:
                return sorted((entry.name, _kind(entry)) for entry in entries if not _JUNK.fullmatch(entry.name))
        finally:
            os.close(descriptor)

    def read(self, path: Path, limit: int) -> bytes:
        with self.open_file(path, limit) as stream:
            return _read(stream, limit)

    def open_file(self, path: Path, limit: int) -> BinaryIO:
        descriptor = self._open(path)
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            os.close(descriptor)
            raise OSError(errno.EINVAL, "no regular file")
        return os.fdopen(descriptor, "rb")

    def _open(self, path: Path, flags: int = 0) -> int:
        # Whoever can write here may put a link or a pipe in the place of what was listed, or of a folder above it.
        name = os.path.join(self.root, *path)
        descriptor = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | flags)
        if os.readlink(f"/proc/self/fd/{descriptor}") != name:
            os.close(descriptor)
            raise OSError(errno.ESTALE, "it was moved while it was being read")
        return descriptor


def _kind(entry: os.DirEntry) -> str:
    if entry.is_symlink():
        return "link"
    if entry.is_dir(follow_symlinks=False):
        return "folder"
    return "file" if entry.is_file(follow_symlinks=False) else "other"


class Archive:
    """A zip, read in place and never unpacked: no name in it can lead anywhere.

    Args:
        stream: The zip.
        shown: Its own path, for `problems`.
        max_entries: More are not looked at.

    Raises:
        BadArchive: It cannot be read as a zip.
    """

    def __init__(self, stream: BinaryIO, *, shown: str = "", max_entries: int | None = None):
        self.problems: list[str] = []
        self._entries: dict[Path, zipfile.ZipInfo] = {}
        self._folders: dict[Path, dict[str, str]] = {(): {}}
        try:
            self._zip = zipfile.ZipFile(stream)
        except MemoryError:
            raise
        except Exception as error:  # a hostile zip can make more kinds of errors than the library documents
            raise BadArchive(f"cannot be read as a zip ({clean(error, limit=80)})") from None
        entries = self._zip.infolist()
        if max_entries is not None and len(entries) > max_entries:
            self.problems.append(f"{shown}: {len(entries):,} entries; only the first {max_entries:,} were looked at")
        for entry in entries[:max_entries]:
            name = entry.filename.replace("\\", "/")
            if problem := self._add(name, entry):
                self.problems.append(f"{shown}{'/' if shown else ''}{clean(name)}: {problem}")

    def _add(self, name: str, entry: zipfile.ZipInfo) -> str:
        path = tuple(part for part in name.split("/") if part not in ("", "."))
        is_folder = name.endswith("/")
        if name.startswith("/") or ".." in path or re.match(r"[A-Za-z]:", name):
            return "refused, its name leads outside the zip"
        if len(path) > MAX_DEPTH:
            return f"deeper than {MAX_DEPTH} folders; left out"
        if not path or any(_JUNK.fullmatch(part) for part in path):
            return ""
        if any(path[:depth] in self._entries for depth in range(1, len(path) + 1)) or (
            not is_folder and path in self._folders
        ):
            return "this name is in the zip more than once; only the first was taken"
        for depth in range(len(path)):
            kind = "folder" if is_folder or depth < len(path) - 1 else _entry_kind(entry)
            self._folders.setdefault(path[:depth], {})[path[depth]] = kind
        if is_folder:
            self._folders.setdefault(path, {})
        else:
            self._entries[path] = entry
        return ""

    def list(self, path: Path) -> list[tuple[str, str]]:
        return sorted(self._folders.get(path, {}).items())

    def read(self, path: Path, limit: int) -> bytes:
        entry = self._entries[path]
        if entry.flag_bits & 1:
            raise BadArchive("it is encrypted")
        if entry.file_size > limit:
            raise TooLarge
        try:
            with self._zip.open(entry) as content:
                return _read(content, limit)  # whatever its header promises
        except (MemoryError, TooLarge):
            raise
        except Exception as error:
            raise BadArchive(f"damaged in the zip ({clean(error, limit=80)})") from None

    def open_file(self, path: Path, limit: int) -> BinaryIO:
        return io.BytesIO(self.read(path, limit))


def _read(stream: BinaryIO, limit: int) -> bytes:
    content = stream.read(limit + 1)
    if len(content) > limit:
        raise TooLarge
    return content


def _entry_kind(entry: zipfile.ZipInfo) -> str:
    return "link" if stat.S_ISLNK(entry.external_attr >> 16) else "file"


def walk(tree: Tree, start: Path, failed: Callable[[Path, str], object], *, max_names: int) -> Iterator:
    """Yields (path, kind) of all that lies below a folder, folders included.

    Args:
        tree: Where.
        start: The folder; not yielded itself.
        failed: Called with each folder that cannot be looked into, and why.
        max_names: After so many names the rest is left out.
    """
    waiting, seen = [start], 0
    while waiting:
        folder = waiting.pop()
        try:
            names = tree.list(folder)
        except OSError as error:
            failed(folder, error.strerror or clean(error))
            continue
        for name, kind in names:
            seen += 1
            if seen > max_names:
                failed(start, f"more than {max_names:,} names; the rest was left out")
                return
            path = (*folder, name)
            yield path, kind
            if kind == "folder" and len(path) <= MAX_DEPTH:
                waiting.append(path)
            elif kind == "folder":
                failed(path, f"deeper than {MAX_DEPTH} folders; left out")
