"""Reads what one student handed in, within a budget: files, zips and notebooks -> code cells, in a limited child."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import itertools
import re
from collections.abc import Callable, Sequence

from fedlearn_edu.course.grading.files import Archive, Path, TooLarge, Tree, walk
from fedlearn_edu.course.grading.insight import Insight, insight_of, look_into
from fedlearn_edu.course.grading.limited import OverLimit, allow_seconds, send_limited
from fedlearn_edu.course.grading.notebooks import MAX_BYTES, MAX_SOURCE, Notebook, UnreadableNotebook, read_notebook
from fedlearn_edu.course.grading.text import clean, natural

MAX_NOTEBOOKS = 50
_INSIGHT_SECONDS = 5  # of processor time, for all notebooks of a student
_MAX_UNPACKED = 512 * 2**20  # of one student: notebooks, and zips within zips
_MAX_ZIP_BYTES = 256 * 2**20  # of a zip within a zip
_MAX_ZIP_DEPTH = 2
_MAX_NAMES = 20_000  # in one zip or folder
_MAX_LINES = 200
_NAMED_LIKE_A_LESSON = re.compile(r"[0-9]{2}[_\- .]")
# Files that may be notebooks under another name: browsers and mail programs add ".txt", some save as ".json".
_DISGUISED = re.compile(r"(.*\.ipynb[^/]*|.*\.(json|txt)|[^.]*)", re.IGNORECASE)


@dataclasses.dataclass(frozen=True)
class Handed:
    """One notebook file that was handed in; `notebook` is None if it cannot be read, and `problem` says why."""

    path: str
    notebook: Notebook | None
    problem: str = ""


@dataclasses.dataclass(frozen=True)
class HandedIn:
    """All that one student handed in.

    Attributes:
        files: What cannot be read; then the notebooks in the order by which the last of several counts.
        instead: What was handed in besides notebooks, in words.
        problems: One line on everything left out or unusual.
    """

    files: tuple[Handed, ...]
    instead: str
    problems: tuple[str, ...]


def read_student(tree: Tree, names: Sequence[tuple[Path, str]], *, hidden: int = 0) -> HandedIn:
    """Reads the files, folders and zips of one student.

    Whatever they hold costs this student at most: a notebook that cannot be read, or all of them if the child that
    reads them goes beyond the limits of `call_limited`.

    Args:
        tree: Where they are.
        names: Their (path, kind).
        hidden: So many leading parts of each path are not shown.
    """

    def work(send: Callable) -> None:
        read = _Reader(tree, hidden).read(names)
        send(read)
        # What cannot be looked into is not known, and costs nobody a mark.
        allow_seconds(_INSIGHT_SECONDS)
        with contextlib.suppress(Exception):
            for found in look_into(
                [(file["cells"], file["functions"]) for file in read["files"] if not file["problem"]]
            ):
                send(found)

    try:
        answer, *insights = send_limited(work)
    except OverLimit as error:
        path = clean("/".join(names[0][0][hidden:]))
        reason = clean(error)
        return HandedIn((Handed(path, None, reason),), "", (f"{path}: cannot be read: {reason}",))
    known = {number: insight_of(uses, shapes) for number, uses, shapes in insights}
    numbers = itertools.count()
    files = [
        Handed(file["path"], None, file["problem"])
        if file["problem"]
        else Handed(file["path"], _notebook(file, known.get(next(numbers), Insight())))
        for file in answer["files"]
    ]
    return HandedIn(tuple(files), answer["instead"], tuple(answer["problems"]))


def _notebook(file: dict, insight: Insight) -> Notebook:
    answers = tuple(tuple(one) for one in file["answers"])
    return Notebook(tuple(file["cells"]), frozenset(file["ids"]), frozenset(file["functions"]), (), answers, insight)


@dataclasses.dataclass(frozen=True)
class _Candidate:
    path: Path
    read: Callable[[int], bytes]

    @property
    def is_named_so(self) -> bool:
        return self.path[-1].lower().endswith(".ipynb")

    def order(self) -> tuple:
        """By which the last of several counts: never one under another name before a plain one."""
        shown = "/".join(self.path)
        return self.is_named_so, natural(shown), shown

    def preference(self) -> tuple:
        return self.is_named_so, bool(_NAMED_LIKE_A_LESSON.match(self.path[-1])), *self.order()


class _Reader:
    """Runs in the child: goes through all names, chooses what may count, and reads that."""

    def __init__(self, tree: Tree, hidden: int):
        self._tree = tree
        self._hidden = hidden
        self._unpacked = 0
        self._candidates: list[_Candidate] = []
        self._read: list[dict] = []  # the last first
        self._unread: list[dict] = []
        self._others: list[str] = []
        self._problems: list[str] = []

    def read(self, names: Sequence[tuple[Path, str]]) -> dict:
        for path, kind in names:
            self._look(self._tree, path, kind, (), 0)
            if kind == "folder":
                self._walk(self._tree, path, (), 0)
        ranked = sorted(self._candidates, key=_Candidate.preference)
        left_out, chosen = ranked[:-MAX_NOTEBOOKS], sorted(ranked[-MAX_NOTEBOOKS:], key=_Candidate.order)
        for candidate in left_out:
            if not candidate.is_named_so:
                self._other(self._shown(candidate.path), "no notebook by its name, and one of many")
        if num_left_out := sum(candidate.is_named_so for candidate in left_out):
            self._problems.append(
                f"{self._shown(names[0][0])}: {num_left_out + len(chosen)} notebooks; only {len(chosen)} were read: "
                f"first those whose names begin with a lesson's number, then the last by name"
            )
        characters = 0
        for candidate in reversed(chosen):  # the last of several counts, so it has the first claim to the budget
            characters += self._read_one(candidate, MAX_SOURCE - characters)
        more = len(self._problems) - _MAX_LINES
        if more > 0:
            self._problems[_MAX_LINES:] = [f"{self._shown(names[0][0])}: {more} more lines like these"]
        return {
            "files": self._unread[:_MAX_LINES] + self._read[::-1],
            "instead": self._instead(),
            "problems": self._problems,
        }

    def _instead(self) -> str:
        if not self._others:
            return "nothing was handed in but an empty folder"
        shown = ", ".join(self._others[:3]) + (f" and {len(self._others) - 3} more" if len(self._others) > 3 else "")
        return f"handed in {shown}, {'which is no' if len(self._others) == 1 else 'none of which is a'} notebook"

    def _shown(self, path: Path) -> str:
        return clean("/".join(path[self._hidden :]))

    def _walk(self, tree: Tree, start: Path, prefix: Path, depth: int) -> None:
        def failed(path: Path, reason: str) -> None:
            self._unreadable(self._shown((*prefix, *path)), reason)

        for path, kind in walk(tree, start, failed, max_names=_MAX_NAMES):
            self._look(tree, path, kind, prefix, depth)

    def _look(self, tree: Tree, path: Path, kind: str, prefix: Path, depth: int) -> None:
        shown, name = self._shown((*prefix, *path)), path[-1]
        if kind == "link":
            self._problems.append(f"{shown}: a symbolic link; links are not followed")
        elif kind == "other":
            self._problems.append(f"{shown}: no regular file")
        elif kind == "file" and name.lower().endswith(".zip"):
            self._open_zip(tree, path, prefix, depth)
        elif kind == "file" and _DISGUISED.fullmatch(name):
            self._candidates.append(_Candidate((*prefix, *path), functools.partial(tree.read, path)))
        elif kind == "file":
            self._other(shown, "no notebook")

    def _other(self, shown: str, reason: str) -> None:
        self._others.append(shown)
        self._problems.append(f"{shown}: {reason}")

    def _unreadable(self, shown: str, reason: str) -> None:
        self._unread.append({"path": shown, "problem": reason})
        self._problems.append(f"{shown}: cannot be read: {reason}")

    def _open_zip(self, tree: Tree, path: Path, prefix: Path, depth: int) -> None:
        whole = (*prefix, *path)
        shown = self._shown(whole)
        if depth >= _MAX_ZIP_DEPTH:
            self._unreadable(shown, "too deep within other zips")
            return
        limit = min(_MAX_ZIP_BYTES, _MAX_UNPACKED - self._unpacked)
        try:
            stream = tree.open_file(path, limit)
            archive = Archive(stream, shown=shown, max_entries=_MAX_NAMES)
        except TooLarge:
            self._unreadable(shown, f"a zip within a zip, larger than {limit // 2**20} MiB")
        except OSError as error:
            self._unreadable(shown, error.strerror or clean(error))
        else:
            if isinstance(tree, Archive):
                self._unpacked += stream.seek(0, 2)
            self._problems += archive.problems
            self._walk(archive, (), whole, depth + 1)
            if not archive.list(()):
                self._other(shown, "a zip with nothing in it")

    def _read_one(self, candidate: _Candidate, characters_left: int) -> int:
        """Returns how many characters of code it holds."""
        shown = self._shown(candidate.path)
        limit = min(MAX_BYTES, _MAX_UNPACKED - self._unpacked)
        try:
            content = candidate.read(limit)
            self._unpacked += len(content)
            if not candidate.is_named_so and not content[:100].lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"{"):
                raise UnreadableNotebook("no notebook")
            notebook = read_notebook(content)
            size = sum(map(len, notebook.cells))
            if size > characters_left:
                raise UnreadableNotebook(f"more than {MAX_SOURCE:,} characters of code in all notebooks together")
        except TooLarge:
            whole = f"more than {_MAX_UNPACKED // 2**20} MiB in all files together"
            reason = f"larger than {MAX_BYTES // 2**20} MiB" if limit == MAX_BYTES else whole
        except UnreadableNotebook as error:
            reason = clean(error)
        except OSError as error:
            reason = error.strerror or clean(error)
        except MemoryError:
            reason = "it takes too much memory"
        else:
            if not candidate.is_named_so:
                self._problems.append(f"{shown}: read as a notebook, which it is in spite of its name")
            self._problems += [f"{shown}: {note}" for note in notebook.notes]
            self._read.append(
                {
                    "path": shown,
                    "problem": "",
                    "cells": notebook.cells,
                    "ids": sorted(notebook.exercise_ids),
                    "functions": sorted(notebook.functions),
                    "answers": notebook.answers,
                }
            )
            return size
        if candidate.is_named_so:
            self._unreadable(shown, reason)
        else:
            self._other(shown, "no notebook" if reason == "no notebook" else f"no notebook ({reason})")
        return 0
