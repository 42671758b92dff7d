"""Whose file is whose: the names in a folder or an LMS's export -> owners, none of whom can take another's place."""

from __future__ import annotations

import collections
import dataclasses
import functools
import pathlib
import re
import unicodedata
from collections.abc import Collection, Sequence

from fedlearn_edu.course.grading.text import clean, natural

# Moodle: "Ada Lovelace_123456_assignsubmission_file_" (a folder) or "..._file_03_clients.ipynb".
_MOODLE_MARK = re.compile(r"_[0-9]+_assignsubmission_")
_MOODLE = re.compile(
    r"(?P<name>.+?)_(?P<id>[1-9][0-9]{0,17})_assignsubmission_(?:file|onlinetext)_?(?P<file>.*)", re.DOTALL
)
# Canvas: "lovelaceada_LATE_12345_678901_03_clients-1.ipynb", or "lovelaceada_12345_text.html" for what was typed in.
# Its ids are long; "anna_1_03_x.ipynb" is somebody's name.
_CANVAS = re.compile(
    r"(?P<name>[^_]+)_(?P<late>LATE_)?(?P<id>[1-9][0-9]{3,17})_(?:[1-9][0-9]{3,17}_(?P<file>.+)|(?:text|link)\.html)",
    re.DOTALL,
)
# "lovelaceada_1001_5555_6666_x.ipynb": a file called "6666_x", or somebody who calls himself "lovelaceada_1001".
_CANVAS_TWICE = re.compile(
    r"[^_]+_(?:LATE_)?[0-9]+_(?:LATE_)?[0-9]{4,18}_(?:[0-9]{4,18}_.+|(?:text|link)\.html)", re.DOTALL
)
# What browsers and systems put behind the name of a second copy.
_COPY = re.compile(r"( ?\([0-9]+\)|[-_ ][0-9]+| ?-? ?copy|\.ipynb)+$", re.IGNORECASE)
_MAX_LESSON_NAME = 120
ANOTHER = "another is called"  # so, too; begins what is said of two of one name
_NOTEBOOK_OR_ZIP = re.compile(r"(\.(ipynb|zip))+$", re.IGNORECASE)
_OTHER_SUFFIX = re.compile(r"(\.ipynb)?\.[A-Za-z0-9]{1,8}$", re.IGNORECASE)
# What lies beside submissions and is nobody's.
_NOBODYS = re.compile(
    r"(readme|licen[cs]e)(\.[^.]*)?|.*\.(csv|tsv|log)|.*_(report|state)\.json|.*_(overview|answers)\.html",
    re.IGNORECASE,
)


@dataclasses.dataclass(frozen=True)
class Owner:
    """A student, as the names of files tell.

    Attributes:
        name: To be shown; several may share it.
        lms: "moodle", "canvas" or "".
        lms_id: Number in the LMS, or "".
        entry: The name of the file or folder, where no LMS says whose it is.
    """

    name: str
    lms: str = ""
    lms_id: str = ""
    entry: str = ""

    @property
    def identity(self) -> str:
        """What no other owner has, and what does not depend on who else handed in."""
        return ascii((self.lms, self.lms_id, self.name) if self.lms else self.entry)


def is_nobodys(name: str) -> bool:
    """Whether a file of this name lies beside submissions without being one."""
    return bool(_NOBODYS.fullmatch(name))


def is_notebook_or_zip(name: str) -> bool:
    """Whether a file's name ends like one that grading reads."""
    return bool(_NOTEBOOK_OR_ZIP.search(name))


def lms_of(name: str) -> tuple[str, re.Match] | None:
    """Which LMS names files so: "moodle" or "canvas", and the match with `name` and `id` in it."""
    for lms, pattern in (("moodle", _MOODLE), ("canvas", _CANVAS)):
        if match := pattern.fullmatch(name):
            return lms, match
    return None


def bare_name(path: str) -> str:
    """What a file was called before an LMS put its owner's name and numbers before it, with the folders below.

    Example:
        >>> bare_name("Ada_4018_assignsubmission_file_/03_x.ipynb"), bare_name("lovelaceada_1001_5555_03_x.ipynb")
        ('03_x.ipynb', '03_x.ipynb')
    """
    entry, _, below = path.partition("/")
    found = lms_of(entry)
    return path if found is None else below or found[1]["file"] or path


def lesson_number(path: str) -> str:
    """The lesson whose number a notebook's name begins with; "" if it begins with none.

    Example:
        >>> lesson_number("Ada/04_fedavg.ipynb"), lesson_number("lovelaceada_1001_5555_03_x.ipynb"), lesson_number("x")
        ('04', '03', '')
    """
    number = re.match(r"([0-9]{2})[_\- .]", bare_name(path).rpartition("/")[2])
    return number[1] if number else ""


def is_late(name: str) -> bool:
    """Whether this is the name of a file that Canvas marked as late."""
    found = lms_of(name)
    return found is not None and found[0] == "canvas" and bool(found[1]["late"])


