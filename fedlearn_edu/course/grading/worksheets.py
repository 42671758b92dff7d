"""What the course's own exercise notebooks say: titles of lessons, questions to answer in words, model answers."""

from __future__ import annotations

import dataclasses
import functools
import json
import pathlib

_TITLE = "# Exercises "


@dataclasses.dataclass(frozen=True)
class Question:
    """One question that a learner answers in words, or by a guess.

    Attributes:
        key: The id of the cell for the answer, the same in every copy of the notebook.
        lesson: The lesson's number.
        exercise_id: The exercise it stands at.
        number: 1 for the first question of its lesson.
        kind: "markdown" or "code" (a guess: `my_guess = None`).
        text: The cell above it, which asks; Markdown.
        prompt: What stands in the cell before anything was answered.
        model: An answer to compare with, if the solutions are here; else "".
    """

    key: str
    lesson: str
    exercise_id: str
    number: int
    kind: str
    text: str
    prompt: str
    model: str

    @property
    def name(self) -> str:
        """A short name for tables: "00.answer_2"."""
        return f"{self.lesson}.answer_{self.number}"


def folder_of(name: str) -> pathlib.Path:
    """Where the notebooks of "exercises" or "solutions" are: in the checkout, else in the installed package."""
    package = pathlib.Path(__file__).parents[2]
    beside = package.parent / name
    # Installed, the folder beside the package is full of other packages, and one of them may have this name.
    return beside if (package.parent / "pyproject.toml").is_file() else package / name


def lesson_title(lesson: str, folder: pathlib.Path | None = None) -> str:
    """The lesson's number and title, such as "04: federated averaging from the formula".

    Args:
        lesson: Its number.
        folder: Of the exercise notebooks; None = the course's.
    """
    for cell in _cells(folder or folder_of("exercises"), lesson):
        heading = _source(cell).partition("\n")[0]
        if heading.startswith(_TITLE):
            return heading.removeprefix(_TITLE).strip()
    return lesson


def questions_of(
    lesson: str, folder: pathlib.Path | None = None, solutions: pathlib.Path | None = None
) -> tuple[Question, ...]:
    """The questions of a lesson, in the order in which its notebook asks them.

    Args:
        lesson: Its number.
        folder: Of the exercise notebooks; None = the course's.
        solutions: Of their solutions, which only teachers have; None = the course's.
    """
    cells = _cells(folder or folder_of("exercises"), lesson)
    models = [_source(cell) for cell in _cells(solutions or folder_of("solutions"), lesson) if is_answer(cell)]
    found = []
    for before, cell in zip([{}, *cells], cells, strict=False):
        if is_answer(cell):
            number = len(found)
            found.append(
                Question(
                    str(cell.get("id", "")),
                    lesson,
                    str(cell["metadata"].get("fedlearn", {}).get("id", "")),
                    number + 1,
                    cell["cell_type"],
                    _source(before),
                    _source(cell),
                    models[number] if number < len(models) else "",
                )
            )
    return tuple(found)


def is_answer(cell: dict) -> bool:
    """Whether a cell is there for an answer in words or a guess."""
    return "answer" in cell.get("metadata", {}).get("tags", ())


@functools.cache
def _cells(folder: pathlib.Path, lesson: str) -> tuple[dict, ...]:
    """The cells of a lesson's notebook; none if there is no such notebook. It is ours, so it is read as it is."""
    paths = sorted(folder.glob(f"{lesson}_*.ipynb"))
    return tuple(json.loads(paths[0].read_text(encoding="utf-8"))["cells"]) if paths else ()


def _source(cell: dict) -> str:
    return "".join(cell.get("source", ""))
