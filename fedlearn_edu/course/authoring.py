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

import copy
import hashlib
import json
import pathlib

import nbformat

from fedlearn_edu.course.answers import answers_in, digest, move_away, name_for_old
from fedlearn_edu.course.solution_cells import SourceCell, read_solution
from fedlearn_edu.course.syllabus import in_order
from fedlearn_edu.errors import RunError, UsageError
from fedlearn_edu.files import write_whole
from fedlearn_edu.terminal import our_command

_NOTEBOOK_METADATA = {
    "kernelspec": {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}


def build(
    source_dir: str | pathlib.Path, target_dir: str | pathlib.Path, *, check: bool = False, force: bool = False
) -> list[pathlib.Path]:
    """Makes `target_dir/*.ipynb` from `source_dir/*.ipynb`; all sources are read before anything is written.

    Args:
      source_dir: Folder of solutions.
      target_dir: Folder of exercises; made if it is missing. A generated notebook whose source is gone is removed;
        files that were not generated are left alone.
      check: Write nothing, only say what would change.
      force: Replace also a notebook that holds answers; the old one is kept beside it, as `..._old.ipynb`.

    Returns:
      The files that were written or removed, or with `check` those that differ from what would be built.

    Raises:
      UsageError: A folder is missing or empty, a notebook is malformed (file, cell number and reason), or what would
        be replaced holds answers.
      RunError: A file cannot be written.
    """
    source_dir, target_dir = pathlib.Path(source_dir), pathlib.Path(target_dir)
    sources = find_sources(source_dir)
    if target_dir.exists() and not target_dir.is_dir():
        raise UsageError(f"target: expected a folder, got {target_dir}, which is a file")
    if source_dir.resolve() == target_dir.resolve():
        raise UsageError(f"target: expected another folder than the source, got {target_dir} twice")
    notebooks = [exercise_notebook(read_solution(path), name=path.stem) for path in sources]
    wanted = {target_dir / path.name: serialised(made) for path, made in zip(sources, notebooks, strict=True)}
    changed = [path for path, text in wanted.items() if not path.is_file() or path.read_bytes() != text]
    orphans = [path for path in sorted(target_dir.glob("*.ipynb")) if path not in wanted and _is_generated(path)]
    if check:
        return sorted(changed + orphans)
    stubs = {digest(cell.source) for made in notebooks for cell in made.cells}
    present = [path for path in sorted(changed + orphans) if path.is_file()]
    answered = {path: found for path in present if (found := answers_in(path, stubs=stubs))}
    if answered and not force:
        raise UsageError(_refusal(answered))
    try:
        target_dir.mkdir(parents=True, exist_ok=True)
        for path in answered:
            move_away(path)
        for path in changed:
            write_whole(path, lambda file, text=wanted[path]: file.write(text))
        for path in orphans:
            path.unlink(missing_ok=True)
    except OSError as error:
        raise RunError(f"target: cannot write {error.filename or target_dir} ({error.strerror})") from error
    return sorted(changed + orphans)


def _refusal(answered: dict[pathlib.Path, list[str]]) -> str:
    told = "; ".join(f"{path} holds answers ({', '.join(found)})" for path, found in list(answered.items())[:3])
    more = f"; and {len(answered) - 3} more" if len(answered) > 3 else ""
    old = name_for_old(next(iter(answered))).name
    replaced = "it, the old one goes" if len(answered) == 1 else "them, the old ones go"
    return f"{told}{more}; --force replaces {replaced} to {old}{'' if len(answered) == 1 else ' and so on'}"


def find_sources(source_dir: pathlib.Path) -> list[pathlib.Path]:
    """Returns the solutions in a folder, sorted.

    Raises:
      UsageError: There is no such folder, or it has none.
    """
    if not source_dir.is_dir():
        raise UsageError(
            f"source: expected a folder of solution notebooks, got {source_dir}, which is none; name one: --source DIR"
        )
    if not (sources := in_order(source_dir.glob("*.ipynb"))):
        raise UsageError(f"source: expected *.ipynb in {source_dir}, found none; name another folder: --source DIR")
    return sources


def run_exercises(
    source_dir: str | pathlib.Path, target_dir: str | pathlib.Path, *, check: bool = False, force: bool = False
) -> int:
    """What `fedlearn-edu exercises build` and `check` run: see `build`; prints one line per file.

    Returns:
      Exit code: 1 if `check` found a file that differs, else 0.
    """
    changed = build(source_dir, target_dir, check=check, force=force)
    for path in changed:
        exists = (pathlib.Path(source_dir) / path.name).is_file()
        print(f"{('differs' if exists else 'has no source') if check else ('built' if exists else 'removed')}: {path}")
    if check and changed:
        what = (
            "1 of the exercises differs from its"
            if len(changed) == 1
            else f"{len(changed)} of the exercises differ from their"
        )
        print(f"{what} source; run: {our_command()} exercises build")
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
    made = [make_cell(cell, cell.stub, name) for cell in cells if cell.tag != "hidden-check"]
    return make_notebook(made, name)


def make_cell(cell: SourceCell, source: str, name: str) -> nbformat.NotebookNode:
    """Returns a cell of the new notebook: locked, unless the learner is to write in it.

    Args:
      cell: Where it comes from.
      source: Its text.
      name: The notebook's name without suffix.
    """
    open_to_learner = cell.tag in ("solution", "answer")
    role = cell.tag or "text"
    metadata = {
        "deletable": False,
        "nbgrader": _nbgrader(cell, f"{role}-{cell.number:02d}", solution=open_to_learner),
    }
    if cell.is_written:
        # nbgrader knows free text only as something a person grades.
        metadata["nbgrader"] |= {"grade": True, "points": 0}
    if not open_to_learner:
        metadata["editable"] = False
    if cell.tags:
        metadata["tags"] = list(cell.tags)
    if cell.tag:
        metadata["fedlearn"] = {"id": cell.exercise_id} | ({"points": cell.points} if cell.tag == "exercise" else {})
    if open_to_learner:
        metadata["fedlearn"]["given"] = digest(source)  # by which an answer is told from what was handed out
    made = nbformat.from_dict({"cell_type": cell.kind, "id": cell_id(name, cell, role), "metadata": metadata})
    made.source = source
    if cell.kind == "code":
        made |= {"outputs": [], "execution_count": None}
    if cell.attachments:
        made.attachments = copy.deepcopy(cell.attachments)
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


def cell_id(name: str, cell: SourceCell, role: str) -> str:
    """Returns an id that stays the same while the cell's number and exercise do."""
    return hashlib.sha256(f"{name}/{cell.number}/{cell.exercise_id}/{role}".encode()).hexdigest()[:12]


def make_notebook(cells: list, name: str) -> nbformat.NotebookNode:
    """Returns a notebook of these cells that says from which solution it was made."""
    metadata = copy.deepcopy(_NOTEBOOK_METADATA) | {"fedlearn": {"generated_from": f"solutions/{name}.ipynb"}}
    return nbformat.from_dict({"cells": cells, "metadata": metadata, "nbformat": 4, "nbformat_minor": 5})


def serialised(notebook: nbformat.NotebookNode) -> bytes:
    """Returns the notebook's bytes, the same for the same content: sorted keys, one newline at the end."""
    nbformat.validate(notebook)
    plain = json.loads(nbformat.writes(notebook))
    return (json.dumps(plain, indent=1, sort_keys=True, ensure_ascii=False) + "\n").encode()


def _is_generated(path: pathlib.Path) -> bool:
    """Tells whether this was built here and under this name: a learner's copy of another name is theirs."""
    try:
        metadata = json.loads(path.read_bytes())["metadata"]
        return pathlib.PurePath(metadata["fedlearn"]["generated_from"]).name == path.name
    except (OSError, ValueError, RecursionError, KeyError, TypeError):
        return False
