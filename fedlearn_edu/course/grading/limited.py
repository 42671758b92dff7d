"""Runs work on hostile data in a child process with limits on memory, time and the size of its answer."""

from __future__ import annotations

import contextlib
import json
import multiprocessing
import os
import resource
import signal
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any

from fedlearn_edu.errors import RunError

CPU_SECONDS = 30
MEMORY_BYTES = 2 * 2**30
_WALL_SECONDS = 300  # for slow disks and busy machines; what costs too much work ends long before
_EXIT_SECONDS = 5
_NO_MEMORY = 3
_ANSWER_BYTES = 64 * 2**20


class OverLimit(Exception):
    """Why the work did not come to an end, in one line."""


def run_limited(work: Callable[[], Any]) -> Any:
    """Calls `work` in a forked child; whatever it does there, this process stays as it is.

    Args:
        work: Returns plain JSON data. It may use at most 2 GiB more memory than this process, 30 s of processor time
            and 64 MiB for its answer, and writes no file.

    Returns:
        What `work` returned.

    Raises:
        OverLimit: It went beyond a limit, or failed.
        RunError: The machine has no process left.
    """
    context = multiprocessing.get_context("fork")
    receiver, sender = context.Pipe(duplex=False)
    child = context.Process(target=_run, args=(work, sender))
    try:
        child.start()
    except OSError as error:
        raise RunError(f"no process can be started here: {error.strerror}; end others and try again") from None
    sender.close()
    try:
        if not receiver.poll(_WALL_SECONDS):
            raise OverLimit(f"no end after {_WALL_SECONDS} s")
        answer = json.loads(receiver.recv_bytes())
    except (EOFError, OSError):  # nothing came, or not all of it
        child.join(_EXIT_SECONDS)
        raise OverLimit(_reason(child.exitcode)) from None
    finally:
        child.kill()
        child.join()
        child.close()
        receiver.close()
    if "failure" in answer:
        raise OverLimit(answer["failure"])
    return answer["result"]


def _reason(exit_code: int | None) -> str:
    if exit_code == -signal.SIGXCPU:
        return f"it takes more than {CPU_SECONDS} s of processor time"
    if exit_code in (-signal.SIGKILL, _NO_MEMORY):
        return f"it takes more than {MEMORY_BYTES // 2**20} MiB of memory, or more than this machine has"
    return f"the process that read it ended with {exit_code}"


def _run(work: Callable[[], Any], sender: Connection) -> None:
    """Ends the child itself, so that nothing of the parent's is flushed or cleaned up in it."""
    try:
        sender.send_bytes(_answer(work))
    except MemoryError:  # too little is left even to say so
        os._exit(_NO_MEMORY)
    finally:
        os._exit(0)


def _answer(work: Callable[[], Any]) -> bytes:
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # Ctrl-C ends the child without a word; the parent has the say
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    with contextlib.suppress(OSError), open("/proc/self/oom_score_adj", "w") as stream:
        stream.write("1000")  # if the machine runs out of memory, this process goes, not the batch
    with open("/proc/self/statm") as stream:
        used = int(stream.read().split()[0]) * resource.getpagesize()
    _lower(resource.RLIMIT_AS, used + MEMORY_BYTES)
    _lower(resource.RLIMIT_CPU, CPU_SECONDS)  # counts from the fork
    _lower(resource.RLIMIT_FSIZE, 0)
    _lower(resource.RLIMIT_CORE, 0)
    try:
        answer = json.dumps({"result": work()}).encode("ascii")
    except MemoryError:
        raise
    except Exception as error:  # whatever hostile data makes of a library that expects good data
        return json.dumps({"failure": f"{type(error).__name__}: {error}"[:200]}).encode("ascii")
    if len(answer) > _ANSWER_BYTES:
        return json.dumps({"failure": f"it comes to more than {_ANSWER_BYTES // 2**20} MiB"}).encode("ascii")
    return answer


def _lower(kind: int, limit: int) -> None:
    hard = resource.getrlimit(kind)[1]
    limit = limit if hard == resource.RLIM_INFINITY else min(limit, hard)
    resource.setrlimit(kind, (limit, hard))
