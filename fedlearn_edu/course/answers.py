"""Tells whether an exercise notebook holds a learner's work, and puts it away so that nothing is lost."""

from __future__ import annotations

import hashlib
import itertools
import json
import pathlib
from collections.abc import Container


def answers_in(path: pathlib.Path, *, stubs: Container[str] = ()) -> list[str]:
    """Returns what a notebook holds beside what was handed out; empty if nobody has worked in it.

    Args:
      path: A notebook, in a folder of the caller's own: learners' submissions are read elsewhere (`grading/reader.py`).
      stubs: Digests of texts that are no answers either, besides what the notebook itself says was handed out.

    Returns:
      Names of functions whose cells were changed, "written answer", "own cells", "outputs"; or "not to be read", where
      it cannot be known.
    """
    try:
        cells = json.loads(path.read_bytes())["cells"]
        return list(dict.fromkeys(found for cell in cells for found in _answers_of(cell, stubs)))
    except (OSError, ValueError, RecursionError, KeyError, TypeError, AttributeError):
        return ["not to be read"]


def _answers_of(cell: dict, stubs: Container[str]):
    metadata = cell["metadata"]
    ours = metadata.get("fedlearn", {})
    tags = metadata.get("tags", [])
    source = "".join(cell["source"])  # a list of lines, or one text
    if "nbgrader" not in metadata and source.strip():
        yield "own cells"
    elif ("solution" in tags or "answer" in tags) and (now := digest(source)) != ours.get("given") and now not in stubs:
        if cell["cell_type"] == "markdown":
            yield "written answer"
        else:
            yield ours.get("id", "").partition(".")[2] or "a guess"
    if cell.get("outputs"):
        yield "outputs"


def digest(source: str) -> str:
    """Returns a short digest of a cell's text; spaces at its end do not count.

    Example:
        >>> digest("x = 1") == digest("x = 1 "), digest("x = 1") == digest("x = 2")
        (True, False)
    """
    return hashlib.sha256(source.rstrip().encode()).hexdigest()[:16]


def name_for_old(path: pathlib.Path) -> pathlib.Path:
    """Returns a free name beside a file: `00_welcome_old.ipynb`, then `00_welcome_old_2.ipynb`."""
    for number in itertools.count(1):
        name = path.with_name(f"{path.stem}_old{'' if number == 1 else f'_{number}'}{path.suffix}")
        if not name.exists():
            return name
    raise AssertionError("counted to the end")


def move_away(path: pathlib.Path) -> pathlib.Path:
    """Moves a file to `name_for_old`; returns where it is now."""
    return path.rename(name_for_old(path))
