"""The learner's file system: a new root that holds Python, read-only, and an empty home; nothing else exists in it."""

from __future__ import annotations

import contextlib
import os

from fedlearn_edu.course.grading.inside import kernel

HOME = "/home/learner"
_SCRATCH_BYTES = 64 * 2**20
_DEVICES = ("null", "full", "random", "urandom")  # not "zero": memory shared through it counts in no process


def enter(config: dict) -> str:
    """Builds the new root and moves this process into it.

    Args:
        config: `root` (an empty folder to build on), `read` (what is shown read-only), `hide` (what of it is shown
            empty), `code` (the runner's folder), `uid` (whose the home is; None = our own).

    Returns:
        The learner's home.
    """
    root = config["root"]
    kernel.mount(None, "/", None, kernel.MS_REC | kernel.MS_PRIVATE)
    kernel.mount("tmpfs", root, "tmpfs", kernel.MS_NOSUID, "size=16m,mode=755,nr_inodes=20000")
    # Before what is shown: Python may itself lie below /tmp or /home.
    writable = [root + HOME, root + "/tmp", root + "/dev/shm"]
    for path in writable:
        os.makedirs(path, exist_ok=True)
        size = _SCRATCH_BYTES if path != root + "/dev/shm" else _SCRATCH_BYTES // 4
        options = f"size={size},nr_inodes=4000,mode=700"
        kernel.mount("tmpfs", path, "tmpfs", kernel.MS_NOSUID | kernel.MS_NODEV, options)
        if config["uid"] is not None:
            os.chown(path, config["uid"], config["uid"])
    # A folder of Python's may hold one that is hidden, and that may hold one of Python's again.
    for path in sorted({*config["read"], *config["hide"]}, key=len):
        if path in config["read"]:
            if not (os.path.exists(root + path) and os.path.samefile(path, root + path)):
                _show(path, root + path)
        elif os.path.isdir(root + path):
            kernel.mount("tmpfs", root + path, "tmpfs", kernel.MS_NOSUID, "size=64k,mode=755")
        elif os.path.exists(root + path):
            _show("/dev/null", root + path)
    _show(config["code"], root + "/grader")
    os.makedirs(root + "/dev", exist_ok=True)
    for name in _DEVICES:
        _show(f"/dev/{name}", f"{root}/dev/{name}")
    os.makedirs(root + "/proc", exist_ok=True)
    # Some containers do not allow a new /proc; Python and NumPy do without.
    with contextlib.suppress(OSError):
        kernel.mount("proc", root + "/proc", "proc", kernel.MS_NOSUID | kernel.MS_NODEV | kernel.MS_NOEXEC)
    for path in kernel.mount_points():
        if (path == root or path.startswith(root + "/")) and path not in writable:
            kernel.make_read_only(path)
    kernel.change_root(root)
    return HOME


def _show(source: str, target: str) -> None:
    os.makedirs(os.path.dirname(target), exist_ok=True)
    if os.path.islink(source):
        if not os.path.lexists(target):
            os.symlink(os.readlink(source), target)
        return
    if os.path.lexists(target) and os.path.ismount(target):
        return
    if os.path.isdir(source):
        os.makedirs(target, exist_ok=True)
    elif not os.path.exists(target):
        os.close(os.open(target, os.O_CREAT | os.O_WRONLY, 0o644))
    kernel.mount(source, target, None, kernel.MS_BIND | kernel.MS_REC)
