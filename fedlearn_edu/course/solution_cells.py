"""Reads the source of exercises: a solutions notebook, each cell with its tag checked, or a reason for refusing it."""

from __future__ import annotations

import ast
import dataclasses
import pathlib
import re

import nbformat

from fedlearn_edu.course.stub import PROMPT, MalformedCell, without_solution, without_values
from fedlearn_edu.errors import UsageError, nearest_names

# The closed list: what each tag means is told in authoring.py.
CELL_TYPES = {
    "exercise": ("markdown",),
    "solution": ("code",),
    "check": ("code",),
    "hidden-check": ("code",),
    "answer": ("markdown", "code"),
}
# Tags of Jupyter's own tools that change nothing here; any other tag is taken for a misspelt one.
_OTHER_TAGS = {"parameters", "hide-input", "hide-output", "raises-exception"}
_ANY_MARKER = re.compile(r"(BEGIN|END) (SOLUTION|HIDDEN TESTS|MARK SCHEME)")
_ID = re.compile(r"\d\d\.[a-z][a-z0-9_]*")


@dataclasses.dataclass(frozen=True)
class SourceCell:
    """One cell of a solutions notebook.

    Attributes:
      number: 1-based position in the notebook.
      kind: "code", "markdown" or "raw".
      source: Its text.
      tag: One of `CELL_TYPES`, or "" for every other cell.
      tags: All its tags.
      exercise_id: The exercise it belongs to: the last `exercise` cell before it, or "" before the first.
      points: Points of that exercise; 0 before the first.
      prompt: For a markdown `answer` cell: what the learner sees instead; "" for the usual text.
      attachments: Pictures inside a markdown cell.
    """

    number: int
    kind: str
    source: str
    tag: str
    tags: tuple[str, ...]
    exercise_id: str
    points: int
    prompt: str
    attachments: dict

    @property
    def function_name(self) -> str:
        """The function that the exercise asks for."""
        return self.exercise_id.partition(".")[2]

    @property
    def is_written(self) -> bool:
        """Whether a learner answers it in words, which a person reads."""
        return self.tag == "answer" and self.kind == "markdown"

    @property
    def is_guess(self) -> bool:
        """Whether a learner answers it by a value, such as `my_guess = 0.8`."""
        return self.tag == "answer" and self.kind == "code"

    @property
    def stub(self) -> str:
        """What a learner gets instead of a `solution` or `answer` cell; every other cell stays as it is."""
        if self.tag == "solution":
            return without_solution(self.source, self.function_name)
        if self.tag == "answer":
            return without_values(self.source) if self.kind == "code" else self.prompt or PROMPT
        return self.source


def read_notebook(path: pathlib.Path) -> nbformat.NotebookNode:
    """Reads a notebook of the teacher's own.

    Raises:
      UsageError: It is none (format 4), or cannot be read; the message names the file and the reason.
    """
    try:
        with path.open(encoding="utf-8") as file:
            return nbformat.reads(file.read(), as_version=4)
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path.name}: cannot be read ({error})") from error
    except Exception as error:  # nbformat raises many kinds for broken JSON and broken notebooks
        reason = " ".join(str(error).split())[:200]
        raise UsageError(f"{path.name}: expected a Jupyter notebook, format 4 ({reason})") from error


def read_solution(path: pathlib.Path) -> list[SourceCell]:
    """Reads and checks a solutions notebook.

    Args:
      path: A notebook (format 4).

    Returns:
      Its cells in order.

    Raises:
      UsageError: It is no notebook, or a cell is malformed; the message names file, cell number and reason.
    """
    notebook = read_notebook(path)
    cells: list[SourceCell] = []
    for number, cell in enumerate(notebook.cells, start=1):
        try:
            cells.append(_read_cell(cell, number, cells))
        except MalformedCell as reason:
            raise UsageError(f"{path.name}, cell {number}: {reason}") from None
    try:
        _check_exercises(cells)
    except MalformedCell as reason:
        raise UsageError(f"{path.name}, {reason}") from None
    return cells


