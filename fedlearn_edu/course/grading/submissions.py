"""Finds whose notebook is whose: a folder or a zip from an LMS -> one submission a student."""

from __future__ import annotations

import dataclasses
import pathlib
import re

from fedlearn_edu.course.grading.files import FoundFile, find_files
from fedlearn_edu.course.grading.notebooks import Notebook, UnreadableNotebook, read_notebook
from fedlearn_edu.course.grading.text import clean, natural
from fedlearn_edu.errors import UsageError

# Moodle: "Ada Lovelace_123456_assignsubmission_file_" (a folder) or "..._file_03_clients.ipynb".
_MOODLE = re.compile(r"(?P<name>.+?)_(?P<id>\d+)_assignsubmission_(?:file|onlinetext)_?.*")
# Canvas: "lovelaceada_LATE_12345_678901_03_clients-1.ipynb".
_CANVAS = re.compile(r"(?P<name>[^_]+)_(?:LATE_)?(?P<id>\d+)_\d+_.+")
_SUFFIX = re.compile(r"\.(ipynb|zip)$", re.IGNORECASE)


@dataclasses.dataclass(frozen=True)
class Handed:
    """One notebook file that was handed in; `notebook` is None if it cannot be read, and `problem` says why."""

    path: str
    notebook: Notebook | None
    problem: str = ""


@dataclasses.dataclass(frozen=True)
class Submission:
    """All that one student handed in.

    Attributes:
        student: Unique name, from the file, the folder or the LMS.
        name: The name alone, as the LMS has it.
        lms_id: Number in the LMS, or "".
        files: The notebooks, in the natural order of their paths.
    """

    student: str
    name: str
    lms_id: str
    files: tuple[Handed, ...]


def read_submissions(path: str | pathlib.Path) -> tuple[list[Submission], list[str]]:
    """Reads all submissions of a folder or a zip, or one notebook.

    Layouts: notebooks side by side, a student each; a folder a student; both mixed; names as Moodle and Canvas give
    them; a student's zip in place of a folder. A single folder around it all is passed through. Zips are read, never
    unpacked: no name in one can lead anywhere. Symbolic links are never followed.

    Args:
        path: Folder, .zip or .ipynb.

    Returns:
        Submissions in the natural order of their names, and one line on everything left out.

    Raises:
        UsageError: The path does not exist or holds no notebook.
    """
    path = pathlib.Path(path)
    problems: list[str] = []
    found = sorted(find_files(path, problems), key=lambda file: (natural(file.path), file.path))
    groups: dict[tuple[str, str, str], list[Handed]] = {}
    for file in _without_wrapper(found):
        groups.setdefault(_owner(file.parts), []).append(_handed(file, problems))
    if not groups:
        raise UsageError(f"submissions: expected notebooks (.ipynb) in {path}, found none")
    return _named(groups, problems), problems


def _handed(file: FoundFile, problems: list[str]) -> Handed:
    shown = clean(file.path)
    try:
        if file.problem:
            raise UnreadableNotebook(file.problem)
        notebook = read_notebook(file.read())
    except (UnreadableNotebook, OSError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else clean(error)
        problems.append(f"{shown}: cannot be read: {reason}")
        return Handed(shown, None, reason)
    problems += [f"{shown}: {note}" for note in notebook.notes]
    return Handed(shown, notebook)


def _without_wrapper(files: list[FoundFile]) -> list[FoundFile]:
    """Passes through a folder that is alone at its level and holds more than one student's work."""
    while True:
        tops = {file.parts[0] for file in files}
        if len(tops) != 1 or any(len(file.parts) == 1 for file in files) or _lms(tops.pop()):
            return files
        flat = all(len(file.parts) == 2 for file in files)
        # Notebooks alone in one folder are one student's if each begins with the number of another lesson.
        numbers = [re.match(r"\d\d(?=[_\- .])", file.parts[1]) for file in files]
        one_student = len(files) == 1 or (all(numbers) and len({n[0] for n in numbers}) == len(files))
        if flat and one_student and not any(_lms(file.parts[1]) for file in files):
            return files
        files = [dataclasses.replace(file, parts=file.parts[1:]) for file in files]


def _lms(name: str) -> tuple[str, str] | None:
    for pattern in (_MOODLE, _CANVAS):
        if match := pattern.fullmatch(_SUFFIX.sub("", name)):
            return clean(match["name"]), match["id"]
    return None


def _owner(parts: tuple[str, ...]) -> tuple[str, str, str]:
    """(name, number in the LMS, the file or folder that makes two students of one name two)."""
    if found := _lms(parts[0]):
        return (*found, "")
    return clean(_SUFFIX.sub("", parts[0])) or "unnamed", "", parts[0]


def _named(groups: dict[tuple[str, str, str], list[Handed]], problems: list[str]) -> list[Submission]:
    submissions, taken = [], set()
    for (name, lms_id, _), files in groups.items():
        student, number = name, 2
        if student.casefold() in taken and lms_id:
            student = f"{name} [{lms_id}]"
        while student.casefold() in taken:
            student, number = f"{name} ({number})", number + 1
        if student != name:
            problems.append(f"{files[0].path}: there is another {name!r}; this one is called {student!r}")
        taken.add(student.casefold())
        submissions.append(Submission(student, name, lms_id, tuple(files)))
    return sorted(submissions, key=lambda submission: natural(submission.student))
