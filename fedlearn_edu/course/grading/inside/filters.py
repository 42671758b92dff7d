"""What the kernel is asked to allow, as its filters want it written: system calls (seccomp) and files (Landlock)."""

from __future__ import annotations

import dataclasses
import errno
import struct
from collections.abc import Sequence

_LOAD, _AND, _EQUAL, _AT_LEAST, _RETURN = 0x20, 0x54, 0x15, 0x35, 0x06
_ALLOW, _KILL, _ANSWER = 0x7FFF0000, 0x80000000, 0x00050000
_DONE = _ANSWER  # "success", without doing anything
_NO, _NO_SUCH_CALL = _ANSWER | errno.EPERM, _ANSWER | errno.ENOSYS
_NUMBER, _ARCHITECTURE, _ARGUMENTS = 0, 4, 16  # offsets in struct seccomp_data; 8 bytes an argument, low half first
_X86_64, _X32_BIT = 0xC000003E, 0x40000000
_ALL_BITS = 0xFFFFFFFF

# The system calls (x86-64) of Python, NumPy and TensorFlow that act on nothing but the process itself and files it may
# open. Whatever is not here, today or in a kernel to come, does not exist for the learner: libraries then do without.
_ALLOWED = {
    # files
    "read": 0, "write": 1, "open": 2, "close": 3, "stat": 4, "fstat": 5, "lstat": 6, "lseek": 8, "pread64": 17,
    "pwrite64": 18, "readv": 19, "writev": 20, "preadv": 295, "pwritev": 296, "access": 21, "dup": 32, "dup2": 33,
    "dup3": 292, "sendfile": 40, "fsync": 74, "fdatasync": 75, "ftruncate": 77, "fallocate": 285, "getdents": 78,
    "getdents64": 217, "getcwd": 79, "chdir": 80, "fchdir": 81, "rename": 82, "renameat": 264, "renameat2": 316,
    "mkdir": 83, "mkdirat": 258, "rmdir": 84, "creat": 85, "link": 86, "linkat": 265, "unlink": 87, "unlinkat": 263,
    "symlink": 88, "symlinkat": 266, "readlink": 89, "readlinkat": 267, "umask": 95, "mknod": 133, "mknodat": 259,
    "statfs": 137, "fstatfs": 138, "getxattr": 191, "lgetxattr": 192, "fgetxattr": 193, "listxattr": 194,
    "llistxattr": 195, "flistxattr": 196, "fadvise64": 221, "openat": 257, "newfstatat": 262, "faccessat": 269,
    "faccessat2": 439, "statx": 332, "copy_file_range": 326, "close_range": 436,
    # memory
    "mprotect": 10, "munmap": 11, "brk": 12, "mremap": 25, "msync": 26, "madvise": 28, "get_mempolicy": 239,
    "membarrier": 324,
    # waiting, pipes, pairs of sockets
    "poll": 7, "ppoll": 271, "select": 23, "pselect6": 270, "pipe": 22, "pipe2": 293, "recvfrom": 45, "recvmsg": 47,
    "shutdown": 48, "getsockname": 51, "getpeername": 52, "setsockopt": 54, "getsockopt": 55, "epoll_create": 213,
    "epoll_create1": 291, "epoll_ctl": 233, "epoll_wait": 232, "epoll_pwait": 281, "epoll_pwait2": 441,
    "eventfd": 284, "eventfd2": 290, "signalfd": 282, "signalfd4": 289,
    # time
    "nanosleep": 35, "clock_nanosleep": 230, "gettimeofday": 96, "time": 201, "times": 100, "clock_gettime": 228,
    "clock_getres": 229, "getitimer": 36, "setitimer": 38, "alarm": 37, "timer_create": 222, "timer_settime": 223,
    "timer_gettime": 224, "timer_getoverrun": 225, "timer_delete": 226, "timerfd_create": 283, "timerfd_settime": 286,
    "timerfd_gettime": 287,
    # processes and threads of its own
    "fork": 57, "vfork": 58, "execve": 59, "exit": 60, "exit_group": 231, "wait4": 61, "waitid": 247, "futex": 202,
    "restart_syscall": 219,
    "futex_waitv": 449, "set_tid_address": 218, "set_robust_list": 273, "get_robust_list": 274, "rseq": 334,
    "arch_prctl": 158, "sched_yield": 24, "sched_getparam": 143, "sched_getscheduler": 145, "getpriority": 140,
    "sched_get_priority_max": 146, "sched_get_priority_min": 147, "sched_getaffinity": 204, "getcpu": 309,
    "rt_sigaction": 13, "rt_sigprocmask": 14, "rt_sigreturn": 15, "rt_sigpending": 127, "rt_sigtimedwait": 128,
    "rt_sigsuspend": 130, "sigaltstack": 131, "pause": 34, "getpid": 39, "gettid": 186, "getppid": 110, "setpgid": 109,
    "getpgid": 121, "getpgrp": 111, "setsid": 112, "getsid": 124, "getuid": 102, "getgid": 104, "geteuid": 107,
    "getegid": 108, "getresuid": 118, "getresgid": 120, "getgroups": 115, "capget": 125, "getrlimit": 97,
    "setrlimit": 160, "getrusage": 98, "uname": 63, "sysinfo": 99, "getrandom": 318,
}  # fmt: skip
# In a file system and a network of its own it can reach nobody with these.
_IN_OWN_WORLD = {
    "connect": 42, "bind": 49, "listen": 50, "accept": 43, "accept4": 288, "sendto": 44, "sendmsg": 46, "sendmmsg": 307,
    "recvmmsg": 299, "truncate": 76,
}  # fmt: skip
# Landlock does not hold these back: with the teacher's own user they would reach the teacher's files. They are
# answered by "done", so that copying a file with its rights and dates goes on as everywhere.
_ON_OWN_FILES = {
    "chmod": 90, "fchmod": 91, "fchmodat": 268, "fchmodat2": 452, "utime": 132, "utimes": 235, "futimesat": 261,
    "utimensat": 280,
}  # fmt: skip
_SIGNALS = {"kill": 62, "tgkill": 234, "tkill": 200}
_OPEN, _MMAP, _IOCTL, _SOCKET, _SENDTO, _SOCKETPAIR, _CLONE, _FCNTL, _FLOCK = 2, 9, 16, 41, 44, 53, 56, 72, 73
_PRCTL, _OPENAT, _PRLIMIT = 157, 257, 302
_NEW_NAMESPACE_FLAGS = 0x7E020080
_AF_UNIX = 1
# FIONREAD, FIONBIO, FIOCLEX, FIONCLEX, and whether it is a terminal and how wide: none of them sets an owner for
# signals, a terminal's input, or a file's flags.
_IOCTLS = (0x541B, 0x5421, 0x5451, 0x5450, 0x5401, 0x5413)
# F_DUPFD, F_GETFD, F_SETFD, F_GETFL, F_SETFL, F_DUPFD_CLOEXEC, F_SETPIPE_SZ, F_GETPIPE_SZ: no owner for signals, no
# leases, no seals, nobody is told of changes.
_FCNTLS = (0, 1, 2, 3, 4, 1030, 1031, 1032)
_LOCKS = (6, 7, 37, 38)  # F_SETLK, F_SETLKW and those of open files
# PR_SET_PDEATHSIG, PR_GET_PDEATHSIG, PR_GET_DUMPABLE, PR_SET_NAME, PR_GET_NAME, PR_CAPBSET_READ, PR_SET_VMA. Above all
# not PR_SET_DUMPABLE, behind which the process would hide its open files from the memory's count.
_PRCTLS = (1, 2, 3, 15, 16, 23, 0x53564D41)
_O_TRUNC, _TRUNC_AND_MODE = 0o1000, 0o1003
_MAP_SHARED, _MAP_PRIVATE, _MAP_SHARED_VALIDATE, _MAP_ANONYMOUS, _MAP_HUGETLB = 1, 2, 3, 0x20, 0x40000
_MAP_KIND = 0x0F | _MAP_ANONYMOUS | _MAP_HUGETLB
_MAP_KINDS = (_MAP_SHARED, _MAP_PRIVATE, _MAP_SHARED_VALIDATE, _MAP_PRIVATE | _MAP_ANONYMOUS)


