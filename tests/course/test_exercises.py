"""The gate of every exercise: solution passes, stub is todo, wrong answers fail; notebooks, registry, files agree."""

import ast
import functools
import inspect
import pathlib
import re
import time

import nbclient
import nbformat
import numpy as np
import pytest
from shared import REPOSITORY

from fedlearn_edu.course.authoring import build
from fedlearn_edu.course.checks import registry
from fedlearn_edu.course.checks.data import to_data
from fedlearn_edu.course.checks.engine import check_function, judge, score
from fedlearn_edu.course.solution_cells import read_solution

SOLUTIONS, EXERCISES = REPOSITORY / "solutions", REPOSITORY / "exercises"
ALL = registry.all_exercises()
SOURCES = sorted(SOLUTIONS.glob("*.ipynb"))
HIDDEN_SEEDS = (1, 2, 31)
by_exercise = pytest.mark.parametrize("exercise", ALL.values(), ids=ALL)
by_wrong_answer = pytest.mark.parametrize(
    ("exercise", "name"),
    [(exercise, name) for exercise in ALL.values() for name in exercise.wrong_answers],
    ids=[f"{id}-{name}" for id, exercise in ALL.items() for name in exercise.wrong_answers],
)


@functools.cache
def cells_of(path: pathlib.Path):
    return read_solution(path)


@functools.cache
def home_of(exercise_id: str) -> pathlib.Path:
    """The solutions notebook that holds an exercise."""
    found = [path for path in SOURCES if any(cell.exercise_id == exercise_id for cell in cells_of(path))]
    assert len(found) == 1, f"{exercise_id}: expected in one solutions notebook, found in {[p.name for p in found]}"
    return found[0]


def imports_of(cells) -> str:
    """All top-level imports of a notebook's ordinary code cells: what a function may rely on."""
    statements = []
    for cell in cells:
        if cell.kind == "code" and not cell.tag:
            plain = re.sub(r"(?m)^\s*[%!].*$", "", cell.source)  # Jupyter's own commands are no Python
            tree = ast.parse(plain)
            statements += [node for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom)]
    return "\n".join(ast.unparse(node) for node in statements)


def namespace_of(exercise_id: str, *, stubs: bool = False) -> dict:
    """What a kernel holds after the imports and all solution cells (or the stubs) of the exercise's notebook."""
    cells = cells_of(home_of(exercise_id))
    namespace = {"np": np, "__name__": "__main__"}
    exec(imports_of(cells), namespace)
    for cell in cells:
        if cell.tag == "solution":
            exec(
                compile(cell.stub if stubs else cell.source, f"{home_of(exercise_id).name}-{cell.number}", "exec"),
                namespace,
            )
    return namespace


@functools.cache
def solution_of(exercise_id: str):
    namespace = namespace_of(exercise_id)
    return namespace[exercise_id.split(".")[1]]


# Each exercise


@by_exercise
@pytest.mark.parametrize("seed", [0, *HIDDEN_SEEDS])
def test_solution_passes(exercise, seed):
    result = check_function(exercise, solution_of(exercise.id), seed=seed)
    assert result.status == "passed", str(result)
    assert result.points == exercise.points


@by_exercise
def test_stub_is_todo(exercise):
    stub = namespace_of(exercise.id, stubs=True)[exercise.function_name]
    result = check_function(exercise, stub)
    assert result.status == "todo", str(result)
    assert inspect.signature(stub) == inspect.signature(solution_of(exercise.id))
    assert stub.__doc__ == solution_of(exercise.id).__doc__


@by_exercise
def test_an_exercise_knows_the_names_of_its_parameters(exercise):
    """A feedback page names the arguments by them, where no function of the learner's can be asked."""
    assert exercise.parameters == tuple(inspect.signature(solution_of(exercise.id)).parameters)


@by_wrong_answer
def test_wrong_answer_fails(exercise, name):
    namespace = namespace_of(exercise.id)
    solution = namespace.pop(exercise.function_name)
    exec(compile(exercise.wrong_answers[name], f"wrong answer {name!r}", "exec"), namespace)
    wrong = namespace.get(exercise.function_name)
    assert wrong is not None, f"the wrong answer defines no {exercise.function_name}"
    assert list(inspect.signature(wrong).parameters) == list(inspect.signature(solution).parameters)
    for seed in (0, *HIDDEN_SEEDS):
        result = check_function(exercise, wrong, seed=seed)
        assert result.status == "failed", f"seed {seed}: {result}"
        assert result.points < exercise.points
        problems = [case.problem for case in result.cases if not case.passed]
        # A typing mistake in the stored text would fail too, and prove nothing about the check.
        assert not any(re.match(r"raised (Name|Syntax|Import|ModuleNotFound)Error", text) for text in problems), (
            problems
        )


@by_exercise
def test_wrong_answers_are_different_and_named(exercise):
    texts = [" ".join(text.split()) for text in exercise.wrong_answers.values()]
    assert len(set(texts)) == len(texts) >= 2
    assert all(len(name) > 3 for name in exercise.wrong_answers)


