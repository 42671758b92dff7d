"""Whoever is right in Jupyter gets full marks, whatever else stands in the notebook; whoever is wrong does not."""

import json
import subprocess
import sys

import pytest
from grading_problems import cell, make_exercises, write
from honest_notebooks import MEAN, honest_notebooks

from fedlearn_edu.course.grading import grade
from fedlearn_edu.course.grading.sandbox import run_guarded
from fedlearn_edu.course.grading.walls import prepare

NOTEBOOKS = honest_notebooks()
OPTIONS = {"timeout": 60.0, "memory_gb": 4.0, "jobs": 2, "progress": False, "seed": 5}
IN_IPYTHON = """
import json, sys
from IPython.core.interactiveshell import InteractiveShell
import matplotlib
matplotlib.use("agg")
InteractiveShell.enable_gui = lambda self, gui=None: None  # as in a kernel
shell, found = InteractiveShell.instance(), {}
for name, cells in json.load(sys.stdin).items():
    shell.reset(new_session=True)
    sys.setrecursionlimit(1000)
    found[name] = []
    for cell in cells:  # a check stands somewhere in between
        shell.run_cell(cell, store_history=True)
        try:
            names = shell.user_ns
            mean = names["weighted_mean"]([1.0, 2.0, 6.0], [1, 1, 2])
            found[name].append([mean, names["largest_client"]({"a": 1, "b": 2})])
        except BaseException as error:
            found[name].append([repr(error), None])
sys.stderr.write("\\n" + json.dumps(found))
"""


def as_notebook(cells):
    return json.dumps({"cells": [cell(source) for source in cells], "metadata": {}, "nbformat": 4}).encode()


def exercises(*names):
    return {id: exercise for id, exercise in make_exercises().items() if exercise.function_name in names}


def marks(tmp_path, notebooks, *names, **options):
    folder = write(tmp_path / "in", {f"{name}.ipynb": as_notebook(cells) for name, cells in notebooks.items()})
    result = grade(folder, output=tmp_path / "grades.csv", exercises=exercises(*names), **OPTIONS | options)
    return {student: {mark.title: mark for mark in marks} for student, marks in result.marks.items()}


@pytest.fixture(scope="module")
def graded(tmp_path_factory):
    return marks(tmp_path_factory.mktemp("honest"), NOTEBOOKS, "weighted_mean", "largest_client")


@pytest.fixture(scope="module")
def in_ipython(tmp_path_factory):
    run = subprocess.run(
        [sys.executable, "-c", IN_IPYTHON], input=json.dumps(NOTEBOOKS), cwd=tmp_path_factory.mktemp("ipython"),
        capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    return json.loads(run.stderr.splitlines()[-1])


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_what_is_right_in_jupyter_keeps_its_marks(graded, in_ipython, name):
    assert [3.75, "a"] in in_ipython[name], "right in Jupyter, and the other function wrong"
    right, wrong = graded[name]["weighted_mean"], graded[name]["largest_client"]
    assert (right.status, right.points, right.message) == ("passed", 6, "")
    assert (wrong.status, wrong.points) == ("failed", 0)


# What `alias` does to `state` is seen by running all cells alone; a slice leaves it out.
INDIRECT = "state = []\nalias = state\nalias.append(1)\n"
SECOND_TRIES = {
    "right as a whole": [INDIRECT, f"def weighted_mean(values, weights): return {MEAN} if state else None"],
    "right as a slice": [INDIRECT, f"def weighted_mean(values, weights): return None if state else {MEAN}"],
    "right beside an endless cell": [
        "table = [1.0]",
        f"def weighted_mean(values, weights): return table[0] * {MEAN}",
        "while True: pass",
    ],
    "wrong beside an endless cell": [
        "table = [1.0]",
        f"def weighted_mean(values, weights): return table[0] + {MEAN}",
        "while True: pass",
    ],
    # The first of six cases as a slice, the other five as a whole: the better try counts, not the best of each.
    "half right twice": [
        INDIRECT,
        "calls = []\ndef weighted_mean(values, weights):\n    calls.append(1)\n"
        f"    return {MEAN} if bool(state) == (len(calls) > 1) else None",
    ],
}


def test_what_a_slice_cannot_show_is_tried_as_a_whole(tmp_path):
    notebooks = {name: ["import numpy as np", *cells] for name, cells in SECOND_TRIES.items()}
    graded = marks(tmp_path, notebooks, "weighted_mean", timeout=5.0)
    found = {name: graded[name]["weighted_mean"] for name in SECOND_TRIES}
    assert {name: (mark.status, mark.points) for name, mark in found.items()} == {
        "right as a whole": ("passed", 6),
        "right as a slice": ("passed", 6),
        "right beside an endless cell": ("passed", 6),
        "wrong beside an endless cell": ("failed", 0),
        "half right twice": ("failed", 1.25),
    }
    assert found["wrong beside an endless cell"].message == "not the weighted mean"


def nested_finally(depth):
    lines = [f"{'    ' * i}{line}" for i in range(depth) for line in ("try: pass", "finally:")]
    return "\n".join([*lines, "    " * depth + "x = 1"])


@pytest.mark.parametrize(
    ("before", "ending", "problem"),
    [
        ("import numpy.f2py.__main__ as module", "ended", "raised SystemExit"),
        ("module = (_ for _ in ()).throw(KeyboardInterrupt)", "ended", "raised KeyboardInterrupt"),
        ("module = (_ for _ in ()).throw(GeneratorExit)", "ended", "raised GeneratorExit"),
        ("module = 9**9**9", "timeout", ""),
        (nested_finally(20), "timeout or ended", ""),  # without the cell, where memory ends before time does
        ("module = " + "(" * 10_000, "ended", "raised NameError"),
    ],
    ids=["exits", "interrupts", "closes", "computes", "compiles", "nests"],
)
def test_a_start_that_fails_is_the_learners_doing(before, ending, problem):
    job = {"function": "f", "cells": [before, "def f(x): return module"], "arguments": [[1]]}
    with prepare() as walls:
        outcome = run_guarded(job, walls, timeout=2.0, memory_gb=1.0)
    assert outcome.started
    assert outcome.ending in ending.split(" or ")
    assert problem in json.dumps(outcome.frames)
    assert not any("value" in frame for frame in outcome.frames)
