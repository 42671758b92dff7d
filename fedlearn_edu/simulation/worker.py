"""The TFF worker process: started under a deadline, watched, and never left behind."""

from __future__ import annotations

import atexit
import ctypes
import os
import pathlib
import signal
import socket
import subprocess
import tempfile
import threading
import time

from fedlearn_edu.errors import RunError

START_DEADLINE_S = 30.0
_PR_SET_PDEATHSIG = 1
_MAX_MESSAGE_BYTES = 2 * 1000**3
_libc = ctypes.CDLL(None, use_errno=True)


def _die_with_parent() -> None:
    """Runs in the child between fork and exec: the kernel ends it when we end, whatever the way."""
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


class Worker:
    """Owns one `worker_binary` process of TFF's local runtime and the gRPC stub that talks to it.

    TFF's own context starts this process with no deadline and leaves it behind when Python ends.
    Here the process ends with ours: at normal exit and exceptions through `atexit`, and at SIGTERM,
    SIGKILL or a kernel restart because Linux itself ends it (`PR_SET_PDEATHSIG`).

    Args:
        executable: The worker program; None takes the one inside the installed TFF.
        start_deadline_s: Seconds the worker has to answer after it was started.
    """

    def __init__(self, *, executable: str | None = None, start_deadline_s: float = START_DEADLINE_S):
        self._executable = executable
        self._start_deadline_s = start_deadline_s
        self._lock = threading.Lock()
        self._process = None
        self._stub = None
        self._log = None
        self._owner_pid = os.getpid()
        self.num_starts = 0
        atexit.register(self.stop)

    @property
    def pid(self) -> int | None:
        """Process id of the running worker, or None."""
        return self._process.pid if self.is_alive else None

    @property
    def is_alive(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def stub(self):
        """Returns the gRPC stub of a worker that is alive, starting one if there is none.

        Raises:
            RunError: The worker ended while starting, or did not answer before the deadline.
        """
        with self._lock:
            if os.getpid() != self._owner_pid:  # after a fork the parent's worker is not ours to use or end
                self._process, self._owner_pid = None, os.getpid()
            if not self.is_alive or not self._stub.is_ready:
                self._stop()
                self._start()
            return self._stub

    def stop(self) -> None:
        """Ends the worker, if there is one. The next use starts a fresh one."""
        with self._lock:
            self._stop()

    def kill(self) -> None:
        """Ends the worker at once, without waiting for a start that is under way."""
        process = self._process
        if process is not None and os.getpid() == self._owner_pid:
            process.kill()
            process.wait()

    def last_words(self) -> str:
        """Returns the last line the worker printed, for an error message; may be empty."""
        if self._log is None:
            return ""
        size = self._log.seek(0, os.SEEK_END)
        self._log.seek(max(0, size - 4000))
        lines = self._log.read().decode(errors="replace").strip().splitlines()
        return lines[-1][-300:] if lines else ""

    def _stop(self) -> None:
        if self.is_alive and os.getpid() == self._owner_pid:
            self._process.terminate()
            try:
                self._process.wait(2)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        self._process = None

    def _start(self) -> None:
        import grpc
        import portpicker
        import tensorflow_federated as tff

        executable = self._executable or str(pathlib.Path(tff.__file__).parent / "data" / "worker_binary")
        port = portpicker.pick_unused_port()
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as the worker; has no name to clean up
        # One computation call at a time per core: more only compete for the same cores.
        calls = f"--max_concurrent_computation_calls={os.cpu_count()}"
        self._process = _spawn([executable, f"--port={port}", calls], self._log)
        self.num_starts += 1
        deadline = time.monotonic() + self._start_deadline_s
        # The port first: a gRPC channel whose first attempt fails backs off for a whole second.
        while not _port_answers(port):
            self._check_start(deadline)
        # A proxy meant for the internet must not stand between us and our own worker.
        options = [("grpc.enable_http_proxy", 0)]
        options += [(f"grpc.max_{kind}message_length", _MAX_MESSAGE_BYTES) for kind in ("", "receive_", "send_")]
        self._stub = tff.framework.RemoteExecutorGrpcStub(grpc.insecure_channel(f"localhost:{port}", options))
        while not self._stub.is_ready:
            self._check_start(deadline)

    def _check_start(self, deadline: float) -> None:
        if not self.is_alive:
            raise RunError(
                f"TFF worker ended with code {self._process.returncode} while starting"
                f"{': ' + self.last_words() if self.last_words() else ''}; run `fedlearn-edu doctor`"
            )
        if time.monotonic() > deadline:
            self._stop()
            raise RunError(f"TFF worker did not answer within {self._start_deadline_s:g} s; run `fedlearn-edu doctor`")
        time.sleep(0.02)


def _port_answers(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(0.2)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _spawn(command: list[str], log) -> subprocess.Popen:
    """Starts `command` from a thread that lives as long as we do.

    PR_SET_PDEATHSIG fires when the *thread* that forked ends, so the worker must not be forked from a thread
    that may be short-lived (a dashboard's, say): this one waits for the worker and nothing else.
    """
    started = threading.Event()
    outcome: list[subprocess.Popen | OSError] = []

    def fork_and_wait():
        try:
            outcome.append(
                subprocess.Popen(
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    start_new_session=True,  # Ctrl-C in a terminal goes to us, who decide
                    preexec_fn=_die_with_parent,
                )
            )
        except OSError as error:
            outcome.append(error)
        started.set()
        if isinstance(outcome[0], subprocess.Popen):
            outcome[0].wait()

    threading.Thread(target=fork_and_wait, daemon=True, name="tff-worker").start()
    started.wait()
    if isinstance(outcome[0], OSError):
        raise RunError(f"TFF worker cannot be started: {outcome[0]}; run `fedlearn-edu doctor`")
    return outcome[0]
