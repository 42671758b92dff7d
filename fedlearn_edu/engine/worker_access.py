"""The ways to reach a worker: two that are closed to everybody else, and the open one, for who asks for it."""

from __future__ import annotations

import os
import socket
import time

from fedlearn_edu.cache_folder import cache_root
from fedlearn_edu.engine.bind_swap import BindSwap
from fedlearn_edu.engine.private_copy import open_private_copy
from fedlearn_edu.engine.socket_folder import SOCKET_NAME, SocketFolder, answers
from fedlearn_edu.errors import RunError

OPEN_VARIABLE = "FEDLEARN_EDU_OPEN_WORKER"
_POLL_S = 0.02
_CLOSED = "a Unix socket in a folder that only you can enter"


class Unavailable(Exception):
    """A worker cannot be reached in this way here; the message says why."""


class WorkerAccess:
    """How one worker is started and reached.

    Args:
        worker: The installed worker program.

    Attributes:
        name: What this way is called.
        reached_by: What `doctor` says of it.
        is_open: Whether others can reach the worker.
        program: The file that is run.
        port: The number that the worker takes for its port.
        options: More arguments of `subprocess.Popen`.
        target: Where gRPC finds the worker.

    Raises:
        Unavailable: This way is not to be had here. So do all methods but the last two.
    """

    name: str
    reached_by: str
    is_open = False
    target: str

    def __init__(self, worker: str):
        self.program = worker
        self.port = SOCKET_NAME
        self.options: dict[str, object] = {}

    def in_child(self) -> None:
        """Runs in the child between fork and exec."""

    def after_spawn(self, failure: Exception | None) -> None:
        """Runs here as soon as the child runs, or could not be started because of `failure`.

        Raises:
            RunError: The worker itself cannot be run.
        """
        if failure is not None:
            raise RunError(f"TFF worker cannot be started: {failure}; run `fedlearn-edu doctor`")

    def listens(self) -> bool:
        """Waits a moment; returns whether the worker takes connections. To be called until it has answered one."""
        raise NotImplementedError

    def settle(self) -> None:
        """Gives up what only the start needs."""

    def close(self) -> None:
        """Gives up everything."""
        self.settle()


class SwappedSocket(WorkerAccess):
    """The worker binds a TCP socket and gets our Unix socket instead."""

    name = "system call notification"
    reached_by = f"{_CLOSED} ({name})"

    def __init__(self, worker: str):
        super().__init__(worker)
        self._folder = _new_folder()
        self._swap = BindSwap(self._folder.socket)
        self.target = self._folder.target

    def in_child(self) -> None:
        self._swap.install_in_child()

    def after_spawn(self, failure: Exception | None) -> None:
        if not isinstance(failure, OSError):  # the child got as far as the filter
            try:
                self._swap.take_over()
            except OSError as error:
                raise Unavailable(error.strerror) from None
        super().after_spawn(failure)

    def listens(self) -> bool:
        try:
            self._swap.answer(_POLL_S)
        except OSError as error:
            raise Unavailable(error.strerror) from None
        return self._swap.listens

    def settle(self) -> None:
        self._swap.close()

    def close(self) -> None:
        self.settle()
        self._folder.remove()


class PrivateCopy(WorkerAccess):
    """A private copy of the worker binds a Unix socket in its current folder, which is the socket's."""

    name = "private copy"
    reached_by = f"{_CLOSED} ({name})"

    def __init__(self, worker: str):
        super().__init__(worker)
        try:
            self._copy: int | None = open_private_copy(worker, cache_root() / "worker")
        except (OSError, ValueError) as error:
            raise Unavailable(str(error)) from None
        try:
            self._folder = _new_folder()
        except Unavailable:
            self.settle()
            raise
        self._folder.leave_to_worker()
        self.program = f"/proc/self/fd/{self._copy}"
        self.options = {"cwd": self._folder.path, "pass_fds": (self._copy,)}
        self.target = self._folder.target

    def after_spawn(self, failure: Exception | None) -> None:
        if failure is not None:  # as where nothing may be run from the cache's disk
            raise Unavailable(f"it cannot be run: {failure}")

    def listens(self) -> bool:
        time.sleep(_POLL_S)
        return answers(self._folder.socket_path)

    def settle(self) -> None:
        if self._copy is not None:
            os.close(self._copy)
            self._copy = None

    def close(self) -> None:
        self.settle()
        self._folder.remove()


class OpenPort(WorkerAccess):
    """The worker as TFF starts it: it listens on all interfaces and asks nobody for a password.

    It takes no other address, so that less than all interfaces cannot be had; a firewall is the user's.
    """

    name = "open port"
    is_open = True

    def __init__(self, worker: str):
        super().__init__(worker)
        if os.environ.get(OPEN_VARIABLE) != "1":
            raise Unavailable(f"{OPEN_VARIABLE} is not 1")
        with socket.create_server(("", 0)) as free:
            self.port = str(free.getsockname()[1])
        self.reached_by = f"OPEN: TCP port {self.port} of all interfaces, without a password"
        self.target = f"localhost:{self.port}"

    def listens(self) -> bool:
        time.sleep(_POLL_S)
        with socket.socket() as probe:
            probe.settimeout(0.2)
            return probe.connect_ex(("127.0.0.1", int(self.port))) == 0


def _new_folder() -> SocketFolder:
    try:
        return SocketFolder()
    except OSError as error:
        raise Unavailable(str(error)) from None


CLOSED_WAYS = (SwappedSocket, PrivateCopy)
