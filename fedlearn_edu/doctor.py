"""What can be wrong with an installation: each check states the cause and a one-line fix, and none can hang."""

from __future__ import annotations

import contextlib
import dataclasses
import importlib.metadata
import os
import pathlib
import platform
import shutil
import subprocess
import sys
import tempfile
import webbrowser
from collections.abc import Callable

import click

from fedlearn_edu.errors import RunError
from fedlearn_edu.quiet import silence_import_noise
from fedlearn_edu.terminal import in_handout, install_command, our_command

TFF_VERSION = "0.87.0"
HELLO_DEADLINE_S = 300.0  # half a minute on a quiet machine; a busy one was seen to take more than 90 s
MIN_DISK_BYTES = 1e9  # features of 10,000 images take 50 MB, MobileNetV2 10 MB, checkpoints and logs the rest
MIN_MEMORY_BYTES = 1.5e9  # the demo and its worker were seen to take 1.0 GB, a lesson's kernel is beside Lab
# Run in a process of its own: whatever happens there, this one goes on.
_HELLO = """
import fedlearn_edu, numpy
fedlearn_edu.start_runtime()
import tensorflow_federated as tff
double = tff.tensorflow.computation(lambda x: 2 * x, numpy.int32)
total = tff.federated_computation(
    lambda x: tff.federated_sum(tff.federated_map(double, x)), tff.FederatedType(numpy.int32, tff.CLIENTS)
)
assert total([1, 2, 3]) == 12, "a federated sum over three clients came back wrong"
"""


@dataclasses.dataclass(frozen=True)
class Finding:
    """Outcome of one check: `status` is "ok", "warning" or "failed"; `fix` says what to do if it is not ok."""

    status: str
    detail: str
    fix: str = ""


def check_python() -> Finding:
    """Compares this Python with the one that TFF's wheel is built for."""
    version = platform.python_version()
    if sys.version_info[:2] == (3, 11):
        return Finding("ok", version)
    fix = "install Python 3.11, e.g. with `uv python install 3.11`, and create the environment with it"
    return Finding("failed", f"{version}; TFF {TFF_VERSION} is installed here for 3.11 only", fix)


def check_platform() -> Finding:
    """Compares system, processor and C library with those that TFF's wheel is built for."""
    system, machine = platform.system(), platform.machine()
    libc, libc_version = platform.libc_ver()
    detail = f"{system} {machine}, {libc or 'unknown libc'} {libc_version}".strip()
    if (system, machine) != ("Linux", "x86_64"):
        fix = "use WSL2 (Windows), a linux/amd64 container (macOS, ARM), or Binder"
        return Finding("failed", f"{detail}; TFF's wheel exists for Linux x86-64 only", fix)
    if libc == "glibc" and tuple(map(int, libc_version.split(".")[:2])) < (2, 31):
        return Finding("failed", f"{detail}; TFF needs glibc 2.31", "use a distribution from 2020 or later")
    return Finding("ok", detail)


def check_tff() -> Finding:
    """Compares the installed TensorFlow Federated with the one this package works with."""
    try:
        version = importlib.metadata.version("tensorflow-federated")
    except importlib.metadata.PackageNotFoundError:
        return Finding("failed", "tensorflow-federated is not installed", install_command())
    if version == TFF_VERSION:
        return Finding("ok", version)
    cause = {
        "0.1.0": "what plain pip picks when it cannot meet TFF's pins: a release of 2019",
        "0.61.0": "what uv picks without our overrides",
    }.get(version, "not the version this package is tested with")
    return Finding("failed", f"{version} ({cause}); expected {TFF_VERSION}", install_command())


def check_tensorflow() -> Finding:
    """Compares the installed TensorFlow with the one that TFF was built against."""
    for name in ("tensorflow", "tensorflow-cpu"):
        try:
            version = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
        if version == "2.14.1":
            return Finding("ok", f"{name} {version}")
        return Finding("failed", f"{name} {version}; expected 2.14.1", install_command())
    return Finding("failed", "neither tensorflow nor tensorflow-cpu is installed", install_command())


