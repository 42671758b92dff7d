"""A user's own folder of images: what lies where, what can be read, and a report of everything met on the way."""

from __future__ import annotations

import collections
import dataclasses
import os
import warnings

import numpy as np
import pandas as pd

from fedlearn_edu.bars import progress_bar
from fedlearn_edu.checks import check_count
from fedlearn_edu.data.folder_tree import LAYOUTS, Parts, Tree, layout, scan
from fedlearn_edu.data.image_files import UnreadableImageError, decode_image
from fedlearn_edu.data.images import ImageDataset, allocate_images, image_key
from fedlearn_edu.data.lazy_images import LazyImages
from fedlearn_edu.data.names import SPLITS, alike, one_line, quoted, same_name, shown
from fedlearn_edu.errors import UsageError

_TOP = "."  # the report's row for files that lie in DIR itself


def load_folder(folder: str | os.PathLike, *, image_size: int = 224, on_broken: str = "refuse") -> ImageDataset:
    """Reads a folder of images whose sub-folders are classes, or clients that hold classes.

    `DIR/<class>/<image>` has no clients of its own; in `DIR/<client>/<class>/<image>` the outer folders are the
    natural clients. Which of the two it is follows from the depth, which must be the same everywhere. Folders and
    files are read in sorted order; links are followed, each folder once and under its own name. Names are compared in
    Unicode's composed form (NFC): an "Äpfel" from macOS and one from Linux are one class. A warning of one line tells
    what a reader might miss: image files of kinds that are not read, names that look alike, folders called like the
    parts of a split, a single client, empty classes.

    Every image is decoded once, for the report, and then left in its file: what is kept is its path and the hash of its
    pixels. `dataset.images[...]` decodes what is asked for; the files must stay where they are and as they are.

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
        UsageError: No such folder, no image in it, mixed layouts, a broken image, fewer than two classes, or a class
            or client whose name cannot be encoded as UTF-8, has control characters, or is `"global"` (a client).
    """
    if on_broken not in ("refuse", "skip"):
        raise UsageError(f"on_broken: expected 'refuse' or 'skip', got {quoted(on_broken)}")
    check_count("image_size", image_size)
    try:
        folder = os.path.expanduser(os.fsdecode(folder))
    except TypeError as error:
        raise UsageError(f"folder: expected a path, got {quoted(folder)}") from error
    tree = scan(folder)
    depth = layout(folder, tree)
    has_clients = depth == 3
    rows = _empty_rows(tree, "client" if has_clients else "class")
    images, read = _read(folder, tree, rows, image_size)

    broken = [text for row in rows.values() for text in row.broken_files]
    if broken and on_broken == "refuse":
        raise UsageError(
            f"folder: {len(broken)} of {len(tree.images)} images in {quoted(folder)} cannot be read, first "
            f"{one_line(broken[0], limit=200)}; repair or remove them, or leave them out with on_broken='skip'"
        )
    if not read:
        raise UsageError(f"folder: none of the {len(tree.images)} images in {quoted(folder)} can be read")
    class_names = sorted({same_name(parts[-2]) for parts in read})
    if len(class_names) < 2:
        raise UsageError(
            f"folder: expected at least two classes in {quoted(folder)}, got only {quoted(class_names[0])}; {LAYOUTS}"
        )
    _warn(_name_of(folder), tree, rows, class_names, has_clients)
    number = {name: i for i, name in enumerate(class_names)}
    return ImageDataset(
        name=_name_of(folder),
        images=images,
        labels=np.array([number[same_name(parts[-2])] for parts in read], np.int32),
        class_names=tuple(class_names),
        natural_client_ids=np.array([same_name(parts[0]) for parts in read]) if has_clients else None,
        report=pd.DataFrame(
            [row.cells() for row in rows.values()],
            index=pd.Index(rows, name="client_id" if has_clients else "class_name"),
        ),
    )


