"""The TFF worker process: started under a deadline, watched, and never left behind."""

from __future__ import annotations

import atexit
import contextlib
import ctypes
import importlib.util
import os
import pathlib
import signal
import subprocess
import tempfile
import threading
import time
import warnings

import psutil

from fedlearn_edu.engine.worker_access import CLOSED_WAYS, OPEN_VARIABLE, OpenPort, Unavailable, WorkerAccess
from fedlearn_edu.errors import RunError

START_DEADLINE_S = 30.0
_PR_SET_PDEATHSIG = 1
_MAX_MESSAGE_BYTES = 2 * 1000**3
_libc = ctypes.CDLL(None, use_errno=True)


class Worker:
    """Owns one `worker_binary` process of TFF's local runtime and the gRPC stub that talks to it.

    TFF's own context starts this process with no deadline and leaves it behind when Python ends.
    Here the process ends with ours: at normal exit and exceptions through `atexit`, and at SIGTERM,
    SIGKILL or a kernel restart because Linux itself ends it (`PR_SET_PDEATHSIG`).

    TFF's worker runs any graph for whoever connects, and on its own it listens on all interfaces. Here it has no
    TCP port: it is reached by a Unix socket in a folder of mode 0700. That keeps out other machines and other users of
    this one; it does not keep out root, nor programs that run as the same user. Where no such way is to be had,
    the worker is not started, unless the variable FEDLEARN_EDU_OPEN_WORKER is 1.

    Args:
        executable: The worker program; None takes the one inside the installed TFF.
        start_deadline_s: Seconds the worker has to answer after it was started.
    """

    def __init__(self, *, executable: str | None = None, start_deadline_s: float = START_DEADLINE_S):
        self._executable = executable
        self._start_deadline_s = start_deadline_s
        self._lock = threading.Lock()
        self._process = None
        self._access: WorkerAccess | None = None
        self._channel = None
        self._connected = False
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

    @property
    def access(self) -> WorkerAccess | None:
        """How the running worker is reached, or None."""
        return self._access if self.is_alive else None

    def check_owner(self) -> None:
        """Raises RunError in a process that was forked off the worker's owner: TensorFlow does not survive a fork."""
        if os.getpid() != self._owner_pid:
            raise RunError(
                "this process was forked after TensorFlow Federated had been used, and would wait for ever; start "
                'processes with spawn: multiprocessing.get_context("spawn")'
            )

    def start(self) -> WorkerAccess:
        """Sees to it that a worker runs and takes calls, and returns how it is reached.

        Raises:
            RunError: The worker ended while starting, or did not answer before the deadline; nothing here keeps
                others out of it; or this process was forked off the worker's owner.
        """
        with self._running():
            return self._access

    def stub(self):
        """Returns TFF's gRPC stub of a worker that is alive, starting one if there is none (as `start` does)."""
        import tensorflow_federated as tff

        with self._running():
            if self._stub is None:
                self._stub = tff.framework.RemoteExecutorGrpcStub(self._channel)
            return self._stub

    @contextlib.contextmanager
    def _running(self):
        self.check_owner()
        with self._lock:
            if not self.is_alive or not self._connected:
                self._stop()
                self._start()
            yield

    def stop(self) -> None:
        """Ends the worker, if there is one. The next use starts a fresh one."""
        self.kill()
        if os.getpid() == self._owner_pid:  # in a forked child the lock may be held by a thread that is not there
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
        if self.is_alive:
            self._process.kill()
            self._process.wait()
        self._process = self._channel = self._stub = None
        self._connected = False
        if self._access is not None:
            self._access.close()
            self._access = None

    def _start(self) -> None:
        worker = self._executable or _installed_worker()
        reasons = []
        for way in (*CLOSED_WAYS, OpenPort):
            try:
                self._start_with(way(worker))
                return
            except Unavailable as reason:
                reasons.append(f"{way.name}: {reason}")
                self._stop()
            except OSError as error:  # as with too many open files
                self._stop()
                raise RunError(f"TFF worker cannot be started: {error}; run `fedlearn-edu doctor`") from None
            except BaseException:
                self._stop()
                raise
        raise RunError(
            f"TFF worker is not started, because nothing here keeps others out of it ({'; '.join(reasons)}); with "
            f"{OPEN_VARIABLE}=1 it starts open: whoever can connect to this machine can then read and write your files"
        )

    def _start_with(self, access: WorkerAccess) -> None:
        import grpc

        self._access = access
        if self._log is not None:
            self._log.close()
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as the worker; has no name to clean up
        self._process = _spawn(access, self._log)
        self.num_starts += 1
        deadline = time.monotonic() + self._start_deadline_s
        # Not before it listens: a gRPC channel whose first attempt fails backs off for a whole second.
        while not access.listens():
            self._check_start(deadline)
        # A proxy meant for the internet must not stand between us and our own worker.
        options = [("grpc.enable_http_proxy", 0)]
        options += [(f"grpc.max_{kind}message_length", _MAX_MESSAGE_BYTES) for kind in ("", "receive_", "send_")]
        self._channel = channel = grpc.insecure_channel(access.target, options)

        def note_connectivity(state: grpc.ChannelConnectivity) -> None:
            if self._channel is channel:  # that of a worker before this one has nothing to say any more
                self._connected = state is grpc.ChannelConnectivity.READY

        channel.subscribe(note_connectivity, try_to_connect=True)
        while not self._connected:
            access.listens()
            self._check_start(deadline)
        access.settle()
        if access.is_open:
            warnings.warn(f"TFF worker: {access.reached_by} ({OPEN_VARIABLE}=1)", RuntimeWarning, stacklevel=2)
        elif ports := _open_ports(self._process.pid):
            raise Unavailable(f"the worker opened port {ports[0]} all the same")

    def _check_start(self, deadline: float) -> None:
        if not self.is_alive:
            raise RunError(
                f"TFF worker ended with code {self._process.returncode} while starting"
                f"{': ' + self.last_words() if self.last_words() else ''}; run `fedlearn-edu doctor`"
            )
        if time.monotonic() > deadline:
            raise RunError(f"TFF worker did not answer within {self._start_deadline_s:g} s; run `fedlearn-edu doctor`")


