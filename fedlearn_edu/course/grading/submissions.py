"""Finds whose file is whose: a folder or a zip from an LMS -> one submission a student."""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import functools
import os
import pathlib
import re
from collections.abc import Callable, Collection
from typing import BinaryIO

from fedlearn_edu.bars import progress_bar
from fedlearn_edu.course.grading.files import Archive, BadArchive, Folder, Path, Tree, walk
from fedlearn_edu.course.grading.limited import OverLimit, call_limited
from fedlearn_edu.course.grading.owners import (
    Owner,
    is_late,
    is_nobodys,
    is_notebook_or_zip,
    labels_of,
    lms_of,
    owners_of,
)
from fedlearn_edu.course.grading.reader import Handed, HandedIn, read_student
from fedlearn_edu.course.grading.text import clean, natural
from fedlearn_edu.errors import UsageError

_NUMBERED = re.compile(r"([0-9]{2})[_\- .]")
_MAX_NAMES = 100_000
LATE_IN_CANVAS = "as Canvas says"


@dataclasses.dataclass(frozen=True)
class Submission:
    """All that one student handed in.

    Attributes:
        student: Unique name, from the file, the folder or the LMS.
        name: The name alone, as the LMS has it.
        lms: "moodle", "canvas" or "".
        lms_id: Number in the LMS, or on the roster where no LMS tells one; or "".
        files: What cannot be read; then the notebooks in the order by which the last of several counts.
        instead: What was handed in where no notebook was, in words.
        identity: What no other student has and the student keeps from batch to batch: name and number in the LMS, or
            the name of the file or folder.
        problems: One line on everything left out or unusual.
        late: How late it was handed in, in words such as "2 days 3 h", or "".
        late_share: Share of the points that could be had, 0 to 1, that is taken off for being late.
    """

    student: str
    name: str
    lms: str
    lms_id: str
    files: tuple[Handed, ...]
    instead: str = ""
    identity: str = ""
    problems: tuple[str, ...] = ()
    late: str = ""
    late_share: float = 0.0


def read_submissions(
    path: str | pathlib.Path,
    *,
    ignore: Collection[str | os.PathLike] = (),
    progress: bool = False,
    look: Callable[[list[Submission]], None] | None = None,
) -> tuple[list[Submission], list[str]]:
    """Reads all submissions of a folder or a zip, or one notebook.

    Layouts: notebooks side by side, a student each; a folder a student; both mixed; a student's zip in place of a
    folder; names as Moodle and Canvas give them, if all names are of that kind. A single folder around it all is
    passed through; a student's zip never is, so no name in it makes anybody else's row. Zips are read, never unpacked.
    Symbolic links are never followed. Who handed in something that is no notebook is a student too.

    Args:
        path: Folder, .zip or .ipynb.
        ignore: Files and folders that the grader itself writes.
        progress: Whether to show a progress bar.
        look: Called with who handed in, without any file, before one is read: a batch takes minutes to read, and what
            is refused for its names need not wait for that. What it raises ends the reading.

    Returns:
        Submissions in the natural order of their names, and one line on everything that is nobody's.

    Raises:
        UsageError: The path does not exist, cannot be read or holds nothing that was handed in.
    """
    path = pathlib.Path(path)
    problems: list[str] = []
    with contextlib.ExitStack() as stack:
        tree, base, names = _open(path, stack)
        if not names:
            base, names = _without_wrapper(tree, problems, {os.path.realpath(one) for one in ignore})
        problems += tree.problems
        owners: dict[Owner, list[tuple[Path, str]]] = collections.defaultdict(list)
        for owner, name, kind in owners_of(names, problems):
            owners[owner].append(((*base, name), kind))
        if not owners:
            hint = f"; {problems[-1]}" if problems and "a lesson's name" in problems[-1] else ""
            raise UsageError(f"submissions: expected notebooks (.ipynb) in {path}, found none{hint}")
        labels = labels_of(owners, problems)
        if look:
            look([_submission(labels[owner], owner, HandedIn((), "", ()), found) for owner, found in owners.items()])
        bar = progress_bar(owners.items(), desc="reading", unit="student", delay=0.2, disable=not progress)
        submissions = [
            _submission(labels[owner], owner, read_student(tree, found, hidden=len(base)), found)
            for owner, found in bar
        ]
    return sorted(submissions, key=lambda one: (natural(one.student), one.student)), problems


