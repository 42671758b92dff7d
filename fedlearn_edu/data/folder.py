"""A user's own folder of images: what lies where, what can be read, and a report of everything met on the way."""

from __future__ import annotations

import collections
import dataclasses
import os
import pathlib
import warnings

import numpy as np
import pandas as pd
from tqdm.auto import tqdm

from fedlearn_edu.data.images import (
    SUFFIXES,
    ImageDataset,
    UnreadableImageError,
    allocate_images,
    decode_image,
    is_image_name,
)
from fedlearn_edu.errors import UsageError

_LAYOUTS = "expected DIR/<class>/image or DIR/<client>/<class>/image"
_TOP = "."  # the report's row for files that lie in DIR itself


def load_folder(folder: str | os.PathLike, *, image_size: int = 224, on_broken: str = "refuse") -> ImageDataset:
    """Reads a folder of images whose sub-folders are classes, or clients that hold classes.

    `DIR/<class>/<image>` has no clients of its own; in `DIR/<client>/<class>/<image>` the outer folders are the
    natural clients. Which of the two it is follows from the depth, which must be the same everywhere. Folders and
    files are read in sorted order; links are followed, each folder once.

    All images are kept in memory: `num_images * image_size**2 * 3` bytes, 150 MB per 1,000 images at 224 pixels.

    Args:
        folder: The folder `DIR`.
        image_size: Height and width of every image in pixels, >= 1; the aspect ratio is not kept.
        on_broken: `"refuse"` raises if any image cannot be read, `"skip"` leaves it out, counts it in the report
            and prints a warning.

    Returns:
        The images. Its `report` has one row per client (index `client_id`) or class folder (index `class_name`),
        and a row `"."` if files in DIR itself were ignored, with the columns `num_images`, `num_classes`, `broken`,
        `resized`, `ignored` (counts), `converted` (counts by kind, as text), `warnings` (text), `broken_files` and
        `ignored_files` (tuples of text, each with its reason).

    Raises:
        UsageError: No such folder, no image in it, mixed layouts, a broken image, or fewer than two classes.
    """
    if on_broken not in ("refuse", "skip"):
        raise UsageError(f"on_broken: expected 'refuse' or 'skip', got {on_broken!r}")
    folder = pathlib.Path(folder).expanduser()
    tree = _scan(folder)
    depth = _layout(folder, tree)
    has_clients = depth == 3
    rows = _empty_rows(tree, "client" if has_clients else "class")
    images, read = _read(folder, tree, rows, image_size)

    broken = [text for row in rows.values() for text in row.broken_files]
    if broken and on_broken == "refuse":
        raise UsageError(
            f"folder: {len(broken)} of {len(tree.images)} images in {str(folder)!r} cannot be read, first {broken[0]}; "
            "repair or remove them, or leave them out with on_broken='skip'"
        )
    if not read:
        raise UsageError(f"folder: none of the {len(tree.images)} images in {str(folder)!r} can be read")
    class_names = sorted({parts[-2] for parts in read})
    if len(class_names) < 2:
        raise UsageError(
            f"folder: expected at least two classes in {str(folder)!r}, got only {class_names[0]!r}; {_LAYOUTS}"
        )
    left_out = {parts[-1] for parts in tree.folders if len(parts) == depth - 1} - set(class_names)
    _warn(folder, rows, broken, sorted(left_out))
    number = {name: i for i, name in enumerate(class_names)}
    return ImageDataset(
        name=folder.resolve().name,
        images=images,
        labels=np.array([number[parts[-2]] for parts in read], np.int32),
        class_names=tuple(class_names),
        natural_client_ids=np.array([parts[0] for parts in read]) if has_clients else None,
        report=pd.DataFrame(
            [row.cells() for row in rows.values()],
            index=pd.Index(rows, name="client_id" if has_clients else "class_name"),
        ),
    )


@dataclasses.dataclass
class _Tree:
    """What lies in a folder; every entry is the tuple of names that leads to it."""

    images: list[tuple[str, ...]] = dataclasses.field(default_factory=list)
    folders: list[tuple[str, ...]] = dataclasses.field(default_factory=list)
    ignored: list[tuple[tuple[str, ...], str]] = dataclasses.field(default_factory=list)  # with the reason


def _scan(folder: pathlib.Path) -> _Tree:
    if not folder.exists():
        raise UsageError(f"folder: {str(folder)!r} does not exist; {_LAYOUTS}")
    if not folder.is_dir():
        raise UsageError(f"folder: {str(folder)!r} is a file; {_LAYOUTS}")
    tree, seen = _Tree(), {_identity(folder)}

    def visit(parts):
        here = folder.joinpath(*parts)
        try:
            names = sorted(os.listdir(here))
        except OSError as error:
            raise UsageError(f"folder: cannot look into {str(here)!r}: {error.strerror}") from error
        for name in names:
            path, child = here / name, (*parts, name)
            if name.startswith(".") or name == "__MACOSX":
                tree.ignored.append((child, "hidden"))
            elif os.path.isdir(path):
                # A link to a folder above would lead round for ever, one to a folder beside would double its images.
                if _identity(path) in seen:
                    tree.ignored.append((child, "folder already read under another name"))
                    continue
                seen.add(_identity(path))
                tree.folders.append(child)
                visit(child)
            elif not is_image_name(name):
                tree.ignored.append((child, "not an image"))
            elif path.is_file() or path.is_symlink():
                tree.images.append(child)
            else:  # a pipe or device: opening it could wait for ever
                tree.ignored.append((child, "not a regular file"))

    visit(())
    return tree


