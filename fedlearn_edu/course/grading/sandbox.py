"""Runs one job in a guarded process and watches it from outside: time, memory, number of processes, size of answer."""

from __future__ import annotations

import dataclasses
import json
import math
import os
import pathlib
import select
import subprocess
import sys
import tempfile
import time

from fedlearn_edu.course.grading.inside import ending
from fedlearn_edu.course.grading.isolation import Isolation, remove_folder
from fedlearn_edu.course.grading.usage import Usage

MAX_ANSWER = 32 * 2**20
MAX_PROCESSES = 16
_MAX_FRAMES = 4096
_MAX_FILES, _MAX_FILE_BYTES = 4000, 256 * 2**20  # where the home is no file system of its own
_START = "import sys; sys.path.insert(0, {code!r}); from fedlearn_edu.course.grading.inside import guard; guard.main()"
_START_SECONDS = 60.0
_LOOK_SECONDS = 0.1
_STOP_SECONDS = 10.0


@dataclasses.dataclass
class Outcome:
    """What one guarded process did.

    Attributes:
        started: The runner was ready for the learner's code; if not, nothing that follows is the learner's doing.
        received: What came back; nobody vouches for it.
        ending: "ended", "timeout", "memory", "processes", "files" (wrote too much) or "output" (sent too much).
        exit_code: Of the learner's process; 128 + n if signal n ended it.
        starved: It ran out of time while others had the processor; asleep does not count.
        detail: What went wrong before the start.
        seconds: How long the learner's code ran.
    """

    started: bool
    received: bytes
    ending: str
    exit_code: int
    starved: bool = False
    detail: str = ""
    seconds: float = 0.0

    @property
    def frames(self) -> list[dict]:
        """The lines, read; takes time and memory as the learner pleases, so call it where both have limits."""
        frames = []
        for line in self.received.split(b"\n", _MAX_FRAMES)[:-1]:
            try:
                frame = json.loads(line)
            except (ValueError, RecursionError, MemoryError):
                frame = None
            frames.append(frame if isinstance(frame, dict) else {})
        return frames


def run_guarded(job: dict, isolation: Isolation, *, timeout: float, memory_gb: float, patience: float = 1.0) -> Outcome:
    """Runs a job of `inside/runner.py` behind all walls that `isolation` has, and waits until nothing of it is left.

    Args:
        job: "function", "cells" and encoded "arguments".
        isolation: From `walls.prepare`.
        timeout: Seconds of wall time for the learner's code; loading Python and NumPy does not count.
        memory_gb: GiB, for one process and for all of them together.
        patience: A process that others keep from the processor gets up to this many times `timeout`.

    Returns:
        The outcome. A process that does not behave is an outcome too, never an exception.
    """
    cores = len(os.sched_getaffinity(0))
    job = job | {"cpu_seconds": math.ceil(timeout * cores) + 1, "timeout": timeout}
    home = pathlib.Path(tempfile.mkdtemp(dir=isolation.scratch))
    reader, writer = os.pipe()
    guard = None
    try:
        config = isolation.guard_config(home=home, result=writer, memory_bytes=int(memory_gb * 2**30))
        # Not as an argument: command lines are open to all.
        with tempfile.TemporaryFile() as stdin, tempfile.TemporaryFile() as told:
            for stream, content in ((stdin, job), (told, config)):
                stream.write(json.dumps(content).encode("ascii"))
                stream.seek(0)
            guard = subprocess.Popen(
                [sys.executable, "-I", "-S", "-B", "-c", _START.format(code=str(isolation.code)), str(told.fileno())],
                stdin=stdin,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                pass_fds=[writer, told.fileno()],
                start_new_session=True,
                cwd="/",
                env={"PATH": "/usr/bin:/bin", "LANG": "C.UTF-8"},
            )
        os.close(writer)
        writer = None
        usage = Usage(guard.pid, None if config["namespaces"] else home)
        return _Watch(guard, reader, usage, timeout, memory_gb * 2**30, patience).run()
    finally:
        os.close(reader)
        if writer is not None:
            os.close(writer)
        if guard is not None:
            _stop(guard)
            guard.stderr.close()
        remove_folder(home)


