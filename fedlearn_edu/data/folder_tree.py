"""What lies in a folder of images or texts, and whether its sub-folders are classes, or clients that hold classes."""

from __future__ import annotations

import collections
import dataclasses
import os
import pathlib
from collections.abc import Callable

from fedlearn_edu.data.image_files import SUFFIXES, is_image_name, kind_of_image
from fedlearn_edu.data.names import WHOLE, check_name, one_line, quoted, same_name
from fedlearn_edu.errors import UsageError


@dataclasses.dataclass(frozen=True)
class Wanted:
    """What is looked for.

    Attributes:
        noun: What one is called.
        suffixes: How their names end.
        accepts: Whether a file of this name is one.
        lookalike: What else a file at this path seems to be that should have been one; None for nothing.
    """

    noun: str
    suffixes: tuple[str, ...]
    accepts: Callable[[str], bool]
    lookalike: Callable[[str], str | None]

    @property
    def layouts(self) -> str:
        return f"expected DIR/<class>/{self.noun} or DIR/<client>/<class>/{self.noun}"


IMAGES = Wanted("image", SUFFIXES, is_image_name, kind_of_image)
TEXTS = Wanted("text", (".txt",), lambda name: pathlib.PurePath(name).suffix.lower() == ".txt", lambda path: None)
LAYOUTS = IMAGES.layouts

Parts = tuple[str, ...]  # the names that lead from the folder to an entry


@dataclasses.dataclass
class Tree:
    """What lies in a folder.

    Attributes:
        images: Files of the kind that is looked for (images, or texts), by their names, sorted.
        folders: All folders that were looked into, sorted.
        ignored: Everything else, sorted, with the reason.
        missed: Ignored files that look like images, sorted, with their kind.
    """

    images: list[Parts] = dataclasses.field(default_factory=list)
    folders: list[Parts] = dataclasses.field(default_factory=list)
    ignored: list[tuple[Parts, str]] = dataclasses.field(default_factory=list)
    missed: list[tuple[Parts, str]] = dataclasses.field(default_factory=list)

    def missed_by_kind(self) -> str:
        """Returns one line on the images that are not read, or ""."""
        if not self.missed:
            return ""
        kinds = collections.Counter(kind for _, kind in self.missed)
        counts = ", ".join(f"{count} {kind}" for kind, count in kinds.most_common())
        several = len(self.missed) > 1
        files = f"{len(self.missed)} files look like images but are" if several else "1 file looks like an image but is"
        return f"{files} not read ({counts}), first {joined(self.missed[0][0])}; save as .jpg or .png"


def joined(parts: Parts) -> str:
    """Returns an entry's path below the folder in one short line."""
    return one_line(os.path.join(*parts))


def scan(folder: str, wanted: Wanted = IMAGES) -> Tree:
    """Returns what lies in a folder; links to folders are followed, and each folder is read once.

    Folders are read under their own names before any link to them is followed, so that a link never takes the place
    of what it points to.

    Raises:
        UsageError: No such folder, or one in it cannot be looked into.
    """
    if not os.path.exists(folder):
        raise UsageError(f"folder: {quoted(folder)} does not exist; {wanted.layouts}")
    if not os.path.isdir(folder):
        raise UsageError(f"folder: {quoted(folder)} is a file; {wanted.layouts}")
    tree, seen, folders, links = Tree(), set(), [()], []
    while folders or links:
        here = folders.pop() if folders else links.pop(links.index(min(links)))
        path = os.path.join(folder, *here)
        try:
            status, names = os.stat(path), os.listdir(path)
        except OSError as error:
            raise UsageError(f"folder: cannot look into {quoted(path)}: {error.strerror}") from error
        # A link to a folder above would lead round for ever, one to a folder beside would double its images.
        if (status.st_dev, status.st_ino) in seen:
            tree.ignored.append((here, "folder already read under another name"))
            continue
        seen.add((status.st_dev, status.st_ino))
        if here:
            tree.folders.append(here)
        for name in names:
            _sort_in(tree, wanted, folders, links, (*here, name), os.path.join(path, name))
    for entries in (tree.images, tree.folders, tree.ignored, tree.missed):
        entries.sort()
    return tree


def _sort_in(tree: Tree, wanted: Wanted, folders: list[Parts], links: list[Parts], parts: Parts, path: str) -> None:
    if parts[-1].startswith(".") or parts[-1] == "__MACOSX":
        tree.ignored.append((parts, "hidden"))
    elif os.path.isdir(path):
        (links if os.path.islink(path) else folders).append(parts)
    elif not os.path.isfile(path) and not (os.path.islink(path) and not os.path.exists(path)):
        tree.ignored.append((parts, "not a regular file"))  # a pipe or device: opening it could wait for ever
    elif wanted.accepts(parts[-1]):
        tree.images.append(parts)  # a link that leads nowhere, too: it is a broken image
    elif kind := wanted.lookalike(path):
        tree.ignored.append((parts, f"looks like {kind}"))
        tree.missed.append((parts, kind))
    else:
        tree.ignored.append((parts, f"not {_one(wanted)}"))


def _one(wanted: Wanted) -> str:
    return f"{'an' if wanted.noun[0] in 'aeiou' else 'a'} {wanted.noun}"


def layout(folder: str, tree: Tree, wanted: Wanted = IMAGES) -> int:
    """Returns the depth of every file: 2 for classes, 3 for clients that hold classes.

    Raises:
        UsageError: No such file, files in other depths or in both, or a folder whose name cannot be that of a class or
            of a client.
    """
    if not tree.images:
        found = (
            "is empty"
            if not (tree.folders or tree.ignored)
            else f"holds no {wanted.noun} ({', '.join(wanted.suffixes)})"
        )
        raise UsageError(f"folder: {quoted(folder)} {found}; {tree.missed_by_kind() or wanted.layouts}")
    example = {len(parts): os.path.join(*parts) for parts in reversed(tree.images)}
    for depth, path in example.items():
        if depth not in (2, 3):
            where = "in no class folder" if depth == 1 else "too deep"
            raise UsageError(f"folder: {quoted(path)} in {quoted(folder)} lies {where}; {wanted.layouts}")
    if len(example) > 1:
        raise UsageError(
            f"folder: {quoted(folder)} mixes two layouts: {quoted(example[2])} is <class>/{wanted.noun} and "
            f"{quoted(example[3])} is <client>/<class>/{wanted.noun}; use one of them everywhere"
        )
    (depth,) = example
    for parts in tree.folders:
        if len(parts) < depth:
            what = "class" if len(parts) == depth - 1 else "client"
            check_name("folder", parts[-1], what=f"a {what} folder in {quoted(folder)}")
            if what == "client" and same_name(parts[-1]) == WHOLE:
                raise UsageError(
                    f"folder: {WHOLE!r} in {quoted(folder)} cannot be a client, since a history calls all clients "
                    "together so; rename that folder"
                )
    return depth