def _line(code: int, value: int, if_true: int = 0, if_false: int = 0) -> bytes:
    return struct.pack("=HBBI", code, if_true, if_false, value)


def _argument(number: int, *, high: bool = False) -> int:
    return _ARGUMENTS + 8 * number + 4 * high


def _if_among(offset: int, values: Sequence[int], answer: int, mask: int = _ALL_BITS) -> bytes:
    tests = [_line(_EQUAL, value, len(values) - 1 - i, 0) for i, value in enumerate(values[:-1])]
    tests.append(_line(_EQUAL, values[-1], 0, 1))
    return _line(_LOAD, offset) + _line(_AND, mask) + b"".join(tests) + _line(_RETURN, answer)


def _unless_among(offset: int, values: Sequence[int], answer: int = _NO, mask: int = _ALL_BITS) -> bytes:
    tests = [_line(_EQUAL, value, len(values) - i, 0) for i, value in enumerate(values)]
    return _line(_LOAD, offset) + _line(_AND, mask) + b"".join(tests) + _line(_RETURN, answer)


def _on_call(number: int, *rules: bytes, otherwise: int = _ALLOW) -> bytes:
    body = b"".join(rules) + _line(_RETURN, otherwise)
    return _line(_EQUAL, number, 0, len(body) // 8) + body


def seccomp_program(*, own_world: bool, own_user: bool, signals_held: bool, pid: int) -> bytes:
    """The filter, in the kernel's BPF.

    Args:
        own_world: The process has namespaces of its own; otherwise it gets no sockets but pairs.
        own_user: It has a user of its own; otherwise it may change no file's rights or dates.
        signals_held: Landlock keeps its signals from all other processes; otherwise it may signal itself only.
        pid: The process that the filter is for.
    """
    program = _line(_LOAD, _ARCHITECTURE) + _line(_EQUAL, _X86_64, 1, 0) + _line(_RETURN, _KILL)
    program += _line(_LOAD, _NUMBER) + _line(_AT_LEAST, _X32_BIT, 0, 1) + _line(_RETURN, _KILL)
    allowed = [*_ALLOWED.values()]
    rules = {
        # Shared memory without a file counts in no process once it is given back, and huge pages never do.
        _MMAP: [_unless_among(_argument(3), _MAP_KINDS, mask=_MAP_KIND)],
        _IOCTL: [_unless_among(_argument(1), _IOCTLS, _ANSWER | errno.ENOTTY)],
        # A lock on a file that all see would tell the next exercise something. It is granted: nobody else is here.
        _FCNTL: [_if_among(_argument(1), _LOCKS, _DONE), _unless_among(_argument(1), _FCNTLS)],
        _PRCTL: [_unless_among(_argument(0), _PRCTLS)],
        _PRLIMIT: [_unless_among(_argument(0), (0,))],
        _CLONE: [_unless_among(_argument(0), (0,), mask=_NEW_NAMESPACE_FLAGS)],
        _SOCKETPAIR: [_unless_among(_argument(0), (_AF_UNIX,))],
    }
    if own_world:
        allowed += _IN_OWN_WORLD.values()
        rules[_SOCKET] = [_unless_among(_argument(0), (_AF_UNIX,))]  # the buffers of others count in no process
    else:
        # A socket of a pair may still be sent to other addresses.
        rules[_SENDTO] = [_unless_among(_argument(4, high=high), (0,)) for high in (False, True)]
    if own_world or own_user:
        allowed += _ON_OWN_FILES.values()
    else:
        # Before Linux 6.2 Landlock lets whoever may read a file open it so that it is emptied.
        emptied = _O_TRUNC & _TRUNC_AND_MODE
        rules[_OPEN] = [_if_among(_argument(1), (emptied,), _NO, _TRUNC_AND_MODE)]
        rules[_OPENAT] = [_if_among(_argument(2), (emptied,), _NO, _TRUNC_AND_MODE)]
    if own_world or own_user or signals_held:
        allowed += _SIGNALS.values()
    else:
        rules |= {call: [_unless_among(_argument(0), (pid,))] for call in (_SIGNALS["kill"], _SIGNALS["tgkill"])}
    for number, tests in rules.items():
        program += _on_call(number, *tests)
    for number in [_FLOCK] if own_world or own_user else [_FLOCK, *_ON_OWN_FILES.values()]:
        program += _on_call(number, otherwise=_DONE)
    for number in allowed:
        program += _on_call(number) if number not in rules else b""
    return program + _line(_RETURN, _NO_SUCH_CALL)


_EXECUTE, _WRITE_FILE, _READ_FILE, _READ_FOLDER = 1, 2, 4, 8
_REFER, _TRUNCATE, _IOCTL_DEVICE = 1 << 13, 1 << 14, 1 << 15
FILE_RIGHTS = _EXECUTE | _WRITE_FILE | _READ_FILE | _TRUNCATE | _IOCTL_DEVICE  # those that apply to what is no folder
SIGNALS_HELD = 6  # the version of Landlock that keeps signals from others


@dataclasses.dataclass(frozen=True)
class Paths:
    """What Landlock leaves of the file system.

    Attributes:
        readable: Files and folders with all that is below them.
        listed: Folders whose names may be listed, and those of all folders below them.
        writable: Folders where everything but programs is allowed.
    """

    readable: Sequence[str]
    listed: Sequence[str]
    writable: Sequence[str]


def landlock_rules(version: int, paths: Paths) -> tuple[bytes, list[tuple[str, int]]]:
    """The ruleset that this version of Landlock understands, and (path, rights) for each path."""
    handled = (1 << 13) - 1
    handled |= sum(right for least, right in ((2, _REFER), (3, _TRUNCATE), (5, _IOCTL_DEVICE)) if version >= least)
    rights = struct.pack("=Q", handled)
    if version >= 4:
        rights += struct.pack("=Q", 3)  # no TCP
    if version >= SIGNALS_HELD:
        rights += struct.pack("=Q", 3)  # no abstract sockets of others, no signals to others
    rules = [(path, _EXECUTE | _READ_FILE | _READ_FOLDER) for path in paths.readable]
    rules += [(path, _READ_FOLDER) for path in paths.listed]
    return rights, rules + [(path, handled & ~_EXECUTE) for path in paths.writable]
