"""Runs tasks side by side in processes of the grader's own, and runs again what was not the learner's fault."""

from __future__ import annotations

import concurrent.futures
import contextlib
import dataclasses
import multiprocessing
import os
import signal
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures.process import BrokenProcessPool

from fedlearn_edu.course.checks.engine import Case, Exercise
from fedlearn_edu.course.grading.inside import ending, kernel, wire
from fedlearn_edu.course.grading.inside.runner import LACKING
from fedlearn_edu.course.grading.isolation import Isolation
from fedlearn_edu.course.grading.marks import Mark, empty_mark, mark
from fedlearn_edu.course.grading.sandbox import Outcome, run_guarded

_MAX_ATTEMPTS = 3


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
        patience: See `run_guarded`.
    """

    exercises: Mapping[str, Exercise]
    make_cases: Mapping[str, Callable[[], Sequence[Case]]]
    isolation: Isolation
    timeout: float
    memory_gb: float
    patience: float = 1.0


_batch: Batch | None = None


def run_tasks(
    batch: Batch,
    tasks: Sequence[tuple[str, Sequence[str]]],
    *,
    jobs: int,
    done: Callable[[int, Mark], None],
) -> None:
    """Grades (exercise id, cells) tasks, `jobs` at a time.

    A task that ran out of time without having had the processor, was killed from outside or never started, is run again
    alone at the end: a hostile neighbour costs nobody marks.

    Args:
        batch: What all tasks share.
        tasks: The tasks.
        jobs: How many at a time, at least 1.
        done: Called with a task's index and mark as soon as it is final.
    """
    later: list[int] = []

    def first(index: int, result: Mark, again: bool) -> None:
        if again:
            later.append(index)
        else:
            done(index, result)

    _run_round(batch, tasks, range(len(tasks)), jobs, first)
    patient = dataclasses.replace(batch, patience=3.0)
    _run_round(patient, tasks, sorted(later), 1, lambda index, result, again: done(index, result))


def _run_round(batch, tasks, indices, jobs, finish) -> None:
    """One pool after another until all is done: a worker that the system ends takes its pool with it.

    Who may have been running then is run alone, so that only a task that ends its worker again is charged with it.
    """
    left = list(indices)
    while left:
        left = _run_pool(batch, tasks, left, jobs, finish)
        suspects, left = left[: 2 * jobs + 1], left[2 * jobs + 1 :]  # a pool also holds tasks ready for its workers
        for index in suspects:
            for _ in range(_MAX_ATTEMPTS):
                if not _run_pool(batch, tasks, [index], 1, finish):
                    break
            else:
                exercise = batch.exercises[tasks[index][0]]
                finish(index, empty_mark(exercise, "ungraded", "the grader's own process was ended"), False)


def _run_pool(batch, tasks, indices, jobs, finish) -> list[int]:
    """Returns, in order, the tasks that have no result because the pool broke."""
    global _batch
    _batch = batch
    left = dict.fromkeys(indices)
    pool = concurrent.futures.ProcessPoolExecutor(
        jobs, multiprocessing.get_context("fork"), _start_worker, (os.getpid(),)
    )
    try:
        futures = {}
        with contextlib.suppress(BrokenProcessPool):
            for index in indices:
                futures[pool.submit(_grade_one, *tasks[index])] = index
        for future in concurrent.futures.as_completed(futures):
            with contextlib.suppress(BrokenProcessPool):
                result, again = future.result()
                del left[futures[future]]
                finish(futures[future], result, again)
    except BaseException:  # Ctrl-C: what runs ends now; each guard ends its tree when its worker is gone
        pool.shutdown(wait=False, cancel_futures=True)
        for worker in multiprocessing.active_children():
            worker.terminate()
        raise
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
        _batch = None
    return list(left)


def _start_worker(parent: int) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the parent, which ends us
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    kernel.die_with_parent(signal.SIGTERM)
    kernel.prctl(kernel.PR_SET_CHILD_SUBREAPER, 1)  # what a guard that was killed leaves behind comes to us
    if os.getppid() != parent:
        os._exit(1)


def _grade_one(exercise_id: str, cells: Sequence[str]) -> tuple[Mark, bool]:
    """Runs in a worker: one guarded process, then the comparison. Returns the mark and whether to try again."""
    batch = _batch
    exercise, cases = batch.exercises[exercise_id], batch.make_cases[exercise_id]()
    job = {
        "function": exercise.function_name,
        "cells": list(cells),
        "arguments": [[wire.encode(argument) for argument in case.arguments] for case in cases],
    }
    limits = {"timeout": batch.timeout, "memory_gb": batch.memory_gb}
    try:
        outcome = _run(job, batch, limits)
        result = mark(exercise, cases, outcome, **limits)
        if result.status in ("failed", "missing") and outcome.exit_code == LACKING:
            # Cells that it does not seem to need may have changed what it reads. Each try gets all cases anew.
            outcome = _run(job | {"whole": True}, batch, limits)
            whole = mark(exercise, batch.make_cases[exercise_id](), outcome, **limits)
            result = max(result, whole, key=lambda mark: mark.points)
    except Exception as error:  # the machine or us, not the learner; and nobody but this learner
        return empty_mark(exercise, "ungraded", f"the grader failed: {type(error).__name__}: {error}"), True
    # Where memory is short the system kills the largest, who need not be the one that took too much.
    killed = outcome.ending == "ended" and outcome.exit_code in (-signal.SIGKILL, 128 + signal.SIGKILL)
    return result, outcome.starved or killed or not outcome.started


def _run(job: dict, batch: Batch, limits: dict) -> Outcome:
    known = ending.below(os.getpid()).keys()
    outcome = run_guarded(job, batch.isolation, patience=batch.patience, **limits)
    if outcome.exit_code < 0:  # somebody killed the guard, and what it held is ours now
        ending.end_others(known)
    return outcome
