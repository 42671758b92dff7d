"""The gate of every exercise: solution passes, stub is todo, wrong answers fail; notebooks, registry, files agree."""

import ast
import copy
import functools
import inspect
import pathlib
import re
import time

import nbclient
import nbformat
import numpy as np
import pytest
from jupyter_core.utils import run_sync
from shared import REPOSITORY

import fedlearn_edu as fl
from fedlearn_edu.course.authoring import build
from fedlearn_edu.course.checks import checking, registry
from fedlearn_edu.course.checks.checking import check_function, judge, score
from fedlearn_edu.course.checks.data import to_data
from fedlearn_edu.course.solution_cells import read_solution

SOLUTIONS, EXERCISES = REPOSITORY / "solutions", REPOSITORY / "exercises"
ALL = registry.all_exercises()
SOURCES = sorted(SOLUTIONS.glob("*.ipynb"))
HIDDEN_SEEDS = (1, 2, 31)
FEWER_SEEDS = {"13.noise_for": (2,)}  # a second and more for each
by_exercise = pytest.mark.parametrize("exercise", ALL.values(), ids=ALL)


def seeds_of(exercise) -> tuple[int, ...]:
    """The visible seed and some hidden ones."""
    return (0, *FEWER_SEEDS.get(exercise.id, HIDDEN_SEEDS))


@functools.cache
def cells_of(path: pathlib.Path):
    return read_solution(path)


@functools.cache
def home_of(exercise_id: str) -> pathlib.Path:
    """The solutions notebook that holds an exercise."""
    found = [path for path in SOURCES if any(cell.exercise_id == exercise_id for cell in cells_of(path))]
    assert len(found) == 1, f"{exercise_id}: expected in one solutions notebook, found in {[p.name for p in found]}"
    return found[0]


@functools.cache
def imports_of(path: pathlib.Path):
    """All top-level imports of a notebook's ordinary code cells, compiled: what a function may rely on."""
    statements = []
    for cell in cells_of(path):
        if cell.kind == "code" and not cell.tag:
            plain = re.sub(r"(?m)^\s*[%!].*$", "", cell.source)  # Jupyter's own commands are no Python
            tree = ast.parse(plain)
            statements += [node for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom)]
    return compile(ast.Module(statements, type_ignores=[]), f"imports of {path.name}", "exec")


@functools.cache
def functions_of(path: pathlib.Path, *, stubs: bool):
    """The solution cells of a notebook, or their stubs, compiled one by one."""
    cells = [cell for cell in cells_of(path) if cell.tag == "solution"]
    return [compile(c.stub if stubs else c.source, f"{path.name}-{c.number}", "exec") for c in cells]


def namespace_of(exercise_id: str, *, stubs: bool = False) -> dict:
    """What a kernel holds after the imports and all solution cells (or the stubs) of the exercise's notebook."""
    path = home_of(exercise_id)
    namespace = {"np": np, "__name__": "__main__"}
    for code in (imports_of(path), *functions_of(path, stubs=stubs)):
        exec(code, namespace)
    return namespace


@functools.cache
def solution_of(exercise_id: str):
    namespace = namespace_of(exercise_id)
    return namespace[exercise_id.split(".")[1]]


@functools.cache
def solved(exercise_id: str, seed: int):
    """The verdict on the solution, and what it returned for each case: copy it before you give it away."""
    returned = []

    def recorded(*arguments):
        returned.append(copy.deepcopy(solution_of(exercise_id)(*arguments)))
        return returned[-1]

    return check_function(ALL[exercise_id], recorded, seed=seed), tuple(returned)


@pytest.fixture(autouse=True, scope="module")  # no longer: the tests of other modules want the real ones
def without_what_takes_long():
    """Not again what other tests prove: how values are shown, and the accountant on runs that it was asked about."""
    from fedlearn_edu.privacy import accounting

    real = functools.cache(accounting.epsilon)

    def remembered(*, noise_multiplier, **run):
        return real(noise_multiplier=float(f"{noise_multiplier:.6g}"), **run)  # what is shaken finds its twin

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(checking, "describe", lambda value, *, limit=400: type(value).__name__)
        patch.setattr(accounting, "epsilon", remembered)
        patch.setattr(fl, "epsilon", accounting.epsilon, raising=False)
        yield


# Each exercise


@by_exercise
def test_solution_passes(exercise):
    for seed in seeds_of(exercise):
        result, _ = solved(exercise.id, seed)
        assert result.status == "passed", f"seed {seed}: {result}"
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