def _read_cell(cell, number: int, before: list[SourceCell]) -> SourceCell:
    tags = tuple(cell.metadata.get("tags", ()))
    for tag in tags:
        if tag not in CELL_TYPES and tag not in _OTHER_TAGS:
            raise MalformedCell(f"unknown tag {tag!r}; {nearest_names(tag, [*CELL_TYPES, *_OTHER_TAGS])}")
    ours = [tag for tag in tags if tag in CELL_TYPES]
    if len(ours) > 1:
        raise MalformedCell(f"expected one of our tags, got {' and '.join(ours)}")
    tag = ours[0] if ours else ""
    if tag and cell.cell_type not in CELL_TYPES[tag]:
        raise MalformedCell(f"tag {tag!r}: expected a {' or '.join(CELL_TYPES[tag])} cell, got {cell.cell_type}")
    details = cell.metadata.get("fedlearn", {})
    exercise_id, points = (before[-1].exercise_id, before[-1].points) if before else ("", 0)
    if tag == "exercise":
        exercise_id, points = _read_exercise(details, before)
    elif tag in ("solution", "check", "hidden-check") and not exercise_id:
        raise MalformedCell(f"tag {tag!r} before the first 'exercise' cell")
    if tag != "solution" and (marker := _ANY_MARKER.search(cell.source)):
        raise MalformedCell(f"has {marker[0]!r} but no tag 'solution'")
    prompt = details.get("prompt", "")
    result = SourceCell(
        number, cell.cell_type, cell.source, tag, tags, exercise_id, points, prompt, dict(cell.get("attachments", {}))
    )
    if tag == "check":
        check_call(result)
    elif tag in ("solution", "answer"):
        _ = result.stub  # refuses what it cannot make a stub of
    return result


def _read_exercise(details: dict, before: list[SourceCell]) -> tuple[str, int]:
    exercise_id, points = details.get("id"), details.get("points")
    if not isinstance(exercise_id, str) or not _ID.fullmatch(exercise_id):
        raise MalformedCell(f"metadata fedlearn.id: expected '03.function_name', got {exercise_id!r}")
    if isinstance(points, bool) or not isinstance(points, int) or points < 1:
        raise MalformedCell(f"metadata fedlearn.points: expected a whole number above 0, got {points!r}")
    for cell in before:
        if cell.exercise_id == exercise_id:
            raise MalformedCell(f"exercise {exercise_id!r} was there before, in cell {cell.number}")
    return exercise_id, points


def _check_exercises(cells: list[SourceCell]) -> None:
    """Each exercise has one solution, and a check after it."""
    exercises = [cell for cell in cells if cell.tag == "exercise"]
    if not exercises:
        raise MalformedCell("cell 1: the notebook has no cell with tag 'exercise'")
    for exercise in exercises:
        order = [(cell.tag, cell.number) for cell in cells if cell.exercise_id == exercise.exercise_id]
        solutions = [number for tag, number in order if tag == "solution"]
        checks = [number for tag, number in order if tag in ("check", "hidden-check")]
        where = f"cell {exercise.number}: exercise {exercise.exercise_id!r}"
        if len(solutions) != 1:
            raise MalformedCell(f"{where} needs exactly one cell with tag 'solution', got {len(solutions)}")
        if "check" not in [tag for tag, _ in order]:
            raise MalformedCell(f"{where} has no cell with tag 'check'")
        if min(checks) < solutions[0]:
            raise MalformedCell(f"cell {min(checks)}: a check comes before the solution of {exercise.exercise_id!r}")


def check_call(cell: SourceCell) -> ast.Call:
    """Returns the call `check("03.weighted_mean", weighted_mean)` that a `check` cell ends with.

    Raises:
      MalformedCell: It does not end with it, so that the learner would see nothing, or it checks something else.
    """
    wanted = f'check("{cell.exercise_id}", {cell.function_name})'
    try:
        last = ast.parse(cell.source).body[-1]
    except (SyntaxError, IndexError):
        raise MalformedCell(f"a 'check' cell must end with {wanted}; it is empty or not valid Python") from None
    match last:
        case ast.Expr(
            value=ast.Call(
                func=ast.Name(id="check") | ast.Attribute(attr="check"),
                args=[ast.Constant(value=cell.exercise_id), ast.Name(id=cell.function_name)],
                keywords=[],
            ) as call
        ):
            return call
    raise MalformedCell(f"a 'check' cell must end with {wanted}, got {ast.unparse(last)[:80]}")
