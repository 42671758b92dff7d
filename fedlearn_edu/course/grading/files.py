"""Lists what was handed in: the files of a folder or a zip, zips within zips, and why anything was left out."""

from __future__ import annotations

import dataclasses
import functools
import io
import os
import pathlib
import re
import stat
import zipfile
import zlib
from collections.abc import Callable, Iterator

from fedlearn_edu.course.grading.notebooks import MAX_BYTES
from fedlearn_edu.course.grading.text import clean
from fedlearn_edu.errors import UsageError

_MAX_ZIP_BYTES = 256 * 2**20  # of a zip within a zip
_MAX_ENTRIES = 20_000
_MAX_DEPTH = 2
_JUNK = re.compile(r"(\..*|__MACOSX|__pycache__|Thumbs\.db|desktop\.ini)", re.IGNORECASE)
_BAD_ZIP = (zipfile.BadZipFile, NotImplementedError, RuntimeError, OSError, EOFError, ValueError, zlib.error)


@dataclasses.dataclass(frozen=True)
class FoundFile:
    """A notebook file that was found.

    Attributes:
        parts: Its path below the place where the search began; a zip counts as a folder.
        read: Returns its bytes; raises OSError.
        problem: Why it cannot be read, if that is known already.
    """

    parts: tuple[str, ...]
    read: Callable[[], bytes]
    problem: str = ""

    @property
    def path(self) -> str:
        return "/".join(self.parts)


def find_files(path: pathlib.Path, problems: list[str]) -> Iterator[FoundFile]:
    """Yields the notebooks below `path`.

    Args:
        path: A folder, a .zip or a .ipynb.
        problems: Gets one line on everything that was left out and is not mere litter.

    Raises:
        UsageError: `path` does not exist or is none of these.
    """
    if path.is_dir():
        yield from _in_folder(path, problems)
    elif path.is_file() and path.suffix.lower() == ".zip":
        yield from _in_zip(functools.partial(open, path, "rb"), (), problems, 0)
    elif path.is_file() and path.suffix.lower() == ".ipynb":
        yield FoundFile((path.name,), functools.partial(_read_plain, path))
    else:
        kind = "which is neither" if path.exists() else "which does not exist"
        raise UsageError(f"submissions: expected a folder, a .zip or a .ipynb, got {path}, {kind}")


def _in_folder(root: pathlib.Path, problems: list[str]) -> Iterator[FoundFile]:
    for folder, subfolders, names in os.walk(root):
        inside = pathlib.Path(folder).relative_to(root).parts
        for name in sorted(subfolders):
            if os.path.islink(os.path.join(folder, name)):
                problems.append(f"{clean('/'.join([*inside, name]))}: a symbolic link; links are not followed")
        subfolders[:] = sorted(name for name in subfolders if not _JUNK.fullmatch(name))
        for name in sorted(names):
            path, parts = pathlib.Path(folder, name), (*inside, name)
            if _JUNK.fullmatch(name):
                continue
            mode = os.lstat(path).st_mode
            if stat.S_ISLNK(mode):
                problems.append(f"{clean('/'.join(parts))}: a symbolic link; links are not followed")
            elif not stat.S_ISREG(mode):
                problems.append(f"{clean('/'.join(parts))}: no regular file")
            elif name.lower().endswith(".ipynb"):
                yield FoundFile(parts, functools.partial(_read_plain, path))
            elif name.lower().endswith(".zip"):
                yield from _in_zip(functools.partial(open, path, "rb"), parts, problems, 1)
            else:
                problems.append(f"{clean('/'.join(parts))}: no notebook")


def _read_plain(path: pathlib.Path) -> bytes:
    # A link or a pipe may have taken the file's place since it was listed.
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    with os.fdopen(descriptor, "rb") as stream:
        return stream.read(MAX_BYTES + 1)


def _in_zip(open_zip: Callable, prefix: tuple[str, ...], problems: list[str], depth: int) -> Iterator[FoundFile]:
    shown = clean("/".join(prefix)) or "the zip"
    try:
        with open_zip() as stream, zipfile.ZipFile(stream) as archive:
            entries = archive.infolist()
    except _BAD_ZIP as error:
        problems.append(f"{shown}: cannot be read as a zip ({clean(error, limit=80)})")
        return
    if len(entries) > _MAX_ENTRIES:
        problems.append(f"{shown}: {len(entries):,} entries; only the first {_MAX_ENTRIES:,} were looked at")
    seen = set()
    for entry in entries[:_MAX_ENTRIES]:
        name = entry.filename.replace("\\", "/")
        parts = tuple(part for part in name.split("/") if part not in ("", "."))
        where = clean("/".join([*prefix, name]))
        if name.startswith("/") or ".." in parts or re.match(r"[A-Za-z]:", name):
            problems.append(f"{where}: refused, its name leads outside the zip")
        elif name.endswith("/") or not parts or any(_JUNK.fullmatch(part) for part in parts):
            continue
        elif stat.S_ISLNK(entry.external_attr >> 16):
            problems.append(f"{where}: a symbolic link; links are not followed")
        elif parts in seen:
            problems.append(f"{where}: this name is in the zip more than once; only the first was taken")
        elif name.lower().endswith(".zip"):
            seen.add(parts)
            if depth >= _MAX_DEPTH or entry.file_size > _MAX_ZIP_BYTES:
                problems.append(f"{where}: a zip too large or too deep within other zips")
                continue
            open_inner = functools.partial(_open_inner, open_zip, entry)
            yield from _in_zip(open_inner, (*prefix, *parts), problems, depth + 1)
        elif name.lower().endswith(".ipynb"):
            seen.add(parts)
            problem = "it is encrypted" if entry.flag_bits & 1 else ""
            problem = f"larger than {MAX_BYTES // 2**20} MiB" if entry.file_size > MAX_BYTES else problem
            yield FoundFile((*prefix, *parts), functools.partial(_read_entry, open_zip, entry), problem)
        else:
            problems.append(f"{where}: no notebook")


def _open_inner(open_zip: Callable, entry: zipfile.ZipInfo) -> io.BytesIO:
    return io.BytesIO(_read_entry(open_zip, entry, limit=_MAX_ZIP_BYTES))


def _read_entry(open_zip: Callable, entry: zipfile.ZipInfo, *, limit: int = MAX_BYTES) -> bytes:
    """Reads at most `limit` bytes and one more, whatever the entry's header promises."""
    try:
        with open_zip() as stream, zipfile.ZipFile(stream) as archive, archive.open(entry) as content:
            return content.read(limit + 1)
    except _BAD_ZIP as error:
        raise OSError(f"damaged in the zip ({clean(error, limit=80)})") from None
