"""Tries at one level, as the user who runs it, everything that its walls must hold back; prints what came through.

    python tests/course/level_attacks.py LEVEL NEWEST_LANDLOCK

A teacher's files, processes, sockets and a library lie in wait. What the learner's code says about itself is not
believed where it can be seen from outside: `reached` is what it saw, `harm` is what happened.
"""

import contextlib
import dataclasses
import json
import os
import pathlib
import signal
import socket
import subprocess
import sys
import tempfile

from fedlearn_edu.course.checks import data
from fedlearn_edu.course.grading.inside import wire
from fedlearn_edu.course.grading.sandbox import run_guarded
from fedlearn_edu.course.grading.walls import prepare

ATTACK = r"""
import ctypes, fcntl, mmap, os, signal, socket, struct, time

libc = ctypes.CDLL(None, use_errno=True)
libc.syscall.restype = ctypes.c_long
libc.mmap.restype = ctypes.c_void_p
libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long]

def call(number, *arguments):
    wide = [ctypes.c_long(a) if isinstance(a, int) else a for a in arguments]
    return libc.syscall(ctypes.c_long(number), *wide) >= 0

def attempt(action):
    try:
        return action()
    except (OSError, ValueError, AttributeError):
        return None

def buffers(size=4096):
    return ctypes.create_string_buffer(size)

def attack(teacher, library, pid, port, abstract, checks):
    reached = []
    def note(name, action):
        found = attempt(action)
        if found not in (None, False, b"", ""):
            reached.append(name)
    secret, lib, line = teacher + "/answers.txt", library + "/module.py", teacher + "/line"
    # Other files.
    note("reads a file", lambda: open(secret).read())
    note("reads it by /proc/self/root", lambda: open("/proc/self/root" + secret).read())
    note("writes a file", lambda: open(secret, "a").write("x"))
    note("lists a folder", lambda: str(os.listdir(teacher)))
    note("makes a file", lambda: open(teacher + "/planted", "w").write("x"))
    note("links to a file", lambda: [os.link(secret, "stolen"), 1])
    note("opens by handle", lambda: call(304, -100, buffers(), 0))
    note("reads the checks", lambda: open(checks).read())
    for folder in ("/tmp", "/var/tmp", "/dev/shm", "/run/lock"):
        attempt(lambda: open(folder + "/" + abstract, "w").write("x"))
    attempt(lambda: os.truncate(secret, 0))
    attempt(lambda: os.truncate(lib, 0))
    attempt(lambda: os.close(os.open(lib, os.O_RDONLY | os.O_TRUNC)))
    attempt(lambda: os.close(os.open(secret, os.O_PATH | os.O_TRUNC)))
    for path in (secret, lib):
        attempt(lambda: os.chmod(path, 0o777))
        attempt(lambda: os.utime(path, (0, 0)))
        attempt(lambda: os.chown(path, -1, os.getgid()))
        attempt(lambda: os.setxattr(path, "user.x", b"1"))
        call(452, -100, path.encode(), 0o777, 0)
        call(463, -100, path.encode(), 0, b"user.x", buffers(16), 16)
        call(469, -100, path.encode(), buffers(32), 24, 0)
        call(88 + 44, path.encode(), buffers(16))
    opened = attempt(lambda: os.open(lib, os.O_RDONLY))
    if opened is not None:
        attempt(lambda: os.fchmod(opened, 0o777))
        attempt(lambda: os.utime(opened, (0, 0)))
        attempt(lambda: os.setxattr(opened, "user.x", b"1"))
        attempt(lambda: os.chmod(f"/proc/self/fd/{opened}", 0o777))
        attempt(lambda: fcntl.ioctl(opened, 0x40086602, struct.pack("l", 0x80)))  # no access times
        note("takes a lease", lambda: [fcntl.fcntl(opened, 1024, fcntl.F_RDLCK), 1])
        note("asks who holds a lock", lambda: [fcntl.fcntl(opened, 5, struct.pack("hhqqi", 1, 0, 0, 0, 0)), 1])
    note("watches a folder", lambda: call(253))
    note("watches all files", lambda: call(300, 0, 0))
    # Other processes.
    for name in ("cmdline", "environ", "status", "maps", "mem"):
        note("reads /proc of the teacher: " + name, lambda: open(f"/proc/{pid}/{name}", "rb").read(64))
    note("signals by kill", lambda: [os.kill(pid, signal.SIGUSR1), 1])
    note("signals by tgkill", lambda: call(234, pid, pid, 10))
    note("signals by tkill", lambda: call(200, pid, 10))
    note("signals by a queue", lambda: call(129, pid, 10, buffers(128)))
    note("signals by a descriptor", lambda: call(434, pid, 0))
    for make in (os.pipe, lambda: [s.detach() for s in socket.socketpair()]):
        for order in (8, 15, 10):  # F_SETOWN, F_SETOWN_EX, F_SETSIG
            ends = attempt(make)
            if ends:
                value = struct.pack("ii", 1, pid) if order == 15 else pid if order == 8 else 10
                attempt(lambda: fcntl.fcntl(ends[0], order, value))
                for request in (0x8901, 0x8902):  # FIOSETOWN, SIOCSPGRP
                    attempt(lambda: fcntl.ioctl(ends[0], request, struct.pack("i", pid)))
                attempt(lambda: fcntl.fcntl(ends[0], fcntl.F_SETSIG, 10))
                attempt(lambda: fcntl.fcntl(ends[0], fcntl.F_SETFL, os.O_ASYNC | os.O_NONBLOCK))
                attempt(lambda: os.write(ends[1], b"x"))
                attempt(lambda: [os.close(end) for end in ends])
    note("has a timer signal it", lambda: call(222, 0, struct.pack("qiii", 0, 10, 4, pid) + bytes(48), buffers(8)))
    note("limits it", lambda: call(302, pid, 7, buffers(16), None))
    note("slows it", lambda: call(141, 0, pid, 19) or call(203, pid, 8, buffers(8)) or call(251, 1, pid, 0))
    note("reads its memory", lambda: call(310, pid, buffers(16), 1, buffers(16), 1, 0) or call(101, 16, pid, 0, 0))
    note("takes its descriptors", lambda: call(438, 0, 0, 0))
    # Memory that counts nowhere.
    for name, flags, descriptor in (
        ("shared memory", 0x21, -1), ("huge pages", 0x40022, -1), ("shared huge pages", 0x40021, -1),
        ("shared and validated", 0x23, -1),
    ):
        note(name, lambda: libc.mmap(None, 4096 if flags < 0x40000 else 2**21, 3, flags, -1, 0) != 2**64 - 1)
    zero = attempt(lambda: os.open("/dev/zero", os.O_RDWR))
    note("shared memory of /dev/zero", lambda: zero is not None and libc.mmap(None, 4096, 3, 1, zero, 0) != 2**64 - 1)
    for name, number, *arguments in (
        ("memfd", 319, b"x", 0), ("secret memory", 447, 0), ("System V memory", 29, 0, 4096, 0o600),
        ("System V queue", 68, 0, 0o600), ("System V semaphores", 64, 0, 1, 0o600), ("io_uring", 425, 1, buffers(256)),
        ("a kernel program", 321, 0, buffers(64), 64), ("page faults", 323, 0),
        ("keys", 248, b"user", b"x", b"y", 1, -3),
        ("namespaces", 272, 0x10000000), ("new namespaces in clone", 56, 0x10000011, 0, 0, 0, 0),
        ("mounts", 165, b"x", b"/tmp", b"tmpfs", 0, 0), ("a process that never comes", 435, buffers(88), 88),
        ("personality", 135, 0x0040000), ("not to be looked at", 157, 4, 0, 0, 0, 0),
        ("counters", 298, buffers(120), 0, -1, -1, 0),
        ("the newest call", 600), ("a call to come", 463 + 40),
    ):
        note(name, lambda: call(number, *arguments))
    # The network, and other programs' lines.
    for family in (socket.AF_INET, socket.AF_INET6, 16, 17, 38, 40):
        kind = socket.SOCK_RAW if family in (16, 17) else socket.SOCK_DGRAM
        note(f"a socket of family {family}", lambda: socket.socket(family, kind))
    for address in (line, "\0" + abstract):
        note("speaks to a line", lambda: socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM).sendto(b"x", address))
        pair = attempt(lambda: socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM))
        if pair:
            note("sends a pair's end elsewhere", lambda: pair[0].sendto(b"sendto", address))
            note("sends it a message", lambda: pair[0].sendmsg([b"sendmsg"], [], 0, address))
            note("connects a pair's end", lambda: [pair[0].connect(address), pair[0].send(b"connect")])
    # What honest code does.
    import multiprocessing, shutil, tempfile
    with tempfile.TemporaryDirectory() as folder:
        open(folder + "/a", "w").write("honest")
        shutil.copy2(folder + "/a", folder + "/b")
        os.replace(folder + "/b", folder + "/c")
        honest = open(folder + "/c").read()
    with multiprocessing.Pool(2) as pool:
        honest += str(sum(pool.map(abs, range(-5, 5))))
    return [reached, honest]
"""


