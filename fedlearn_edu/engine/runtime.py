"""The runtime that executes TFF computations here: our worker process behind TFF's public context interface."""

from __future__ import annotations

import asyncio
import atexit
import concurrent.futures
import contextlib
import re
import signal
import threading

import grpc
import tensorflow_federated as tff

from fedlearn_edu.engine.compiler import compile_for_worker
from fedlearn_edu.engine.loop_thread import LoopThread
from fedlearn_edu.engine.worker import Worker
from fedlearn_edu.errors import RunError

# What an assertion in a computation says after this is meant for the user, and is raised as a RunError.
REFUSED = "secure sum refused:"
_MAX_STARTS_PER_CALL = 3
_LIVENESS_INTERVAL_S = 0.5
_PATIENCE_S = 5.0

_worker: Worker | None = None
_context: RuntimeContext | None = None


class RuntimeContext(tff.framework.SyncContext):
    """A TFF context that can be interrupted and that notices when its worker dies.

    Computations run on an event loop of their own, in a thread of their own, so a notebook's running loop is no
    obstacle. `KeyboardInterrupt` (Ctrl-C, Jupyter's Stop) really stops the computation: the worker is ended and
    the next call starts a fresh one. TFF retries a call whose worker died; after three starts in one call it
    is given up with a message instead of retried for ever.

    Args:
        worker: The worker process that computes.
    """

    def __init__(self, worker: Worker):
        self._worker = worker
        self._renew()
        atexit.register(self._end_with_python)

    def _renew(self) -> None:
        def executor_stack(cardinalities):
            executor = tff.framework.RemoteExecutor(self._worker.stub())
            executor.set_cardinalities({tff.CLIENTS: 0, **cardinalities})
            return executor

        self._async_context = tff.framework.AsyncExecutionContext(
            executor_fn=tff.framework.ResourceManagingExecutorFactory(executor_stack_fn=executor_stack),
            compiler_fn=compile_for_worker,
            transform_args=tff.tensorflow.transform_args,
            transform_result=tff.tensorflow.transform_result,
        )
        self._loop = LoopThread(_pass_over_lost_requests)

    def invoke(self, comp, arg):
        """Runs a computation and returns its result (TFF calls this).

        Raises:
            RunError: The worker could not be started, or ended again and again during the call, or a client's value
                did not fit into a secure sum.
        """
        self._worker.check_owner()
        starts_before = self._worker.num_starts
        loop = self._loop
        future = loop.submit(self._async_context.invoke(comp, arg))
        try:
            while True:
                try:
                    return future.result(timeout=_LIVENESS_INTERVAL_S)
                except (concurrent.futures.TimeoutError, concurrent.futures.CancelledError):
                    if self._loop is not loop:
                        # Another thread's computation was interrupted and took worker and loop with it: start over.
                        return self.invoke(comp, arg)
                    if future.done():
                        raise
                    if self._worker.num_starts - starts_before > _MAX_STARTS_PER_CALL:
                        raise RunError(
                            f"TFF worker ended {_MAX_STARTS_PER_CALL} times during one computation "
                            f"(out of memory?) {self._worker.last_words()}"
                        ) from None
        except (KeyboardInterrupt, RunError):
            with _deaf_to_ctrl_c():
                self._abandon()
            raise
        except grpc.RpcError as error:
            # What an assertion of ours says stands in the middle of TensorFlow's text, each part in brackets.
            refusal = re.search(rf"\[({REFUSED}.*)\]", str(error))
            if refusal is None:
                raise
            raise RunError(refusal[1].replace("] [", " ")) from None

    def _end_with_python(self) -> None:
        # asyncio complains about tasks that are unfinished when Python takes the loop away.
        self._worker.kill()
        self._loop.end()
        self._loop.join(_PATIENCE_S)

    def _abandon(self) -> None:
        given_up = self._loop
        self._renew()
        given_up.end()  # no retry ...
        self._worker.kill()  # ... of the gRPC call that this breaks off


def _pass_over_lost_requests(loop: asyncio.AbstractEventLoop, context: dict) -> None:
    """Says nothing of a request to the worker that failed when nobody waited for it any more, as after Ctrl-C."""
    if not isinstance(context.get("exception"), grpc.RpcError):
        loop.default_exception_handler(context)


@contextlib.contextmanager
def _deaf_to_ctrl_c():
    """A second Ctrl-C while the first is being served would leave half of that undone."""
    if threading.current_thread() is not threading.main_thread() or signal.getsignal(signal.SIGINT) is None:
        yield  # Python cannot set the handler here, or could not set it back
        return
    handler = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, handler)


def start_runtime() -> Worker:
    """Makes our runtime the one that executes TFF computations in this thread; calling it again is free.

    The worker process itself starts with the first computation (about 0.1 s). Making a process of this package and
    running one call this, so that it is rarely needed by hand: do so where TFF is used directly, with nothing but an
    aggregator of ours, in a new thread, or after `tff.backends.native.set_sync_local_cpp_execution_context()`.
    What TFF computes before the call runs in a worker of TFF's own, which is open to whoever reaches this machine.

    Returns:
        The worker, with `.pid` and `.stop()`.

    Raises:
        RunError: This process was forked off one that had called it.
    """
    global _worker, _context
    if _context is None:
        _worker = Worker()
        _context = RuntimeContext(_worker)
    _worker.check_owner()
    # TFF keeps the current context per thread: install it in whichever thread asks.
    if tff.framework.get_context_stack().current is not _context:
        tff.framework.set_default_context(_context)
    return _worker


def stop_runtime() -> None:
    """Ends the worker process now and frees its memory; the next computation starts a fresh one."""
    if _worker is not None:
        _worker.stop()