def check_typing_extensions() -> Finding:
    """Finds a release of typing-extensions with which parts of TFF fail."""
    version = importlib.metadata.version("typing-extensions")
    if version.startswith("4.5."):
        return Finding("ok", version)
    fix = install_command() if in_handout() else "pip install --no-deps typing-extensions==4.5.0"
    return Finding("warning", f"{version}; from 4.6 on TFF's own FileProgramStateManager fails on dictionaries", fix)


def check_proxy() -> Finding:
    """Finds proxy settings that would send calls to the worker elsewhere."""
    names = ("grpc_proxy", "https_proxy", "http_proxy", "all_proxy")
    set_names = [n for name in names for n in (name, name.upper()) if os.environ.get(n)]
    if not set_names:
        return Finding("ok", "none set")
    bypassed = {
        host.strip()
        for name in ("no_grpc_proxy", "no_proxy", "NO_PROXY")
        for host in os.environ.get(name, "").split(",")
    }
    if "*" in bypassed or "localhost" in bypassed:
        return Finding("ok", f"{set_names[0]} is set, localhost is excepted")
    return Finding(
        "warning",
        f"{set_names[0]} is set and localhost is not excepted: plain TFF hangs (our own runtime ignores the proxy)",
        "export no_proxy=localhost,127.0.0.1",
    )


def check_jupyterlab() -> Finding:
    """Says whether the lessons can be opened, and with which JupyterLab."""
    try:
        version = importlib.metadata.version("jupyterlab")
    except importlib.metadata.PackageNotFoundError:
        return Finding("warning", "not installed: the demo works, the lessons cannot be opened", install_command())
    if version.split(".")[0] == "4":
        return Finding("ok", version)
    return Finding("warning", f"{version}; the lessons are tested with 4", install_command())


def check_browser() -> Finding:
    """Says whether `lab` can open a browser; without one nothing is wrong."""
    try:
        browser = webbrowser.get()
    except webbrowser.Error:
        return Finding("ok", "none can be opened from here (no display?): open the address that `lab` prints in yours")
    return Finding("ok", getattr(browser, "name", None) or "found")


def check_disk() -> Finding:
    """Looks at the folders that runs write to: caches, temporary files, and where the user is."""
    from fedlearn_edu.cache_folder import CACHE_VARIABLE, cache_root

    try:
        here = os.getcwd()
    except FileNotFoundError:
        return Finding("failed", "this folder was deleted", "go to one that exists, e.g. by `cd`")
    try:
        temporary = tempfile.gettempdir()
    except FileNotFoundError:
        return Finding("failed", "no folder for temporary files can be written", "make room, or set TMPDIR to a folder")
    places = {
        "cache": (str(cache_root()), f"set {CACHE_VARIABLE} to a folder on another disk"),
        "temporary files": (temporary, "set TMPDIR to a folder on another disk"),
        "this folder": (here, "work in a folder on another disk"),
    }
    free = {}
    for what, (path, way_out) in places.items():
        existing = next(
            p for p in (pathlib.Path(path).absolute(), *pathlib.Path(path).absolute().parents) if p.exists()
        )
        if not os.access(existing, os.W_OK):
            return Finding("warning", f"{what}: {existing} cannot be written", way_out)
        free[what] = shutil.disk_usage(existing).free
        if free[what] < MIN_DISK_BYTES:
            detail = f"{what}: {free[what] / 1e9:.1f} GB free in {existing}, {MIN_DISK_BYTES / 1e9:g} GB are wanted"
            return Finding("warning", detail, f"make room (fl.clear_cache() empties the cache), or {way_out}")
    return Finding("ok", ", ".join(f"{what} {size / 1e9:.0f} GB free" for what, size in free.items()))


