"""What a module's files are, as one number, and whether they are those that were asked for or first seen."""

from __future__ import annotations

import contextlib
import hashlib
import os
import pathlib
import re

from fedlearn_edu.cache_folder import cache_root
from fedlearn_edu.errors import RunError, UsageError
from fedlearn_edu.files import write_whole
from fedlearn_edu.folders import everything_below, make_private

# TensorFlow reads no other file in `variables`.
_VARIABLE_FILE = re.compile(r"variables\.(index|data-\d{5}-of-\d{5})")
# What desktops and editors leave in any folder.
_LITTER = re.compile(
    r"\._.*|\.DS_Store|\.AppleDouble|\.directory|\.nfs.*|\..*\.sw.|~.*|.*~|Thumbs\.db|desktop\.ini|@eaDir|__MACOSX",
    re.I,
)
_SHA256 = re.compile("[0-9a-f]{64}")


def module_fingerprint(folder: str | os.PathLike) -> str:
    """Returns the sha256 over a module's graph, variables and assets: content and names, never times.

    Files that TensorFlow does not read, among them those that desktops leave behind, do not count.
    """
    folder = pathlib.Path(folder)
    digest = hashlib.sha256()
    # Each by its name: `variables` may be a link, and what it leads to is what TensorFlow reads.
    entries = [folder / name for name in ("assets", "saved_model.pb", "variables")]
    for file in sorted(file for entry in entries for file in (entry, *everything_below(entry))):
        relative = file.relative_to(folder)
        if file.is_file() and _belongs(relative):
            digest.update(f"{relative.as_posix()}\0{file.stat().st_size}\0".encode())
            with open(file, "rb") as stream:
                while block := stream.read(1 << 20):
                    digest.update(block)
    return digest.hexdigest()


def _belongs(file: pathlib.Path) -> bool:
    if file.parts[0] == "variables":
        return len(file.parts) == 2 and _VARIABLE_FILE.fullmatch(file.name) is not None
    if file.parts[0] == "assets":
        return not any(_LITTER.fullmatch(part) for part in file.parts)
    return file.parts == ("saved_model.pb",)


def check_pin(source: str, fingerprint: str, *, expected: str | None = None) -> None:
    """Refuses a module that is not the one that was asked for, or not the one that its URL gave first.

    Without `expected`, a URL is trusted on first use: its fingerprint is kept in this user's cache, and every later
    copy, wherever it is cached, has to equal it. That shows a module that was exchanged after the first time, by its
    server or on the way; it cannot show one that was false from the start. Folders are not remembered.

    Args:
        source: URL or folder.
        fingerprint: Of the files that are to be loaded.
        expected: The fingerprint asked for, 64 hexadecimal digits; None for none.

    Raises:
        UsageError: `expected` is no sha256.
        RunError: The files are others.
    """
    if expected is not None:
        if not _SHA256.fullmatch(expected.lower()):
            raise UsageError(f"backbone: expected 64 hexadecimal digits after #sha256=, got {expected[:80]!r}")
        if fingerprint != expected.lower():
            raise RunError(
                f"backbone: {source} has the fingerprint {fingerprint}, expected {expected}; do not use it "
                "unless you know why it changed"
            )
    elif source.startswith("https://"):
        _compare_with_first(source, fingerprint)


def _compare_with_first(url: str, fingerprint: str) -> None:
    folder = cache_root() / "first_seen"
    file = folder / hashlib.sha256(url.encode()).hexdigest()[:40]
    with contextlib.suppress(OSError):  # no cache can be written: nothing is remembered
        make_private(folder, what="cache", advice="set FEDLEARN_EDU_CACHE to a folder of your own")
        first = file.read_text(errors="replace").split()[:1] if file.exists() else []
        if not first:
            write_whole(file, lambda stream: stream.write(f"{fingerprint} {url}\n".encode()))
        elif first != [fingerprint]:
            raise RunError(
                f"backbone: {url} is not what this machine first got from there (fingerprint {fingerprint}, first "
                f"{first[0]}); if you know why it changed, delete {file}, or append #sha256={fingerprint} to the URL"
            )
