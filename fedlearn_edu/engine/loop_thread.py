"""An asyncio event loop in a thread of its own that ends without leaving anything half done, and without a word."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import threading
from collections.abc import Callable, Coroutine


class LoopThread:
    """Runs coroutines for other threads until `end`.

    Args:
        exception_handler: What asyncio calls about failures that nobody waits for.
    """

    def __init__(self, exception_handler: Callable[[asyncio.AbstractEventLoop, dict], None]):
        self._loop = asyncio.new_event_loop()
        self._loop.set_exception_handler(exception_handler)
        self._thread = threading.Thread(target=self._run, daemon=True, name="tff-loop")
        self._thread.start()

    def submit(self, coroutine: Coroutine) -> concurrent.futures.Future:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop)

    def end(self) -> None:
        """Cancels everything that runs on the loop, without waiting for it; what comes of it is nobody's concern."""
        self._loop.set_exception_handler(lambda loop, context: None)
        with contextlib.suppress(RuntimeError):  # it has ended already
            self._loop.call_soon_threadsafe(self._loop.stop)

    def join(self, timeout_s: float) -> None:
        """Waits until all is cancelled, but no longer than this."""
        self._thread.join(timeout_s)

    def _run(self) -> None:
        self._loop.run_forever()
        while tasks := asyncio.all_tasks(self._loop):
            for task in tasks:
                task.cancel()
            self._loop.run_until_complete(asyncio.wait(tasks))
        self._loop.close()