def check_memory() -> Finding:
    """Compares the memory that is free, in a container at most its limit, with what the demo takes."""
    import psutil

    free, limit = psutil.virtual_memory().available, _container_limit()
    where = "free" if limit is None or free <= limit else "is this container's limit"
    free = free if limit is None else min(free, limit)
    detail = f"{free / 1e9:.1f} GB {where}"
    if free >= MIN_MEMORY_BYTES:
        return Finding("ok", detail)
    return Finding(
        "warning",
        f"{detail}; the demo takes about 1 GB, a lesson in a browser more: {MIN_MEMORY_BYTES / 1e9:g} GB are wanted",
        "close other programs, or give the container more (docker run --memory 4g)",
    )


def _container_limit() -> int | None:
    for path in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        with contextlib.suppress(OSError, ValueError):  # no container, or "max"
            return int(pathlib.Path(path).read_text())
    return None


def check_worker() -> Finding:
    """Starts TFF's worker and says who can reach it."""
    silence_import_noise()
    from fedlearn_edu.engine.worker import OPEN_VARIABLE, Worker

    worker = Worker()
    try:
        access = worker.start()
    except RunError as error:
        return Finding("failed", str(error), "see the causes in brackets; README says what each way needs")
    finally:
        worker.stop()
    if access.is_open:
        return Finding(
            "warning",
            f"reached by {access.reached_by}: whoever can connect to this machine can read and write your files",
            f"unset {OPEN_VARIABLE} if you can, or let no other host and no other user connect (firewall)",
        )
    return Finding("ok", f"reached by {access.reached_by}")


def check_hello(deadline_s: float = HELLO_DEADLINE_S) -> Finding:
    """Runs a federated sum in a process of its own and gives up after `deadline_s` seconds."""
    with tempfile.TemporaryFile() as output:  # a file: a pipe would be held open by whatever hangs
        try:
            code = subprocess.run(
                [sys.executable, "-c", _HELLO],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                timeout=deadline_s,
            ).returncode
        except subprocess.TimeoutExpired:
            return Finding(
                "failed",
                f"no answer within {deadline_s:g} s: this machine is very slow just now, or something is stuck",
                "close other programs and try again",
            )
        output.seek(0)
        lines = output.read().decode(errors="replace").strip().splitlines()
    if code == 0:
        return Finding("ok", "a federated sum over three clients came back right")
    return Finding("failed", lines[-1][:300] if lines else f"ended with code {code}", "reinstall: " + install_command())


CHECKS: dict[str, Callable[[], Finding]] = {
    "Python": check_python,
    "Platform": check_platform,
    "TensorFlow Federated": check_tff,
    "TensorFlow": check_tensorflow,
    "typing-extensions": check_typing_extensions,
    "Proxy": check_proxy,
    "JupyterLab": check_jupyterlab,
    "Browser": check_browser,
    "Disk": check_disk,
    "Memory": check_memory,
    "Worker": check_worker,
    "First computation": check_hello,
}
# Said before they are tried: who reads nothing for half a minute takes it for dead.
_SLOW = {
    check_worker: "loads TFF and starts its worker",
    check_hello: "takes about half a minute, on a busy machine some minutes",
}
_MARKS = {"ok": ("✓", "green"), "warning": ("!", "yellow"), "failed": ("✗", "red")}


def run_checks() -> int:
    """Runs every check, printing as it goes.

    Returns:
        Exit code: 0 if none failed, else 1.
    """
    failed = 0
    for name, check in CHECKS.items():
        if check in _SLOW and failed:
            click.echo(f"  - {name}: not tried, mend the above first")
            continue
        if check in _SLOW:
            click.echo(f"  … {name}: {_SLOW[check]}")
        try:
            finding = check()
        except Exception as error:  # a check that breaks must not hide the others
            finding = Finding("failed", f"{type(error).__name__}: {error}", install_command())
        mark, colour = _MARKS[finding.status]
        click.echo(f"  {click.style(mark, fg=colour)} {name}: {finding.detail}")
        if finding.fix and finding.status != "ok":
            click.echo(f"      fix: {finding.fix}")
        failed += finding.status == "failed"
    if failed:
        click.echo(
            f"{failed} problem{'s' if failed > 1 else ''} found. Next: mend the first, then {our_command()} doctor"
        )
        return 1
    click.echo(f"Everything works. Next: {our_command()} lab")
    return 0
