"""Progress bars: drawn in place where somebody looks, and a whole line now and then where they go into a file."""

from __future__ import annotations

import sys

from tqdm.auto import tqdm as drawn
from tqdm.std import tqdm as plain

_FIRST_SECONDS, _LONGEST_SECONDS = 5.0, 60.0
_WORTH_SECONDS = 1.0  # what was over sooner needs no line


def progress_bar(*args, **options) -> plain:
    """Makes a bar of tqdm's, with its arguments.

    A carriage return moves back in a terminal and in a notebook alone, and would leave every step in a log. There a bar
    writes lines: the first after 5 seconds, then ever less often, and how it ended if it took a second.
    """
    return (drawn if _is_watched() else _Lines)(*args, **options)


def start_clock(bar: plain, done: float) -> None:
    """Counts what is done when the first step ends, without its time, which forecasts nothing if it compiles.

    Args:
        bar: A bar of which nothing was shown yet but its start.
        done: Where it stands from now on, in its units; what is behind it has no say in the rate.
    """
    if bar.disable:
        return
    bar.n = bar.initial = bar.last_print_n = done
    bar.unpause()
    bar.refresh()


def _is_watched() -> bool:
    return "ipykernel.zmqshell" in sys.modules or sys.stderr.isatty()


class _Lines(plain):
    """A bar whose every state is a line of its own."""

    def __init__(self, *args, **options):
        self._pause = _FIRST_SECONDS
        self._written = 0.0  # seconds after the start
        super().__init__(*args, **options)

    def display(self, msg: str | None = None, pos: int | None = None) -> bool:
        seconds = self._seconds()
        if seconds < self._written + self._pause:
            return False
        if self._written:
            self._pause = min(2 * self._pause, _LONGEST_SECONDS)
        self._written = seconds
        self._write()
        return True

    def close(self) -> None:
        if not self.disable:
            if self._seconds() >= _WORTH_SECONDS:
                self._write()
            self.sp = None  # so that tqdm adds nothing of its own
        super().close()

    def _seconds(self) -> float:
        return self._time() - getattr(self, "start_t", self._time())

    def _write(self) -> None:
        self.fp.write(f"{str(self).rstrip()}\n")
        self.fp.flush()
