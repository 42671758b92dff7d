"""A student's mistake gets the name of the stored wrong answer that behaves alike, and no other."""

import builtins
import dataclasses
import dis
import functools
import json
import types

import pytest
from grading_problems import cell, write
from toy_exercises import WEIGHTED_MEAN, mean_cases

from fedlearn_edu.course.checks.checking import check_function
from fedlearn_edu.course.checks.registry import all_exercises
from fedlearn_edu.course.grading import grade, mistakes
from fedlearn_edu.course.grading.hidden import hidden_cases
from fedlearn_edu.course.grading.marks import Mark, _row
from fedlearn_edu.course.grading.mistakes import name_mistakes

MEAN = "98.weighted_mean"
# As many clients as the seed says: the hidden seeds are too wide for that.
TOY = dataclasses.replace(WEIGHTED_MEAN, cases=lambda seed: mean_cases(1 + seed % 5))
SIGN = """
def weighted_mean(deltas, sizes):
    total = None
    for delta, size in zip(deltas, sizes):
        step = [[-size * value for value in row] for row in delta]
        total = step if total is None else [[a + b for a, b in zip(*rows)] for rows in zip(total, step)]
    if total is None:
        return None
    return [[value / sum(sizes) for value in row] for row in total]
"""
HALF = "def weighted_mean(deltas, sizes):\n    return np.average(deltas, axis=0, weights=sizes) / 2 if deltas else None"
LOST = "def weighted_mean(deltas, sizes):\n    return deltas['a']"
RIGHT = "def weighted_mean(deltas, sizes):\n    return np.average(deltas, axis=0, weights=sizes) if deltas else None"


def book(source):
    cells = [cell("import numpy as np"), cell(source), cell('check("98.weighted_mean", weighted_mean)')]
    return json.dumps({"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 5}).encode()


def marked(exercise, source, seed=5):
    """The mark of a function, as grading notes it."""
    namespace = mistakes._furniture(source)
    exec(source, namespace)
    trial = dataclasses.replace(exercise, cases=lambda _: hidden_cases(exercise, seed))
    result = check_function(trial, namespace[exercise.function_name])
    rows = tuple(_row(case) for case in result.cases)
    return Mark(exercise.id, exercise.title, result.status, result.points, exercise.points, "", rows)


def named(exercise, sources, seed=5):
    marks = {name: [marked(exercise, source, seed)] for name, source in sources.items()}
    make_cases = {exercise.id: functools.partial(hidden_cases, exercise, seed)}
    found = name_mistakes({exercise.id: exercise}, make_cases, marks)
    return {name: found.get((name, exercise.id), "") for name in sources}


def test_a_mistake_written_in_another_way_is_known_and_another_one_is_not():
    assert named(TOY, {"lists": SIGN, "half": HALF, "lost": LOST, "right": RIGHT}) == {
        "lists": "flipped sign", "half": "", "lost": "", "right": "",
    }  # fmt: skip


def test_two_stored_answers_that_cannot_be_told_apart_are_both_named():
    twice = dict(TOY.wrong_answers) | {"subtracts": SIGN}
    exercise = dataclasses.replace(TOY, wrong_answers=twice)
    assert named(exercise, {"ada": SIGN}) == {"ada": "flipped sign or subtracts"}
    thrice = dataclasses.replace(exercise, wrong_answers=twice | {"negative": SIGN})
    assert named(thrice, {"ada": SIGN}) == {"ada": ""}, "one of three is no reason"


def test_random_numbers_are_known_by_what_is_wrong_with_them():
    exercise = all_exercises()["00.sample_cohorts"]
    own = exercise.wrong_answers["the seed is ignored"].replace("(rng.", "(own.").replace("rng =", "own =")
    assert named(exercise, {"ada": own}) == {"ada": "the seed is ignored"}


def test_stored_answers_that_end_never_or_badly_cost_only_names(monkeypatch):
    monkeypatch.setattr(mistakes, "_CPU_SECONDS", 1)
    stored = {
        "no such name": "def weighted_mean(deltas, sizes):\n    return gone(deltas)",
        "no Python": "def weighted_mean(:",
        "flipped sign": TOY.wrong_answers["flipped sign"],
        "endless": "def weighted_mean(deltas, sizes):\n    while True: pass",
        "never reached": SIGN,
    }
    exercise = dataclasses.replace(TOY, wrong_answers=stored)
    gone = "def weighted_mean(deltas, sizes):\n    return gone(deltas)"
    assert named(exercise, {"ada": SIGN, "bo": gone}) == {"ada": "flipped sign", "bo": ""}


def test_grading_names_mistakes(tmp_path):
    only = {MEAN: TOY}
    write(tmp_path / "in", {"ada.ipynb": book(SIGN), "bo.ipynb": book(LOST)})
    result = grade(tmp_path / "in", output=tmp_path / "g.csv", exercises=only, memory_gb=1.0, progress=False)
    assert result.mistakes == {("ada", MEAN): "flipped sign"}
    assert result.exercises_table()["common_mistakes"].tolist() == [(("flipped sign", 1),)]
    rows = result.marks["ada"][0].cases
    assert [name for name, _ in rows[0]["arguments"]] == ["deltas", "sizes"]
    assert "flipped sign: 1" in (tmp_path / "g_overview.html").read_text(encoding="utf-8")


def _names_read(code):
    found = {one.argval for one in dis.get_instructions(code) if one.opname in ("LOAD_GLOBAL", "LOAD_NAME")}
    return found.union(*(_names_read(one) for one in code.co_consts if isinstance(one, types.CodeType)))


@pytest.mark.parametrize("lesson", sorted({exercise.lesson for exercise in all_exercises().values()}))
def test_the_course_s_stored_answers_have_all_they_need(lesson):
    """One that lacks a name could never be the name of a student's mistake."""
    for exercise in all_exercises().values():
        for name, source in exercise.wrong_answers.items() if exercise.lesson == lesson else ():
            namespace = mistakes._furniture(source)
            exec(source, namespace)
            lacking = _names_read(compile(source, name, "exec")) - namespace.keys() - set(dir(builtins))
            assert not lacking, f"{exercise.id} {name}: {lacking}"
