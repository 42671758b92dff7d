"""Whoever is right in Jupyter gets full marks, whatever else stands in the notebook; whoever is wrong does not."""

import json
import subprocess
import sys

import pytest
from grading_problems import cell, make_exercises, write
from honest_notebooks import honest_notebooks

from fedlearn_edu.course.grading import grade

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


def marks(tmp_path, notebooks, *names):
    folder = write(tmp_path / "in", {f"{name}.ipynb": as_notebook(cells) for name, cells in notebooks.items()})
    result = grade(folder, output=tmp_path / "grades.csv", exercises=exercises(*names), **OPTIONS)
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
