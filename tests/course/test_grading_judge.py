"""The grader's own side: whatever comes back costs its sender only, and what the system ends is run again."""

import dataclasses
import json
import os
import pathlib
import resource
import signal
import time

import numpy as np
import pytest
from fuzz_judge import COLLIDING, judged, nodes
from grading_problems import HONEST, make_exercises, notebook, write
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fedlearn_edu.course.checks.checking import Case, Exercise
from fedlearn_edu.course.checks.compare import near
from fedlearn_edu.course.checks.exercise import weighted
from fedlearn_edu.course.grading import grade, marks, workers
from fedlearn_edu.course.grading.inside import wire
from fedlearn_edu.course.grading.isolation import _without, remove_folder
from fedlearn_edu.course.grading.limited import run_limited
from fedlearn_edu.course.grading.sandbox import Outcome, run_guarded

EXERCISES = make_exercises()
EXERCISE = EXERCISES["90.model_delta"]
OPTIONS = {"timeout": 20.0, "memory_gb": 1.0, "progress": False, "seed": 5}
bounded = settings(max_examples=150, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))


def sent(*values, exercise=EXERCISE, ending="ended", raw=b"", seed=3):
    """The mark for these values, sent as the answers to the first cases, and the processor and wall seconds it took."""
    received = b"".join(json.dumps({"case": n, "value": value}).encode() + b"\n" for n, value in enumerate(values))
    before = time.monotonic()
    limits = {"timeout": 1.0, "memory_gb": 1.0}
    mark = marks.mark(exercise, exercise.cases(seed), Outcome(True, received + raw, ending, 0), **limits)
    return mark, time.monotonic() - before


def right(seed=3):
    pairs = [case.arguments for case in EXERCISE.cases(seed)]
    return [wire.encode([initial[0] - trained[0]]) for initial, trained in pairs]


def test_right_answers_pass_through_the_limited_child():
    mark, _ = sent(*right())
    assert (mark.status, mark.points) == ("passed", 3)


def test_right_answers_that_would_do_for_each_other_are_one():
    cases = lambda seed: [  # noqa: E731
        Case(name, (0,), near(expected, tolerance=0.01), "a number", "")
        for name, expected in zip("abc", [0, 0, 5], strict=True)
    ]
    exercise = Exercise("90.model_delta", 3, "t", cases, {"a": "pass", "b": "pass"})
    shaken, _ = sent(0.004, -0.003, 0.001, exercise=exercise)
    assert (shaken.status, shaken.points) == ("failed", 0), (
        "no other answer than 0, but for what the tolerance forgives"
    )
    looked, _ = sent(0.004, 1, 5, exercise=exercise)
    assert (looked.status, looked.points) == ("failed", 0.5)
    assert [case["passed"] for case in looked.cases] == [True, False, True]
    assert sent(0, 0, 5, exercise=exercise)[0].points == 3


def test_the_rule_for_points_and_the_weights_go_through_the_limited_child():
    trivial = weighted(EXERCISE.cases, {"shape (4,)": 0})
    exercise = dataclasses.replace(EXERCISE, cases=trivial)
    received = b"".join(
        json.dumps({"case": n, "value": v}).encode() + b"\n" for n, v in enumerate([*right()[:2], None])
    )
    for partial in ("cases", "half", "none"):
        outcome = Outcome(True, received, "ended", 0)
        mark = marks.mark(exercise, exercise.cases(3), outcome, timeout=1.0, memory_gb=1.0).under(partial)
        assert (mark.status, mark.points) == ("failed", 0), "only one of the two right answers counts"
        assert [case["weight"] for case in mark.cases] == [1, 0, 1]
        assert mark.earned.startswith("2 of 3 cases right: points ")
        plain = marks.mark(EXERCISE, EXERCISE.cases(3), outcome, timeout=1.0, memory_gb=1.0).under(partial)
        assert plain.points == {"cases": 0.5, "half": 1.5, "none": 0}[partial]


def test_a_flood_of_lines_costs_nothing_and_what_came_before_counts():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    mark, seconds = sent(*right()[:2], raw=b"\n" * (32 * 2**20), ending="output")
    assert (mark.status, mark.points) == ("failed", 0.5)
    assert mark.cases[2]["problem"] == "the answers are too large"
    assert seconds < 10
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 300 * 1024, "it is read in the child"


