"""Builds exercises from solutions: one source, deterministic, and a check that tells when the two have drifted.

In a solutions notebook cells carry one of these tags; every other cell is copied and locked:

  exercise      markdown: the task. Cell metadata {"fedlearn": {"id": "03.weighted_mean", "points": 5}}.
  solution      code: `def weighted_mean(...)` with a docstring, its answer between `### BEGIN SOLUTION` and
                `### END SOLUTION`, which becomes `raise NotImplementedError`. One per exercise.
  check         code that ends with `check("03.weighted_mean", weighted_mean)` (or `fl.check(...)`).
  hidden-check  code that only the solution runs; dropped.
  answer        markdown that becomes a prompt (metadata {"fedlearn": {"prompt": "..."}}), or code `guess = 0.8` that
                becomes `guess = None`.
"""

from __future__ import annotations

import ast
import copy
import hashlib
import json
import pathlib

import nbformat

from fedlearn_edu.backbone.cache import write_atomically
from fedlearn_edu.course.solution_cells import SourceCell, check_call, read_solution
from fedlearn_edu.course.stub import BEGIN, END
from fedlearn_edu.errors import RunError, UsageError

_NOTEBOOK_METADATA = {
    "kernelspec": {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}


def build(
    source_dir: str | pathlib.Path, target_dir: str | pathlib.Path, *, check: bool = False, nbgrader: bool = False
) -> list[pathlib.Path]:
    """Makes `target_dir/*.ipynb` from `source_dir/*.ipynb`; all sources are read before anything is written.

    Args:
      source_dir: Folder of solutions.
      target_dir: Folder of exercises; made if it is missing. A generated notebook whose source is gone is removed;
        files that were not generated are left alone.
      check: Write nothing, only say what would change.
      nbgrader: Make nbgrader's source notebooks instead (for `source/<assignment>/`): answers stay in, and
        each exercise gets hidden tests worth its points.

    Returns:
      The files that were written or removed, or with `check` those that differ from what would be built.

    Raises:
      UsageError: A folder is missing or empty, or a notebook is malformed: file, cell number and reason.
      RunError: A file cannot be written.
    """
    source_dir, target_dir = pathlib.Path(source_dir), pathlib.Path(target_dir)
    if not source_dir.is_dir():
        raise UsageError(f"source: expected a folder of solution notebooks, got {source_dir}, which is none")
    if target_dir.exists() and not target_dir.is_dir():
        raise UsageError(f"target: expected a folder, got {target_dir}, which is a file")
    if source_dir.resolve() == target_dir.resolve():
        raise UsageError(f"target: expected another folder than the source, got {target_dir} twice")
    sources = sorted(source_dir.glob("*.ipynb"))
    if not sources:
        raise UsageError(f"source: expected *.ipynb in {source_dir}, found none")
    make = nbgrader_source if nbgrader else exercise_notebook
    wanted = {target_dir / path.name: _serialised(make(read_solution(path), name=path.stem)) for path in sources}
    changed = [path for path, text in wanted.items() if not path.is_file() or path.read_bytes() != text]
    orphans = [path for path in sorted(target_dir.glob("*.ipynb")) if path not in wanted and _is_generated(path)]
    if not check:
        try:
            target_dir.mkdir(parents=True, exist_ok=True)
            for path in changed:
                write_atomically(path, lambda file, text=wanted[path]: file.write(text))
            for path in orphans:
                path.unlink()
        except OSError as error:
            raise RunError(f"target: cannot write {error.filename or target_dir} ({error.strerror})") from error
    return sorted(changed + orphans)


def run_exercises(
    source_dir: str | pathlib.Path, target_dir: str | pathlib.Path, *, check: bool = False, nbgrader: bool = False
) -> int:
    """What `fedlearn-edu exercises build|check` runs: see `build`; prints one line per file.

    Returns:
      Exit code: 1 if `check` found a file that differs, else 0.
    """
    changed = build(source_dir, target_dir, check=check, nbgrader=nbgrader)
    for path in changed:
        exists = (pathlib.Path(source_dir) / path.name).is_file()
        print(f"{('differs' if exists else 'has no source') if check else ('built' if exists else 'removed')}: {path}")
    if check and changed:
        print(f"{len(changed)} of the exercises differ from their source; run: fedlearn-edu exercises build")
        return 1
    if not changed:
        print(f"{target_dir}: up to date")
    return 0


def exercise_notebook(cells: list[SourceCell], *, name: str) -> nbformat.NotebookNode:
    """Returns the notebook that learners get.

    Args:
      cells: From `read_solution`.
      name: The notebook's name without suffix.
    """
    made = [_cell(cell, cell.stub, name) for cell in cells if cell.tag != "hidden-check"]
    return _notebook(made, name)


def nbgrader_source(cells: list[SourceCell], *, name: str) -> nbformat.NotebookNode:
    """Returns the notebook as nbgrader's source: `nbgrader generate_assignment` makes the learners' version of it.

    `check` never raises, so nbgrader would give full points for any answer. Each exercise therefore gets one graded
    cell of hidden tests, whose value is the points earned on a hidden variant: nbgrader takes that as partial credit.
    Our hidden checks are left out: they raise, which nbgrader takes as no points at all.
    """
    made = []
    for cell in cells:
        if cell.tag == "hidden-check":
            continue
        source = cell.source
        if cell.tag == "answer" and cell.kind == "code":
            source = f"{cell.stub}\n{BEGIN}\n{source}\n{END}"
        made.append(_cell(cell, source, name))
        checks = [other for other in cells if (other.exercise_id, other.tag) == (cell.exercise_id, "check")]
        if cell in checks[-1:]:
            made.append(_graded_cell(cell, name))
    return _notebook(made, name)


def _cell(cell: SourceCell, source: str, name: str) -> nbformat.NotebookNode:
    """A cell of the new notebook: locked, unless the learner is to write in it."""
    open_to_learner = cell.tag in ("solution", "answer")
    role = cell.tag or "text"
    metadata = {
        "deletable": False,
        "nbgrader": _nbgrader(cell, f"{role}-{cell.number:02d}", solution=open_to_learner),
    }
    if cell.tag == "answer" and cell.kind == "markdown":
        # nbgrader knows free text only as something a person grades.
        metadata["nbgrader"] |= {"grade": True, "points": 0}
    if not open_to_learner:
        metadata["editable"] = False
    if cell.tags:
        metadata["tags"] = list(cell.tags)
    if cell.tag:
        metadata["fedlearn"] = {"id": cell.exercise_id} | ({"points": cell.points} if cell.tag == "exercise" else {})
    made = nbformat.from_dict({"cell_type": cell.kind, "id": _cell_id(name, cell, role), "metadata": metadata})
    made.source = source
    if cell.kind == "code":
        made |= {"outputs": [], "execution_count": None}
    if cell.attachments:
        made.attachments = copy.deepcopy(cell.attachments)
    return made


def _graded_cell(cell: SourceCell, name: str) -> nbformat.NotebookNode:
    call = copy.deepcopy(check_call(cell))
    call.keywords = [ast.keyword(arg="seed", value=ast.Constant(value=1))]
    points = ast.Attribute(value=call, attr="points", ctx=ast.Load())
    lines = ["### BEGIN HIDDEN TESTS", ast.unparse(points), "### END HIDDEN TESTS"]
    made = _cell(cell, "\n".join(lines), name)
    made.id = _cell_id(name, cell, "graded")
    made.metadata.nbgrader |= {
        "grade": True,
        "grade_id": f"{cell.exercise_id.replace('.', '-')}-graded",
        "points": cell.points,
    }
    return made


def _nbgrader(cell: SourceCell, role: str, *, solution: bool) -> dict:
    """What nbgrader keeps with each cell; its ids may hold letters, digits, _ and - only."""
    exercise = f"{cell.exercise_id.replace('.', '-')}-" if cell.exercise_id else ""
    return {
        "grade": False,
        "grade_id": f"{exercise}{role}",
        "locked": not solution,
        "schema_version": 3,
        "solution": solution,
        "task": False,
    }


def _cell_id(name: str, cell: SourceCell, role: str) -> str:
    return hashlib.sha256(f"{name}/{cell.number}/{cell.exercise_id}/{role}".encode()).hexdigest()[:12]


def _notebook(cells: list, name: str) -> nbformat.NotebookNode:
    metadata = copy.deepcopy(_NOTEBOOK_METADATA) | {"fedlearn": {"generated_from": f"solutions/{name}.ipynb"}}
    return nbformat.from_dict({"cells": cells, "metadata": metadata, "nbformat": 4, "nbformat_minor": 5})


def _serialised(notebook: nbformat.NotebookNode) -> bytes:
    """The notebook's bytes: sorted keys, no outputs, no times, one newline at the end."""
    nbformat.validate(notebook)
    plain = json.loads(nbformat.writes(notebook))
    return (json.dumps(plain, indent=1, sort_keys=True, ensure_ascii=False) + "\n").encode()


def _is_generated(path: pathlib.Path) -> bool:
    try:
        metadata = json.loads(path.read_bytes())["metadata"]
        return "generated_from" in metadata.get("fedlearn", {})
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return False
