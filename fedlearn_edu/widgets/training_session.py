"""TrainingSession: a run in a thread of its own that can be started, paused, continued and ended."""

from __future__ import annotations

import atexit
import math
import threading
import weakref
from collections.abc import Callable

from fedlearn_edu.simulation.history import History
from fedlearn_edu.widgets.prepared_run import Pipeline, RunSettings

_JOIN_S = 10.0


class _Stopped(Exception):
    pass


class TrainingSession:
    """Runs rounds in a background thread, so that the notebook's page and kernel stay free.

    TFF keeps its context per thread and a generator belongs to whoever iterates it; so one thread does all of a
    run: it prepares, trains, waits while the run is paused, and goes on. A run with other settings is another thread.

    Args:
        pipeline: Prepares a run.
        on_progress: Called as `on_progress(what, done, total)` while a run is prepared.
        on_round: Called with the history before training and after every round.
        on_state: Called without arguments whenever `state` has changed.

    All three are called in the background thread, `on_state` in the caller's too.

    Attributes:
        state: `"idle"`, `"working"`, `"paused"` (between two rounds), `"finished"`, `"failed"` or `"closed"`.
        history: Of the current run, or None before its round 0.
        error: The exception that ended the run, or None.
        settings: Of the current run, or None.
        stopped_while: What was being prepared when the run was stopped before its round 0, as `on_progress` tells it;
            None otherwise.
    """

    def __init__(
        self,
        pipeline: Pipeline,
        *,
        on_progress: Callable[[str, int, int], None],
        on_round: Callable[[History], None],
        on_state: Callable[[], None],
    ):
        self._pipeline = pipeline
        self._on_progress, self._on_round, self._on_state = on_progress, on_round, on_state
        self._changed = threading.Condition()
        self._run: _Run | None = None
        self._busy = False  # as state == "working", but until its end has been told
        self._ends_with_python = False
        self.state = "idle"
        self.history: History | None = None
        self.error: BaseException | None = None
        self.settings: RunSettings | None = None
        self.stopped_while: tuple[str, int, int] | None = None

    def advance(self, settings: RunSettings, num_rounds: int | None = None) -> None:
        """Runs `num_rounds` more rounds, or all that are left; nothing happens while rounds are running.

        A paused run goes on if the settings are still the same; otherwise a new one starts.

        Args:
            settings: Of the run.
            num_rounds: At least 1, or None.
        """
        allowed = math.inf if num_rounds is None else num_rounds
        with self._changed:
            if self.state in ("working", "closed"):
                return
            goes_on = self.state == "paused" and settings == self.settings
            if not goes_on:
                self._abandon()
                self._run, self.settings = _Run(settings), settings
                self.history = self.error = self.stopped_while = None
            self._run.allowed, self._run.stop = allowed, False
            self.state, self._busy = "working", True
            self._changed.notify_all()
            if not goes_on:
                run = self._run
                run.thread = threading.Thread(target=self._work, args=[run], daemon=True, name="fedlearn-training")
                run.thread.start()
        self._on_state()

    def stop(self) -> None:
        """Pauses after the round that is running, or ends a preparation at its next step."""
        with self._changed:
            if self._run is not None:
                self._run.stop = True

    def reset(self) -> None:
        """Forgets the run."""
        with self._changed:
            self._abandon()
            self._run = self.history = self.error = self.settings = self.stopped_while = None
            self.state, self._busy = "idle", False
            self._changed.notify_all()
        self._on_state()

    def wait(self, timeout: float | None = None) -> None:
        """Blocks until no round is running.

        Args:
            timeout: Seconds; None waits for ever.

        Raises:
            TimeoutError: It took longer.
            Exception: Whatever ended the run.
        """
        try:
            with self._changed:
                if not self._changed.wait_for(lambda: not self._busy, timeout):
                    raise TimeoutError(f"still training after {timeout:g} s")
        except KeyboardInterrupt:  # Jupyter's Stop: whoever waits for the run wants it to end
            self.stop()
            raise
        if self.error is not None:
            raise self.error

    def close(self) -> None:
        """Ends the run and its thread, waiting for the round that is running, at most ten seconds."""
        with self._changed:
            thread = self._run.thread if self._run else None
            self._abandon()
            self._run, self.state, self._busy = None, "closed", False
            self._changed.notify_all()
        if thread is not None and thread is not threading.current_thread():
            thread.join(_JOIN_S)

    def _abandon(self) -> None:
        if self._run is not None:
            self._run.ended = self._run.stop = True
            self._changed.notify_all()

    def _work(self, run: _Run) -> None:
        rounds = None
        try:
            rounds = self._rounds(run)
            for history in rounds:
                self._tell(run, self._on_round, history)
                if history.status == "finished":
                    self._set_state(run, "finished")
                    return
                run.allowed -= history.num_rounds > 0  # the measurement before training is no round
                if run.stop or run.allowed <= 0:
                    self._pause(run, history)
                if run.ended:
                    return
        except _Stopped as stopped:
            with self._changed:
                if self._run is run:
                    self.stopped_while = stopped.args
            self._set_state(run, "idle")
        except Exception as error:
            with self._changed:
                if self._run is run:
                    self.error = error
            self._set_state(run, "failed")
        finally:
            if rounds is not None:
                rounds.close()
            self._set_idle(run)

    def _rounds(self, run: _Run):
        from fedlearn_edu.engine.runtime import start_runtime
        from fedlearn_edu.simulation.rounds import iter_rounds

        start_runtime()
        if not self._ends_with_python:
            # Now, when the runtime's own exit handler has been registered, so that this one runs before it.
            atexit.register(_close_if_alive, weakref.ref(self))
            self._ends_with_python = True

        def report(what, done, total):
            if run.stop:
                raise _Stopped(what, done, total)
            self._tell(run, self._on_progress, what, done, total)

        prepared = self._pipeline.prepare(run.settings, report)
        report("round 0: before training", 0, 0)
        for history in iter_rounds(prepared.process, prepared.features, config=run.settings.config):
            history.central_accuracy = prepared.central_accuracy
            with self._changed:
                if self._run is run:
                    self.history = history
            yield history

    def _pause(self, run: _Run, history: History) -> None:
        history.status = "stopped"
        self._set_state(run, "paused")
        with self._changed:
            self._changed.wait_for(lambda: run.ended or (run.allowed > 0 and not run.stop))
            if not run.ended:
                history.status = "running"

    def _set_state(self, run: _Run, state: str) -> None:
        with self._changed:
            if self._run is not run:
                return
            run.allowed = 0
            self.state = state
        self._tell(run, self._on_state)
        self._set_idle(run)

    def _set_idle(self, run: _Run) -> None:
        with self._changed:
            if self._run is run and self.state != "working":
                self._busy = False
                self._changed.notify_all()

    def _tell(self, run: _Run, callback, *args) -> None:
        if self._run is run:  # a run that was reset says nothing more
            callback(*args)


class _Run:
    """What the thread of one run and its session share; written under the session's condition."""

    def __init__(self, settings: RunSettings):
        self.settings = settings
        self.thread: threading.Thread | None = None
        self.allowed = math.inf  # rounds it may still do before it pauses
        self.stop = False  # pause after this round
        self.ended = False  # the thread should end


def _close_if_alive(session_ref: weakref.ref) -> None:
    session = session_ref()
    if session is not None:
        session.close()