def _name_of(folder: str) -> str:
    """Returns what a data set from this folder is called: only a label, so that any name will do."""
    return shown(same_name(os.path.basename(os.path.realpath(folder)))).strip() or "folder"


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
        if cut := self.converted["cut off"]:
            found.append(f"{cut} JPEG images break off and end in grey")
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


def _empty_rows(tree: Tree, kind: str) -> dict[str, _Row]:
    """Returns one row per top folder, with what was ignored in it."""
    rows = {same_name(parts[0]): _Row(kind) for parts in tree.folders if len(parts) == 1}
    if any(len(parts) == 1 for parts, _ in tree.ignored):
        rows[_TOP] = _Row("top")
    for parts, why in tree.ignored:
        row = rows[same_name(parts[0]) if len(parts) > 1 else _TOP]
        row.ignored_files.append(f"{shown(os.path.join(*parts))} ({why})")
    return rows


def _read(folder: str, tree: Tree, rows: dict[str, _Row], image_size: int) -> tuple[LazyImages, list[Parts]]:
    """Returns the images that can be read and where each lies, and counts everything in `rows`."""
    allocate_images(1, image_size=image_size)
    folder, read, keys = os.path.abspath(folder), [], []
    for parts in progress_bar(tree.images, desc=f"reading {one_line(_name_of(folder))}", unit="image", delay=1):
        row = rows[same_name(parts[0])]
        try:
            decoded = decode_image(os.path.join(folder, *parts), image_size=image_size)
        except UnreadableImageError as error:
            row.broken_files.append(f"{shown(os.path.join(*parts))} ({error})")
            continue
        keys.append(image_key(decoded.pixels))
        read.append(parts)
        row.classes.add(same_name(parts[-2]))
        row.num_images += 1
        row.resized += decoded.resized
        row.converted.update(decoded.conversions)
    hashes = np.frombuffer(b"".join(keys), np.uint8).reshape(len(read), -1) if read else np.empty([0, 32], np.uint8)
    return LazyImages([os.path.join(folder, *parts) for parts in read], hashes, image_size=image_size), read


def _warn(name: str, tree: Tree, rows: dict[str, _Row], class_names: list[str], has_clients: bool) -> None:
    """Warns in one line of what a reader of the result would not expect; the report has the rest."""
    remarks = []
    if broken := [text for row in rows.values() for text in row.broken_files]:
        remarks.append(f"{len(broken)} broken images left out, first {one_line(broken[0], limit=200)}")
    if tree.missed:
        remarks.append(tree.missed_by_kind())
    tops = [top for top, row in rows.items() if row.num_images]
    if has_clients and len(tops) == 1:
        remarks.append(f"only one client, {quoted(tops[0])}; if it only wraps the classes, load that folder itself")
    for kind, names in {"clients": tops if has_clients else [], "classes": class_names}.items():
        for group in alike(names):
            remarks.append(f"{kind} that differ only in case, spaces or the form of letters: {_listed(group)}")
        splits = [name for name in names if name.casefold() in SPLITS]
        if len(splits) > 1 or (splits and names == tops):
            remarks.append(
                f"{_listed(splits)} taken as {kind}; if these are parts of one data set, put the images of each class "
                "together, and partition gives every client a test set of its own"
            )
    depth = 3 if has_clients else 2
    left_out = {same_name(parts[-1]) for parts in tree.folders if len(parts) == depth - 1} - set(class_names)
    if left_out:
        remarks.append(f"classes without an image left out: {_listed(sorted(left_out))}")
    for top, row in rows.items():
        remarks += [f"{row.kind} {quoted(top)}: {text}" for text in row.warnings]
    if remarks:
        more = f"; and {len(remarks) - 5} more" if len(remarks) > 5 else ""
        warnings.warn(
            f"folder {quoted(name)}: {'; '.join(remarks[:5])}{more} (see the report of the dataset)", stacklevel=3
        )


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - 10} more" if len(names) > 10 else ""
    return ", ".join(quoted(name) for name in names[:10]) + more
