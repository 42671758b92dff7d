"""Grades the course's own solutions at one level, and functions of the libraries that learners use; prints the marks.

    python tests/course/course_solutions.py LEVEL FOLDER [EXERCISE_ID...]

Without ids it grades every exercise of the course; with ids only these, and the functions of `LIBRARIES`.
"""

import json
import pathlib
import shutil
import sys

from grading_problems import cell
from shared import REPOSITORY

from fedlearn_edu.course.checks.checking import Case, Exercise
from fedlearn_edu.course.checks.registry import all_exercises
from fedlearn_edu.course.grading import grade

# The sum of the given numbers, in ways that need more of the machine than NumPy does.
LIBRARIES = {
    "with_tensorflow": """\
        import tensorflow as tf
        model = tf.keras.Sequential([tf.keras.layers.Dense(1, use_bias=False, kernel_initializer="ones")])
        model.compile("sgd", "mse")
        model.fit(tf.ones([4, len(numbers)]), tf.fill([4, 1], float(sum(numbers))), verbose=0)
        total = lambda x: tf.reduce_sum(x)
        return float(tf.function(total)(tf.constant(numbers, tf.float64)))
    """,
    "with_processes": """\
        import concurrent.futures, multiprocessing
        with multiprocessing.Pool(2) as pool:
            numbers = pool.map(abs, numbers)
        with concurrent.futures.ProcessPoolExecutor(2) as executor:
            numbers = list(executor.map(abs, numbers))
        queue, shared = multiprocessing.Queue(), multiprocessing.Value("d", 0.0)
        def add(number):
            with shared.get_lock(): shared.value += number
            queue.put(number)
        workers = [multiprocessing.Process(target=add, args=[number]) for number in numbers]
        for worker in workers: worker.start()
        returned = sum(queue.get() for _ in workers)
        for worker in workers: worker.join()
        return shared.value if returned == shared.value else None
    """,
    "with_the_package": """\
        import fedlearn_edu as fl
        clients = fl.partition(fl.load_dataset("fashion"), fl.Dirichlet(concentration=0.5), num_clients=3, seed=0)
        return float(sum(numbers)) if len(clients.client_ids) == 3 else None
    """,
    "with_pandas_and_sklearn": """\
        import pandas as pd, shutil, sklearn.linear_model
        import matplotlib.pyplot as plt
        pd.DataFrame({"n": numbers}).to_csv("numbers.csv")
        shutil.copy2("numbers.csv", "copy.csv")
        plt.plot(numbers); plt.savefig("numbers.png")
        line = sklearn.linear_model.LinearRegression().fit([[0.0], [1.0]], [0.0, 1.0])
        return float(pd.read_csv("copy.csv").n.sum()) * round(float(line.coef_[0]), 6)
    """,
}


def _cases(seed):
    numbers = [float(n) for n in range(1, 4 + seed % 3)]
    expected = {4: 6.0, 5: 10.0, 6: 15.0}[4 + seed % 3]
    verify = lambda got: None if got == expected else f"got {got}"  # noqa: E731
    return [Case("numbers", (numbers,), verify, "their sum", "Add them.")]


def main(level: str, folder: pathlib.Path, ids: list[str]) -> dict:
    exercises = all_exercises()
    work = folder / "in" / "solver"
    work.mkdir(parents=True)
    for source in (REPOSITORY / "solutions").glob("*.ipynb"):
        shutil.copyfile(source, work / source.name)
    if ids:
        exercises = {id: exercises[id] for id in ids}
        cells = []
        for name, body in LIBRARIES.items():
            exercises[f"97.{name}"] = Exercise(f"97.{name}", 1, name, _cases, {"a": "pass", "b": "pass"})
            cells.append(cell(f"def {name}(numbers):\n{body}", fedlearn={"id": f"97.{name}"}))
        book = {"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 5}
        (work / "97_libraries.ipynb").write_text(json.dumps(book))
    result = grade(
        folder / "in", output=folder / "grades.csv", exercises=exercises, isolation=level, timeout=120, progress=False
    )
    wrong = {
        mark.exercise_id: [mark.status, mark.message] for mark in result.marks["solver"] if mark.status != "passed"
    }
    points = [result.total("solver"), result.max_total("solver"), len(result.marks["solver"])]
    return {"level": result.isolation, "points": points, "wrong": wrong}


if __name__ == "__main__":
    print(json.dumps(main(sys.argv[1], pathlib.Path(sys.argv[2]), sys.argv[3:])))
