"""Where the lessons are, and a learner's own copies of them."""

from __future__ import annotations

import pathlib
import shutil

import fedlearn_edu
from fedlearn_edu.errors import UsageError


def find_lessons(directory: pathlib.Path | None) -> pathlib.Path:
    """Returns the first lesson in `directory`, copying the lessons that are not there yet.

    Without a directory, a checkout's own `notebooks/` is used as it is.
    """
    package = pathlib.Path(fedlearn_edu.__file__).parent
    checkout = package.parent / "notebooks"
    source = checkout if checkout.is_dir() else package / "notebooks"
    if directory is None and source == checkout:
        return first_lesson(checkout)
    directory = directory or pathlib.Path("fedlearn-edu-lessons")
    try:
        directory.mkdir(parents=True, exist_ok=True)
        for notebook in sorted(source.glob("*.ipynb")):
            if not (directory / notebook.name).exists():
                shutil.copyfile(notebook, directory / notebook.name)
    except OSError as error:
        raise UsageError(f"--directory: {directory} cannot be written ({error.strerror})") from None
    return first_lesson(directory)


def first_lesson(directory: pathlib.Path) -> pathlib.Path:
    """Returns the first lesson in a folder."""
    lessons = sorted(directory.glob("[0-9][0-9]_*.ipynb"))
    if not lessons:
        raise UsageError(f"--directory: no lesson found in {directory}")
    return lessons[0]
