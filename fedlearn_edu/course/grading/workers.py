"""Runs tasks side by side in processes of the grader's own, and runs again what was not the learner's fault."""

from __future__ import annotations

import concurrent.futures
import dataclasses
import multiprocessing
import os
import signal
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures.process import BrokenProcessPool

from fedlearn_edu.course.checks.engine import Case, Exercise
from fedlearn_edu.course.grading.inside import wire
from fedlearn_edu.course.grading.inside.runner import LACKING
from fedlearn_edu.course.grading.isolation import Isolation
from fedlearn_edu.course.grading.marks import Mark, empty_mark, mark
from fedlearn_edu.course.grading.sandbox import run_guarded

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

    A task that ran out of time without having had the processor, or never started, is run again alone at the end: a
    hostile neighbour costs nobody marks.

    Args:
        batch: What all tasks share.
        tasks: The tasks.
        jobs: How many at a time, at least 1.
        done: Called with a task's index and mark as soon as it is final.
    """
    attempts = dict.fromkeys(range(len(tasks)), 0)
    later: list[int] = []

    def finish(index: int, result: Mark, again: bool, *, alone: bool) -> None:
        if again and not alone:
            later.append(index)
        else:
            attempts.pop(index)
            done(index, result)

    _run_round(batch, tasks, attempts, list(attempts), jobs, lambda i, m, a: finish(i, m, a, alone=False))
    again = dataclasses.replace(batch, patience=3.0)
    _run_round(again, tasks, attempts, sorted(later), 1, lambda i, m, a: finish(i, m, a, alone=True))


def _run_round(batch, tasks, attempts, indices, jobs, finish) -> None:
    """One pool after another until all is done: a worker that the system killed takes its pool with it."""
    global _batch
    pending = set(indices)
    while pending:
        _batch = batch
        context = multiprocessing.get_context("fork")
        pool = concurrent.futures.ProcessPoolExecutor(jobs, context, _start_worker, (os.getpid(),))
        try:
            futures = {pool.submit(_grade_one, *tasks[index]): index for index in sorted(pending)}
            for future in concurrent.futures.as_completed(futures):
                index = futures[future]
                try:
                    result, again = future.result()
                except BrokenProcessPool:
                    continue
                pending.discard(index)
                finish(index, result, again)
        except BaseException:  # Ctrl-C: what runs ends now; each guard ends its tree when its worker is gone
            pool.shutdown(wait=False, cancel_futures=True)
            for worker in multiprocessing.active_children():
                worker.terminate()
            raise
        finally:
            pool.shutdown(wait=True, cancel_futures=True)
            _batch = None
        for index in sorted(pending):
            attempts[index] += 1
            if attempts[index] >= _MAX_ATTEMPTS:
                pending.discard(index)
                exercise = batch.exercises[tasks[index][0]]
                finish(index, empty_mark(exercise, "ungraded", "the grader's own process was ended"), False)
        if pending:
            jobs = 1  # more slowly, in case it was memory that ran out


def _start_worker(parent: int) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the parent, which ends us
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    _end_with(parent)


def _end_with(parent: int) -> None:
    import ctypes

    ctypes.CDLL(None).prctl(1, signal.SIGTERM)  # PR_SET_PDEATHSIG
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
        outcome = run_guarded(job, batch.isolation, patience=batch.patience, **limits)
        result = mark(exercise, cases, outcome, **limits)
        if result.status in ("failed", "missing") and outcome.exit_code == LACKING:
            # Cells that it does not seem to need may have changed what it reads. Each try gets all cases anew.
            outcome = run_guarded(job | {"whole": True}, batch.isolation, patience=batch.patience, **limits)
            whole = mark(exercise, batch.make_cases[exercise_id](), outcome, **limits)
            result = max(result, whole, key=lambda mark: mark.points)
    except (OSError, MemoryError) as error:  # the machine, not the learner
        return empty_mark(exercise, "ungraded", f"the grader failed: {type(error).__name__}: {error}"), True
    return result, outcome.starved or not outcome.started
