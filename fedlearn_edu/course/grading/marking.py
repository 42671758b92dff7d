"""Marks the tasks of a batch: by what is known of an earlier run, or by running them."""

from __future__ import annotations

import functools
import os
from collections.abc import Mapping, Sequence

from fedlearn_edu.course.checks.checking import Exercise
from fedlearn_edu.course.grading.hidden import code_digest, digest, hidden_cases
from fedlearn_edu.course.grading.marks import Mark, empty_mark
from fedlearn_edu.course.grading.plan import Task
from fedlearn_edu.course.grading.progress import Bar
from fedlearn_edu.course.grading.state import State, key_of
from fedlearn_edu.course.grading.walls import prepare
from fedlearn_edu.course.grading.workers import Batch, run_tasks

_VERSION = 7  # raise it when the same code would get another mark


class Stopped(KeyboardInterrupt):
    """Ctrl-C while exercises ran.

    Attributes:
        num_kept: Marks that a later run takes over, or makes without running anything.
        num_tasks: Marks of the whole batch.
    """

    def __init__(self, num_kept: int, num_tasks: int):
        super().__init__(num_kept, num_tasks)
        self.num_kept, self.num_tasks = num_kept, num_tasks


def mark_tasks(
    tasks: Sequence[Task],
    exercises: Mapping[str, Exercise],
    identities: Mapping[str, str],
    state: State,
    options: Mapping,
    *,
    jobs: int | None,
    isolation: str,
    private: Sequence[os.PathLike],
    progress: bool,
) -> tuple[list[Mark], list[int], str]:
    """Marks all tasks; what is run is put into the state, which is saved also if this is interrupted.

    Args:
        tasks: From `plan.make_plan`.
        exercises: By id.
        identities: By the student's name in `tasks`, what they are called from run to run.
        state: Of the earlier run.
        options: From `settings.settle`.
        jobs: Exercises at a time; None = processor cores.
        isolation: "auto" or a key of `isolation.LEVELS`.
        private: What learner code must not see.
        progress: Whether to show a progress bar.

    Returns:
        The marks in the order of `tasks`, the numbers of those that were run now, and the walls' level.

    Raises:
        RunError: No wall can be built here.
        Stopped: Ctrl-C.
    """
    ids = dict.fromkeys(task.exercise_id for task in tasks)
    make_cases = {id: functools.partial(hidden_cases, exercises[id], state.seed) for id in ids}
    checks = {id: (digest(make()), code_digest(exercises[id])) for id, make in make_cases.items()}  # also a first trial
    limits = {"timeout": options["timeout"], "memory_gb": options["memory_gb"]}
    marks: list[Mark | None] = [None] * len(tasks)
    keys: dict[int, str] = {}
    for index, task in enumerate(tasks):
        exercise = exercises[task.exercise_id]
        if task.cells is None:
            marks[index] = empty_mark(exercise, task.status, task.message)
            continue
        content = (identities[task.student], task.cells, exercise.id, exercise.points, checks[exercise.id])
        keys[index] = key_of(_VERSION, *content, state.seed, limits)
        marks[index] = state.get(keys[index])
    open_tasks = {index: task for index, task in enumerate(tasks) if marks[index] is None}
    endless = {(t.student, t.function) for t, m in zip(tasks, marks, strict=True) if m and m.status == "timeout"}
    jobs = min(jobs or len(os.sched_getaffinity(0)), max(len(open_tasks), 1))
    with prepare(level=isolation, private=private) as walls:
        batch = Batch(exercises, make_cases, walls, **limits)
        with Bar(tasks, num_done=len(tasks) - len(open_tasks), jobs=jobs, shown=progress) as bar:

            def done(index: int, mark: Mark) -> None:
                marks[index] = mark
                if mark.status != "ungraded":
                    state.put(keys[index], mark)
                bar.done(index)

            try:
                run_tasks(batch, open_tasks, jobs=jobs, done=done, watcher=bar, endless=endless)
            except KeyboardInterrupt:
                raise Stopped(sum(mark is not None for mark in marks), len(tasks)) from None
            finally:
                state.save()
    return [mark.under(options["partial"]) for mark in marks], list(open_tasks), walls.level
