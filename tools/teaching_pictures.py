"""Draws docs/feedback.png and docs/overview.png: a made-up class hands in lesson 03 and is graded.

    python tools/teaching_pictures.py

It takes about a minute, and needs Chromium.
"""

import json
import pathlib
import random
import shutil
import tempfile

from playwright.sync_api import sync_playwright

from fedlearn_edu.course.checks.registry import lesson_exercises
from fedlearn_edu.course.grading import grade
from fedlearn_edu.course.solution_cells import read_solution

REPOSITORY = pathlib.Path(__file__).parent.parent
BOOK, LESSON = "03_clients_are_not_alike.ipynb", "03"
FIRST = "Ada Lovelace"
NAMES = [
    FIRST,
    "Alan Turing",
    "Emmy Noether",
    "Grace Hopper",
    "Katherine Johnson",
    "Mary Jackson",
    "Zo\u00eb M\u00fcller",
]
ENDLESS = "    while num_clients:\n        num_clients += 1\n"
TODO = "todo"


def main() -> None:
    solutions = {c.exercise_id: c.source for c in read_solution(REPOSITORY / "solutions" / BOOK) if c.tag == "solution"}
    rng = random.Random(3)
    with tempfile.TemporaryDirectory() as scratch:
        folder = pathlib.Path(scratch)
        for name in NAMES:
            path = folder / "in" / name / BOOK
            path.parent.mkdir(parents=True)
            path.write_text(json.dumps(notebook(answers(name, solutions, rng))), encoding="utf-8")
        grade(folder / "in", output=folder / "grades.csv", feedback=folder / "feedback", timeout=10, seed=2**130 + 1)
        [feedback] = (folder / "feedback").glob("Ada_*.html")
        pictures = {"feedback": (feedback, 920), "overview": (folder / "grades_overview.html", 1000)}
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
            for name, (page, width) in pictures.items():
                view = browser.new_page(viewport={"width": width, "height": 600}, color_scheme="light")
                view.goto(page.as_uri())
                view.screenshot(path=REPOSITORY / "docs" / f"{name}.png", full_page=True)
            browser.close()


def answers(name: str, solutions: dict[str, str], rng: random.Random) -> dict[str, str]:
    """What one student hands in, by exercise: mostly right answers, known mistakes, some still to do."""
    exercises = lesson_exercises(LESSON)
    if name == FIRST:  # the page in README: one of each kind
        begin = "    ### BEGIN SOLUTION\n"
        return solutions | {
            "03.quantity_sizes": solutions["03.quantity_sizes"].replace(begin, begin + ENDLESS, 1),
            "03.label_distance": exercises["03.label_distance"].wrong_answers["counts every difference twice"],
            "03.label_mix_from_delta": TODO,
        }
    skill = rng.choice([0.4, 0.7, 0.9])
    found = {}
    for id, exercise in exercises.items():
        wrong = rng.choice(list(exercise.wrong_answers.values())[:2])
        found[id] = solutions[id] if rng.random() < skill else rng.choice([wrong, wrong, TODO])
    return found


def notebook(found: dict[str, str]) -> dict:
    """The exercise notebook with these answers in it."""
    book = json.loads((REPOSITORY / "exercises" / BOOK).read_bytes())
    for cell in book["cells"]:
        id = cell["metadata"].get("fedlearn", {}).get("id")
        if cell["metadata"].get("tags") == ["solution"] and found[id] != TODO:
            cell["source"] = found[id]
    return book


if __name__ == "__main__":
    main()