def _installed_worker() -> str:
    found = importlib.util.find_spec("tensorflow_federated")  # found without loading it
    if found is None:
        raise RunError("TensorFlow Federated is not installed; run `fedlearn-edu doctor`")
    return str(pathlib.Path(found.origin).parent / "data" / "worker_binary")


def _open_ports(pid: int) -> list[int]:
    """Returns the ports of this process that others could connect or send to."""
    try:
        sockets = psutil.Process(pid).net_connections("inet")
    except psutil.Error as error:
        raise Unavailable(f"whether the worker has open ports cannot be seen ({error})") from None
    return [found.laddr.port for found in sockets if found.laddr and not found.raddr]


def _spawn(access: WorkerAccess, log) -> subprocess.Popen:
    """Starts a worker from a thread that lives as long as it does.

    PR_SET_PDEATHSIG fires when the *thread* that forked ends, so the worker must not be forked from a thread
    that may be short-lived (a dashboard's, say): this one waits for the worker and nothing else.
    """
    # One computation call at a time per core: more only compete for the same cores.
    command = ["worker_binary", f"--port={access.port}", f"--max_concurrent_computation_calls={os.cpu_count()}"]
    started = threading.Event()
    outcome: list[subprocess.Popen | Exception] = []

    def in_child():
        _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)  # the kernel ends it when we end, whatever the way
        access.in_child()

    def fork_and_wait():
        try:
            outcome.append(
                subprocess.Popen(
                    command,
                    executable=access.program,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    start_new_session=True,  # Ctrl-C in a terminal goes to us, who decide
                    preexec_fn=in_child,
                    **access.options,
                )
            )
        except (OSError, subprocess.SubprocessError) as error:
            outcome.append(error)
        started.set()
        if isinstance(outcome[0], subprocess.Popen):
            outcome[0].wait()

    threading.Thread(target=fork_and_wait, daemon=True, name="tff-worker").start()
    started.wait()
    access.after_spawn(outcome[0] if isinstance(outcome[0], Exception) else None)
    return outcome[0]