@by_exercise
@pytest.mark.parametrize("seed", [0, *HIDDEN_SEEDS])
def test_cases_are_data_deterministic_and_told(exercise, seed):
    cases, again = exercise.cases(seed), exercise.cases(seed)
    assert cases
    assert len({case.name for case in cases}) == len(cases), "two cases have one name"
    for case, same in zip(cases, again, strict=True):
        assert isinstance(case.arguments, tuple)
        # A NumPy scalar is no array and no Python number: a batch-graded function would get another type.
        assert _same(to_data(case.arguments), case.arguments), f"{case.name}: not plain data (a NumPy scalar?)"
        assert _same(case.arguments, same.arguments), f"{case.name}: other arguments with the same seed"
        for text in (case.name, case.expected, case.hint):
            assert text.strip()
            assert "\n" not in text


@by_exercise
def test_hidden_cases_are_the_visible_ones_with_other_inputs(exercise):
    visible = exercise.cases(0)
    for seed in HIDDEN_SEEDS:
        hidden = exercise.cases(seed)
        assert len(hidden) == len(visible), "points are shares of cases"
        assert not _same(tuple(c.arguments for c in hidden), tuple(c.arguments for c in visible))


@by_exercise
def test_hard_coded_answers_fail_on_hidden_cases(exercise):
    """What the solution returned for the visible cases, returned again without looking at the input."""
    visible = exercise.cases(0)
    memory = [solution_of(exercise.id)(*case.arguments) for case in visible]
    for seed in HIDDEN_SEEDS:
        results = [judge(case, value) for case, value in zip(exercise.cases(seed), memory, strict=True)]
        assert score(exercise, results).status == "failed", f"seed {seed}: the visible answers pass"


@by_exercise
def test_check_itself_takes_no_time(exercise):
    """Less than a tenth of a second besides the learner's own function."""
    inside = 0.0
    solution = solution_of(exercise.id)

    def timed(*args):
        nonlocal inside
        start = time.perf_counter()
        try:
            return solution(*args)
        finally:
            inside += time.perf_counter() - start

    overheads = []
    for _ in range(3):  # the best of three: the machine may be busy
        inside, start = 0.0, time.perf_counter()
        check_function(exercise, timed)
        overheads.append(time.perf_counter() - start - inside)
    assert min(overheads) < 0.1


def _same(one, other) -> bool:
    """Equal plain data of equal types, with NaN equal to itself."""
    if type(one) is not type(other):
        return False
    if isinstance(one, np.ndarray):
        same_kind = one.dtype == other.dtype and one.shape == other.shape
        return same_kind and np.array_equal(one, other, equal_nan=one.dtype.kind == "f")
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(_same(a, b) for a, b in zip(one, other, strict=True))
    if isinstance(one, dict):
        return list(one) == list(other) and all(_same(one[key], other[key]) for key in one)
    return one == other or (one != one and other != other)


# All of them


def test_notebooks_and_registry_name_the_same_exercises():
    in_notebooks = [(c.exercise_id, c.points) for path in SOURCES for c in cells_of(path) if c.tag == "exercise"]
    assert sorted(in_notebooks) == sorted((exercise.id, exercise.points) for exercise in ALL.values())


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.stem)
def test_a_notebook_holds_the_exercises_of_its_lesson_in_order(path):
    ids = [cell.exercise_id for cell in cells_of(path) if cell.tag == "exercise"]
    assert ids == list(registry.lesson_exercises(path.name[:2]))
    assert 4 <= len(ids) <= 6, "a lesson has four to six exercises"


def test_there_is_a_course():
    assert len(ALL) >= 20, "at least 20 exercises in all"
    assert {path.name[:2] for path in SOURCES} == set(registry.lessons())


def test_exercises_are_what_their_solutions_build():
    """The same bytes: after editing a solution run `fedlearn-edu exercises build`."""
    assert build(SOLUTIONS, EXERCISES, check=True) == []
    assert {path.name for path in EXERCISES.glob("*.ipynb")} == {path.name for path in SOURCES}


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.stem)
def test_run_all_on_a_fresh_exercise_reaches_the_end(path):
    """A column of todo, then the table of progress with nothing earned of all points."""
    notebook = nbformat.read(EXERCISES / path.name, as_version=4)
    nbclient.NotebookClient(
        notebook, timeout=120, kernel_name="python3", resources={"metadata": {"path": str(EXERCISES)}}
    ).execute()  # raises at the first cell that fails
    ids = list(registry.lesson_exercises(path.name[:2]))
    for cell in notebook.cells:
        if cell.metadata.get("tags") == ["check"]:
            text = _text(cell)
            assert re.match(rf"○ {re.escape(cell.metadata.fedlearn.id)}  todo  0 of ", text), text
    last = _text([cell for cell in notebook.cells if cell.cell_type == "code"][-1])
    total = sum(ALL[id].points for id in ids)
    assert last.splitlines()[-1] == f"0 of {total} points", "the last code cell shows fl.progress()"
    assert [line.split()[:3] for line in last.splitlines()[:-1]] == [["○", id, "todo"] for id in ids]


def _text(cell) -> str:
    texts = [output.data["text/plain"] for output in cell.outputs if output.output_type == "execute_result"]
    assert len(texts) == 1, f"expected one result, got {cell.outputs}"
    return texts[0]
