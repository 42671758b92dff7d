"""Folders that no other user can change: made so, or refused before anything in them is believed."""

from __future__ import annotations

import grp
import os
import pathlib
import pwd
import stat
from collections.abc import Iterator

from fedlearn_edu.errors import RunError

_MAX_LINKS = 40  # as the kernel's own limit


def make_private(folder: str | os.PathLike, *, what: str, advice: str) -> pathlib.Path:
    """Creates what is missing of a folder's path, for its owner alone (mode 0700), and checks all of it.

    Args:
        folder: The folder.
        what: What it is for, at the beginning of a message.
        advice: What to do if it is refused, at the end of the message.

    Returns:
        The folder.

    Raises:
        RunError: Another user owns it or a folder above it, or could write there.
        OSError: It cannot be created.
    """
    folder = pathlib.Path(folder).absolute()
    check_private(folder, what=what, advice=advice)  # above what is missing, before anything is put there
    for missing in reversed([p for p in (folder, *folder.parents) if not p.exists()]):
        missing.mkdir(mode=0o700, exist_ok=True)
    check_private(folder, what=what, advice=advice)
    return folder


def take_over(unpacked: pathlib.Path) -> None:
    """Makes what was unpacked from an archive this user's own, writable for nobody else.

    An archive names owners, which root's tar keeps, and the umask may leave files open.
    """
    for path in (unpacked, *everything_below(unpacked)):
        if not path.is_symlink():
            os.chown(path, os.geteuid(), os.getegid())
            path.chmod(path.stat().st_mode & ~(stat.S_IWGRP | stat.S_IWOTH))


def everything_below(folder: str | os.PathLike) -> Iterator[pathlib.Path]:
    """Yields all files, folders and links in a folder and below, however deep; links are not followed."""
    waiting = [pathlib.Path(folder)]
    while waiting:
        try:
            with os.scandir(waiting.pop()) as found:
                entries = [(pathlib.Path(entry), entry.is_dir(follow_symlinks=False)) for entry in found]
        except OSError:  # no folder, or one that cannot be read
            continue
        yield from (entry for entry, _ in entries)
        waiting += [entry for entry, is_folder in entries if is_folder]


def check_private(path: str | os.PathLike, *, what: str, advice: str, contents: bool = False) -> None:
    """Refuses a file or folder that a user other than this one and root could have put there, or could replace.

    Every folder and symbolic link on the way to it has to belong to this user or root, and nobody else may write there.
    A folder above it in which all may write but each may remove only what is theirs (`/tmp`) will do. Write permission
    of a group is no objection if, as far as this machine's list of accounts tells, nobody else is in it. What does not
    exist yet is not looked at, nor are access lists (`setfacl`), capabilities, and other machines with the same disk.

    Args:
        path: File or folder.
        what: What it is for, at the beginning of a message.
        advice: What to do if it is refused, at the end of the message.
        contents: Check everything below the folder, too, also through links.

    Raises:
        RunError: See above; also too many symbolic links, or a path that this user may not follow.
    """
    try:
        _check_private(path, what, advice, contents)
    except (OSError, ValueError) as error:  # ValueError: a zero byte
        reason = getattr(error, "strerror", None) or error
        raise RunError(f"{what}: cannot look at {str(path)[:200]!r} ({reason}); {advice}") from None


def _check_private(path: str | os.PathLike, what: str, advice: str, contents: bool) -> None:
    waiting, seen = [pathlib.Path(path)], set()
    while waiting:
        start = waiting.pop()
        way = _way_to(start)
        for place, is_above in way:
            _check(place, what, advice, sticky_will_do=is_above)
        real = way[-1][0]
        if not contents or real in seen:
            continue
        seen.add(real)
        for place in everything_below(real):
            _check(place, what, advice)
            if place.is_symlink():
                waiting.append(place)


def _check(place: pathlib.Path, what: str, advice: str, *, sticky_will_do: bool = False) -> None:
    try:
        status = place.lstat()
    except OSError:  # not there, or not for this user: using it will say so
        return
    if status.st_uid not in (0, os.geteuid()):
        found = f"belongs to {_user_name(status.st_uid)}"
    elif stat.S_ISLNK(status.st_mode) or (sticky_will_do and status.st_mode & stat.S_ISVTX):
        return
    elif status.st_mode & stat.S_IWOTH:
        found = "can be written by every user"
    elif status.st_mode & stat.S_IWGRP and not _is_own_group(status.st_gid):
        found = "can be written by its group"
    else:
        return
    raise RunError(f"{what}: expected a folder that nobody else can change, but {place} {found}; {advice}")


def _way_to(path: str | os.PathLike) -> list[tuple[pathlib.Path, bool]]:
    """Returns every folder and link that leads to `path`, from the root on, and whether it is above the end."""
    rest = list(reversed(pathlib.Path(path).absolute().parts[1:]))
    here, links, way = pathlib.Path("/"), 0, [pathlib.Path("/")]
    while rest:
        name = rest.pop()
        if name == "..":
            here = here.parent
            continue
        way.append(here / name)
        if not way[-1].is_symlink():
            here = way[-1]
            continue
        links += 1
        if links > _MAX_LINKS:
            raise RunError(f"{path}: expected a folder, got a chain of more than {_MAX_LINKS} symbolic links")
        target = pathlib.Path(os.readlink(way[-1]))
        if target.is_absolute():
            here, target = pathlib.Path("/"), target.relative_to("/")
        rest += reversed(target.parts)
    return [(place, place != here) for place in way]


def _is_own_group(gid: int) -> bool:
    """Tells whether this user alone is in the group: often each user has one, and files are open to it."""
    try:
        members = set(grp.getgrgid(gid).gr_mem)
    except KeyError:
        members = set()
    members |= {account.pw_name for account in pwd.getpwall() if account.pw_gid == gid}
    return members <= {_user_name(0), _user_name(os.geteuid())}


def _user_name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"user number {uid}"
