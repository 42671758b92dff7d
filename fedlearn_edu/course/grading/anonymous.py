"""Numbers in place of names: whoever reads tables and pages does not know whose they are; a key is kept apart."""

from __future__ import annotations

import dataclasses
import hashlib
import itertools
import re
from collections.abc import Collection, Mapping, Sequence

from fedlearn_edu.course.grading.owners import ANOTHER
from fedlearn_edu.course.grading.reader import Handed
from fedlearn_edu.course.grading.submissions import Submission

_DIGITS = 5
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
        for attempt in itertools.count():
            told = hashlib.sha256(f"{seed}/{one.identity or one.student}/{attempt}".encode()).hexdigest()
            label = f"student {int(told, 16) % 10**_DIGITS:0{_DIGITS}}"
            if label not in found:
                found[label] = one
                break
    return dict(sorted(found.items()))


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
    files = [_hidden_file(file, one, label) for file in one.files]
    problems = tuple(_replaced(line, one, label) for line in one.problems)
    # Of the file's name nothing is left where the file is the whole entry: it is the student's name, or holds it.
    return dataclasses.replace(
        one, student=label, name=label, lms="", lms_id="", files=tuple(files), identity=label,
        instead=_replaced(one.instead, one, label), problems=problems,
    )  # fmt: skip


def _hidden_file(file: Handed, one: Submission, label: str) -> Handed:
    entry, slash, below = file.path.partition("/")
    lesson = re.search(r"(?<![0-9])[0-9]{2}_[a-z][a-z_]*(?=[-. (]|$)", entry)
    path = label + slash + below if slash else f"{label}/{lesson[0] if lesson else 'notebook'}.ipynb"
    return dataclasses.replace(file, path=path, problem=_replaced(file.problem, one, label))


def _replaced(text: str, one: Submission, label: str) -> str:
    entries = {file.path.partition("/")[0] for file in one.files}
    # A short number of a roster's own is in too many lines that are not on the student: "code cell 7".
    number = one.lms_id if one.lms or len(one.lms_id) >= _LONG_NUMBER else ""
    for name in sorted({*entries, one.student, one.name, number} - {""}, key=len, reverse=True):
        # An LMS writes on after the name: "Ada Lovelace_4001_assignsubmission_file_".
        text = re.sub(rf"(?<!\w){re.escape(name)}(?:_[\w.-]*)?(?!\w)", label, text)
    return text
