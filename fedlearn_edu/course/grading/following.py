"""Says of a wrong answer that it follows from another one: what to mend first."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

from fedlearn_edu.course.grading.insight import STUB
from fedlearn_edu.course.grading.marks import Mark
from fedlearn_edu.course.grading.plan import Task
from fedlearn_edu.course.grading.text import clean

_WRONG = ("failed", "timeout", "memory", "processes", "crashed")  # it was run, and was not right
_NOT_RIGHT = {"missing": "is missing", "todo": "is not written yet"}
_SHOWN = 2


def explain_following(tasks: Sequence[Task], marks: Sequence[Mark]) -> list[Mark]:
    """Marks what depends on a function of the same lesson that is not right; status and points stay.

    Args:
        tasks: All of the batch.
        marks: Theirs, in the same order.

    Returns:
        The marks; those that follow from others with a message that names what to mend first, and `follows`.
    """
    wrong: dict[tuple[str, str], dict[str, tuple[Task, str]]] = {}
    for task, mark in zip(tasks, marks, strict=True):
        if mark.status != "passed" and mark.points < mark.max_points:
            wrong.setdefault((task.student, _lesson(task)), {})[task.function] = (task, mark.status)
    return [
        _explained(task, mark, wrong.get((task.student, _lesson(task)), {}))
        for task, mark in zip(tasks, marks, strict=True)
    ]


def _lesson(task: Task) -> str:
    return task.exercise_id.partition(".")[0]


def _explained(task: Task, mark: Mark, wrong: Mapping[str, tuple[Task, str]]) -> Mark:
    used = [wrong[name] for name in wrong if name in task.uses and name != task.function]
    # "todo" of a function that is written says that one of those which it calls is not.
    is_written = mark.status in _WRONG or (mark.status == "todo" and STUB not in task.uses)
    if not is_written or task.function not in wrong or not used:
        return mark
    # Where one calls the next, the last one is to be mended first; in a circle any.
    roots = [(one, status) for one, status in used if not (one.uses & wrong.keys()) - {one.function}] or used
    named = " and ".join(f"{root.function} ({root.exercise_id})" for root, _ in roots[:_SHOWN])
    state = _NOT_RIGHT.get(roots[0][1], "is not right yet") if len(roots) == 1 else "are not right yet"
    message = f"uses your {named}, which {state}: mend that first"
    if mark.message:
        message += f" ({mark.message})"
    return dataclasses.replace(mark, message=clean(message), follows=tuple(root.exercise_id for root, _ in roots))
