"""The walls around learner code: their levels, and what the guarded process of each is told."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import os
import pathlib
import secrets
import shutil
import socket
import subprocess
import sys
import sysconfig

import psutil

from fedlearn_edu.course.grading.inside import ending

PACKAGE = pathlib.Path(__file__).resolve().parents[2]
_UIDS = range(60_578, 61_184)  # above those that people have, below those that systemd hands out
FILE_BYTES = 32 * 2**20
_NEWEST_LANDLOCK = 10**6

# What each level keeps away from learner code, in words for the teacher.
LEVELS = {
    "namespaces": "own process table, own file system (Python read-only, an empty home, nothing else), no network",
    "user+landlock": "an unprivileged user of its own, who cannot open other files (but see their names, sizes and "
    "dates); no signals to other processes, no sockets",
    "landlock": "your own user, but it cannot open or change other files (but see their names, sizes and dates); no "
    "signals to other processes, no sockets",
    "limits": "limits on time, processes and their own memory only: it can read and write whatever you can",
}
SAFE_LEVELS = ("namespaces", "user+landlock", "landlock")


@dataclasses.dataclass(frozen=True)
class Isolation:
    """The walls of one batch. Made by `walls.prepare`.

    Attributes:
        level: A key of `LEVELS`.
        grader: Process id of whoever prepared the batch; all workers and guarded processes descend from it.
        scratch: Folder of the batch; deleted at its end.
        code: Copy of the code that runs in the guarded processes.
        read: What learner code sees besides its own home, read-only.
        hide: What lies within `read` and must not be seen.
        seccomp: Whether the system call filter is installed; only "limits" does without.
        newest_landlock: Of the versions of Landlock, the highest to use.
    """

    level: str
    grader: int
    scratch: pathlib.Path
    code: pathlib.Path
    read: tuple[str, ...]
    hide: tuple[str, ...]
    seccomp: bool = True
    newest_landlock: int = _NEWEST_LANDLOCK

    def guard_config(self, *, home: pathlib.Path, result: int, memory_bytes: int) -> dict:
        """What `inside/guard.py` is told, as plain JSON."""
        uid = None
        if os.geteuid() == 0 and self.level != "limits":
            uid = _own_uid(os.getpid())
            os.chown(home, uid, uid)
        threads = 64 + 4 * (os.cpu_count() or 1)
        # An older kernel counts all processes of the user against this limit, those of the desktop included.
        others = 0 if uid is not None else _num_other_tasks(os.geteuid(), self.grader)
        path = [sysconfig.get_paths()[kind] for kind in ("purelib", "platlib")]
        landlock = None
        if "landlock" in self.level:
            readable, listed = _without(self.read, self.hide, (*path, str(PACKAGE)))
            package = str(self.scratch / "package")  # the folder beside the package's real one may hold anything
            landlock = {"readable": [*readable, package], "listed": listed, "newest": self.newest_landlock}
            path.append(package)
        else:
            path.append(str(PACKAGE.parent))
        return {
            "parent": os.getpid(),
            "namespaces": self.level == "namespaces",
            "landlock": landlock,
            "seccomp": self.seccomp,
            "uid": uid,
            "root": str(self.scratch / "root"),
            "home": str(home),
            "code": str(self.code),
            "read": list(self.read),
            "hide": list(self.hide),
            "result": result,
            "python": sys.executable,
            "path": path,
            "limits": {
                "AS": memory_bytes,
                "NPROC": threads + others,
                "FSIZE": FILE_BYTES,
                "NOFILE": 256,
                "CORE": 0,
                "MSGQUEUE": 0,
                "MEMLOCK": 2**20,
            },
            "environment": _environment(),
        }


def _environment() -> dict[str, str]:
    one_thread = {f"{name}_NUM_THREADS": "1" for name in ("OMP", "OPENBLAS", "MKL", "NUMEXPR")}
    quiet = {"TF_CPP_MIN_LOG_LEVEL": "3", "GRPC_VERBOSITY": "ERROR", "CUDA_VISIBLE_DEVICES": "-1", "MPLBACKEND": "Agg"}
    return {"PATH": "/usr/bin:/bin", "LANG": "C.UTF-8"} | one_thread | quiet


_claims: list[socket.socket] = []  # bound as long as this process lives, and gone with it however it ends


@functools.lru_cache(maxsize=1)
def _own_uid(pid: int) -> int:
    """A user id that no process has, and no other process of graders takes while this one (`pid`) lives."""
    used = {uid for process in psutil.process_iter(["uids"]) for uid in process.info["uids"] or ()}
    for uid in sorted(_UIDS, key=lambda _: secrets.randbits(30)):
        claim = socket.socket(socket.AF_UNIX)
        try:
            claim.bind(f"\0fedlearn-edu-grading-{uid}")
        except OSError:
            claim.close()
            continue
        if uid not in used:
            _claims.append(claim)
            return uid
        claim.close()
    raise OSError(f"all user ids from {_UIDS[0]} to {_UIDS[-1]} are in use")


@functools.cache
def _without(read: tuple[str, ...], hide: tuple[str, ...], listed: tuple[str, ...]) -> tuple[list[str], list[str]]:
    """`read` without `hide`, as Landlock wants it said: it opens folders, but closes none within an open one.

    Args:
        read: Files and folders.
        hide: What must stay closed.
        listed: Those of the divided folders whose names Python has to find.

    Returns:
        What to open with all that is below it, and the folders of which names are shown.
    """
    opened, names, left = [], [], list(read)
    while left:
        path = left.pop()
        real = os.path.realpath(path)
        if real in hide:
            continue
        if not any(hidden.startswith(real + "/") for hidden in hide):
            opened.append(path)
            continue
        names += [path] if path in listed else []
        with contextlib.suppress(OSError), os.scandir(path) as entries:
            left += [entry.path for entry in entries if not entry.is_symlink()]  # a link may lead anywhere
    return opened, names


def _num_other_tasks(uid: int, grader: int) -> int:
    """Threads of a user that the grader did not start: what one learner forks must not raise the next one's limit."""
    counts = {}
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            counts[process.pid] = process.num_threads() if process.uids().real == uid else 0
    return sum(counts[pid] for pid in counts.keys() - ending.below(grader).keys())


def remove_folder(folder: pathlib.Path) -> None:
    """Deletes a folder that learner code may have filled, of any depth and with any rights; never raises."""
    with contextlib.suppress(Exception):
        shutil.rmtree(folder)
    if os.path.lexists(folder):
        for command in (["chmod", "-R", "u+rwX"], ["rm", "-rf"]):
            with contextlib.suppress(OSError):
                subprocess.run([*command, "--", folder], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
