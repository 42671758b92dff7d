"""Says of a wrong answer that it follows from another one: what to mend first."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

from fedlearn_edu.course.grading.marks import Mark
from fedlearn_edu.course.grading.plan import Task
from fedlearn_edu.course.grading.text import clean

_WRONG = ("failed", "timeout", "memory", "processes", "crashed")  # it was run, and was not right
_SHOWN = 2


def explain_following(tasks: Sequence[Task], marks: Sequence[Mark]) -> list[Mark]:
    """Marks what depends on a function of the same lesson that is not right; status and points stay.

    Args:
        tasks: All of the batch.
        marks: Theirs, in the same order.

    Returns:
        The marks; those that follow from others with a message that names what to mend first, and `follows`.
    """
    wrong: dict[tuple[str, str], dict[str, Task]] = {}
    for task, mark in zip(tasks, marks, strict=True):
        if mark.status != "passed" and mark.points < mark.max_points:
            wrong.setdefault((task.student, _lesson(task)), {})[task.function] = task
    return [
        _explained(task, mark, wrong.get((task.student, _lesson(task)), {}))
        for task, mark in zip(tasks, marks, strict=True)
    ]


def _lesson(task: Task) -> str:
    return task.exercise_id.partition(".")[0]


def _explained(task: Task, mark: Mark, wrong: Mapping[str, Task]) -> Mark:
    used = [other for name, other in wrong.items() if name in task.uses and name != task.function]
    if mark.status not in _WRONG or task.function not in wrong or not used:
        return mark
    # Where one calls the next, the last one is to be mended first; in a circle any.
    roots = [other for other in used if not (other.uses & wrong.keys()) - {other.function}] or used
    named = " and ".join(f"{root.function} ({root.exercise_id})" for root in roots[:_SHOWN])
    verb = "is" if len(roots) == 1 else "are"
    message = f"uses your {named}, which {verb} not right yet: mend that first"
    if mark.message:
        message += f" ({mark.message})"
    return dataclasses.replace(mark, message=clean(message), follows=tuple(root.exercise_id for root in roots))
