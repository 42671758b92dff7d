"""Runs a function of ours on data that nobody vouches for, in a forked child that may die of it."""

from __future__ import annotations

import json
import os
import resource
import select
import signal
import time
from collections.abc import Callable
from typing import Any

from fedlearn_edu.course.grading.inside import kernel
from fedlearn_edu.errors import RunError

CPU_SECONDS = 30  # of `call_limited`
MEMORY_BYTES = 2 * 2**30
_PATIENCE = 6  # seconds of wall time for each of processor time
_EXIT_SECONDS = 5
_NO_MEMORY, _FAILED = 3, 4
_ANSWER_BYTES = 64 * 2**20
_MAX_REASON = 200


class OverLimit(Exception):
    """Why the work did not come to an end, in one line."""


def call_limited(work: Callable[[], Any]) -> Any:
    """Returns what `work()` returns, plain JSON data, from a child with `CPU_SECONDS` and `MEMORY_BYTES`.

    Raises:
        OverLimit: It went beyond a limit, or failed.
        RunError: The machine has no process left.
    """
    return send_limited(lambda send: send(work()))[0]


def send_limited(work: Callable[[Callable[[Any], None]], object]) -> list:
    """Returns what `work(send)` sends, at least one value; once one has come, all others are a gift.

    Raises:
        OverLimit: It went beyond a limit, or failed, before it had sent anything.
        RunError: The machine has no process left.
    """
    try:
        values, problem = run_limited(work, cpu_seconds=CPU_SECONDS, memory_bytes=MEMORY_BYTES)
    except RuntimeError as error:
        raise OverLimit(str(error)) from None
    except OSError as error:
        raise RunError(f"no process can be started here: {error.strerror}; end others and try again") from None
    if not values:
        raise OverLimit(problem)
    return values


def allow_seconds(cpu_seconds: int) -> None:
    """Leaves the child so many more seconds of processor time, if it had more."""
    soft, hard = resource.getrlimit(resource.RLIMIT_CPU)
    used = sum(resource.getrusage(resource.RUSAGE_SELF)[:2])
    resource.setrlimit(resource.RLIMIT_CPU, (min(soft, int(used) + 1 + cpu_seconds), hard))


def run_limited(
    work: Callable[[Callable[[Any], None]], object], *, cpu_seconds: int, memory_bytes: int
) -> tuple[list, str]:
    """Calls `work(send)` in a child of this process; whatever it does there, this process stays as it is.

    A signal handler could not hold a loop inside NumPy, nor a table of colliding hashes, to account; the kernel can.

    Args:
        work: Gets a function that sends one value, of what JSON can say, back to here; 64 MiB in all. It writes no
            file.
        cpu_seconds: Processor time; who waits for the processor gets six times as many seconds of wall time.
        memory_bytes: Address space that the child may take beyond what this process has now.

    Returns:
        The values that came back, in order, and why `work` did not come to its end: one line, "" if it did.

    Raises:
        OSError: The system gives no process.
        RuntimeError: `work` raised something that is no want of memory; the message says what.
    """
    parent = os.getpid()
    reader, writer = os.pipe()
    try:
        child = os.fork()
    except OSError:
        os.close(reader)
        os.close(writer)
        raise
    if child == 0:
        code = _NO_MEMORY
        try:
            os.close(reader)
            _limit(parent, cpu_seconds, memory_bytes)
            code = _work(work, writer)
        finally:  # nothing of the parent's is flushed or cleaned up in here
            os._exit(code)
    os.close(writer)
    ending = None
    try:
        received, problem = _read_all(reader, time.monotonic() + _PATIENCE * cpu_seconds)
        if not problem:
            ending = _wait(child)
    finally:
        os.close(reader)
        if ending is None:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
    values = [json.loads(line) for line in received.split(b"\n")[:-1]]
    if ending == _FAILED:
        raise RuntimeError(values[-1])
    return values, problem or _reason(ending, cpu_seconds, memory_bytes)


def _work(work: Callable, writer: int) -> int:
    with open(writer, "w", encoding="ascii") as stream:

        def send(value: Any) -> None:
            # Written as a whole, so that want of memory leaves no half of a line.
            stream.write(json.dumps(value) + "\n")
            stream.flush()

        try:
            work(send)
        except MemoryError:
            return _NO_MEMORY
        except Exception as error:
            send(" ".join(f"{type(error).__name__}: {error}".split())[:_MAX_REASON])
            return _FAILED
    return 0


def _limit(parent: int, cpu_seconds: int, memory_bytes: int) -> None:
    kernel.die_with_parent(signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)
    kernel.end_first_when_memory_is_short()
    for number in (signal.SIGINT, signal.SIGTERM):  # Ctrl-C ends the child without a word; the parent has the say
        signal.signal(number, signal.SIG_DFL)
    with open("/proc/self/statm") as stream:
        used = int(stream.read().split()[0]) * resource.getpagesize()
    kernel.limit(resource.RLIMIT_AS, used + memory_bytes)
    # Counts from the fork; at the lower limit comes the signal that says so, at the upper one SIGKILL.
    hard = resource.getrlimit(resource.RLIMIT_CPU)[1]
    kernel.limit(resource.RLIMIT_CPU, cpu_seconds + 2)
    if hard == resource.RLIM_INFINITY or hard > cpu_seconds:
        resource.setrlimit(resource.RLIMIT_CPU, (cpu_seconds, resource.getrlimit(resource.RLIMIT_CPU)[1]))
    kernel.limit(resource.RLIMIT_FSIZE, 0)
    kernel.limit(resource.RLIMIT_CORE, 0)


def _read_all(reader: int, deadline: float) -> tuple[bytearray, str]:
    received = bytearray()
    while select.select([reader], [], [], max(0.0, deadline - time.monotonic()))[0]:
        chunk = os.read(reader, 1 << 20)
        if not chunk:
            return received, ""
        received += chunk
        if len(received) > _ANSWER_BYTES:
            return bytearray(), f"it comes to more than {_ANSWER_BYTES // 2**20} MiB"
    return received, "no end in time"


def _wait(child: int) -> int | None:
    """Returns the exit code, negative for a signal; None if the child, which has closed its pipe, does not end."""
    deadline = time.monotonic() + _EXIT_SECONDS
    while time.monotonic() < deadline:
        pid, status = os.waitpid(child, os.WNOHANG)
        if pid:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.002)
    return None


def _reason(ending: int | None, cpu_seconds: int, memory_bytes: int) -> str:
    if ending == 0:
        return ""
    if ending == -signal.SIGXCPU:
        return f"it takes more than {cpu_seconds} s of processor time"
    if ending in (-signal.SIGKILL, _NO_MEMORY):
        return f"it takes more than {memory_bytes // 2**20} MiB of memory, or more than this machine has"
    return f"the process for it ended with {ending}"
