"""Finds out which walls this machine allows around learner code, strongest first, by building them once."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import pathlib
import shutil
import sys
import sysconfig
import tempfile
from collections.abc import Iterator, Sequence

from fedlearn_edu.course.checks import data as plain_data
from fedlearn_edu.errors import RunError

_PACKAGE = pathlib.Path(__file__).resolve().parents[2]
_INSIDE = _PACKAGE / "course" / "grading" / "inside"
_SYSTEM = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64")
_SYSTEM_FILES = ("/etc/ld.so.cache", "/etc/alternatives", "/etc/localtime")
_FIRST_UID = 61_184  # below the end of a container's 65,536 users, above those that people have
_FILE_BYTES = 32 * 2**20

# What each level keeps away from learner code, in words for the teacher.
LEVELS = {
    "namespaces": "own process table, own file system (Python read-only, an empty home, nothing else), no network",
    "user+landlock": "an unprivileged user of its own; other files closed by Landlock; no sockets",
    "landlock": "your own user, but other files closed by Landlock, no signals to other processes, no sockets",
    "user": "an unprivileged user of its own, who can read what everybody can; no sockets",
    "limits": "limits on time, memory and processes only: it can read and write whatever you can",
}
SAFE_LEVELS = ("namespaces", "user+landlock", "landlock", "user")


@dataclasses.dataclass(frozen=True)
class Isolation:
    """The walls of one batch. Make it with `prepare`.

    Attributes:
        level: A key of `LEVELS`.
        scratch: Folder of the batch; deleted at its end.
        code: Copy of the code that runs in the guarded processes.
        read: What learner code sees besides its own home, read-only.
        hide: Folders within `read` that it must not see.
        seccomp: Whether the system call filter can be installed.
    """

    level: str
    scratch: pathlib.Path
    code: pathlib.Path
    read: tuple[str, ...]
    hide: tuple[str, ...]
    seccomp: bool = True

    def guard_config(self, *, home: pathlib.Path, result: int, memory_bytes: int) -> dict:
        """What `inside/guard.py` is told, as plain JSON."""
        uid = None
        if os.geteuid() == 0 and self.level != "limits":
            uid = _FIRST_UID + os.getpid() % 4000  # one for each worker of ours, so that limits and kills do not mix
            os.chown(home, uid, uid)
        threads = 64 + 4 * (os.cpu_count() or 1)
        # An older kernel counts all processes of the user against this limit, those of the desktop included.
        others = 0 if uid is not None else _num_tasks(os.geteuid())
        return {
            "parent": os.getpid(),
            "namespaces": self.level == "namespaces",
            "landlock": "landlock" in self.level,
            "seccomp": self.seccomp,
            "uid": uid,
            "root": str(self.scratch / "root"),
            "home": str(home),
            "code": str(self.code),
            "read": list(self.read),
            "hide": list(self.hide),
            "result": result,
            "python": sys.executable,
            "path": [sysconfig.get_paths()[kind] for kind in ("purelib", "platlib")] + [str(_PACKAGE.parent)],
            "limits": {
                "AS": memory_bytes,
                "NPROC": threads + others,
                "FSIZE": _FILE_BYTES,
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


def _num_tasks(uid: int) -> int:
    import psutil

    count = 0
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            count += process.num_threads() if process.uids().real == uid else 0
    return count


@contextlib.contextmanager
def prepare(*, level: str = "auto", private: Sequence[os.PathLike] = ()) -> Iterator[Isolation]:
    """Makes a batch's scratch folder and finds the strongest walls that stand; takes all away at the end.

    Args:
        level: "auto" for the strongest level of `SAFE_LEVELS` that works here, or one key of `LEVELS`.
        private: Folders that learner code must not see even if they lie where Python is installed.

    Raises:
        RunError: The level cannot be had here; the message says what to do.
    """
    scratch = pathlib.Path(tempfile.mkdtemp(prefix="fedlearn-grading-"))
    try:
        os.chmod(scratch, 0o711)  # the learner's user may pass through, not look around
        (scratch / "root").mkdir()
        code = _copy_code(scratch / "code")
        read = _readable()
        hide = [_PACKAGE / "course", *(pathlib.Path(path).resolve() for path in private)]
        wanted = SAFE_LEVELS if level == "auto" else (level,)
        yield _strongest(wanted, scratch, code, read, tuple(str(path) for path in hide))
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _copy_code(code: pathlib.Path) -> pathlib.Path:
    """Copies what runs in the guarded processes, under the names it has here; everything around it is empty."""
    for source in [*_INSIDE.glob("*.py"), pathlib.Path(plain_data.__file__).resolve()]:
        target = code / "fedlearn_edu" / source.relative_to(_PACKAGE)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target)
    for folder in [code, *(path for path in code.rglob("*") if path.is_dir())]:
        (folder / "__init__.py").touch()
    for path in [code, *code.rglob("*")]:
        os.chmod(path, 0o755 if path.is_dir() else 0o644)  # whatever our umask is, the learner's user reads them
    return code


def _readable() -> tuple[str, ...]:
    """Python, its libraries and the system's; a path inside another one of the list is left out."""
    paths = {*_SYSTEM, *_SYSTEM_FILES, sys.prefix, sys.base_prefix, str(_PACKAGE), *sysconfig.get_paths().values()}
    paths |= {str(pathlib.Path(sys.executable).resolve().parent.parent), sysconfig.get_config_var("LIBDIR") or "/usr"}
    paths = {path for path in paths if path not in ("/", "/root", "/home", "/tmp") and os.path.lexists(path)}

    def covered(path: str) -> bool:
        return any(path != other and path.startswith(other + "/") for other in paths)

    return tuple(sorted(path for path in paths if not covered(path)))


def _strongest(levels, scratch, code, read, hide) -> Isolation:
    from fedlearn_edu.course.grading.sandbox import run_guarded

    job = {"function": "probe", "cells": ["def probe():\n    return 1"], "arguments": [[]]}
    reasons = []
    for level in levels:
        if level.startswith("user") and os.geteuid() != 0:
            reasons.append(f"{level}: only root can change the user")
            continue
        for seccomp in (True, False):
            if not seccomp and level == "landlock":
                continue  # without the filter it could signal, so end, whatever else you run
            found = Isolation(level, scratch, code, read, hide, seccomp)
            outcome = run_guarded(job, found, timeout=20.0, memory_gb=4.0)
            if outcome.started and {"case": 0, "value": 1} in outcome.frames:
                return found
            reasons.append(f"{level}: {outcome.detail or outcome.ending}")
    raise RunError(
        f"no wall can be built around learner code here ({'; '.join(reasons)[:300]}): allow user namespaces, grade as "
        "root, or grade in a virtual machine with isolation 'limits'"
    )