@by_exercise
def test_wrong_answers_fail_and_earn_a_quarter_at_most(exercise):
    for name, text in exercise.wrong_answers.items():
        namespace = namespace_of(exercise.id)
        del namespace[exercise.function_name]
        exec(compile(text, f"wrong answer {name!r}", "exec"), namespace)
        wrong = namespace.get(exercise.function_name)
        assert wrong is not None, f"{name}: defines no {exercise.function_name}"
        assert tuple(inspect.signature(wrong).parameters) == exercise.parameters
        for seed in seeds_of(exercise):
            result = check_function(exercise, wrong, seed=seed)
            assert result.status == "failed", f"{name}, seed {seed}: {result}"
            assert result.points <= exercise.points / 4, f"{name}, seed {seed}: {result}"
            for case, right in zip(result.cases, solved(exercise.id, seed)[1], strict=True):
                # A typing mistake in the stored text would fail too, and prove nothing about the check.
                assert not re.match(r"raised (Name|Syntax|Import|ModuleNotFound)Error", case.problem), f"{name}: {case}"
                if seed and not case.passed:
                    told = f"{case.expected} {case.problem} {case.hint}"
                    assert not [n for n in long_numbers(right) if n in told], (
                        f"{name}, seed {seed}: gives it away: {case}"
                    )


def long_numbers(value) -> set[str]:
    """The numbers of an answer as text, cut to four digits; shorter ones may stand in a text for another reason."""
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list | tuple):
        return set().union(*map(long_numbers, value))
    array = np.asarray(value)
    if array.dtype.kind not in "iuf":
        return set()
    texts = {f"{abs(number):.12f}".rstrip("0").rstrip(".") for number in array.ravel().tolist()}
    return {text[:5] for text in texts if len(text.replace(".", "").lstrip("0")) > 3}


@by_exercise
def test_wrong_answers_are_different_and_named(exercise):
    texts = [" ".join(text.split()) for text in exercise.wrong_answers.values()]
    assert len(set(texts)) == len(texts) >= 2
    assert all(len(name) > 3 for name in exercise.wrong_answers)


@by_exercise
def test_cases_are_data_deterministic_and_told(exercise):
    for seed in seeds_of(exercise):
        cases, again = exercise.cases(seed), exercise.cases(seed)
        assert len({case.name for case in cases}) == len(cases), "two cases have one name"
        assert all(case.weight >= 0 for case in cases)
        assert sum(case.weight for case in cases) > 1, "nothing but trivial cases"
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
    for seed in seeds_of(exercise)[1:]:
        hidden = exercise.cases(seed)
        assert len(hidden) == len(visible), "points are shares of cases"
        assert not _same(tuple(c.arguments for c in hidden), tuple(c.arguments for c in visible))


@by_exercise
def test_hard_coded_answers_fail_on_hidden_cases(exercise):
    """What the solution returned for the visible cases, returned again without looking at the input."""
    memory = solved(exercise.id, 0)[1]
    for seed in seeds_of(exercise)[1:]:
        results = [judge(case, value) for case, value in zip(exercise.cases(seed), memory, strict=True)]
        assert score(exercise, results).status == "failed", f"seed {seed}: the visible answers pass"


@by_exercise
def test_check_itself_takes_no_time(exercise):
    """Less than a tenth of a second of the processor besides the learner's own function."""
    memory = solved(exercise.id, 0)[1]
    times = []
    while len(times) < 3 and min(times, default=1.0) >= 0.1:  # the best of three: the first one may load a library
        answers, start = iter(memory), time.process_time()
        assert check_function(exercise, lambda *_, answers=answers: next(answers)).passed
        times.append(time.process_time() - start)
    assert min(times) < 0.1


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


@pytest.fixture(scope="module")
def kernel():
    """One kernel for all notebooks: most of the time of a fresh one goes into loading what the last one had loaded."""
    manager = nbclient.NotebookClient(nbformat.v4.new_notebook(), kernel_name="python3").create_kernel_manager()
    run_sync(manager.start_kernel)(cwd=str(EXERCISES))
    yield manager
    run_sync(manager.shutdown_kernel)(now=True)


FORGET = "%reset -f\nfrom fedlearn_edu.course.checks import learner\nlearner.forget()\ndel learner"


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.stem)
def test_run_all_on_a_fresh_exercise_reaches_the_end(path, kernel):
    """A column of todo, then the table of progress with nothing earned of all points."""
    notebook = nbformat.read(EXERCISES / path.name, as_version=4)
    notebook.cells.insert(0, nbformat.v4.new_code_cell(FORGET))
    nbclient.NotebookClient(notebook, timeout=120, km=kernel).execute()  # raises at the first cell that fails
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
