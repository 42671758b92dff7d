"""Numbers in place of names: whoever reads tables and pages does not know whose they are; a key is kept apart."""

from __future__ import annotations

import dataclasses
import hashlib
import itertools
import re
from collections.abc import Collection, Mapping, Sequence

from fedlearn_edu.course.grading.owners import ANOTHER, lesson_number
from fedlearn_edu.course.grading.submissions import Submission

_DIGITS = 8  # so many that of a few hundred no two have the same, and a late one changes nobody's
# What a student is told who handed in something else: with its names.
_NAMED = re.compile(r"handed in .*notebook", re.DOTALL)
NUMBER = re.compile("student [0-9]+")
_LONG_NUMBER = 4  # characters


def numbered(submissions: Sequence[Submission], seed: int) -> dict[str, Submission]:
    """Gives everyone a number, which stays theirs as long as the seed does, whoever else hands in.

    Args:
        submissions: Of the batch.
        seed: Of the hidden cases; without it no number can be told from a name.

    Returns:
        By the number in words, in the order of numbers, the submission with its names.
    """
    found: dict[str, Submission] = {}
    for one in sorted(submissions, key=lambda one: one.identity or one.student):
        numbers = (number_of(one.identity or one.student, seed, attempt) for attempt in itertools.count())
        found[next(number for number in numbers if number not in found)] = one
    return dict(sorted(found.items()))


def number_of(identity: str, seed: int, attempt: int = 0) -> str:
    """The number in words of somebody who need not be there any more.

    Args:
        identity: See `Submission`.
        seed: As for `numbered`.
        attempt: Which one, should others have those before it.
    """
    told = hashlib.sha256(f"{seed}/{identity}/{attempt}".encode()).hexdigest()
    return f"student {int(told, 16) % 10**_DIGITS:0{_DIGITS}}"


def without_names(names: Mapping[str, Submission]) -> list[Submission]:
    """The submissions under their numbers; what names them in paths and notes is replaced.

    Args:
        names: From `numbered`.
    """
    return [_hidden(one, label) for label, one in names.items()]


def without_any_name(lines: Collection[str], names: Mapping[str, Submission]) -> list[str]:
    """Lines on nobody in particular, in which anybody may be named; those on what names have in common are left out.

    Args:
        lines: The lines.
        names: From `numbered`.
    """
    hidden = [line for line in lines if f": {ANOTHER} " not in line]
    for label, one in names.items():
        hidden = [_replaced(line, one, label) for line in hidden]
    return hidden


def _hidden(one: Submission, label: str) -> Submission:
    paths: dict[str, str] = {}
    for file in one.files:
        # Of a file's name nothing is left but the lesson: it often is the student's name, or holds it.
        base = f"{label}/{lesson_number(file.path) or 'notebook'}"
        names = itertools.chain([base], (f"{base} ({number})" for number in itertools.count(2)))
        paths.setdefault(file.path, next(f"{name}.ipynb" for name in names if f"{name}.ipynb" not in paths.values()))
    files = [
        dataclasses.replace(file, path=paths[file.path], problem=_replaced(file.problem, one, label))
        for file in one.files
    ]
    problems = []
    for line in one.problems:  # each begins with the path of a file, which need be no notebook
        path = max((path for path in paths if line.startswith(f"{path}: ")), key=len, default=line.partition(": ")[0])
        problems.append(f"{paths.get(path, label)}: {_replaced(line[len(path) + 2 :], one, label)}")
    instead = _NAMED.sub("handed in no notebook", one.instead)
    return dataclasses.replace(
        one, student=label, name=label, lms="", lms_id="", files=tuple(files), identity=label,
        instead=_replaced(instead, one, label), problems=tuple(problems),
    )  # fmt: skip


def _replaced(text: str, one: Submission, label: str) -> str:
    entries = {file.path.partition("/")[0] for file in one.files}
    # A short number of a roster's own is in too many lines that are not on the student: "code cell 7".
    number = one.lms_id if one.lms or len(one.lms_id) >= _LONG_NUMBER else ""
    for name in sorted({*entries, one.student, one.name, number} - {""}, key=len, reverse=True):
        # An LMS writes on after the name: "Ada Lovelace_4001_assignsubmission_file_".
        text = re.sub(rf"(?<!\w){re.escape(name)}(?:_[\w.-]*)?(?!\w)", label, text)
    return text