def test_keys_that_hash_alike_are_refused():
    for keys in ([i * COLLIDING for i in range(199_000)], [2**60, 2**61], ["a", "a"], list(range(1001))):
        mark, seconds = sent({"dict": [[key, 0] for key in keys]}, *right()[1:])
        assert (mark.points, mark.cases[0]["problem"]) == (0.5, "what came back is no plain data")
        assert seconds < 10
    assert wire.decode({"dict": [[2**60 - 1, 0], [-5, 1], ["a", 2]]}) == {2**60 - 1: 0, -5: 1, "a": 2}


def exercise_with(verify):
    cases = lambda seed: [Case(name, (seed,), verify, "any", "any") for name in ("first", "second", "third")]  # noqa: E731
    return Exercise("90.any", 3, "Any", cases, {"a": "pass", "b": "pass"})


def test_a_check_that_never_ends_in_c_is_ended_and_the_cases_before_it_count(monkeypatch):
    monkeypatch.setattr(marks, "_JUDGE_SECONDS", 1)
    # A set of numbers that hash alike: the square of their number, with no line of Python in between.
    exercise = exercise_with(lambda got: None if len(set(got)) == len(got) else "twice")
    alike = [i * COLLIDING for i in range(190_000)]
    mark, seconds = sent({"list": [1, 2]}, {"list": alike}, {"list": [3]}, exercise=exercise)
    assert [case["passed"] for case in mark.cases] == [True, False, False]
    assert mark.cases[1]["problem"] == "the result is too large to be compared"
    assert seconds < 30


def test_a_check_that_takes_all_memory_costs_that_case_only(monkeypatch):
    monkeypatch.setattr(marks, "_JUDGE_BYTES", 2**28)
    exercise = exercise_with(lambda got: None if np.ones(int(got)).sum() > 0 else "none")
    mark, _ = sent(1, 2**40, 2, exercise=exercise)
    assert [case["passed"] for case in mark.cases] == [True, False, True]


def test_a_fault_of_ours_is_no_fault_of_the_learner(monkeypatch):
    monkeypatch.setattr(marks, "judge", lambda case, value: 1 / 0)
    with pytest.raises(RuntimeError, match="ZeroDivisionError"):
        sent(*right())


def test_the_limited_child_ends_with_its_work(tmp_path):
    assert run_limited(lambda send: [send(1), send(["a"])], cpu_seconds=5, memory_bytes=2**28) == ([1, ["a"]], "")
    values, problem = run_limited(lambda send: [send(1), os._exit(9)], cpu_seconds=5, memory_bytes=2**28)
    assert (values, problem) == ([1], "the process for it ended with 9")

    def spin(send):
        send(2)
        while True:
            pass

    values, problem = run_limited(spin, cpu_seconds=1, memory_bytes=2**28)
    assert (values, problem) == ([2], "it takes more than 1 s of processor time")
    values, problem = run_limited(lambda send: bytearray(2**29), cpu_seconds=5, memory_bytes=2**28)
    assert values == []
    assert problem.startswith("it takes more than 256 MiB of memory")


@bounded
@given(st.lists(nodes, min_size=1, max_size=6))
def test_any_answer_is_judged(values):
    received = b"".join(json.dumps({"case": n, "value": value}).encode() + b"\n" for n, value in enumerate(values))
    assert not any(result.passed for result in judged(EXERCISE, EXERCISE.cases(3), received))


@bounded
@given(st.lists(st.binary(max_size=80) | st.sampled_from([b"[" * 5000, b'{"case": 0}', b"9" * 9000]), max_size=8))
def test_any_bytes_are_judged(lines):
    judged(EXERCISE, EXERCISE.cases(3), b"\n".join(lines) + b"\n")


@bounded
@given(nodes)
def test_whatever_is_decoded_is_plain_data(node):
    try:
        value = wire.decode(json.loads(json.dumps(node)))
    except wire.WireError:
        return
    assert type(value) in (type(None), bool, int, float, str, list, tuple, dict, np.ndarray)
    again = wire.decode(json.loads(json.dumps(wire.encode(value))))
    np.testing.assert_equal(again, value)


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.lists(inner, max_size=4).map(tuple)
        | st.dictionaries(st.text(max_size=4) | st.integers(-(2**60) + 1, 2**60 - 1), inner, max_size=4)
    ),
    max_leaves=20,
)


@bounded
@given(values)
def test_plain_data_crosses_unchanged(value):
    back = wire.decode(json.loads(json.dumps(wire.encode(value))))
    np.testing.assert_equal(back, value)
    assert type(back) is type(value)


def deep(folder: pathlib.Path, levels: int) -> None:
    """A chain of folders that no path can name; the deepest may not even be entered."""
    top = os.open(folder, os.O_RDONLY)
    for _ in range(levels):
        os.mkdir("d" * 20, dir_fd=top)
        below = os.open("d" * 20, os.O_RDONLY, dir_fd=top)
        os.close(top)
        top = below
    os.mkdir("closed", 0o000, dir_fd=top)
    os.close(top)


