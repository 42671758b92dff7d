"""The tables of a graded batch: marks, totals, and a record of how it was graded."""

from __future__ import annotations

import collections
import csv
import io
import json
import os
import pathlib
from collections.abc import Iterable

from fedlearn_edu.course.grading.isolation import LEVELS
from fedlearn_edu.course.grading.text import clean, neutral

_SHOWN_PROBLEMS = 10


def beside(output: pathlib.Path, ending: str) -> pathlib.Path:
    """`grades.csv` and "_totals.csv" -> `grades_totals.csv`."""
    return output.with_name(output.stem + ending)


def paths(output: pathlib.Path, feedback: str | os.PathLike | None) -> dict[str, pathlib.Path]:
    """What a batch writes, by purpose."""
    files = {"grades": output} | {
        purpose: beside(output, f"_{purpose}{suffix}")
        for purpose, suffix in (("totals", ".csv"), ("report", ".json"), ("state", ".json"))
    }
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
            s.late,
            result.taken_off(s.student),
            " | ".join(file.path for file in s.files),
        )
        for s in result.submissions
    ]
    header = ["student", "lms_id", "points", "max_points", "passed", "exercises", "late", "taken_off", "files"]
    tables[result.files["totals"]] = _csv(header, totals)
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
        "term": list(result.said),
    }
    return tables | {result.files["report"]: json.dumps(record, indent=2)}


def _csv(header: list[str], rows: Iterable[tuple]) -> str:
    stream = io.StringIO(newline="")
    stream.write("\ufeff")  # without it, Excel takes UTF-8 for something else
    table = csv.writer(stream)
    table.writerow(header)
    table.writerows([neutral(value) for value in row] for row in rows)
    return stream.getvalue()


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
    lines += [f"  {clean(line)}" for line in result.said]
    return "\n".join([*lines, "Written, readable by you alone: " + ", ".join(written)])
