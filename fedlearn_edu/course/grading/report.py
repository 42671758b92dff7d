"""The tables of a graded batch: marks, totals, and a record of how it was graded."""

from __future__ import annotations

import collections
import csv
import dataclasses
import io
import json
import os
import pathlib
from collections.abc import Iterable, Mapping

from fedlearn_edu.course.grading.feedback import file_name
from fedlearn_edu.course.grading.isolation import LEVELS
from fedlearn_edu.course.grading.submissions import Submission
from fedlearn_edu.course.grading.text import neutral, whole


def beside(output: pathlib.Path, ending: str) -> pathlib.Path:
    """`grades.csv` and "_totals.csv" -> `grades_totals.csv`."""
    return output.with_name(output.stem + ending)


def paths(output: pathlib.Path, feedback: str | os.PathLike | None) -> dict[str, pathlib.Path]:
    """What a batch writes, by purpose."""
    files = {"grades": output} | {
        purpose: beside(output, f"_{purpose}{suffix}")
        for purpose, suffix in (
            ("totals", ".csv"),
            ("overview", ".html"),
            ("answers", ".html"),
            ("report", ".json"),
            ("state", ".json"),
        )
    }
    files["answers_table"] = beside(output, "_answers.csv")
    return files | ({"feedback": pathlib.Path(feedback)} if feedback else {})


def sometimes(output: pathlib.Path) -> dict[str, pathlib.Path]:
    """What a batch writes only if there is something to write, by purpose."""
    return {purpose: beside(output, f"_{purpose}.csv") for purpose in ("names", "changes", "similar")}


def make_tables(result, *, timeout: float, memory_gb: float) -> dict[pathlib.Path, str]:
    """Makes all tables of a `GradingResult`.

    Returns:
        Content by path.
    """
    marks = [
        (
            student,
            mark.exercise_id,
            mark.status,
            whole(mark.points),
            mark.max_points,
            result.told(student, mark),
            mark.override,
            " ".join(mark.follows),
        )
        for student, row in result.marks.items()
        for mark in row
    ]
    header = ["student", "exercise", "status", "points", "max_points", "message", "set_by_teacher", "follows_from"]
    tables = {result.files["grades"]: _csv(header, marks)}
    totals = [
        (
            s.student,
            s.lms_id,
            whole(result.total(s.student)),
            result.max_total(s.student),
            sum(mark.status == "passed" for mark in result.marks[s.student]),
            len(result.marks[s.student]),
            s.late,
            whole(result.taken_off(s.student)),
            _files(s),
            f"{file_name(s)}.html" if "feedback" in result.files else "",
        )
        for s in result.submissions
    ]
    header = [
        "student",
        "lms_id",
        "points",
        "max_points",
        "passed",
        "exercises",
        "late",
        "taken_off",
        "files",
        "feedback",
    ]
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
        "remarks": list(result.remarks),
        "changes": [dataclasses.asdict(change) for change in result.changes],
        "similar": [dataclasses.asdict(pair) for pair in result.similar],
    }
    if "similar" in result.files:
        header = ["lesson", "student", "other", "exercises", "num_exercises", "students_with_the_same"]
        pairs = [
            (pair.lesson, pair.student, pair.other, " ".join(pair.exercise_ids), len(pair.exercise_ids), pair.num_same)
            for pair in result.similar
        ]
        tables[result.files["similar"]] = _csv(header, pairs)
    return tables | {result.files["report"]: json.dumps(record, indent=2)}


def make_key(names: Mapping[str, Submission]) -> str:
    """The table that tells whose number is whose.

    Args:
        names: Submissions with their names, by number.
    """
    return _csv(["student", "name", "lms_id"], [(label, one.student, one.lms_id) for label, one in names.items()])


def _csv(header: list[str], rows: Iterable[tuple]) -> str:
    stream = io.StringIO(newline="")
    stream.write("\ufeff")  # without it, Excel takes UTF-8 for something else
    table = csv.writer(stream)
    table.writerow(header)
    table.writerows([neutral(value) for value in row] for row in rows)
    return stream.getvalue()


def _files(submission: Submission) -> str:
    paths = [file.path for file in submission.files]
    return f"{paths[0]} and {len(paths) - 1} more" if len(paths) > 1 else "".join(paths)


def _statuses(result) -> collections.Counter:
    return collections.Counter(mark.status for row in result.marks.values() for mark in row)
