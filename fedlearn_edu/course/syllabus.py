"""The course as `lessons.toml` tells it: which lessons there are, in which order, what each asks and needs."""

from __future__ import annotations

import dataclasses
import functools
import pathlib
import tomllib
from collections.abc import Iterable

_FILE = pathlib.Path(__file__).parent / "lessons.toml"


@dataclasses.dataclass(frozen=True)
class Lesson:
    """One lesson; its place in the course is its place in `syllabus()`, whatever its number is.

    Attributes:
        number: Two digits, its name for good: "04".
        name: The rest of its files' name, such as "fedavg_from_the_formula".
        title: As its first line has it.
        part: Which part of the course it belongs to.
        minutes: Estimated, to read and run it.
        needs: Numbers of lessons that it builds on, all of them earlier.
        question: What it answers.
    """

    number: str
    name: str
    title: str
    part: str
    minutes: int
    needs: tuple[str, ...]
    question: str

    @property
    def file_name(self) -> str:
        """Of its notebook, of its exercises and of their solutions."""
        return f"{self.number}_{self.name}.ipynb"


@functools.cache
def syllabus() -> tuple[Lesson, ...]:
    """Returns all lessons in the order of the course.

    Example:
        >>> syllabus()[0].file_name
        '00_welcome.ipynb'
    """
    rows = tomllib.loads(_FILE.read_text())["lesson"]
    return tuple(Lesson(**{**row, "needs": tuple(row["needs"])}) for row in rows)


def in_order(paths: Iterable[pathlib.Path]) -> list[pathlib.Path]:
    """Returns notebooks in the order of the course; those that are none of its lessons come last, by name.

    Args:
        paths: Notebooks whose names begin with the lesson's number.
    """
    place = {lesson.number: place for place, lesson in enumerate(syllabus())}
    return sorted(paths, key=lambda path: (place.get(path.name[:2], len(place)), path.name))
