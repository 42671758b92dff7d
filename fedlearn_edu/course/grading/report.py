"""The tables of a graded batch: marks, totals, a table for the LMS, and a record of how it was graded."""

from __future__ import annotations

import collections
import csv
import io
import json
import os
import pathlib
from collections.abc import Iterable

from fedlearn_edu.course.grading.isolation import LEVELS
from fedlearn_edu.course.grading.text import neutral

_SHOWN_PROBLEMS = 10


def beside(output: pathlib.Path, ending: str) -> pathlib.Path:
    """`grades.csv` and "_totals.csv" -> `grades_totals.csv`."""
    return output.with_name(output.stem + ending)


def paths(output: pathlib.Path, feedback: str | os.PathLike | None) -> dict[str, pathlib.Path]:
    """What a batch writes, by purpose."""
    files = {"grades": output} | {
        purpose: beside(output, f"_{purpose}{suffix}")
        for purpose, suffix in (
            ("totals", ".csv"),
            ("lms", ".csv"),
            ("overview", ".html"),
            ("answers", ".html"),
            ("report", ".json"),
            ("state", ".json"),
        )
    }
    files["answers_table"] = beside(output, "_answers.csv")
    return files | ({"feedback": pathlib.Path(feedback)} if feedback else {})


def make_tables(result, *, timeout: float, memory_gb: float) -> dict[pathlib.Path, str]:
    """Makes all tables of a `GradingResult`.

    Returns:
        Content by path.
    """
    marks = [
        (student, mark.exercise_id, mark.status, mark.points, mark.max_points, mark.message)
        for student, row in result.marks.items()
        for mark in row
    ]
    header = ["student", "exercise", "status", "points", "max_points", "message"]
    tables = {result.files["grades"]: _csv(header, marks)}
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
    tables[result.files["totals"]] = _csv(header, totals)
    # The columns of Moodle's offline grading worksheet; Canvas and others let one map columns. Moodle drops the first
    # twelve characters of an identifier and takes the rest for a number: only one that Moodle gave may stand there.
    lms = [
        (
            f"Participant {s.lms_id}" if s.lms == "moodle" else "",
            s.name,
            result.total(s.student),
            result.max_total(s.student),
            _comment(result.marks[s.student]),
        )
        for s in result.submissions
    ]
    header = ["Identifier", "Full name", "Grade", "Maximum Grade", "Feedback comments"]
    tables[result.files["lms"]] = _csv(header, lms)
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
    return tables | {result.files["report"]: json.dumps(record, indent=2)}


def _csv(header: list[str], rows: Iterable[tuple]) -> str:
    stream = io.StringIO(newline="")
    table = csv.writer(stream)
    table.writerow(header)
    table.writerows([neutral(value) for value in row] for row in rows)
    return stream.getvalue()


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
        f"Hidden cases: their seed is in {result.files['state'].name}. "
        f"{result.seconds:.0f} s, {result.num_resumed} marks from an earlier run.",
    ]
    # One line a student at most: nobody's ten thousand files push the others off the screen.
    noted = [notes for notes in result.notes.values() if notes]
    for first, *more in noted[:_SHOWN_PROBLEMS]:
        lines.append(f"  {first}" + (f" ({len(more)} more lines in the report)" if more else ""))
    if len(noted) > _SHOWN_PROBLEMS:
        lines.append(f"  ... and {len(noted) - _SHOWN_PROBLEMS} more students, in {result.files['report']}")
    written = [str(path) for purpose, path in result.files.items() if purpose != "state"]
    return "\n".join([*lines, "Written, readable by you alone: " + ", ".join(written)])
