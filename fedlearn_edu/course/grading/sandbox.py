"""Runs one job in a guarded process and watches it from outside: time, memory, number of processes, size of answer."""

from __future__ import annotations

import dataclasses
import json
import math
import os
import pathlib
import select
import shutil
import subprocess
import sys
import tempfile
import time

import psutil

from fedlearn_edu.course.grading.isolation import Isolation

MAX_ANSWER = 32 * 2**20
MAX_PROCESSES = 16
_START = "import sys; sys.path.insert(0, {code!r}); from fedlearn_edu.course.grading.inside import guard; guard.main()"
_START_SECONDS = 60.0
_LOOK_SECONDS = 0.1
_STOP_SECONDS = 10.0


@dataclasses.dataclass
class Outcome:
    """What one guarded process did.

    Attributes:
        started: The runner was ready for the learner's code; if not, nothing that follows is the learner's doing.
        frames: What came back, in order; nobody vouches for it.
        ending: "ended", "timeout", "memory", "processes" or "output" (sent too much).
        exit_code: Of the learner's process; 128 + n if signal n ended it.
        starved: It ran out of time while others had the processor; asleep all the time does not count.
        detail: What went wrong before the start.
    """

    started: bool
    frames: list
    ending: str
    exit_code: int
    starved: bool = False
    detail: str = ""


def run_guarded(job: dict, isolation: Isolation, *, timeout: float, memory_gb: float, patience: float = 1.0) -> Outcome:
    """Runs a job of `inside/runner.py` behind all walls that `isolation` has, and waits until nothing of it is left.

    Args:
        job: "function", "cells" and encoded "arguments".
        isolation: From `isolation.prepare`.
        timeout: Seconds of wall time for the learner's code; loading Python and NumPy does not count.
        memory_gb: GiB, for one process and for all of them together.
        patience: A process that others keep from the processor gets up to this many times `timeout`.

    Returns:
        The outcome. A process that does not behave is an outcome too, never an exception.
    """
    cores = len(os.sched_getaffinity(0))
    job = job | {"cpu_seconds": math.ceil(timeout * cores) + 1}
    home = pathlib.Path(tempfile.mkdtemp(dir=isolation.scratch))
    reader, writer = os.pipe()
    guard = None
    try:
        with tempfile.TemporaryFile() as stdin:
            stdin.write(json.dumps(job).encode("ascii"))
            stdin.seek(0)
            config = isolation.guard_config(home=home, result=writer, memory_bytes=int(memory_gb * 2**30))
            guard = subprocess.Popen(
                [sys.executable, "-I", "-S", "-B", "-c", _START.format(code=str(isolation.code)), json.dumps(config)],
                stdin=stdin,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                pass_fds=[writer],
                start_new_session=True,
                cwd="/",
                env={"PATH": "/usr/bin:/bin", "LANG": "C.UTF-8"},
            )
        os.close(writer)
        writer = None
        return _Watch(guard, reader, timeout, memory_gb * 2**30, patience).run()
    finally:
        os.close(reader)
        if writer is not None:
            os.close(writer)
        if guard is not None:
            _stop(guard)
            guard.stderr.close()
        _remove(home)


class _Watch:
    def __init__(self, guard: subprocess.Popen, reader: int, timeout: float, memory: float, patience: float):
        self._guard, self._reader = guard, reader
        self._timeout, self._memory, self._patience = timeout, memory, patience
        self._received = bytearray()
        self._started = False
        self._cpu_before = self._cpu_seconds = 0.0

    def run(self) -> Outcome:
        ending = self._watch()
        starved, started = ending == "timeout" and self._starved(), self._started
        _stop(self._guard)
        while ending != "output" and self._read(0.0):  # what was on its way; the writers are gone
            if len(self._received) > MAX_ANSWER:
                ending = "output"
        frames = []
        for line in bytes(self._received).split(b"\n")[:-1]:
            try:
                frame = json.loads(line)
            except (ValueError, RecursionError):
                frame = None
            frames.append(frame if isinstance(frame, dict) else {})
        detail = ""
        if not started:
            os.set_blocking(self._guard.stderr.fileno(), False)
            text = (self._guard.stderr.read(4000) or b"").decode("utf-8", "replace").strip()
            detail = text.splitlines()[-1] if text else f"it ended with code {self._guard.returncode}"
        return Outcome(started, frames, ending, self._guard.returncode, starved, detail)

    def _watch(self) -> str:
        last = deadline = time.monotonic() + _START_SECONDS
        next_look = 0.0
        while True:
            now = time.monotonic()
            if now >= deadline:
                self._look()
                if not (now < last and self._starved()):
                    return "timeout"
                deadline = min(last, now + 0.2 * self._timeout)
            if now >= next_look:
                problem = self._look()
                if problem:
                    return problem
                next_look = time.monotonic() + _LOOK_SECONDS
            if not self._read(min(_LOOK_SECONDS, deadline - now)):
                if self._guard.poll() is not None:
                    return "ended"
                time.sleep(0.005)  # the learner closed the pipe; the clock goes on
            if not self._started and b"\n" in self._received:
                self._look()
                self._started, self._cpu_before = True, self._cpu_seconds
                deadline = time.monotonic() + self._timeout
                last = deadline + (self._patience - 1) * self._timeout
            if len(self._received) > MAX_ANSWER:
                return "output"
            if self._guard.poll() is not None:
                return "ended"

    def _starved(self) -> bool:
        share = (self._cpu_seconds - self._cpu_before) / self._timeout
        return 0.05 < share < 0.8

    def _read(self, seconds: float) -> bool:
        """Takes what is there; False at the end of the stream, or when nothing came and nothing was waited for."""
        if not select.select([self._reader], [], [], max(0.0, seconds))[0]:
            return seconds > 0
        chunk = os.read(self._reader, 1 << 20)
        self._received += chunk
        return bool(chunk)

    def _look(self) -> str:
        """Adds up memory and processes of the whole tree: a limit per process would not hold a crowd of them."""
        try:
            tree = psutil.Process(self._guard.pid).children(recursive=True)
        except psutil.Error:
            return ""
        memory = cpu = 0.0
        for process in tree:
            try:
                memory += process.memory_info().rss
                times = process.cpu_times()
                cpu += times.user + times.system
            except psutil.Error:
                continue
        self._cpu_seconds = max(self._cpu_seconds, cpu)
        if self._started and len(tree) > MAX_PROCESSES:
            return "processes"
        return "memory" if self._started and memory > self._memory else ""


def _stop(guard: subprocess.Popen) -> None:
    """The guard ends its tree on SIGTERM; should it not, we do."""
    if guard.poll() is not None:
        return
    guard.terminate()
    try:
        guard.wait(_STOP_SECONDS)
    except subprocess.TimeoutExpired:
        try:
            tree = psutil.Process(guard.pid).children(recursive=True)
        except psutil.Error:
            tree = []
        guard.kill()
        for process in tree:
            try:
                process.kill()
            except psutil.Error:
                continue
        guard.wait()


def _remove(folder: pathlib.Path) -> None:
    def allow(function, path, _):
        try:
            os.chmod(os.path.dirname(path), 0o700)
            os.chmod(path, 0o700)
            function(path)
        except OSError:
            pass  # the whole scratch folder goes at the end of the batch

    shutil.rmtree(folder, onerror=allow)
