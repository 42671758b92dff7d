"""Runs tasks side by side in processes of the grader's own, and runs again what was not the learner's fault."""

from __future__ import annotations

import concurrent.futures
import dataclasses
import multiprocessing
import os
import signal
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from concurrent.futures.process import BrokenProcessPool
from typing import Protocol

from fedlearn_edu.course.checks.checking import PARTIAL, Case, Exercise
from fedlearn_edu.course.grading.inside import ending, kernel, wire
from fedlearn_edu.course.grading.inside.runner import LACKING
from fedlearn_edu.course.grading.isolation import Isolation
from fedlearn_edu.course.grading.marks import Mark, empty_mark, mark
from fedlearn_edu.course.grading.plan import Task
from fedlearn_edu.course.grading.sandbox import Outcome, run_guarded

FOLLOWING_SECONDS = 5.0  # of a function that depends on one which does not end
# Of `run_guarded`, in the first try already: to go on for what others took costs less than another whole turn, and what
# has had its time and does not end is not run a second time.
_PATIENCE = 3.0
_MAX_ATTEMPTS = 3
_TICK_SECONDS = 1.0


@dataclasses.dataclass(frozen=True)
class Batch:
    """What all tasks share. The workers get it by `fork`: cases hold functions, which cannot be sent.

    Attributes:
        exercises: By id.
        make_cases: By id, makes the hidden cases anew for each student: a case may remember what came back for the
            one before it.
        isolation: The walls.
        timeout: Seconds that an exercise has.
        memory_gb: GiB that it has.
    """

    exercises: Mapping[str, Exercise]
    make_cases: Mapping[str, Callable[[], Sequence[Case]]]
    isolation: Isolation
    timeout: float
    memory_gb: float


_batch: Batch | None = None


class Watcher(Protocol):
    """Who wants to know what is running: `progress.Bar`."""

    def started(self, index: int, seconds: float, longest: float) -> None: ...
    def stopped(self, index: int, mark: Mark) -> None: ...
    def tick(self) -> None: ...


def run_tasks(
    batch: Batch,
    tasks: Mapping[int, Task],
    *,
    jobs: int,
    done: Callable[[int, Mark], None],
    watcher: Watcher,
    endless: Collection[tuple[str, str]] = (),
) -> None:
    """Grades tasks, `jobs` at a time, in their order.

    A function waits for those of the same student on which it depends. If one of them did not end in time, it gets
    `FOLLOWING_SECONDS`: a loop that never ends costs its whole time once and not again in each function that calls it.

    A task that others keep from the processor gets more time by the clock. One that still has not had it, was killed
    from outside or never started, is run again alone at the end: a hostile neighbour costs nobody marks.

    Args:
        batch: What all tasks share.
        tasks: The tasks by number.
        jobs: How many at a time, at least 1.
        done: Called with a task's number and mark as soon as it is final.
        watcher: Is told what begins and what ends.
        endless: (student, function) of functions that are known not to end in time.
    """
    later: list[int] = []
    slow = set(endless)

    def seconds(index: int) -> float:
        task = tasks[index]
        follows = any((task.student, name) in slow for name in task.uses)
        return min(batch.timeout, FOLLOWING_SECONDS) if follows else batch.timeout

    def final(index: int, result: Mark) -> None:
        if result.status == "timeout":
            slow.add((tasks[index].student, tasks[index].function))
        done(index, result)

    def first(index: int, result: Mark, again: bool) -> None:
        later.append(index) if again else final(index, result)

    _Round(batch, tasks, jobs, seconds, first, watcher).run(list(tasks))
    _Round(batch, tasks, 1, seconds, lambda index, result, _: final(index, result), watcher).run(sorted(later))


