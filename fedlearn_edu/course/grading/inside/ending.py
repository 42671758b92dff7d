"""Ends everything that descends from a process, however fast it forks and however it detached itself."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Collection

_ROUND_SECONDS = 0.002  # those that were killed need the processor to die


def below(root: int) -> dict[int, tuple[int, bool]]:
    """Process id -> (its group's, whether it lives), of all that descend from `root`."""
    seen = {}
    for name in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError), open(f"/proc/{name}/stat", "rb") as stream:
            fields = stream.read().rpartition(b")")[2].split()
            # One whose first thread alone has ended looks like a dead one, yet it may still fork.
            lives = fields[0] not in (b"Z", b"X") or int(fields[17]) > 1
            seen[int(name)] = (int(fields[1]), (int(fields[2]), lives))
    tree, new = {root}, True
    while new:
        new = {pid for pid, (parent, _) in seen.items() if parent in tree} - tree
        tree |= new
    return {pid: seen[pid][1] for pid in tree - {root} if pid in seen}


def kill_below(root: int, spared: Collection[int] = ()) -> bool:
    """One round of SIGKILL to all that descend from `root` but the `spared`; False if none of them was seen alive.

    A whole group dies at once, those included that it is just forking. Outside of namespaces the learner has a session
    of its own, so that nobody else is in its groups.
    """
    found = below(root)
    others = {0, 1, os.getpgid(0)} | {found.pop(pid)[0] for pid in spared if pid in found}
    with contextlib.suppress(ProcessLookupError):
        others.add(os.getpgid(root))
    for group in {group for group, _ in found.values()} - others:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(group, signal.SIGKILL)
    for pid in found:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(pid, signal.SIGKILL)
    return any(lives for _, lives in found.values())


def end_children(uid: int | None = None) -> None:
    """Ends all that descends from this process, which must be a subreaper, and returns when it has no child left.

    The dead are not reaped before none is seen alive: they count against the limit of processes, so that whoever
    forks on and on while we look runs into it, and each round leaves it fewer.

    Args:
        uid: The user that all of them run as and nobody else; None if there is none.
    """
    while True:
        try:
            os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        except ChildProcessError:
            return
        if uid is not None:
            _kill_user(uid)
        if kill_below(os.getpid()):
            time.sleep(_ROUND_SECONDS)
            continue
        with contextlib.suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass


def end_others(known: Collection[int]) -> None:
    """Ends all that descends from this process, a subreaper, besides the processes `known`."""
    while kill_below(os.getpid(), known):
        time.sleep(_ROUND_SECONDS)
    for pid in below(os.getpid()).keys() - set(known):
        with contextlib.suppress(ChildProcessError):
            os.waitpid(pid, os.WNOHANG)


def _kill_user(uid: int) -> None:
    """One call reaches all processes of a user at once."""
    try:
        killer = os.fork()
    except OSError:  # no process left; the round by process ids makes room
        return
    if killer == 0:
        with contextlib.suppress(OSError):
            os.setresuid(uid, uid, uid)
            os.kill(-1, signal.SIGKILL)
        os._exit(0)
    with contextlib.suppress(ChildProcessError):
        os.waitpid(killer, 0)
