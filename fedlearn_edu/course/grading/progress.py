"""The bar of a batch: how far it is, how long it will take, and whose function keeps it waiting."""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence

from fedlearn_edu.bars import progress_bar
from fedlearn_edu.course.grading.marks import Mark
from fedlearn_edu.course.grading.plan import Task

_SLOW_SECONDS = 4.0  # after so long it is said who is waited for
_LATEST = 200
_FORMAT = "{l_bar}{bar}| {n_fmt}/{total_fmt} [{elapsed}{postfix}]"


class Bar:
    """Shows a batch's progress; a context manager.

    The forecast counts what is left at the speed of what came to an end by itself: a function that never ends says
    nothing of how long the others take. What did not end and is to be run again counts with all the time it may have.

    Args:
        tasks: All tasks.
        num_done: So many need not be run.
        jobs: Exercises at a time.
        shown: Whether to show anything.
    """

    def __init__(self, tasks: Sequence[Task], *, num_done: int, jobs: int, shown: bool):
        self._tasks, self._jobs = tasks, jobs
        self._running: dict[int, tuple[float, float, float]] = {}
        self._again: dict[int, float] = {}  # seconds of what ran out of time and has no mark yet
        self._seconds: list[float] = []
        self._bar = progress_bar(
            total=len(tasks), initial=num_done, unit="exercise", disable=not shown, bar_format=_FORMAT
        )

    def __enter__(self) -> Bar:
        return self

    def __exit__(self, *_) -> None:
        self._bar.set_postfix_str("", refresh=False)
        self._bar.close()

    def started(self, index: int, seconds: float, longest: float) -> None:
        """Task `index` runs from now on, for `seconds` at most, or `longest` where others have the processor."""
        self._running[index] = (time.monotonic(), seconds, longest)

    def stopped(self, index: int, mark: Mark) -> None:
        """Task `index` does not run any more; it may be run again."""
        begun, seconds, _ = self._running.pop(index, (time.monotonic(), 0.0, 0.0))
        if mark.status == "timeout":
            self._again[index] = seconds
        else:
            self._seconds.append(time.monotonic() - begun)

    def done(self, index: int) -> None:
        """The mark of task `index` is final."""
        self._again.pop(index, None)
        self._bar.update()
        self.tick()

    def tick(self) -> None:
        """Says anew what is being waited for."""
        if not self._bar.disable:
            self._bar.set_postfix_str(self.text())

    def text(self) -> str:
        """What stands behind the bar."""
        num_left = self._bar.total - self._bar.n
        now = time.monotonic()
        running = sorted(
            (now - begun, seconds, longest, index) for index, (begun, seconds, longest) in self._running.items()
        )
        slow = [one for one in reversed(running) if one[0] > _SLOW_SECONDS or one[-1] in self._again]
        parts = []
        if (self._seconds or self._again) and num_left:
            mean = statistics.fmean(self._seconds[-_LATEST:] or [0.0])
            left = mean * (num_left - len(self._again)) / self._jobs
            # What is slow already will be waited for to the end; what is run again runs alone.
            ends = [(seconds if used <= seconds else longest) - used for used, seconds, longest, _ in slow]
            alone = sum(seconds for index, seconds in self._again.items() if index not in self._running)
            # Beyond its own time it is at the mercy of whatever else this machine does.
            word = "up to" if any(used > seconds for used, seconds, *_ in slow) else "about"
            parts.append(f"{word} {_clock(max([left, *ends]) + alone)} left")
        for used, seconds, _, index in slow[:1]:
            task = self._tasks[index]
            # It has that time for itself: where others have the processor it takes longer by the clock.
            spent = f"{used:.0f} of {seconds:g} s" if used <= seconds else f"{used:.0f} s, {seconds:g} s of its own"
            more = f" and {len(slow) - 1} more" if len(slow) > 1 else ""
            parts.append(f"{task.exercise_id} of {task.student}: {spent}{more}")
        return "; ".join(parts)


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}:{rest:02}"