@dataclasses.dataclass
class _Round:
    """Runs each of some tasks once; `finish(index, mark, again)` gets what came of it."""

    batch: Batch
    tasks: Mapping[int, Task]
    jobs: int
    seconds: Callable[[int], float]
    finish: Callable[[int, Mark, bool], None]
    watcher: Watcher

    def run(self, left: list[int]) -> None:
        """One pool after another until all is done: a worker that the system ends takes its pool with it.

        Who may have been running then is run alone, so that only a task that ends its worker again is charged with it.
        """
        while left:
            suspects, left = self._run_pool(left, self.jobs)
            for index in suspects:
                for _ in range(_MAX_ATTEMPTS):
                    if not self._run_pool([index], 1)[0]:
                        break
                else:
                    exercise = self.batch.exercises[self.tasks[index].exercise_id]
                    self.finish(index, empty_mark(exercise, "ungraded", "the grader's own process was ended"), False)

    def _run_pool(self, indices: list[int], jobs: int) -> tuple[list[int], list[int]]:
        """Returns, if the pool broke, the tasks that ran then and those that had not begun, in order."""
        global _batch
        _batch = self.batch
        waiting, running, broken = dict.fromkeys(indices), {}, []
        pool = concurrent.futures.ProcessPoolExecutor(
            jobs, multiprocessing.get_context("fork"), _start_worker, (os.getpid(),)
        )
        try:
            while (waiting and not broken) or running:
                while waiting and not broken and len(running) < jobs:
                    if (index := self._next(waiting, running.values())) is None:
                        break
                    task, limit = self.tasks[index], self.seconds(index)
                    try:
                        running[pool.submit(_grade_one, task.exercise_id, task.cells, limit)] = index
                    except BrokenProcessPool:
                        broken.append(None)
                        break
                    del waiting[index]
                    self.watcher.started(index, limit, _PATIENCE * limit)
                ended, _ = concurrent.futures.wait(running, _TICK_SECONDS, concurrent.futures.FIRST_COMPLETED)
                for future in ended:
                    index = running.pop(future)
                    try:
                        result, again = future.result()
                    except BrokenProcessPool:
                        broken.append(index)
                        continue
                    self.watcher.stopped(index, result)
                    self.finish(index, result, again)
                self.watcher.tick()
        except BaseException:  # Ctrl-C: what runs ends now; each guard ends its tree when its worker is gone
            pool.shutdown(wait=False, cancel_futures=True)
            for worker in multiprocessing.active_children():
                worker.terminate()
            raise
        finally:
            pool.shutdown(wait=True, cancel_futures=True)
            _batch = None
        return sorted(index for index in broken if index is not None), list(waiting)

    def _next(self, waiting: Iterable[int], running: Collection[int]) -> int | None:
        """The first task that waits for no other one; where all wait in a circle, the first of all."""
        open_ = {(self.tasks[index].student, self.tasks[index].function) for index in [*waiting, *running]}
        for index in waiting:
            task = self.tasks[index]
            if not any((task.student, name) in open_ for name in task.uses):
                return index
        return None if running else next(iter(waiting))


def _start_worker(parent: int) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the parent, which ends us
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    kernel.die_with_parent(signal.SIGTERM)
    kernel.prctl(kernel.PR_SET_CHILD_SUBREAPER, 1)  # what a guard that was killed leaves behind comes to us
    if os.getppid() != parent:
        os._exit(1)


def _grade_one(exercise_id: str, cells: Sequence[str], seconds: float) -> tuple[Mark, bool]:
    """Runs in a worker: one guarded process, then the comparison. Returns the mark and whether to try again."""
    batch = _batch
    exercise, cases = batch.exercises[exercise_id], batch.make_cases[exercise_id]()
    job = {
        "function": exercise.function_name,
        "cells": list(cells),
        "arguments": [[wire.encode(argument) for argument in case.arguments] for case in cases],
    }
    limits = {"timeout": seconds, "memory_gb": batch.memory_gb}
    try:
        outcome = _run(job, batch, limits)
        result = mark(exercise, cases, outcome, **limits)
        used = outcome.seconds
        if result.status in ("failed", "missing") and outcome.exit_code == LACKING:
            # Cells that it does not seem to need may have changed what it reads. Each try gets all cases anew.
            outcome = _run(job | {"whole": True}, batch, limits)
            whole = mark(exercise, batch.make_cases[exercise_id](), outcome, **limits)
            result, used = max(result, whole, key=_worth), used + outcome.seconds
    except Exception as error:  # the machine or us, not the learner; and nobody but this learner
        return empty_mark(exercise, "ungraded", f"the grader failed: {type(error).__name__}: {error}"), True
    # Where memory is short the system kills the largest, who need not be the one that took too much.
    killed = outcome.ending == "ended" and outcome.exit_code in (-signal.SIGKILL, 128 + signal.SIGKILL)
    again = outcome.starved or killed or not outcome.started
    return dataclasses.replace(result, seconds=round(used, 2)), again


def _worth(mark: Mark) -> list[float]:
    """Which of two tries counts, whatever rule for answers in part may come later."""
    return [mark.under(rule).points for rule in PARTIAL]


def _run(job: dict, batch: Batch, limits: dict) -> Outcome:
    known = ending.below(os.getpid()).keys()
    outcome = run_guarded(job, batch.isolation, patience=_PATIENCE, **limits)
    if outcome.exit_code < 0:  # somebody killed the guard, and what it held is ours now
        ending.end_others(known)
    return outcome
