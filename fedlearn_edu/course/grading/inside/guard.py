"""Builds the walls, then starts the learner's process inside them and ends whatever it leaves behind.

Runs in a process of its own, on the standard library alone: guard -> (first process of its own world ->) learner. A
JSON file tells it all. It ends when the learner's process ends, when it gets SIGTERM, or when the grader dies.
"""

from __future__ import annotations

import contextlib
import json
import os
import resource
import signal
import sys

from fedlearn_edu.course.grading.inside import ending, filters, kernel, rooms

# Python's `site` takes as long as NumPy; the runner calls it when the learner's imports may need it.
_START = (
    "import sys; sys.path[:] = [{code!r}, *sys.path, *{path!r}]; {before}"
    "from fedlearn_edu.course.grading.inside import runner; runner.main()"
)
# Semaphores live in /dev/shm, and only namespaces give the learner one of its own.
_WITH_SEMAPHORES = "from fedlearn_edu.course.grading.inside import semaphores; semaphores.install(may_signal={}); "

# What libraries read of the machine itself; nothing of it is anybody's.
_MACHINE = ("/dev/urandom", "/dev/random", "/proc/cpuinfo", "/proc/meminfo", "/sys/devices/system/cpu")


def main() -> None:
    """Reads what the grader tells, builds the walls, and becomes the runner behind them."""
    with open(int(sys.argv[1]), "rb") as stream:
        config = json.load(stream)
    os.umask(0o022)  # the learner's user walks through the folders that we make, whatever the teacher's umask is
    kernel.end_first_when_memory_is_short()
    kernel.die_with_parent(signal.SIGTERM)
    # Whoever double-forks to get away from its parent becomes our child again.
    kernel.prctl(kernel.PR_SET_CHILD_SUBREAPER, 1)
    try:
        child = _start_in_namespaces(config) if config["namespaces"] else _start_here(config)
    except OSError as error:
        sys.stderr.write(f"guard: {error}\n")
        os._exit(70)

    def stop(*_):
        _end_everything(config, child)
        os._exit(75)

    signal.signal(signal.SIGTERM, stop)
    if os.getppid() != config["parent"]:  # it died before we asked to be told
        stop()
    code = _wait_for(child)
    _end_everything(config, None)
    os._exit(code)


def _wait_for(child: int) -> int:
    """Waits for one child, reaping all others on the way."""
    while True:
        try:
            pid, status = os.waitpid(-1, 0)
        except ChildProcessError:
            return 70
        if pid == child:
            code = os.waitstatus_to_exitcode(status)
            return code if code >= 0 else 128 - code


def _start_in_namespaces(config: dict) -> int:
    """The learner gets its own process table, mounts, network and host name; they vanish with their first process."""
    owner = os.geteuid() == 0 and config["uid"] is not None
    outer_uid, outer_gid = os.geteuid(), os.getegid()
    kernel.unshare(kernel.ALL_NAMESPACES if owner else kernel.ALL_NAMESPACES | kernel.CLONE_NEWUSER)
    if not owner:
        for name, text in [
            ("setgroups", "deny"),
            ("uid_map", f"1000 {outer_uid} 1"),
            ("gid_map", f"1000 {outer_gid} 1"),
        ]:
            with open(f"/proc/self/{name}", "w") as stream:
                stream.write(text)
    first = os.fork()
    if first:
        return first
    try:
        kernel.die_with_parent(signal.SIGKILL)
        home = rooms.enter(config)
        child = os.fork()
        if child == 0:
            os.chdir(home)
            _become_learner(config, "/grader", home)
        os._exit(_wait_for(child))
    except BaseException as error:
        with contextlib.suppress(BaseException):
            sys.stderr.write(f"guard: {type(error).__name__}: {error}\n")
        os._exit(70)


def _start_here(config: dict) -> int:
    child = os.fork()
    if child:
        return child
    try:
        os.setsid()  # its groups are its own, and a group is ended as a whole
        os.chdir(config["home"])
        _become_learner(config, config["code"], config["home"])
    except BaseException as error:
        sys.stderr.write(f"guard: {type(error).__name__}: {error}\n")
        os._exit(70)


def _become_learner(config: dict, code: str, home: str) -> None:
    """Gives up all rights for good, sets the limits and starts the runner."""
    os.umask(0o077)
    if config["uid"] is not None:
        os.setgroups([])
        os.setresgid(config["uid"], config["uid"], config["uid"])
        os.setresuid(config["uid"], config["uid"], config["uid"])
    if not config["namespaces"]:
        kernel.die_with_parent(signal.SIGKILL)
    for name, value in config["limits"].items():
        kernel.limit(getattr(resource, f"RLIMIT_{name}"), value)
    kernel.prctl(kernel.PR_SET_NO_NEW_PRIVS, 1)
    own_user, signals_held = config["uid"] is not None, False
    if config["landlock"]:
        signals_held = _close_files(config["landlock"], code, home) >= filters.SIGNALS_HELD
    before = "" if config["namespaces"] else _WITH_SEMAPHORES.format(own_user or signals_held)
    if config["seccomp"]:
        kernel.seccomp(own_world=config["namespaces"], own_user=own_user, signals_held=signals_held)
    environment = config["environment"] | {"HOME": home, "TMPDIR": home, "USER": "learner", "PWD": home}
    start = _START.format(code=code, path=config["path"], before=before)
    arguments = [config["python"], "-I", "-S", "-B", "-c", start, str(config["result"])]
    os.execve(config["python"], arguments, environment)


def _close_files(config: dict, code: str, home: str) -> int:
    # Of /proc only what is its own: others' command lines are no business of the learner's.
    readable = [*config["readable"], code, f"/proc/{os.getpid()}", *_MACHINE]
    version = min(kernel.landlock_version(), config["newest"])
    kernel.landlock(version, filters.Paths(readable, config["listed"], [home, "/dev/null"]))
    return version


def _end_everything(config: dict, child: int | None) -> None:
    """Ends all processes of the learner, however they detached themselves."""
    if not config["namespaces"]:
        ending.end_children(config["uid"])
    elif child is not None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(child, signal.SIGKILL)  # the first process of a process namespace takes all others with it
        _wait_for(child)
