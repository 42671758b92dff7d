"""The few Linux calls that Python 3.11 has no name for: namespaces, mounts, Landlock, system call filter."""

from __future__ import annotations

import contextlib
import ctypes
import os
import re
import resource
import struct

from fedlearn_edu.course.grading.inside import filters

MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC = 1, 2, 4, 8
MS_REMOUNT, MS_BIND, MS_REC, MS_PRIVATE = 32, 4096, 16384, 1 << 18
CLONE_NEWUSER = 0x10000000
# mounts, host name, System V memory, processes, network
ALL_NAMESPACES = 0x00020000 | 0x04000000 | 0x08000000 | 0x20000000 | 0x40000000
PR_SET_PDEATHSIG, PR_SET_SECCOMP, PR_SET_CHILD_SUBREAPER, PR_SET_NO_NEW_PRIVS = 1, 22, 36, 38
_SYS_PIVOT_ROOT, _SYS_LANDLOCK = 155, 444  # x86-64, the only machine that TFF runs on
_MNT_DETACH = 2
# What statvfs says of a mount (left) must be said again when it is mounted anew (right), or the kernel refuses.
_KEPT_FLAGS = {2: MS_NOSUID, 4: MS_NODEV, 8: MS_NOEXEC, 1024: 1024, 2048: 2048, 4096: 1 << 21}

_libc = ctypes.CDLL(None, use_errno=True)
_libc.syscall.restype = ctypes.c_long


def _checked(result: int, what: str) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")
    return result


def _bytes(text: str | None) -> bytes | None:
    return None if text is None else os.fsencode(text)


def prctl(option: int, value, argument=0) -> None:
    """The system call; OSError if the kernel refuses."""
    _checked(_libc.prctl(option, ctypes.c_ulong(value), argument, ctypes.c_ulong(0), ctypes.c_ulong(0)), "prctl")


def die_with_parent(number: int) -> None:
    """Asks for this signal when the parent ends; must be asked again after every change of user."""
    prctl(PR_SET_PDEATHSIG, number)


def limit(kind: int, value: int) -> None:
    """Sets both limits of a resource, for good."""
    hard = resource.getrlimit(kind)[1]
    value = value if hard == resource.RLIM_INFINITY else min(value, hard)
    resource.setrlimit(kind, (value, value))


def end_first_when_memory_is_short() -> None:
    """Asks the system to end this process and its children before the grader, which all students share."""
    with contextlib.suppress(OSError), open("/proc/self/oom_score_adj", "w") as stream:
        stream.write("1000")


def unshare(flags: int) -> None:
    """The system call; OSError if the kernel refuses."""
    _checked(_libc.unshare(flags), "unshare")


def mount(source: str | None, target: str, kind: str | None, flags: int, options: str | None = None) -> None:
    """The system call; OSError if the kernel refuses."""
    result = _libc.mount(_bytes(source), _bytes(target), _bytes(kind), ctypes.c_ulong(flags), _bytes(options))
    _checked(result, f"mount {target}")


def mount_points() -> list[str]:
    """Returns where something is mounted, outermost first."""
    with open("/proc/self/mountinfo", "rb") as stream:
        names = [line.split()[4] for line in stream]
    return [os.fsdecode(re.sub(rb"\\([0-7]{3})", lambda m: bytes([int(m[1], 8)]), name)) for name in names]


def make_read_only(path: str) -> None:
    """Mounts what is at `path` once more, so that nobody behind the walls can write there."""
    kept = sum(flag for bit, flag in _KEPT_FLAGS.items() if os.statvfs(path).f_flag & bit)
    mount(None, path, None, MS_REMOUNT | MS_BIND | MS_RDONLY | MS_NOSUID | kept)


def change_root(root: str) -> None:
    """Makes `root` the only file system that this process and its children can ever reach."""
    os.chdir(root)
    _checked(_libc.syscall(_SYS_PIVOT_ROOT, b".", b"."), "pivot_root")  # the old root now lies over the new one
    _checked(_libc.umount2(b".", _MNT_DETACH), "umount")
    os.chdir("/")


def seccomp(*, own_world: bool, own_user: bool, signals_held: bool) -> None:
    """Closes the system calls that no exercise needs, for this process and all it will start."""
    program = filters.seccomp_program(
        own_world=own_world, own_user=own_user, signals_held=signals_held, pid=os.getpid()
    )
    buffer = ctypes.create_string_buffer(program, len(program))
    header = struct.pack("HxxxxxxP", len(program) // 8, ctypes.addressof(buffer))
    prctl(PR_SET_SECCOMP, 2, ctypes.c_char_p(header))


def landlock_version() -> int:
    """Which version of Landlock the kernel has (Linux 5.13 and later).

    Raises:
        OSError: None.
    """
    return _checked(_libc.syscall(_SYS_LANDLOCK, None, ctypes.c_size_t(0), 1), "landlock")


def landlock(version: int, paths: filters.Paths) -> None:
    """Takes away all files but these, for this process and all it will start."""
    rights, rules = filters.landlock_rules(version, paths)
    ruleset = _checked(_libc.syscall(_SYS_LANDLOCK, rights, ctypes.c_size_t(len(rights)), 0), "landlock")
    for path, allowed in rules:
        try:
            folder = os.open(path, os.O_PATH | os.O_CLOEXEC)
        except OSError:
            continue
        if not os.path.isdir(path):
            allowed &= filters.FILE_RIGHTS
        rule = struct.pack("=Qi", allowed, folder)
        _checked(_libc.syscall(_SYS_LANDLOCK + 1, ruleset, 1, rule, 0), f"landlock {path}")
        os.close(folder)
    _checked(_libc.syscall(_SYS_LANDLOCK + 2, ruleset, 0), "landlock")
    os.close(ruleset)
