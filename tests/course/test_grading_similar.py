"""Answers that are alike but for names and layout: found among 26, and never on account of one short function."""

import itertools
import json
import textwrap

import pytest
from grading_problems import cell, insights, write

from fedlearn_edu.course.checks.checking import Exercise
from fedlearn_edu.course.grading import grade
from fedlearn_edu.course.grading.plan import Task, make_plan
from fedlearn_edu.course.grading.similar import find_similar
from fedlearn_edu.course.grading.submissions import read_submissions

GRADIENT = '''
def gradient(weights, inputs, labels):
    """The gradient of the loss."""
    scores = inputs @ weights
    scores = scores - scores.max(axis=1, keepdims=True)
    odds = np.exp(scores)
    shares = odds / odds.sum(axis=1, keepdims=True)
    shares[np.arange(len(labels)), labels] -= 1
    return inputs.T @ shares / len(labels)
'''
UPDATE = '''
def update(weights, batches, rate):
    """Trains on the batches, one after the other."""
    current = weights.copy()
    for inputs, labels in batches:
        step = gradient(current, inputs, labels)
        current = current - rate * step
    return weights - current, sum(len(labels) for _, labels in batches)
'''
SHORT = "def mean(deltas, sizes):\n    return np.average(deltas, axis=0, weights=sizes)"
# The same, renamed, laid out anew, with comments, annotations, another docstring, and a helper called otherwise.
COPY_GRADIENT = """
def gradient(w: np.ndarray, X, y) -> np.ndarray:
    # my own idea
    z = X @ w
    z = z - z.max(axis = 1,
                  keepdims = True)   # stable
    e = np.exp(z); p = e / e.sum(axis=1, keepdims=True)
    p[np.arange(len(y)), y] -= 1
    return X.T @ p / len(y)
""".replace("(inputs_matrix := X)", "X")
COPY_UPDATE = '''
def update(w0, data, lr):
    """Written by me."""
    w: np.ndarray = w0.copy()
    for X, y in data:
        g = gradient(w, X, y)
        w = w - lr * g
    return w0 - w, sum(len(t) for _, t in data)
'''
# Right, and written alone: the same idea in another order of words.
OWN_GRADIENT = """
def gradient(weights, inputs, labels):
    logits = np.matmul(inputs, weights)
    probabilities = np.exp(logits - logits.max(1)[:, None])
    probabilities /= probabilities.sum(1)[:, None]
    target = np.eye(weights.shape[1])[labels]
    return np.matmul(inputs.T, probabilities - target) / inputs.shape[0]
"""
OWN_UPDATE = """
def update(weights, batches, rate):
    w, n = np.array(weights), 0
    for batch in batches:
        w -= rate * gradient(w, *batch)
        n += len(batch[1])
    return weights - w, n
"""
NAMES = ("gradient", "update", "mean")


def exercises():
    wrong = {"a": "pass", "b": "pass"}
    return {f"90.{name}": Exercise(f"90.{name}", 2, name, lambda seed: [], wrong) for name in NAMES}


