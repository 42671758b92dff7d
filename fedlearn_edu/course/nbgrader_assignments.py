"""Makes nbgrader's assignments from solutions: one a lesson, graded by hidden tests that no learner can know."""

from __future__ import annotations

import ast
import copy
import hashlib
import itertools
import os
import pathlib
import secrets
import shlex
from collections.abc import Sequence

import nbformat

from fedlearn_edu.course.authoring import cell_id, find_sources, make_cell, make_notebook, serialised
from fedlearn_edu.course.relative_links import without_dead_links
from fedlearn_edu.course.selection import choose_lessons
from fedlearn_edu.course.solution_cells import SourceCell, check_call, read_solution
from fedlearn_edu.course.stub import BEGIN, END
from fedlearn_edu.errors import RunError, UsageError
from fedlearn_edu.files import write_whole

_SEED_BITS = 256  # a learner's code that searches the seeds for the arguments it was given never ends
_CONFIG_NAME = "nbgrader_config.py"
_CONFIG = """\
c = get_config()  # noqa: F821
c.CourseDirectory.course_id = {course!r}
"""


def build_assignments(
    source_dir: str | pathlib.Path,
    course_dir: str | pathlib.Path,
    *,
    lessons: Sequence[str] = (),
    assignment: str | None = None,
    seed: int | None = None,
    written_points: int = 2,
    force: bool = False,
) -> list[pathlib.Path]:
    """Writes `course_dir/source/<assignment>/<lesson>.ipynb`, and `nbgrader_config.py` if there is none.

    Args:
      source_dir: Folder of solutions.
      course_dir: nbgrader's course folder; made if it is missing.
      lessons: Such as "04"; none = all.
      assignment: Name of the assignment; only with one lesson. None = the lesson's name.
      seed: Of the hidden tests, 1 to 2**256 - 1; None = a random one. It stands in the source notebooks, never in what
        learners get before they are graded; nbgrader's feedback shows the tests.
      written_points: Points of each written answer, which nbgrader lets a person give; 0 or more.
      force: Replace what is there; the old notebook goes to `course_dir/old/<assignment>/`.

    Returns:
      The notebooks that were written.

    Raises:
      UsageError: A folder, a lesson, the seed or a solution is not as it should be, or an assignment is there already.
      RunError: A file cannot be written.
    """
    source_dir, course_dir = pathlib.Path(source_dir), pathlib.Path(course_dir)
    if seed is not None and not 1 <= seed < 2**_SEED_BITS:
        raise UsageError(f"seed: expected 1 to 2**{_SEED_BITS} - 1 (0 is what learners see), got {str(seed)[:80]}")
    sources = choose_lessons(find_sources(source_dir), lessons)
    if assignment and "+" in assignment:
        raise UsageError(f"target: nbgrader takes no + in the name of an assignment, got {assignment}")
    if assignment and len(sources) != 1:
        raise UsageError(f"target: {assignment} is one assignment; name one --lesson, or a course folder for all")
    if course_dir.exists() and not course_dir.is_dir():
        raise UsageError(f"target: expected a folder, got {course_dir}, which is a file")
    seed = seed or secrets.randbits(_SEED_BITS) or 1
    wanted = {}
    for path in sources:
        cells = read_solution(path)
        notebook = nbgrader_source(cells, name=path.stem, seed=seed, written_points=written_points)
        wanted[course_dir / "source" / (assignment or path.stem) / path.name] = serialised(notebook)
    present = [path for path in wanted if path.exists()]
    if present and not force:
        raise UsageError(
            f"target: {present[0]} is there already, with hidden tests by which submissions may have been graded; "
            f"--force replaces it and keeps the old one in {course_dir / 'old'}"
        )
    try:
        for path in present:
            _keep(path, course_dir / "old" / path.parent.name)
        for path, text in wanted.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            write_whole(path, lambda file, text=text: file.write(text))
        if not (config := course_dir / _CONFIG_NAME).exists():
            text = _CONFIG.format(course=course_dir.resolve().name)
            write_whole(config, lambda file: file.write(text.encode()))
    except OSError as error:
        raise RunError(f"target: cannot write {error.filename or course_dir} ({error.strerror})") from error
    return list(wanted)


