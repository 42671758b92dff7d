"""The tables of a graded batch: marks, totals, a table for the LMS, and a record of how it was graded."""

from __future__ import annotations

import collections
import csv
import json
import os
import pathlib
from collections.abc import Iterable

from fedlearn_edu.course.grading.isolation import LEVELS
from fedlearn_edu.course.grading.state import replace_file
from fedlearn_edu.course.grading.text import neutral

_SHOWN_PROBLEMS = 10


def beside(output: pathlib.Path, ending: str) -> pathlib.Path:
    """`grades.csv` and "_totals.csv" -> `grades_totals.csv`."""
    return output.with_name(output.stem + ending)


def paths(output: pathlib.Path, feedback: str | os.PathLike | None) -> dict[str, pathlib.Path]:
    """What a batch writes, by purpose."""
    files = {"grades": output} | {
        purpose: beside(output, f"_{purpose}{suffix}")
        for purpose, suffix in (("totals", ".csv"), ("lms", ".csv"), ("report", ".json"), ("state", ".json"))
    }
    return files | ({"feedback": pathlib.Path(feedback)} if feedback else {})


def write_tables(result, *, timeout: float, memory_gb: float) -> None:
    """Writes all tables of a `GradingResult`, each whole or not at all.

    Raises:
        RunError: The folder cannot be written.
    """
    marks = [
        (student, mark.exercise_id, mark.status, mark.points, mark.max_points, mark.message)
        for student, row in result.marks.items()
        for mark in row
    ]
    _write(result.files["grades"], ["student", "exercise", "status", "points", "max_points", "message"], marks)
    totals = [
        (
            s.student,
            s.lms_id,
            result.total(s.student),
            result.max_total(s.student),
            sum(mark.status == "passed" for mark in result.marks[s.student]),
            len(result.marks[s.student]),
            " | ".join(file.path for file in s.files),
        )
        for s in result.submissions
    ]
    header = ["student", "lms_id", "points", "max_points", "passed", "exercises", "files"]
    _write(result.files["totals"], header, totals)
    # The columns of Moodle's offline grading worksheet; Canvas and others let one map columns.
    lms = [
        (
            f"Participant {s.lms_id}" if s.lms_id else s.student,
            s.name,
            result.total(s.student),
            result.max_total(s.student),
            _comment(result.marks[s.student]),
        )
        for s in result.submissions
    ]
    _write(result.files["lms"], ["Identifier", "Full name", "Grade", "Maximum Grade", "Feedback comments"], lms)
    record = {
        "seed": result.seed,
        "isolation": result.isolation,
        "isolation_means": LEVELS[result.isolation],
        "timeout_seconds": timeout,
        "memory_gb": memory_gb,
        "seconds": result.seconds,
        "resumed": result.num_resumed,
        "statuses": dict(sorted(_statuses(result).items())),
        "problems": list(result.problems),
    }
    replace_file(result.files["report"], lambda stream: json.dump(record, stream, indent=2), private=True)


def _write(path: pathlib.Path, header: list[str], rows: Iterable[tuple]) -> None:
    def write(stream):
        table = csv.writer(stream)
        table.writerow(header)
        table.writerows([neutral(value) for value in row] for row in rows)

    replace_file(path, write)


def _comment(marks) -> str:
    return "; ".join(f"{mark.exercise_id}: {mark.points:g}/{mark.max_points} {mark.status}" for mark in marks)


def _statuses(result) -> collections.Counter:
    return collections.Counter(mark.status for row in result.marks.values() for mark in row)


def summary(result) -> str:
    """A few lines for the terminal.

    Args:
        result: A `GradingResult`.
    """
    statuses = ", ".join(f"{count} {status}" for status, count in _statuses(result).most_common())
    lines = [
        f"{len(result.submissions)} submissions, {sum(map(len, result.marks.values()))} exercises: {statuses}",
        f"Walls around learner code: {result.isolation}: {LEVELS[result.isolation]}",
        f"Hidden cases: seed {result.seed}. {result.seconds:.0f} s, {result.num_resumed} marks from an earlier run.",
    ]
    lines += [f"  {problem}" for problem in result.problems[:_SHOWN_PROBLEMS]]
    if len(result.problems) > _SHOWN_PROBLEMS:
        lines.append(f"  ... {len(result.problems) - _SHOWN_PROBLEMS} more in {result.files['report']}")
    written = [str(path) for purpose, path in result.files.items() if purpose != "state"]
    return "\n".join([*lines, "Written: " + ", ".join(written)])