def book(*sources):
    cells = [cell("import numpy as np"), *(cell(textwrap.dedent(source)) for source in sources)]
    cells += [cell(f'check("{id}", {id[3:]})', fedlearn={"id": id}) for id in exercises()]
    return json.dumps({"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 5}).encode()


def pairs(folder, books, *, unwritten=()):
    submissions, _ = read_submissions(write(folder, books))
    tasks, _ = make_plan(submissions, exercises())
    written = {(task.student, task.exercise_id) for task in tasks} - set(unwritten)
    return find_similar(tasks, written=written)


def shape(source, name=None):
    [found] = insights([((source,), (name or source.split("(")[0].split()[-1],))])
    [one] = found.shapes.values()
    return one


def others(count):
    """Students who each wrote it in their own way, but for the short function."""
    for number in range(count):
        gradient = OWN_GRADIENT.replace("target = ", f"eye = {number}\n    target = ")
        yield f"s{number:02}.ipynb", book(gradient, OWN_UPDATE.replace("n += ", f"n += {number} * "), SHORT)


def test_a_copy_in_other_words_is_found_among_26_and_nobody_else(tmp_path):
    books = dict(others(24)) | {"zoe.ipynb": book(GRADIENT, UPDATE, SHORT)}
    books["yan.ipynb"] = book(COPY_GRADIENT, COPY_UPDATE, SHORT)
    [found] = pairs(tmp_path, books)
    assert (found.lesson, found.student, found.other) == ("90", "yan", "zoe")
    assert found.exercise_ids == ("90.gradient", "90.update"), "the short one is everybody's"
    assert found.num_same == 2


def test_who_works_alone_is_not_named_for_one_function(tmp_path):
    books = dict(others(24)) | {"zoe.ipynb": book(GRADIENT, UPDATE, SHORT)}
    books["yan.ipynb"] = book(GRADIENT, OWN_UPDATE.replace("n += ", "n += 99 * "), SHORT)
    assert pairs(tmp_path, books) == []


@pytest.mark.parametrize(("holders", "found"), [(6, 15), (9, 0), (26, 0)])
def test_what_a_third_of_the_class_has_says_nothing(tmp_path, holders, found):
    books = dict(itertools.islice(others(26), 26 - holders))
    books |= {f"t{number:02}.ipynb": book(GRADIENT, UPDATE, SHORT) for number in range(holders)}
    named = pairs(tmp_path, books)
    assert len(named) == found
    assert {pair.num_same for pair in named} <= {holders}


def test_stubs_that_nobody_has_written_are_alike_by_nature(tmp_path):
    books = dict(others(6)) | {"y.ipynb": book(GRADIENT, UPDATE, SHORT), "z.ipynb": book(GRADIENT, UPDATE, SHORT)}
    unwritten = [(student, id) for student in "yz" for id in ("90.gradient", "90.update")]
    assert len(pairs(tmp_path, books)) == 1
    assert pairs(tmp_path, books, unwritten=unwritten) == []


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("def f(x):\n    return x + 1", "def f(value) -> int:\n    '''Adds.'''\n    # one\n    return (value\n  + 1)"),
        ("def f(x):\n    for i in x:\n        yield i", "def f(a):\n    for b in a:\n        yield b"),
        ("def f(x):\n    g = lambda y: y * x\n    return g", "def f(q):\n    h = lambda r: r * q\n    return h"),
        ("def f(x):\n    y: int = x\n    return y", "def f(x):\n    z = x\n    return z"),
        (
            "def f(x):\n    try: pass\n    except E as e: raise e",
            "def f(x):\n    try: pass\n    except E as v: raise v",
        ),
        (
            "def f(x):\n    match x:\n        case [a, *b]: return a",
            "def f(x):\n    match x:\n        case [c, *d]: return c",
        ),
        ("def f(x):\n    global t\n    t = x", "def f(y):\n    global u\n    u = y"),
        ("def f(x, y): return [y for y in x], y", "def f(a, b): return [c for c in a], b"),
        ("def f(x): return sum(map(lambda x: x, x))", "def f(y): return sum(map(lambda z: z, y))"),
        ("async def f(x): return 1_000", "async def f(y): return 1000"),
    ],
)
def test_equal_but_for_names_and_layout(one, other):
    assert shape(one, "f") == shape(other, "f")


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("def f(x): return x.mean()", "def f(x): return x.sum()"),
        ("def f(x): return np.mean(x)", "def f(x): return tf.mean(x)"),
        ("def f(x, y): return x - y", "def f(x, y): return y - x"),
        ("def f(x): return x + 1", "def f(x): return x + 2"),
        ("def f(x): return x + 1", "def f(x): return x + 1.0"),
        ("def f(x): return [x, [x]]", "def f(x): return [[x], x]"),
        ("def f(x, y=1): return x", "def f(x, y=2): return x"),
        ("def f(*x): return x", "def f(x): return x"),
        ("def f(x, y): return [y for z in x]", "def f(x, y): return [z for z in x]"),
        ("def f(x): return g(x, a=1)", "def f(x): return g(x, b=1)"),
        ("def f(x): return 'a'", "def f(x): return 'b'"),
        ("def f(x):\n    if x: a()\n    b()", "def f(x):\n    if x:\n        a()\n        b()"),
        ("def f(x): return (x, x)", "def f(x): return [x, x]"),
    ],
)
def test_not_equal(one, other):
    assert shape(one, "f")[0] != shape(other, "f")[0]


def test_a_table_and_a_line_that_accuse_nobody(tmp_path, monkeypatch, capsys):
    from grading_problems import make_exercises, notebook

    from fedlearn_edu.course.grading import run_grading, similar

    monkeypatch.setattr(similar, "_TOGETHER", 40)
    monkeypatch.setattr(similar, "_SMALLEST", 10)
    books = {f"{name}.ipynb": notebook() for name in ("ada", "ben")}
    books["cem.ipynb"] = notebook(**dict.fromkeys(("weighted_mean", "model_delta", "largest_client"), "x = 1"))
    folder = write(tmp_path / "in", books)
    options = {"exercises": make_exercises(), "memory_gb": 1.0, "jobs": 2, "progress": False}
    run_grading(folder, output=tmp_path / "g.csv", **options)
    out = capsys.readouterr().out
    assert "a reason to look and no verdict: ada and ben (lesson 90: 3 functions); all in g_similar.csv" in out
    lines = (tmp_path / "g_similar.csv").read_text(encoding="utf-8-sig").splitlines()
    assert lines[0] == "lesson,student,other,exercises,num_exercises,students_with_the_same"
    assert lines[1:] == ["90,ada,ben,90.weighted_mean 90.model_delta 90.largest_client,3,2"]
    write(folder, {"ben.ipynb": notebook(**dict.fromkeys(("weighted_mean", "model_delta"), "x = 1"))})
    result = grade(folder, output=tmp_path / "g.csv", resume=True, **options)
    assert result.similar == ()
    assert (tmp_path / "g_similar.csv").read_text(encoding="utf-8-sig").splitlines() == lines[:1], (
        "no pair of yesterday stays in it"
    )


def test_a_huge_class_of_one_mind_ends_soon():
    tasks = [Task(f"s{n}", f"90.{name}", (), shape=(f"{name}{n // 2}", 60)) for n in range(4_000) for name in NAMES]
    assert len(find_similar(tasks, written={(task.student, task.exercise_id) for task in tasks})) == 2_000