@functools.cache
def _lesson_names() -> frozenset[str]:
    """The course's own notebooks, as they are handed out: "00_welcome" and so on."""
    package = pathlib.Path(__file__).parents[2]
    folders = [place / name for place in (package, package.parent) for name in ("exercises", "notebooks")]
    return frozenset(path.stem.casefold() for folder in folders for path in folder.glob("[0-9][0-9]_*.ipynb"))


def _is_lesson(name: str) -> bool:
    if len(name) > _MAX_LESSON_NAME:
        return False
    return _COPY.sub("", _NOTEBOOK_OR_ZIP.sub("", name)).casefold() in _lesson_names()


def owners_of(names: Sequence[tuple[str, str]], problems: list[str]) -> list[tuple[Owner, str, str]]:
    """Finds the owner of each file and folder.

    The names of an LMS count only if all names are of one LMS: one that no LMS made may have been chosen by a student
    to look like another's. Otherwise each file and each folder is a student of its own; one that is called like a
    lesson of the course is nobody's.

    Args:
        names: (name, kind) of what lies side by side; kinds as in `files.Tree`.
        problems: Gets a line on all that is nobody's or is not taken for what it looks like.

    Returns:
        (owner, name, kind) in the natural order of names.
    """
    somebodys = _somebodys(names, problems)
    matches = {name: found for name, _ in somebodys if (found := lms_of(name))}
    if len(matches) < len(somebodys) or len({lms for lms, _ in matches.values()}) != 1:
        if matches:
            problems.append(
                f"{len(matches)} of {len(somebodys)} names look like an LMS's; since not all are of one LMS, each file "
                f"or folder counts as a student of its own"
            )
        # One notebook alone is somebody's, whatever it is called.
        lessons = {name for name, _ in somebodys if _is_lesson(name)} if len(somebodys) > 1 else set()
        for name in sorted(lessons, key=natural):
            problems.append(f"{clean(name)}: a lesson's name, no student's; put it into a folder per student")
        return [(_by_entry(name, kind), name, kind) for name, kind in somebodys if name not in lessons]
    owners = []
    for name, kind in somebodys:
        lms, match = matches[name]
        shown = clean(unicodedata.normalize("NFC", match["name"])) or "unnamed"
        owners.append((Owner(shown, lms, match["id"]), name, kind))
    holders, counts = collections.defaultdict(set), collections.Counter(owner for owner, *_ in owners)
    for owner, *_ in owners:
        holders[owner.lms_id].add(owner.name)
    for index, (owner, name, kind) in enumerate(owners):
        if len(_MOODLE_MARK.findall(name)) > 1:
            reason = "more than one number in its name"
        elif len(holders[owner.lms_id]) > 1:
            reason = f"the number {owner.lms_id} stands beside several names"
        elif owner.lms == "canvas" and counts[owner] > 1 and _CANVAS_TWICE.fullmatch(name):
            reason = "its number can be read in two ways, and others have it"
        else:
            continue
        problems.append(f"{clean(name)}: {reason}; it counts as a student without a number")
        owners[index] = (_by_entry(name, kind), name, kind)
    return owners


def _somebodys(names: Sequence[tuple[str, str]], problems: list[str]) -> list[tuple[str, str]]:
    stems = {_by_entry(name, kind).name for name, kind in names if kind == "folder" or is_notebook_or_zip(name)}
    found = []
    for name, kind in sorted(names, key=lambda one: (natural(one[0]), one[0])):
        is_plain = kind == "file" and not is_notebook_or_zip(name) and not lms_of(name)
        if kind == "link":
            problem = "a symbolic link; links are not followed"
        elif kind == "other":
            problem = "no regular file"
        elif is_plain and is_nobodys(name):
            problem = "no notebook, and taken for nobody's"
        elif is_plain and _by_entry(name, kind).name in stems:
            problem = "no notebook; it lies beside one of the same name"
        else:
            found.append((name, kind))
            continue
        problems.append(f"{clean(name)}: {problem}")
    return found


def _by_entry(name: str, kind: str) -> Owner:
    suffix = _NOTEBOOK_OR_ZIP if is_notebook_or_zip(name) else _OTHER_SUFFIX
    return Owner(clean(suffix.sub("", name) if kind == "file" else name) or "unnamed", entry=name)


def labels_of(owners: Collection[Owner], problems: list[str]) -> dict[Owner, str]:
    """Names for the tables, no two of which look alike to a program.

    Those who share a name are told apart by their number or file, which stay theirs whoever else hands in.

    Args:
        owners: All of the batch, in order.
        problems: Gets a line on everyone who is not called by the plain name.
    """
    counts = collections.Counter(_folded(owner.name) for owner in owners)
    labels, taken = {}, set()
    for owner in owners:
        base = label = owner.name
        if counts[_folded(base)] > 1:
            base = label = f"{base} [{owner.lms_id or clean(owner.entry)}]"
        number = 2
        while _folded(label) in taken:
            label, number = f"{base} ({number})", number + 1
        if label != owner.name:
            who = clean(owner.entry) or owner.name
            problems.append(f"{who}: {ANOTHER} {owner.name!r}, too; this one is {label!r} in all tables")
        taken.add(_folded(label))
        labels[owner] = label
    return labels


def _folded(name: str) -> str:
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", name).casefold())