def run_assignments(source_dir: pathlib.Path, target: pathlib.Path, **options) -> int:
    """What `fedlearn-edu exercises build --nbgrader` runs: see `build_assignments`; says what to do next.

    Args:
      source_dir: Folder of solutions.
      target: nbgrader's course folder, or one assignment in it: `course/source/04_name`.
      **options: As in `build_assignments`.

    Returns:
      Exit code 0.
    """
    course_dir, assignment = _course_and_assignment(target, one_lesson=len(options.get("lessons", ())) == 1)
    paths = build_assignments(source_dir, course_dir, assignment=assignment, **options)
    for path in paths:
        print(f"built: {path}")
    print("next, with nbgrader installed:")
    where = "" if course_dir.resolve() == pathlib.Path.cwd() else f"cd {shlex.quote(str(course_dir))} && "
    for path in paths:
        print(f"  {where}nbgrader generate_assignment {shlex.quote(path.parent.name)} --create")
    return 0


def _course_and_assignment(target: pathlib.Path, *, one_lesson: bool) -> tuple[pathlib.Path, str | None]:
    """Tells nbgrader's course folder, and the assignment if the target is one; relative if the target is.

    What lies in a folder `source` is an assignment if that word was typed, or if one lesson was named. Otherwise it may
    be any folder of that name where the user happens to be: then a course has to be around it.
    """
    whole, assignment = pathlib.Path(os.path.abspath(target)), None
    if whole.name == "source":
        course_dir = whole.parent
    elif whole.parent.name == "source":
        course_dir, assignment = whole.parent.parent, whole.name
    else:
        return target, None
    is_meant = "source" in target.parts or (one_lesson and assignment is not None)
    if not is_meant and not (course_dir / _CONFIG_NAME).is_file():
        return target, None
    return course_dir if target.is_absolute() else pathlib.Path(os.path.relpath(course_dir)), assignment


def nbgrader_source(cells: list[SourceCell], *, name: str, seed: int, written_points: int = 2) -> nbformat.NotebookNode:
    """Returns the notebook as nbgrader's source: `nbgrader generate_assignment` makes the learners' version of it.

    `check` never raises, so nbgrader would give full points for any answer. Each exercise therefore gets one graded
    cell of hidden tests, whose value is the points earned on a hidden variant: nbgrader takes that as partial credit.
    Our hidden checks are left out: they raise, which nbgrader takes as no points at all.

    Args:
      cells: From `read_solution`.
      name: The notebook's name without suffix.
      seed: Of all hidden variants; each exercise gets one of its own that follows from it and does not tell it.
      written_points: Points of each written answer.
    """
    made = []
    for cell in cells:
        if cell.tag == "hidden-check":
            continue
        source = cell.source
        if cell.is_guess:
            source = cell.stub
        elif cell.is_written:
            # nbgrader takes what stands between the marks out of the learners' version.
            source = f"{cell.stub}\n\n{BEGIN}\n{source}\n{END}"
        elif cell.kind == "markdown":
            source = without_dead_links(source, lambda path: False)  # lessons lie elsewhere, if at all
        made.append(new := make_cell(cell, source, name))
        if cell.is_written:
            new.metadata.nbgrader.points = written_points
        elif cell.is_guess:
            # Open, but no "solution": nbgrader would put an error in its place, and Run All would end there.
            new.metadata.nbgrader.solution = False
        if "given" in new.metadata.get("fedlearn", {}):
            del new.metadata.fedlearn["given"]  # it would be that of the solution
        checks = [other for other in cells if (other.exercise_id, other.tag) == (cell.exercise_id, "check")]
        if cell in checks[-1:]:
            made.append(_graded_cell(cell, name, seed))
    return make_notebook(made, name)


def _graded_cell(cell: SourceCell, name: str, seed: int) -> nbformat.NotebookNode:
    call = copy.deepcopy(check_call(cell))
    hidden = int.from_bytes(hashlib.sha256(f"{seed}/{cell.exercise_id}".encode()).digest(), "big") or 1
    call.keywords = [ast.keyword(arg="seed", value=ast.Constant(value=hidden))]
    points = ast.Attribute(value=call, attr="points", ctx=ast.Load())
    lines = ["### BEGIN HIDDEN TESTS", ast.unparse(points), "### END HIDDEN TESTS"]
    made = make_cell(cell, "\n".join(lines), name)
    made.id = cell_id(name, cell, "graded")
    made.metadata.nbgrader |= {
        "grade": True,
        "grade_id": f"{cell.exercise_id.replace('.', '-')}-graded",
        "points": cell.points,
    }
    return made


def _keep(path: pathlib.Path, folder: pathlib.Path) -> None:
    """Moves a notebook out of its assignment, since nbgrader hands out whatever lies there."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in itertools.count(1):
        if not (kept := folder / f"{path.stem}_{number}{path.suffix}").exists():
            path.rename(kept)
            return
