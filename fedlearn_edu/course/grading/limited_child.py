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

_PATIENCE = 6  # seconds of wall time for each of processor time


def run_limited(
    work: Callable[[Callable[[Any], None]], None], *, cpu_seconds: int, memory_bytes: int
) -> tuple[list, bool]:
    """Calls `work(send)` in a child of this process.

    A signal handler could not hold a loop inside NumPy, nor a table of colliding hashes, to account; the kernel can.

    Args:
        work: Gets a function that sends one value, of what JSON can say, back to here.
        cpu_seconds: Processor time; who waits for the processor gets six times as many seconds of wall time.
        memory_bytes: Address space that the child may take beyond what this process has now.

    Returns:
        The values that came back, in order, and whether `work` returned.

    Raises:
        OSError: The system gives no process.
        RuntimeError: `work` raised something that is no want of memory: a fault of ours.
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
        try:
            os.close(reader)
            _limit(parent, cpu_seconds, memory_bytes)
            with open(writer, "w", encoding="ascii") as stream:
                try:
                    work(lambda value: print(json.dumps([value]), file=stream, flush=True))
                except MemoryError:
                    pass
                except Exception as error:
                    print(json.dumps(f"{type(error).__name__}: {error}"), file=stream)
                else:
                    print("[]", file=stream)
        finally:
            os._exit(0)
    os.close(writer)
    try:
        received = _read_all(reader, time.monotonic() + _PATIENCE * cpu_seconds)
    finally:
        os.close(reader)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    lines = [json.loads(line) for line in received.split(b"\n")[:-1]]
    if lines and isinstance(lines[-1], str):
        raise RuntimeError(lines[-1])
    return [value for line in lines for value in line], lines[-1:] == [[]]


def _limit(parent: int, cpu_seconds: int, memory_bytes: int) -> None:
    kernel.die_with_parent(signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)
    kernel.end_first_when_memory_is_short()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)
    with open("/proc/self/statm") as stream:
        used = int(stream.read().split()[0]) * resource.getpagesize()
    kernel.limit(resource.RLIMIT_AS, used + memory_bytes)
    kernel.limit(resource.RLIMIT_CPU, cpu_seconds)


def _read_all(reader: int, deadline: float) -> bytes:
    received = b""
    while select.select([reader], [], [], max(0.0, deadline - time.monotonic()))[0]:
        chunk = os.read(reader, 1 << 20)
        if not chunk:
            break
        received += chunk
    return received
