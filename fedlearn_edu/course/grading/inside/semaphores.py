"""Semaphores of `multiprocessing` made of pipes, for where /dev/shm is closed."""

from __future__ import annotations

import os
import select
import threading
import time

_RECURSIVE = 0  # kinds, as `multiprocessing.synchronize` numbers them: a recursive lock, or a semaphore


class PipeSemaphore:
    """Stands in for `_multiprocessing.SemLock`: as many bytes lie in the pipe as may still be taken."""

    SEM_VALUE_MAX = 32_767  # what POSIX promises at least, and less than a pipe holds

    def __init__(self, kind: int, value: int, maxvalue: int, name: str | None = None, unlink: bool = True):
        ends = os.pipe()
        os.set_blocking(ends[0], False)
        os.write(ends[1], bytes(value))
        self._set(ends, kind, maxvalue)

    @classmethod
    def _rebuild(cls, handle, kind, maxvalue, name):
        made = cls.__new__(cls)
        made._set(handle, kind, maxvalue)
        return made

    def _set(self, ends, kind, maxvalue):
        self._reader, self._writer = ends
        self.kind, self.maxvalue, self.name = kind, maxvalue, None
        self._after_fork()

    @property
    def handle(self):
        """What another process needs to make it anew; a process that is just started keeps these open."""
        from multiprocessing import context

        starting = context.get_spawning_popen()
        ends = (self._reader, self._writer)
        return list(map(starting.duplicate_for_child, ends)) if starting is not None else list(ends)

    def acquire(self, block: bool = True, timeout: float | None = None) -> bool:
        if self.kind == _RECURSIVE and self._is_mine():
            self._held += 1
            return True
        deadline = None if timeout is None else time.monotonic() + max(0.0, timeout)
        while True:
            try:
                os.read(self._reader, 1)
            except BlockingIOError:
                left = None if deadline is None else deadline - time.monotonic()
                if not block or (left is not None and left <= 0):
                    return False
                select.select([self._reader], [], [], left)
            else:
                self._held += 1
                self._owner = threading.get_ident()
                return True

    __enter__ = acquire

    def __exit__(self, *_) -> None:
        self.release()

    def release(self) -> None:
        if self.kind == _RECURSIVE:
            if not self._is_mine():
                raise AssertionError("attempt to release recursive lock not owned by thread")
            if self._held > 1:
                self._held -= 1
                return
        elif self._get_value() >= self.maxvalue:
            raise ValueError("semaphore or lock released too many times")
        self._held -= 1
        os.write(self._writer, b"\0")

    def _count(self) -> int:
        return self._held

    def _is_mine(self) -> bool:
        return self._held > 0 and self._owner == threading.get_ident()

    def _get_value(self) -> int:
        import fcntl
        import termios

        return int.from_bytes(fcntl.ioctl(self._reader, termios.FIONREAD, bytes(4)), "little")

    def _is_zero(self) -> bool:
        return self._get_value() == 0

    def _after_fork(self) -> None:
        self._held, self._owner = 0, None


def install(*, may_signal: bool) -> None:
    """Makes `multiprocessing` of this process and its children use them, and its shared arrays lie in the home.

    Args:
        may_signal: Whether a process may end its children by a signal; otherwise they end themselves when asked.
    """
    import _multiprocessing
    from multiprocessing import context, heap

    _multiprocessing.SemLock = PipeSemaphore
    heap.Arena._dir_candidates = []
    if not may_signal:
        context.ForkProcess._Popen = staticmethod(_popen)


def _popen(process):
    from multiprocessing import popen_fork

    class Popen(popen_fork.Popen):
        def _launch(self, process):
            reader, self._end = os.pipe()
            bootstrap = process._bootstrap

            def run(**options):
                threading.Thread(target=lambda: os.read(reader, 1) and os._exit(143), daemon=True).start()
                return bootstrap(**options)

            process._bootstrap = run
            super()._launch(process)
            os.close(reader)

        def _send_signal(self, number):
            if self.returncode is None:
                os.write(self._end, b"x")

        def close(self):
            super().close()
            os.close(self._end)

    return Popen(process)
