"""A mark depends on the student's own notebook: not on whose turn came before, nor on who had the processor."""

import pytest
from grading_problems import make_exercises, notebook, write

from fedlearn_edu.course.checks.checking import Case, Exercise
from fedlearn_edu.course.grading import grade, workers
from fedlearn_edu.course.grading.sandbox import Outcome, run_guarded

OPTIONS = {"timeout": 20.0, "memory_gb": 1.0, "jobs": 1, "progress": False, "seed": 5}


def remembering_cases(seed):
    """The second case compares with what came back for the first, as checks of seeds do."""
    remembered = []

    def first(got):
        remembered.append(got)
        return None if got > 0 else "not above 0"

    def same(got):
        return None if got == (remembered or [seed % 1000])[0] else "not the same as before"

    arguments = (seed % 1000,)
    return [Case("first", arguments, first, "a number", "any"), Case("again", arguments, same, "the same", "same")]


def test_a_neighbours_answers_are_forgotten(tmp_path):
    wrong = {"a": "pass", "b": "pass"}
    exercise = Exercise("90.largest_client", points=4, title="Any", cases=remembering_cases, wrong_answers=wrong)
    # Ben fails the first case of each pair and then answers consistently: half of the cases, after whomever.
    ben = """\
        calls = []
        def largest_client(seed):
            calls.append(1)
            if len(calls) % 2: raise ValueError
            return seed
    """
    ada = "def largest_client(seed):\n    return 1"
    submissions = {f"{name}.ipynb": notebook(largest_client=f) for name, f in [("ada", ada), ("ben", ben)]}
    folder = write(tmp_path / "in", submissions)
    result = grade(folder, output=tmp_path / "g.csv", exercises={exercise.id: exercise}, **OPTIONS)
    assert [mark.points for mark in result.marks["ada"]] == [4]
    assert [mark.points for mark in result.marks["ben"]] == [0.5]


@pytest.mark.parametrize(("starved", "status", "attempts"), [(True, "passed", 2), (False, "timeout", 1)])
def test_only_whoever_had_no_processor_gets_another_turn(tmp_path, monkeypatch, starved, status, attempts):
    calls = tmp_path / "calls"

    def too_late_at_first(job, isolation, *, patience, **limits):
        with open(calls, "a") as file:  # the workers are processes of their own
            file.write("x")
        assert patience > 1, "who waits for the processor goes on; to begin anew would take a loop's time twice"
        if calls.read_text() == "x":
            return Outcome(True, b"", "timeout", -9, starved)
        return run_guarded(job, isolation, patience=patience, **limits)

    monkeypatch.setattr(workers, "run_guarded", too_late_at_first)
    exercises = {id: e for id, e in make_exercises().items() if e.function_name == "largest_client"}
    folder = write(tmp_path / "in", {"ada.ipynb": notebook()})
    result = grade(folder, output=tmp_path / "g.csv", exercises=exercises, **OPTIONS)
    assert [mark.status for mark in result.marks["ada"]] == [status]
    assert calls.read_text() == "x" * attempts