def state_of(path: pathlib.Path) -> list:
    found = path.stat()
    return [path.read_text(), oct(found.st_mode), found.st_mtime_ns, found.st_uid, found.st_gid, os.listxattr(path)]


def planted(name: str) -> list[str]:
    """Folders in which a file of this name was left; takes it away."""
    found = [folder for folder in ("/tmp", "/var/tmp", "/dev/shm", "/run/lock") if os.path.lexists(f"{folder}/{name}")]
    for folder in found:
        os.unlink(f"{folder}/{name}")
    return found


def main(level: str, newest: int) -> dict:
    teacher, library = (pathlib.Path(tempfile.mkdtemp()) for _ in range(2))
    files = [teacher / "answers.txt", library / "module.py"]
    for path, rights in zip(files, (0o600, 0o644), strict=True):
        path.write_text("content")
        path.chmod(rights)
    library.chmod(0o755)
    harm, abstract = [], f"fedlearn-test-{os.getpid()}"
    for number in (signal.SIGUSR1, signal.SIGIO, signal.SIGURG):
        signal.signal(number, lambda number, _: harm.append(f"signal {number}"))
    victim = subprocess.Popen(["sleep", "600"])
    lines = [socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) for _ in range(2)]
    lines[0].bind(str(teacher / "line"))
    lines[1].bind("\0" + abstract)
    server = socket.create_server(("127.0.0.1", 0))
    before = [state_of(path) for path in files]
    arguments = [
        str(teacher),
        str(library),
        os.getpid(),
        server.getsockname()[1],
        abstract,
        str(pathlib.Path(data.__file__).with_name("lesson_03.py")),
    ]
    job = {"function": "attack", "cells": [ATTACK], "arguments": [[wire.encode(value) for value in arguments]]}
    with prepare(level=level) as walls:
        walls = dataclasses.replace(walls, read=(*walls.read, str(library)), newest_landlock=newest)
        outcome = run_guarded(job, walls, timeout=60.0, memory_gb=4.0)
    frames = [frame for frame in outcome.frames if "case" in frame]
    harm += [f"changed {path.name}" for path, old in zip(files, before, strict=True) if state_of(path) != old]
    harm += [f"left in {folder}" for folder in planted(abstract)]
    harm += ["planted"] if (teacher / "planted").exists() else []
    harm += ["the victim is gone"] if victim.poll() is not None else []
    victim.kill()
    for line in [*lines, server]:
        line.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            harm.append(f"was called: {line.accept() if line is server else line.recv(100)}")
    return {"level": walls.level, "ending": outcome.ending, "detail": outcome.detail, "frames": frames, "harm": harm}


if __name__ == "__main__":
    print(json.dumps(main(sys.argv[1], int(sys.argv[2]))))
