"""Runs Python as another user, or under another umask, who can reach Python even below a closed folder.

    python tests/course/another_user.py UID UMASK ARGUMENTS_OF_PYTHON...

It needs root and a mount namespace of its own, in which alone all this happens. 0 stays root.
"""

import os
import pathlib
import subprocess
import sys
import tempfile

import pytest

from fedlearn_edu.course.grading.inside import kernel

NOBODY = 65_534
_NEW_MOUNTS = 0x00020000


def run_python(*arguments, uid, umask=0o022, timeout=280.0, **options):
    """Runs Python with these arguments as user `uid`, or skips the test and says why.

    Returns:
        What `subprocess.run` gives, with its output as text.
    """
    if os.geteuid() != 0:
        pytest.skip("only root can become another user")
    command = [sys.executable, __file__, str(uid), oct(umask), *map(str, arguments)]
    found = subprocess.run(command, capture_output=True, text=True, timeout=timeout, **options)
    if found.returncode == 77:
        pytest.skip(found.stderr.strip().splitlines()[-1])
    return found


def _open_the_way(path: pathlib.Path) -> None:
    """Puts an open folder with the same content in the place of each closed one on the way to `path`."""
    for folder in reversed(path.resolve().parents):
        if os.stat(folder).st_mode & 0o001:
            continue
        behind = tempfile.mkdtemp(dir="/dev/shm")
        kernel.mount(str(folder), behind, None, kernel.MS_BIND | kernel.MS_REC)
        kernel.mount("tmpfs", str(folder), "tmpfs", 0, "mode=755")
        for entry in os.scandir(behind):
            if entry.is_dir(follow_symlinks=False):
                os.mkdir(folder / entry.name)
                kernel.mount(entry.path, str(folder / entry.name), None, kernel.MS_BIND | kernel.MS_REC)
        subprocess.run(["umount", "-l", behind], check=True)
        os.rmdir(behind)


def main() -> None:
    uid, umask = int(sys.argv[1]), int(sys.argv[2], 8)
    try:
        kernel.unshare(_NEW_MOUNTS)
        kernel.mount(None, "/", None, kernel.MS_REC | kernel.MS_PRIVATE)
        for path in (sys.executable, sys.prefix, sys.base_prefix, __file__):
            _open_the_way(pathlib.Path(path))
    except OSError as error:
        print(f"no mount namespace can be had here: {error}", file=sys.stderr)
        sys.exit(77)
    os.umask(umask)
    if uid:
        os.setgroups([])
        os.setresgid(uid, uid, uid)
        os.setresuid(uid, uid, uid)
    os.execv(sys.executable, [sys.executable, *sys.argv[3:]])


if __name__ == "__main__":
    main()