class _Watch:
    def __init__(
        self, guard: subprocess.Popen, reader: int, usage: Usage, timeout: float, memory: float, patience: float
    ):
        self._guard, self._reader, self._usage = guard, reader, usage
        self._timeout, self._memory, self._patience = timeout, memory, patience
        self._received = bytearray()
        self._started, self._began = False, time.monotonic()
        self._cpu_before = self._waited_before = 0.0

    def run(self) -> Outcome:
        ending = self._watch()
        seconds = time.monotonic() - self._began if self._started else 0.0
        starved, started = ending == "timeout" and self._starved(), self._started
        _stop(self._guard)
        while ending != "output" and self._read(0.0):  # what was on its way; the writers are gone
            if len(self._received) > MAX_ANSWER:
                ending = "output"
        received = bytes(self._received[: self._received.rfind(b"\n") + 1])
        detail = ""
        if not started:
            os.set_blocking(self._guard.stderr.fileno(), False)
            text = (self._guard.stderr.read(4000) or b"").decode("utf-8", "replace").strip()
            detail = text.splitlines()[-1] if text else f"it ended with code {self._guard.returncode}"
        return Outcome(started, received, ending, self._guard.returncode, starved, detail, seconds)

    def _watch(self) -> str:
        last = deadline = time.monotonic() + _START_SECONDS
        next_look = 0.0
        while True:
            now = time.monotonic()
            if now >= deadline:
                self._usage.look()
                if not (now < last and self._starved()):
                    return "timeout"
                deadline = min(last, now + 0.2 * self._timeout)
            if now >= next_look:
                self._usage.look()
                if self._started and (problem := self._problem()):
                    return problem
                next_look = time.monotonic() + _LOOK_SECONDS
            if not self._read(min(_LOOK_SECONDS, deadline - now)):
                if self._guard.poll() is not None:
                    return "ended"
                time.sleep(0.005)  # the learner closed the pipe; the clock goes on
            if not self._started and b"\n" in self._received:
                self._usage.look()
                self._started = True
                self._cpu_before, self._waited_before = self._usage.cpu_seconds, self._usage.waited_seconds
                self._began = time.monotonic()
                deadline = self._began + self._timeout
                last = deadline + (self._patience - 1) * self._timeout
            if len(self._received) > MAX_ANSWER:
                return "output"
            if self._guard.poll() is not None:
                return "ended"

    def _starved(self) -> bool:
        """Whether it wanted the processor and others had it: waiting in the queue counts, sleep does not."""
        worked = self._usage.cpu_seconds - self._cpu_before
        waited = self._usage.waited_seconds - self._waited_before
        return worked < 0.8 * self._timeout and waited > 0.2 * self._timeout

    def _problem(self) -> str:
        """The limit that the tree as a whole has broken: a limit per process would not hold a crowd of them."""
        if self._usage.num_processes > MAX_PROCESSES:
            return "processes"
        if self._usage.memory_bytes > self._memory:
            return "memory"
        return "files" if self._usage.num_files > _MAX_FILES or self._usage.file_bytes > _MAX_FILE_BYTES else ""

    def _read(self, seconds: float) -> bool:
        """Takes what is there; False at the end of the stream, or when nothing came and nothing was waited for."""
        if not select.select([self._reader], [], [], max(0.0, seconds))[0]:
            return seconds > 0
        chunk = os.read(self._reader, 1 << 20)
        self._received += chunk
        return bool(chunk)


def _stop(guard: subprocess.Popen) -> None:
    """The guard ends its tree on SIGTERM. Should it be kept from that we help, and it stays until all else is gone.

    With the guard alone would go the hold on processes that have left their parents.
    """
    if guard.poll() is None:
        guard.terminate()
    while guard.poll() is None:
        try:
            guard.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            if not ending.kill_below(guard.pid):
                guard.kill()
