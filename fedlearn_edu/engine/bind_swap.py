"""Puts a socket of ours in the place of any that a child process binds, by Linux's system call notifications.

A program that is hard-wired to listen on all interfaces can be started so that it never does: a filter (seccomp) stops
it in `bind` and `listen` and asks us. For `bind` we put our own socket, which listens already, under the same number
into the program; `listen` is answered without being run. So neither call ever reaches the kernel, and no port can be
opened, whatever the program does. Needs no privilege; Linux 5.9 or later on x86-64.

References: `man 2 seccomp_unotify`; `linux/seccomp.h`, `linux/filter.h`.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import fcntl
import os
import select
import socket
import struct

# System calls, by their numbers on x86-64.
_BIND, _LISTEN, _SECCOMP, _IO_URING_SETUP = 49, 50, 317, 425
_PR_SET_NO_NEW_PRIVS = 38
_SET_MODE_FILTER, _NEW_LISTENER = 1, 1 << 3  # the operation of seccomp(2), and its flag for notifications

# struct seccomp_notif: id, pid, flags; then what the program called: number, architecture, address, six arguments.
_NOTICE = struct.Struct("=QIIiIQ6Q")
_ANSWER = struct.Struct("=QqiI")  # struct seccomp_notif_resp: id, value, error, flags
_SWAP = struct.Struct("=QIIII")  # struct seccomp_notif_addfd: id, flags, our number, the program's number, its flags
_IN_PLACE_OF = 1  # SECCOMP_ADDFD_FLAG_SETFD: under the number that we say


def _request(direction: int, number: int, kind: struct.Struct) -> int:
    """Number of an ioctl: 1 writes, 2 reads, 3 both; seccomp's letter is `!`."""
    return direction << 30 | kind.size << 16 | ord("!") << 8 | number


_RECEIVE, _SEND, _ADD_DESCRIPTOR = _request(3, 0, _NOTICE), _request(3, 1, _ANSWER), _request(1, 3, _SWAP)


def _line(code: int, value: int, if_true: int = 0, if_false: int = 0) -> bytes:
    """One struct sock_filter; the jumps say how many lines are passed over."""
    return struct.pack("=HBBI", code, if_true, if_false, value)


_LOAD, _EQUAL, _AT_LEAST, _RETURN = 0x20, 0x15, 0x35, 0x06
_NUMBER, _ARCHITECTURE = 0, 4  # where these stand in struct seccomp_data
_X86_64, _X32 = 0xC000003E, 0x40000000
_ALLOW, _NOTIFY, _NO_SUCH_CALL = 0x7FFF0000, 0x7FC00000, 0x00050000 | errno.ENOSYS
_FILTER = b"".join(
    [
        # The other two ways to name a system call on this processor, and io_uring, would be ways around the filter.
        _line(_LOAD, _ARCHITECTURE),
        _line(_EQUAL, _X86_64, 1, 0),
        _line(_RETURN, _NO_SUCH_CALL),
        _line(_LOAD, _NUMBER),
        _line(_AT_LEAST, _X32, 1, 0),
        _line(_EQUAL, _IO_URING_SETUP, 0, 1),
        _line(_RETURN, _NO_SUCH_CALL),
        _line(_EQUAL, _BIND, 1, 0),
        _line(_EQUAL, _LISTEN, 0, 1),
        _line(_RETURN, _NOTIFY),
        _line(_RETURN, _ALLOW),
    ]
)
_libc = ctypes.CDLL(None, use_errno=True)
_libc.syscall.restype = ctypes.c_long


class BindSwap:
    """Answers for one child process, from its start until `close`; after that the kernel refuses every bind and listen.

    Args:
        listening: The socket that takes the place of whatever the child binds.

    Attributes:
        listens: Whether the child believes that it listens now.
    """

    def __init__(self, listening: socket.socket):
        self._listening = listening
        self._ours, self._theirs = socket.socketpair()
        self._program = ctypes.create_string_buffer(_FILTER, len(_FILTER))
        # struct sock_fprog: how many lines, and where they are.
        self._header = struct.pack("HxxxxxxP", len(_FILTER) // 8, ctypes.addressof(self._program))
        self._notices: int | None = None
        self.listens = False

    def install_in_child(self) -> None:
        """Runs in the child between fork and exec.

        Raises:
            OSError: There are no system call notifications here, or another program has them already.
        """
        _libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)  # or an ordinary user may install no filter
        notices = _libc.syscall(_SECCOMP, _SET_MODE_FILTER, _NEW_LISTENER, self._header)
        number = ctypes.get_errno() if notices < 0 else 0
        passed = [] if number else [(socket.SOL_SOCKET, socket.SCM_RIGHTS, struct.pack("i", notices))]
        self._theirs.sendmsg([struct.pack("i", number)], passed)
        if number:
            raise OSError(number, os.strerror(number))

    def take_over(self) -> None:
        """Takes the notifications from a child that has run `install_in_child`.

        Raises:
            OSError: The child got none.
        """
        self._theirs.close()
        message, received, *_ = socket.recv_fds(self._ours, 4, 1, socket.MSG_CMSG_CLOEXEC)
        if not received:
            number = struct.unpack("i", message)[0] if message else errno.EPIPE
            raise OSError(number, os.strerror(number))
        self._notices = received[0]

    def answer(self, timeout_s: float) -> None:
        """Answers what the child asks within this time, if anything.

        Raises:
            OSError: The kernel cannot put a socket into another process (before Linux 5.9).
        """
        waiting = select.poll()
        waiting.register(self._notices, select.POLLIN)
        if not any(event & select.POLLIN for _, event in waiting.poll(timeout_s * 1000)):
            return
        notice, refusal = bytearray(_NOTICE.size), None
        try:
            fcntl.ioctl(self._notices, _RECEIVE, notice)
        except FileNotFoundError:  # who asked is gone
            return
        id_, _, _, call, _, _, descriptor, *_ = _NOTICE.unpack(notice)
        if call == _BIND:
            swap = _SWAP.pack(id_, _IN_PLACE_OF, self._listening.fileno(), descriptor & 0xFFFFFFFF, os.O_CLOEXEC)
            try:
                fcntl.ioctl(self._notices, _ADD_DESCRIPTOR, swap)
            except OSError as error:
                refusal = error
        with contextlib.suppress(FileNotFoundError):
            fcntl.ioctl(self._notices, _SEND, _ANSWER.pack(id_, 0, -refusal.errno if refusal else 0, 0))
        if refusal and refusal.errno not in (errno.ENOENT, errno.EBADF):  # the child's own fault or end
            raise refusal
        self.listens |= call == _LISTEN and not refusal

    def close(self) -> None:
        """Stops answering, and gives up our copy of the socket, so that it ends with the child."""
        for end in (self._ours, self._theirs, self._listening):
            end.close()
        if self._notices is not None:
            os.close(self._notices)
            self._notices = None
