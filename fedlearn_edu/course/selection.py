"""Picks lessons by their numbers."""

from __future__ import annotations

import pathlib
from collections.abc import Sequence

from fedlearn_edu.errors import UsageError, nearest_names


def choose_lessons(paths: Sequence[pathlib.Path], lessons: Sequence[str]) -> list[pathlib.Path]:
    """Returns the notebooks of these lessons, in the order of `paths`.

    Args:
      paths: Notebooks whose names begin with the lesson's number, such as `04_fedavg.ipynb`.
      lessons: Numbers, such as "04" or "4"; none = all. Named twice counts once.

    Returns:
      The chosen ones of `paths`.

    Raises:
      UsageError: There is no such lesson, or two notebooks of one that was named.
    """
    known: dict[str, list[pathlib.Path]] = {}
    for path in paths:
        known.setdefault(path.name[:2], []).append(path)
    chosen = {lesson.zfill(2) if lesson.isdecimal() else lesson for lesson in lessons}
    wanted = [lesson for lesson in known if lesson in chosen or not lessons]
    for lesson in [*wanted, *sorted(chosen - known.keys())]:
        if lesson not in known:
            raise UsageError(f"lesson: there is no {lesson!r}; {nearest_names(lesson, known)}")
        if lessons and len(known[lesson]) > 1:
            names = " and ".join(path.name for path in known[lesson])
            raise UsageError(f"lesson: {lesson!r} may be {names} in {paths[0].parent}; move away what is a copy")
    return [known[lesson][0] for lesson in wanted] if lessons else list(paths)