def test_a_folder_of_any_depth_is_deleted(tmp_path):
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept" / "file").write_text("x")
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "link").symlink_to(tmp_path / "kept")
    deep(tmp_path / "home", 3000)
    remove_folder(tmp_path / "home")
    assert not (tmp_path / "home").exists()
    assert (tmp_path / "kept" / "file").read_text() == "x"
    remove_folder(tmp_path / "never there")


def test_landlock_opens_all_but_what_is_hidden(tmp_path):
    for name in ("lib/a/x.py", "lib/b/y.py", "lib/app/secret", "lib/app/python/z.py"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("x")
    (tmp_path / "lib" / "round").symlink_to(tmp_path / "lib")
    lib = str(tmp_path / "lib")
    opened, listed = _without((lib, f"{lib}/app/python"), (f"{lib}/app",), (lib,))
    assert sorted(opened) == [f"{lib}/a", f"{lib}/app/python", f"{lib}/b"]
    assert listed == [lib]


def test_who_ends_the_graders_own_process_loses_alone(tmp_path, monkeypatch):
    killed = tmp_path / "killed"

    def die(job, isolation, **options):
        if job["function"] == "weighted_mean" and "# BEN" in str(job["cells"]):
            with open(killed, "a") as stream:
                stream.write("x")
            os.kill(os.getpid(), signal.SIGKILL)
        return run_guarded(job, isolation, **options)

    monkeypatch.setattr(workers, "run_guarded", die)
    folder = write(tmp_path / "in", {"ada.ipynb": notebook(), "cleo.ipynb": notebook()})
    write(folder, {"ben.ipynb": notebook(weighted_mean="# BEN\n" + HONEST["weighted_mean"])})
    result = grade(folder, output=tmp_path / "g.csv", exercises=EXERCISES, jobs=2, **OPTIONS)
    assert [result.total(student) for student in ("ada", "ben", "cleo")] == [11.0, 5.0, 11.0]
    assert result.marks["ben"][0].status == "ungraded"
    assert len(killed.read_text()) == 4, "once beside others, three times alone"
    monkeypatch.setattr(workers, "run_guarded", run_guarded)
    again = grade(folder, output=tmp_path / "g.csv", exercises=EXERCISES, jobs=2, resume=True, **OPTIONS)
    assert again.total("ben") == 11.0
    assert again.num_resumed == 8


def test_after_a_known_error_the_feedback_helps_with_that_error():
    case = Case("a case", (1,), lambda answer: None, "a number", "Who counts for more?")
    error = "raised TypeError: unsupported operand type(s) for -: 'list' and 'list' (in f, code cell 3, line 2)"
    _, result = marks._judged(case, {"error": error})
    assert (result.problem, "a model is a *list* of arrays" in result.hint) == (error, True)
    _, result = marks._judged(case, {"error": "raised ZeroDivisionError: division by zero"})
    assert result.hint == "Who counts for more?"


@pytest.mark.parametrize("error", [RecursionError("deep"), ValueError("any"), MemoryError()])
def test_an_error_of_the_grader_is_that_tasks_alone(tmp_path, monkeypatch, error):
    def fail(job, isolation, **options):
        if job["function"] == "weighted_mean":
            raise error
        return run_guarded(job, isolation, **options)

    monkeypatch.setattr(workers, "run_guarded", fail)
    folder = write(tmp_path / "in", {"ada.ipynb": notebook()})
    result = grade(folder, output=tmp_path / "g.csv", exercises=EXERCISES, jobs=1, **OPTIONS)
    assert [mark.status for mark in result.marks["ada"]] == ["ungraded", "passed", "passed"]


@pytest.mark.parametrize("code", [-9, 137])
def test_who_is_killed_from_outside_is_run_again_alone(tmp_path, monkeypatch, code):
    def killed_at_first(job, isolation, **limits):
        if not (before := tmp_path / job["function"]).exists():  # the workers are processes of their own
            before.touch()
            return Outcome(True, b'{"started": []}\n', "ended", code)
        return run_guarded(job, isolation, **limits)

    monkeypatch.setattr(workers, "run_guarded", killed_at_first)
    folder = write(tmp_path / "in", {"ada.ipynb": notebook()})
    result = grade(folder, output=tmp_path / "g.csv", exercises=EXERCISES, jobs=2, **OPTIONS)
    assert result.total("ada") == 11.0
