"""What the kernel is asked to refuse, as its filters want it written: system calls (seccomp) and files (Landlock)."""

from __future__ import annotations

import errno
import struct

_LOAD, _EQUAL, _AT_LEAST, _ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_ALLOW, _KILL = 0x7FFF0000, 0x80000000
_NUMBER, _ARCHITECTURE, _FIRST_ARGUMENT = 0, 4, 16  # offsets in struct seccomp_data
_X86_64, _X32_BIT = 0xC000003E, 0x40000000
_NEW_NAMESPACE_FLAGS = 0x7E020080

# System calls (x86-64) that could reach other processes, the kernel's inner parts, or memory that no limit counts.
_REFUSED = {
    "ptrace": 101, "process_vm_readv": 310, "process_vm_writev": 311, "kcmp": 312, "pidfd_getfd": 438,
    "memfd_create": 319, "memfd_secret": 447, "shmget": 29, "msgget": 68, "semget": 64, "mq_open": 240,
    "unshare": 272, "setns": 308, "mount": 165, "umount2": 166, "pivot_root": 155, "chroot": 161,
    "open_tree": 428, "move_mount": 429, "fsopen": 430, "fsmount": 432, "mount_setattr": 442,
    "bpf": 321, "perf_event_open": 298, "userfaultfd": 323, "io_uring_setup": 425,
    "add_key": 248, "request_key": 249, "keyctl": 250, "init_module": 175, "finit_module": 313,
    "kexec_load": 246, "swapon": 167, "reboot": 169, "personality": 135, "vmsplice": 278,
}  # fmt: skip
# Without a process table of its own the learner might signal, slow down or limit others of the same user.
_REFUSED_BESIDE_OTHERS = {
    "tkill": 200, "rt_sigqueueinfo": 129, "rt_tgsigqueueinfo": 297, "pidfd_send_signal": 424, "pidfd_open": 434,
    "setpriority": 141, "ioprio_set": 251, "sched_setaffinity": 203, "sched_setscheduler": 144, "sched_setparam": 142,
    "sched_setattr": 314,
}  # fmt: skip
_KILL_CALL, _TGKILL, _PRLIMIT, _SOCKET, _CLONE, _CLONE3 = 62, 234, 302, 41, 56, 435
_OWN_FAMILIES = (1, 2, 10)  # AF_UNIX, AF_INET, AF_INET6; others, such as AF_VSOCK, leave a network namespace


def _line(code: int, value: int, if_true: int = 0, if_false: int = 0) -> bytes:
    return struct.pack("=HBBI", code, if_true, if_false, value)


def _refuse(number: int, error: int = errno.EPERM) -> bytes:
    return _line(_EQUAL, number, 0, 1) + _line(_RETURN, 0x00050000 | error)


def _only_with(number: int, allowed: tuple[int, ...]) -> bytes:
    """Refuses a call unless its first argument is one of these."""
    n = len(allowed)
    tests = b"".join(_line(_EQUAL, value, n - i, 0) for i, value in enumerate(allowed))
    body = _line(_LOAD, _FIRST_ARGUMENT) + tests + _line(_RETURN, 0x00050000 | errno.EPERM) + _line(_RETURN, _ALLOW)
    return _line(_EQUAL, number, 0, len(body) // 8) + body


def seccomp_program(*, own_network: bool, pid: int) -> bytes:
    """The filter, in the kernel's BPF.

    Args:
        own_network: The process has namespaces of its own; otherwise it gets no sockets and may signal only itself.
        pid: The process that the filter is for.
    """
    program = _line(_LOAD, _ARCHITECTURE) + _line(_EQUAL, _X86_64, 1, 0) + _line(_RETURN, _KILL)
    program += _line(_LOAD, _NUMBER) + _line(_AT_LEAST, _X32_BIT, 0, 1) + _line(_RETURN, _KILL)
    refused = list(_REFUSED.values()) + ([] if own_network else list(_REFUSED_BESIDE_OTHERS.values()))
    program += b"".join(_refuse(number) for number in refused)
    program += _refuse(_CLONE3, errno.ENOSYS)  # its flags cannot be read here; libc then uses clone
    flags = _line(_LOAD, _FIRST_ARGUMENT) + _line(_ANY_BIT, _NEW_NAMESPACE_FLAGS, 0, 1)
    flags += _line(_RETURN, 0x00050000 | errno.EPERM) + _line(_RETURN, _ALLOW)
    program += _line(_EQUAL, _CLONE, 0, len(flags) // 8) + flags
    if own_network:
        program += _only_with(_SOCKET, _OWN_FAMILIES)
    else:
        program += _refuse(_SOCKET) + _only_with(_PRLIMIT, (0,))
        program += _only_with(_KILL_CALL, (pid,)) + _only_with(_TGKILL, (pid,))
    return program + _line(_RETURN, _ALLOW)


_EXECUTE, _WRITE_FILE, _READ_FILE, _READ_FOLDER = 1, 2, 4, 8
_REFER, _TRUNCATE, _IOCTL = 1 << 13, 1 << 14, 1 << 15
FILE_RIGHTS = _EXECUTE | _WRITE_FILE | _READ_FILE | _TRUNCATE | _IOCTL  # those that apply to what is no folder


def landlock_rules(version: int, readable: list[str], writable: list[str]) -> tuple[bytes, list[tuple[str, int]]]:
    """The ruleset that this version of Landlock understands, and (path, rights) for each path."""
    handled = (1 << 13) - 1
    handled |= sum(right for least, right in ((2, _REFER), (3, _TRUNCATE), (5, _IOCTL)) if version >= least)
    rights = struct.pack("=Q", handled)
    if version >= 4:
        rights += struct.pack("=Q", 3)  # no TCP
    if version >= 6:
        rights += struct.pack("=Q", 3)  # no abstract sockets of others, no signals to others
    look = _EXECUTE | _READ_FILE | _READ_FOLDER
    rules = [(path, look) for path in [*readable, "/dev/urandom", "/dev/random", "/dev/zero", "/proc/cpuinfo"]]
    return rights, rules + [(path, handled & ~_EXECUTE | _READ_FOLDER) for path in writable]
