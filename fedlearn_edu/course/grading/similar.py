"""Finds pairs of students whose answers are alike in all but names and layout, where few others have the same."""

from __future__ import annotations

import collections
import dataclasses
import itertools
from collections.abc import Collection, Sequence

from fedlearn_edu.course.grading.plan import Task

_SMALLEST = 20  # parts of a function; of fewer there are only so many ways to write it
_TOGETHER = 80  # parts of all functions that a pair shares
_ENOUGH_ALONE = 150
_MAX_PAIRS = 2_000


@dataclasses.dataclass(frozen=True)
class Pair:
    """Two students whose answers are alike: a reason to look, not a verdict.

    Attributes:
        lesson: Such as "04".
        student: The first.
        other: The second.
        exercise_ids: Those whose functions are equal without names, comments, docstrings and layout.
        num_same: Students who have the same answers to all of these, both included.
    """

    lesson: str
    student: str
    other: str
    exercise_ids: tuple[str, ...]
    num_same: int


def find_similar(tasks: Sequence[Task], *, written: Collection[tuple[str, str]]) -> list[Pair]:
    """Compares all students, lesson by lesson.

    Those who work alone write short functions alike too. So a function counts only if it has some length and less than
    a third of those who wrote it (or this pair alone) have the same, and a pair is named only if it shares two such
    functions of some length together, or a very long one.

    Args:
        tasks: All of the batch.
        written: (student, exercise id) of what is not merely the stub that was handed out.

    Returns:
        The pairs, those who share most first.
    """
    holders = collections.defaultdict(list)
    num_written = collections.Counter()
    for task in tasks:
        if task.shape and (task.student, task.exercise_id) in written:
            num_written[task.exercise_id] += 1
            if task.shape[1] >= _SMALLEST:
                holders[task.exercise_id, task.shape].append(task.student)
    shared = collections.defaultdict(list)
    for (exercise_id, (_, size)), students in holders.items():
        if len(students) == 2 or (len(students) > 2 and 3 * len(students) < num_written[exercise_id]):
            for pair in itertools.combinations(students, 2):
                shared[exercise_id.partition(".")[0], *pair].append((exercise_id, size, frozenset(students)))
    pairs = []
    for (lesson, student, other), found in shared.items():
        sizes = [size for _, size, _ in found]
        if max(sizes) >= _ENOUGH_ALONE or (len(found) >= 2 and sum(sizes) >= _TOGETHER):
            same = frozenset.intersection(*(students for *_, students in found))
            pairs.append((sum(sizes), Pair(lesson, student, other, tuple(id for id, *_ in found), len(same))))
    pairs.sort(key=lambda one: -one[0])
    return [pair for _, pair in pairs[:_MAX_PAIRS]]