def _submission(label: str, owner: Owner, read: HandedIn, names: list[tuple[Path, str]]) -> Submission:
    late = LATE_IN_CANVAS if owner.lms == "canvas" and any(is_late(path[-1]) for path, _ in names) else ""
    return Submission(
        label, owner.name, owner.lms, owner.lms_id, read.files, read.instead, owner.identity, read.problems, late
    )


def _open(path: pathlib.Path, stack: contextlib.ExitStack) -> tuple[Tree, Path, list[tuple[str, str]]]:
    """A tree, the folder in it, and the names in that if they are known already."""
    try:
        if path.is_dir():
            return Folder(path), (), []
        if path.is_file() and path.suffix.lower() == ".ipynb":
            return Folder(path.parent), (), [(path.name, "file")]
        if path.is_file() and path.suffix.lower() == ".zip":
            stream = stack.enter_context(path.open("rb"))
            # First on trial: its names may be somebody's who wants to fill this process's memory.
            call_limited(functools.partial(_try_zip, stream))
            return Archive(stream), (), []
    except (OSError, OverLimit) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else clean(error)
        raise UsageError(f"submissions: {path}: {reason}") from None
    kind = "which is neither" if path.exists() else "which does not exist"
    raise UsageError(f"submissions: expected a folder, a .zip or a .ipynb, got {path}, {kind}")


def _try_zip(stream: BinaryIO) -> None:
    with contextlib.suppress(BadArchive):
        Archive(stream)


def _without_wrapper(tree: Tree, problems: list[str], ignored: Collection[str]) -> tuple[Path, list[tuple[str, str]]]:
    """Passes through a folder that is alone at its level and holds more than one student's work."""
    base: Path = ()
    while True:
        try:
            names = tree.list(base)
        except OSError as error:
            where = clean("/".join(base)) or "the folder"
            raise UsageError(f"submissions: {where} cannot be read: {error.strerror or clean(error)}") from None
        if isinstance(tree, Folder):
            names = [(name, kind) for name, kind in names if not _is_graders(tree, (*base, name), kind, ignored)]
        folders = [name for name, kind in names if kind == "folder"]
        others = [name for name, kind in names if kind == "file" and not is_nobodys(name)]
        if len(folders) != 1 or others or lms_of(folders[0]) or _is_one_student(tree, (*base, folders[0])):
            return base, names
        problems += [f"{clean(name)}: nobody's, and left out" for name, _ in names if name != folders[0]]
        base = (*base, folders[0])
        problems.append(f"{clean('/'.join(base))}: the only folder; what lies in it was taken for a student's each")


def _is_graders(tree: Folder, path: Path, kind: str, ignored: Collection[str], depth: int = 0) -> bool:
    """Whether the grader wrote this itself, in an earlier run."""
    if os.path.join(tree.root, *path) in ignored:
        return True
    if kind != "folder" or depth > 2 or not ignored:
        return False
    try:
        inside = tree.list(path)
    except OSError:
        return False
    return bool(inside) and all(_is_graders(tree, (*path, name), kind, ignored, depth + 1) for name, kind in inside)


def _is_one_student(tree: Tree, folder: Path) -> bool:
    """Whether a folder that is alone is one student's, and not one around all students."""
    try:
        inside = tree.list(folder)
    except OSError:
        return True
    if any(lms_of(name) for name, _ in inside):
        return False
    direct = [name for name, kind in inside if kind == "file" and is_notebook_or_zip(name)]
    deeper = any(
        kind == "file" and is_notebook_or_zip(path[-1]) and len(path) > len(folder) + 1
        for path, kind in walk(tree, folder, lambda *_: None, max_names=_MAX_NAMES)
    )
    if deeper:
        return False
    if not direct:
        return not any(kind == "folder" for _, kind in inside)
    # Notebooks alone in one folder are one student's if each begins with the number of another lesson.
    numbers = [_NUMBERED.match(name) for name in direct]
    return len(direct) == 1 or (all(numbers) and len({number[1] for number in numbers}) == len(direct))
