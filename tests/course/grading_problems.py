"""A small course of three exercises, its right answers and notebooks made of them; no lesson is needed."""

import io
import json
import pathlib
import textwrap
import zipfile

import numpy as np

from fedlearn_edu.course.checks.checking import Case, Exercise
from fedlearn_edu.course.grading.insight import Insight, insight_of, look_into
from fedlearn_edu.course.grading.limited import send_limited

SETUP = """\
%matplotlib inline
!pip install something
import numpy as np
import fedlearn_edu as fl
from fedlearn_edu import check
"""
WEIGHTED_MEAN = """\
def weighted_mean(values, weights):
    return float((np.asarray(values) * np.asarray(weights)).sum() / np.sum(weights))
"""
MODEL_DELTA = """\
def model_delta(initial, trained):
    return [subtract(a, b) for a, b in zip(initial, trained)]
"""
HELPER = """\
def subtract(a, b):
    return np.asarray(a) - np.asarray(b)
"""
LARGEST_CLIENT = """\
def largest_client(sizes):
    return max(sizes, key=sizes.get)
"""
HONEST = {"weighted_mean": WEIGHTED_MEAN, "model_delta": MODEL_DELTA + HELPER, "largest_client": LARGEST_CLIENT}
POINTS = {"weighted_mean": 6, "model_delta": 3, "largest_client": 2}
NUM_CASES = 3


def _close(expected):
    def verify(got):
        try:
            right = np.shape(got) == np.shape(expected) and bool(np.allclose(got, expected))
        except TypeError:
            right = False
        return None if right else "not the weighted mean"

    return verify


def _weighted_mean_cases(seed):
    rng = np.random.default_rng(seed)
    cases = []
    for n in (3, 4, 7):
        values, weights = rng.normal(size=n), rng.integers(1, 50, size=n)
        expected = sum(v * w for v, w in zip(values, weights, strict=True)) / weights.sum()
        cases.append(Case(f"{n} clients", (values, weights), _close(expected), "a number", "Divide by the weights."))
    return cases


def _model_delta_cases(seed):
    rng = np.random.default_rng(seed)
    cases = []
    for shape in ((2, 3), (4,), (1, 2, 2)):
        initial, trained = [rng.normal(size=shape)], [rng.normal(size=shape)]
        expected = initial[0] - trained[0]

        def verify(got, expected=expected):
            # No look at the shape first: a careless check must not hurt the grader either.
            return None if len(got) == 1 and np.allclose(got[0], expected) else "not initial - trained"

        cases.append(Case(f"shape {shape}", (initial, trained), verify, "an array", "Which one is subtracted?"))
    return cases


def _largest_client_cases(seed):
    rng = np.random.default_rng(seed)
    cases = []
    for n in (2, 3, 5):
        sizes = {f"client_{i}": int(size) for i, size in enumerate(rng.permutation(1000)[:n])}
        [expected] = [name for name, size in sizes.items() if size == max(sizes.values())]
        verify = lambda got, expected=expected: None if got == expected else "another client has more"  # noqa: E731
        cases.append(Case(f"{n} clients", (sizes,), verify, "a name", "Look at the values."))
    return cases


def make_exercises(lesson="90"):
    made = {
        "weighted_mean": _weighted_mean_cases,
        "model_delta": _model_delta_cases,
        "largest_client": _largest_client_cases,
    }
    wrong = {"a": "pass", "b": "pass"}
    return {
        f"{lesson}.{name}": Exercise(f"{lesson}.{name}", POINTS[name], name, cases, wrong)
        for name, cases in made.items()
    }


def cell(source, kind="code", **metadata):
    body = {"cell_type": kind, "metadata": metadata, "source": source}
    return body | ({"outputs": [], "execution_count": None} if kind == "code" else {})


def notebook(*, before=(), after=(), lesson="90", **functions):
    """A notebook of the course as bytes; `weighted_mean="..."` replaces that cell."""
    cells = [cell("# Lesson"), cell(SETUP)]
    cells[0]["cell_type"] = "markdown"
    cells += [cell(textwrap.dedent(source)) for source in before]
    for name, honest in HONEST.items():
        cells.append(cell(textwrap.dedent(functions.get(name, honest))))
        cells.append(cell(f'check("{lesson}.{name}", {name})', fedlearn={"id": f"{lesson}.{name}"}))
    cells += [cell(textwrap.dedent(source)) for source in after]
    return json.dumps({"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 5}).encode()


def write(folder: pathlib.Path, notebooks: dict) -> pathlib.Path:
    for name, content in notebooks.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return folder


def zipped(entries) -> bytes:
    """A zip of (name, content) pairs."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in entries:
            archive.writestr(name, content)
    return stream.getvalue()


def insights(notebooks):
    """What the reader's child tells of (cells, functions) of a student's notebooks."""

    def work(send):
        send("read")
        for found in look_into(notebooks):
            send(found)

    known = {number: insight_of(uses, shapes) for number, uses, shapes in send_limited(work)[1:]}
    return [known.get(number, Insight()) for number in range(len(notebooks))]
