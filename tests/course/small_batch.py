"""A graded batch made by hand: what the pages and tables of a class must say can be worked out on paper."""

import pathlib

from fedlearn_edu.course.grading import GradingResult
from fedlearn_edu.course.grading.marks import Mark
from fedlearn_edu.course.grading.submissions import Submission

TITLES = {"98.weighted_mean": "The weighted mean", "98.upload_bytes": "Bytes of one upload", "99.clip": "Clipping"}
POINTS = {"98.weighted_mean": 5, "98.upload_bytes": 2, "99.clip": 3}


def case(name="one client", *, passed=False, problem="", got="0.5", answered=True, hint="Who counts for more?"):
    return {
        "name": name, "passed": passed, "given": "[1], [2]", "got": got, "problem": problem,
        "hint": "" if passed else hint, "answered": answered, "arguments": [["deltas", "[1]"], ["sizes", "[2]"]],
    }  # fmt: skip


def mark(exercise_id, status, points=0.0, message="", cases=(), override=""):
    return Mark(exercise_id, TITLES[exercise_id], status, points, POINTS[exercise_id], message, tuple(cases), override)


def submission(student, *, lms_id="", late="", name=None):
    return Submission(
        student, name or student, "moodle" if lms_id else "", lms_id, (), identity=ascii(student), late=late
    )


def make_result(rows, **fields):
    """A result of {student: marks} or {submission: marks}."""
    rows = {one if isinstance(one, Submission) else submission(one): tuple(row) for one, row in rows.items()}
    files = {"overview": pathlib.Path("grades_overview.html")}
    marks = {one.student: row for one, row in rows.items()}
    return GradingResult(tuple(rows), marks, 7, "limits", {}, 0, 1.0, files, **fields)


def small_class():
    """Four students, three exercises of two lessons: 10, 3.5, 0 and 0 of 10 points."""
    wrong = "8 of 8 entries are wrong"
    ada = submission("Ada", lms_id="11")
    zoe = submission("Zo\u00eb", lms_id="12", late="2 days 3 h")
    rows = {
        ada: [
            mark("98.weighted_mean", "passed", 5.0),
            mark("98.upload_bytes", "passed", 2.0),
            mark("99.clip", "passed", 3.0),
        ],
        zoe: [
            mark("98.weighted_mean", "failed", 1.25, wrong, [case(problem=wrong)]),
            mark("98.upload_bytes", "failed", 1.25, "the number is wrong", override="late, as agreed"),
            mark("99.clip", "crashed", 1.0, "raised KeyError: 'a' (in clip, code cell 3, line 2)"),
        ],
        submission("Bo"): [
            mark("98.weighted_mean", "failed", 0.0, wrong, [case(problem=wrong)]),
            mark("98.upload_bytes", "todo", 0.0, "not written yet"),
            mark("99.clip", "crashed", 0.0, "raised KeyError: 'a' (in clip, code cell 9, line 1)"),
        ],
        submission("Cy"): [mark(id, "missing", 0.0, "nothing was handed in") for id in TITLES],
    }
    mistakes = {("Zo\u00eb", "98.weighted_mean"): "flipped sign", ("Bo", "98.weighted_mean"): "flipped sign"}
    sources = {"Zo\u00eb": {"98": "Zo\u00eb/98_toy.ipynb", "99": "Zo\u00eb/99_toy.ipynb"}}
    return make_result(rows, mistakes=mistakes, sources=sources, graded_at="2026-11-28 21:00 UTC")