def _identity(path: str | os.PathLike) -> tuple[int, int]:
    status = os.stat(path)
    return status.st_dev, status.st_ino


def _layout(folder: pathlib.Path, tree: _Tree) -> int:
    """Returns the depth of every image: 2 for classes, 3 for clients that hold classes."""
    if not tree.images:
        found = "is empty" if not (tree.folders or tree.ignored) else f"holds no image ({', '.join(SUFFIXES)})"
        raise UsageError(f"folder: {str(folder)!r} {found}; {_LAYOUTS}")
    example = {len(parts): os.path.join(*parts) for parts in reversed(tree.images)}
    for depth, path in example.items():
        if depth not in (2, 3):
            where = "in no class folder" if depth == 1 else "too deep"
            raise UsageError(f"folder: {path!r} in {str(folder)!r} lies {where}; {_LAYOUTS}")
    if len(example) > 1:
        raise UsageError(
            f"folder: {str(folder)!r} mixes two layouts: {example[2]!r} is <class>/image and {example[3]!r} is "
            "<client>/<class>/image; use one of them everywhere"
        )
    return next(iter(example))


@dataclasses.dataclass
class _Row:
    """What was met in one top folder: a "client", a "class", or (for what is ignored in DIR itself) the "top"."""

    kind: str
    num_images: int = 0
    resized: int = 0
    classes: set[str] = dataclasses.field(default_factory=set)
    converted: collections.Counter = dataclasses.field(default_factory=collections.Counter)
    broken_files: list[str] = dataclasses.field(default_factory=list)
    ignored_files: list[str] = dataclasses.field(default_factory=list)

    @property
    def warnings(self) -> list[str]:
        found = []
        if self.num_images == 0 and self.kind != "top":
            found.append("no image")
        if len(self.classes) == 1 and self.kind == "client":
            found.append("one class only")
        if dark := self.converted["dark 16-bit"]:
            found.append(f"{dark} 16-bit images use less than 1/16 of their range and look nearly black")
        return found

    def cells(self) -> dict:
        return {
            "num_images": self.num_images,
            "num_classes": len(self.classes),
            "broken": len(self.broken_files),
            "resized": self.resized,
            "ignored": len(self.ignored_files),
            "converted": ", ".join(f"{kind}: {count}" for kind, count in sorted(self.converted.items())),
            "warnings": "; ".join(self.warnings),
            "broken_files": tuple(self.broken_files),
            "ignored_files": tuple(self.ignored_files),
        }


def _empty_rows(tree: _Tree, kind: str) -> dict[str, _Row]:
    """Returns one row per top folder, with what was ignored in it."""
    rows = {parts[0]: _Row(kind) for parts in tree.folders if len(parts) == 1}
    if any(len(parts) == 1 for parts, _ in tree.ignored):
        rows[_TOP] = _Row("top")
    for parts, why in tree.ignored:
        rows[parts[0] if len(parts) > 1 else _TOP].ignored_files.append(f"{os.path.join(*parts)} ({why})")
    return rows


def _read(
    folder: pathlib.Path, tree: _Tree, rows: dict[str, _Row], image_size: int
) -> tuple[np.ndarray, list[tuple[str, ...]]]:
    """Returns the images that can be read and where each lies, and counts everything in `rows`."""
    images = allocate_images(len(tree.images), image_size=image_size)
    read = []
    for parts in tqdm(tree.images, desc=f"reading {folder.name}", unit="image", delay=1):
        row = rows[parts[0]]
        try:
            decoded = decode_image(folder.joinpath(*parts), image_size=image_size)
        except UnreadableImageError as error:
            row.broken_files.append(f"{os.path.join(*parts)} ({error})")
            continue
        images[len(read)] = decoded.pixels
        read.append(parts)
        row.classes.add(parts[-2])
        row.num_images += 1
        row.resized += decoded.resized
        row.converted.update(decoded.conversions)
    return images[: len(read)], read


def _warn(folder: pathlib.Path, rows: dict[str, _Row], broken: list[str], left_out: list[str]) -> None:
    """Warns in one line of what a reader of the result would not expect; the report has the rest."""
    remarks = []
    if broken:
        remarks.append(f"{len(broken)} broken images left out, first {broken[0]}")
    if left_out:
        remarks.append(f"classes without an image left out: {', '.join(left_out)}")
    for top, row in rows.items():
        remarks += [f"{row.kind} {top!r}: {text}" for text in row.warnings]
    if remarks:
        more = f"; and {len(remarks) - 5} more" if len(remarks) > 5 else ""
        warnings.warn(
            f"folder {folder.name!r}: {'; '.join(remarks[:5])}{more} (see the report of the dataset)", stacklevel=3
        )
