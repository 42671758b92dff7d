"""Adds up from outside what a tree of processes uses: memory, processor time, waiting for it, and files."""

from __future__ import annotations

import contextlib
import os
import pathlib
import re
import stat
import time
from collections.abc import Iterator

import psutil

from fedlearn_edu.course.grading.isolation import FILE_BYTES

# Half a MiB waits at most in a pipe or socket; it is the system's memory and counts in no process.
_BYTES_A_DESCRIPTOR = 2**19
_FILES_SECONDS, _MAX_COUNTED = 1.0, 10_000
_KIB = re.compile(rb"^(?:VmRSS|VmSwap):\s+(\d+) kB", re.MULTILINE)


class Usage:
    """What all descendants of a process use, as of the last `look`.

    Attributes:
        num_processes: How many there are.
        memory_bytes: Resident or swapped out, and what their open descriptors may hold.
        cpu_seconds: Processor time, the largest sum seen.
        waited_seconds: Time in which a thread could have run and had no processor, all threads added up.
        num_files: Files and folders below the home.
        file_bytes: In them, and in those that have no name any more but are still open. Of one that only a mapping
            keeps no size can be had: it counts as the largest that there may be.
    """

    def __init__(self, root: int, home: pathlib.Path | None):
        """Begins to watch.

        Args:
            root: Process id; the process itself does not count.
            home: Whose files are counted; None if they have a file system of their own, with a size.
        """
        self._root, self._home = root, home
        self._waits: dict[str, int] = {}
        self._next_files = 0.0
        self.num_processes = self.num_files = self.memory_bytes = self.file_bytes = 0
        self.cpu_seconds = self.waited_seconds = 0.0

    def look(self) -> None:
        """Measures everything anew."""
        try:
            tree = psutil.Process(self._root).children(recursive=True)
        except psutil.Error:
            return
        memory = cpu = 0.0
        for process in tree:
            with contextlib.suppress(psutil.Error, OSError):
                times = process.cpu_times()
                cpu += times.user + times.system
                self._add_waits(process.pid)
                with open(f"/proc/{process.pid}/status", "rb") as stream:
                    memory += 1024 * sum(map(int, _KIB.findall(stream.read())))
                memory += _BYTES_A_DESCRIPTOR * len(os.listdir(f"/proc/{process.pid}/fd"))
        self.num_processes, self.memory_bytes = len(tree), memory
        self.cpu_seconds = max(self.cpu_seconds, cpu)
        self.waited_seconds = sum(self._waits.values()) / 1e9
        if self._home is not None and time.monotonic() >= self._next_files:
            self._count_files([process.pid for process in tree])
            self._next_files = time.monotonic() + _FILES_SECONDS

    def _add_waits(self, pid: int) -> None:
        folder = f"/proc/{pid}/task"
        for thread in os.listdir(folder):
            with contextlib.suppress(OSError), open(f"{folder}/{thread}/schedstat") as stream:
                self._waits[thread] = int(stream.read().split()[1])

    def _count_files(self, pids: list[int]) -> None:
        self.num_files, sizes = 0, {}
        try:
            for found in _below(self._home):
                self.num_files += 1
                sizes[found.st_dev, found.st_ino] = 512 * found.st_blocks
                if self.num_files > _MAX_COUNTED:
                    break
        except OSError:  # a folder without a right to read it, or too deep to be named: made to hide what is in it
            self.num_files = _MAX_COUNTED
        inodes = {inode for _, inode in sizes}
        for pid in pids:
            with contextlib.suppress(OSError):
                for name in os.listdir(f"/proc/{pid}/fd"):
                    found = os.stat(f"/proc/{pid}/fd/{name}")
                    if stat.S_ISREG(found.st_mode) and found.st_nlink == 0:
                        sizes[found.st_dev, found.st_ino] = 512 * found.st_blocks
                        inodes.add(found.st_ino)
        mapped = {inode for pid in pids for inode in _mapped_without_name(pid, os.path.realpath(self._home))}
        self.file_bytes = sum(sizes.values()) + FILE_BYTES * len(mapped - inodes)


def _mapped_without_name(pid: int, home: str) -> Iterator[int]:
    """The inodes of deleted files from below the home that the process's memory still shows."""
    with contextlib.suppress(OSError), open(f"/proc/{pid}/maps", "rb") as stream:
        for line in stream:
            *_, inode, path = line.split(maxsplit=5) if line.endswith(b" (deleted)\n") else (b"", b"")
            if path.startswith(os.fsencode(home) + b"/"):
                yield int(inode)


def _below(folder: pathlib.Path) -> Iterator[os.stat_result]:
    """Everything below a folder, however deep, and not what links lead to."""
    left = [os.fspath(folder)]
    while left:
        with contextlib.suppress(FileNotFoundError, NotADirectoryError), os.scandir(left.pop()) as entries:
            for entry in entries:
                yield entry.stat(follow_symlinks=False)
                if entry.is_dir(follow_symlinks=False):
                    left.append(entry.path)
