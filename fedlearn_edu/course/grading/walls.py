"""Finds out which walls this machine allows around learner code, strongest first, by building them once."""

from __future__ import annotations

import compileall
import contextlib
import os
import pathlib
import py_compile
import shutil
import sys
import sysconfig
import tempfile
from collections.abc import Iterator, Sequence

from fedlearn_edu.course.checks import data as plain_data
from fedlearn_edu.course.grading.isolation import PACKAGE, SAFE_LEVELS, Isolation, remove_folder
from fedlearn_edu.course.grading.sandbox import run_guarded
from fedlearn_edu.errors import RunError

_INSIDE = PACKAGE / "course" / "grading" / "inside"
_SYSTEM = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64")
_SYSTEM_FILES = ("/etc/ld.so.cache", "/etc/alternatives", "/etc/localtime")


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
        (scratch / "package").mkdir()
        (scratch / "package" / PACKAGE.name).symlink_to(PACKAGE)
        os.chmod(scratch / "package", 0o755)
        read = _readable()
        wanted = SAFE_LEVELS if level == "auto" else (level,)
        yield _strongest(wanted, scratch, code, read, _hidden([PACKAGE / "course", *private], read))
    finally:
        remove_folder(scratch)


def _hidden(paths: Sequence[os.PathLike], read: Sequence[str]) -> tuple[str, ...]:
    """The real paths, and under which names they are seen within `read`."""
    found = set()
    for path in map(os.path.realpath, paths):
        found.add(path)
        for shown in read:
            real = os.path.realpath(shown)
            if path.startswith(real + "/"):
                found.add(shown + path[len(real) :])
    return tuple(sorted(found))


def _copy_code(code: pathlib.Path) -> pathlib.Path:
    """Copies what runs in the guarded processes, under the names it has here; everything around it is empty."""
    for source in [*_INSIDE.glob("*.py"), pathlib.Path(plain_data.__file__).resolve()]:
        target = code / "fedlearn_edu" / source.relative_to(PACKAGE)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target)
    for folder in [code, *(path for path in code.rglob("*") if path.is_dir())]:
        (folder / "__init__.py").touch()
    # Nobody may write here later, so that each guarded process would compile it all anew.
    compileall.compile_dir(code, quiet=2, invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH)
    for path in [code, *code.rglob("*")]:
        os.chmod(path, 0o755 if path.is_dir() else 0o644)  # whatever our umask is, the learner's user reads them
    return code


def _readable() -> tuple[str, ...]:
    """Python, its libraries and the system's."""
    paths = {*_SYSTEM, *_SYSTEM_FILES, sys.prefix, sys.base_prefix, str(PACKAGE), *sysconfig.get_paths().values()}
    paths |= {str(pathlib.Path(sys.executable).resolve().parent.parent), sysconfig.get_config_var("LIBDIR") or "/usr"}
    return tuple(sorted(p for p in paths if p not in ("/", "/root", "/home", "/tmp") and os.path.lexists(p)))


def _strongest(levels, scratch, code, read, hide) -> Isolation:
    job = {"function": "probe", "cells": ["def probe():\n    return 1"], "arguments": [[]]}
    reasons = []
    for level in levels:
        if level.startswith("user") and os.geteuid() != 0:
            reasons.append(f"{level}: only root can change the user")
            continue
        for seccomp in (True, False) if level == "limits" else (True,):
            found = Isolation(level, os.getpid(), scratch, code, read, hide, seccomp)
            outcome = run_guarded(job, found, timeout=20.0, memory_gb=4.0)
            if outcome.started and {"case": 0, "value": 1} in outcome.frames:
                return found
            closed = _closed_to_others([*read, str(code)]) if "landlock" in level and os.geteuid() == 0 else ""
            reasons.append(f"{level}: {closed or outcome.detail or outcome.ending}")
    raise RunError(
        f"no wall can be built around learner code here ({'; '.join(reasons)[:300]}): allow user namespaces, grade as "
        "root, or grade in a virtual machine with isolation 'limits'"
    )


def _closed_to_others(paths: Sequence[str]) -> str:
    """Why the learner's own user cannot reach what it needs, if that is so."""
    for path in paths:
        for folder in reversed(pathlib.Path(path).resolve().parents):
            if not os.stat(folder).st_mode & 0o001:
                return f"{path} lies below {folder}, which only its owner can enter"
    return ""
