"""A learner's own copies of lessons and exercises: made once, renewed while untouched, never overwritten."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import pathlib

import fedlearn_edu
from fedlearn_edu.course.handout import PARTS
from fedlearn_edu.course.syllabus import in_order
from fedlearn_edu.errors import UsageError
from fedlearn_edu.files import write_whole
from fedlearn_edu.terminal import HANDOUT_MARK

DEFAULT_FOLDER = "fedlearn-edu-lessons"
_MANIFEST = ".fedlearn-edu.json"


@dataclasses.dataclass(frozen=True)
class Lessons:
    """A folder that JupyterLab can serve.

    Attributes:
        root: The folder, with `notebooks/` and `exercises/` in it.
        first: The first lesson, relative to `root`, such as `notebooks/00_welcome.ipynb`.
        notes: What the learner should know, a line each.
    """

    root: pathlib.Path
    first: str
    notes: tuple[str, ...] = ()


def course_folder() -> pathlib.Path:
    """Returns the folder that holds this package's own `notebooks/` and `exercises/`: a checkout, or the package.

    Raises:
        UsageError: There are none.
    """
    package = pathlib.Path(fedlearn_edu.__file__).parent
    for folder in (package.parent, package):
        if all(any((folder / part).glob("[0-9][0-9]_*.ipynb")) for part in PARTS):
            return folder
    raise UsageError(f"lessons: expected notebooks/ and exercises/ in {package}, found none; install the package anew")


def solutions_folder() -> pathlib.Path:
    """Returns the folder of solutions: that of the current folder if it has one, else that of this checkout.

    Raises:
        UsageError: There is neither; an installed package has no solutions.
    """
    for folder in (here := pathlib.Path("solutions"), pathlib.Path(fedlearn_edu.__file__).parent.parent / here):
        if folder.is_dir():
            return folder
    raise UsageError(
        f"--source: expected a folder of solution notebooks, and there is no solutions/ in {pathlib.Path.cwd()}, nor "
        "beside the installed package; name it: --source DIR"
    )


def prepare_lessons(directory: pathlib.Path | None = None) -> Lessons:
    """Makes a learner's copies of all lessons and exercises, or brings them up to date.

    A copy is renewed if this package's original has changed since and the copy has not. A hand-out (see
    `course.handout`) is used as it is: what the teacher chose stays what it is.

    Args:
        directory: Where the copies are. Without it: the current folder if it is such a folder or a hand-out, or part
            of one, else `./fedlearn-edu-lessons`. A checkout named as such is used as it is.

    Returns:
        The folder to serve.

    Raises:
        UsageError: It cannot be written, or has no lesson.
    """
    source = course_folder()
    if directory is None:
        here = _whole(pathlib.Path.cwd(), source)
        directory = here if _is_learners(here) else pathlib.Path(DEFAULT_FOLDER)
    root = _whole(directory.absolute(), source)
    if root.resolve() == source.resolve() or (root / HANDOUT_MARK).is_file():
        return Lessons(root, _first_lesson(root))
    try:
        notes = _bring_up_to_date(source, root)
    except OSError as error:
        raise UsageError(f"--directory: {directory} cannot be written ({error.strerror})") from None
    if former := [path.name for path in sorted(root.glob("[0-9][0-9]_*.ipynb"))]:
        notes.append(f"yours from before stay where they are, below the folders in Lab's list: {_listed(former)}")
    return Lessons(root, _first_lesson(root), tuple(notes))


def _whole(folder: pathlib.Path, source: pathlib.Path) -> pathlib.Path:
    """The folder, or the one above it where this is one part of a course that lies beside its other part."""
    above = folder.parent
    is_part = folder.name in PARTS and (above.resolve() == source.resolve() or _is_learners(above))
    return above if is_part else folder


def _is_learners(folder: pathlib.Path) -> bool:
    return any((folder / name).is_file() for name in (_MANIFEST, HANDOUT_MARK))


def _bring_up_to_date(source: pathlib.Path, root: pathlib.Path) -> list[str]:
    """Copies what is missing, renews what is untouched; returns what to tell."""
    given = _read_manifest(root)
    known, renewed, kept = dict(given), [], []
    for part in PARTS:
        (root / part).mkdir(parents=True, exist_ok=True)
        for original in sorted((source / part).glob("*.ipynb")):
            name, copy = f"{part}/{original.name}", root / part / original.name
            content = original.read_bytes()
            present = _digest(copy.read_bytes()) if copy.exists() else None
            if present in (None, given.get(name)) and present != _digest(content):
                write_whole(copy, lambda file, content=content: file.write(content))
                known[name] = _digest(content)
                renewed += [name] if present else []
            elif present == _digest(content):
                known[name] = present
            elif given.get(name) not in (None, _digest(content)):
                kept.append(name)
    text = _manifest_text(known)
    if not (root / _MANIFEST).is_file() or (root / _MANIFEST).read_bytes() != text:
        write_whole(root / _MANIFEST, lambda file: file.write(text))
    notes = [f"renewed, since you had not touched them: {_listed(renewed)}"] if renewed else []
    if kept:
        notes.append(f"newer than your copies, which stay: {_listed(kept)}; rename a copy to get the new one beside it")
    return notes


def _first_lesson(root: pathlib.Path) -> str:
    lessons = in_order((root / PARTS[0]).glob("[0-9][0-9]_*.ipynb"))
    if not lessons:
        raise UsageError(f"--directory: expected lessons in {root / PARTS[0]}, found none")
    return f"{PARTS[0]}/{lessons[0].name}"


def _read_manifest(root: pathlib.Path) -> dict[str, str]:
    """Which content was put where; nothing, where that cannot be read: then no copy counts as untouched."""
    try:
        files = json.loads((root / _MANIFEST).read_bytes())["files"]
        return files if isinstance(files, dict) else {}
    except (OSError, ValueError, RecursionError, KeyError, TypeError):
        return {}


def _manifest_text(files: dict[str, str]) -> bytes:
    about = "What was put into this folder, so that copies which nobody has edited can be renewed."
    return (json.dumps({"about": about, "files": files}, indent=1, sort_keys=True) + "\n").encode()


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _listed(names: list[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
