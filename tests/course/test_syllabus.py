"""The course in its file: complete, true to the notebooks, and open to a lesson in the middle."""

import dataclasses
import itertools
import pathlib
import re

import nbformat
import pytest
from shared import REPOSITORY

from fedlearn_edu.course import selection, syllabus
from fedlearn_edu.course.checks import registry

LESSONS = syllabus.syllabus()
BY_NUMBER = {lesson.number: lesson for lesson in LESSONS}


@pytest.mark.parametrize("folder", ["notebooks", "exercises", "solutions"])
def test_every_lesson_has_its_files_and_no_file_is_of_no_lesson(folder):
    assert {path.name for path in (REPOSITORY / folder).glob("*.ipynb")} == {one.file_name for one in LESSONS}


def test_numbers_are_unique_and_what_a_lesson_needs_comes_before_it():
    assert len(BY_NUMBER) == len(LESSONS)
    for place, lesson in enumerate(LESSONS):
        assert {*lesson.needs} <= {earlier.number for earlier in LESSONS[:place]}, lesson.number


def test_a_part_is_one_stretch_of_the_course():
    parts = [part for part, _ in itertools.groupby(LESSONS, lambda lesson: lesson.part)]
    assert len(parts) == len(set(parts)) > 3


@pytest.mark.parametrize("lesson", LESSONS, ids=lambda lesson: lesson.number)
def test_title_and_minutes_are_those_of_the_notebook(lesson):
    cells = nbformat.read(REPOSITORY / "notebooks" / lesson.file_name, as_version=4).cells
    assert cells[0].source.splitlines()[0] == f"# {lesson.title}"
    words = sum(len(cell.source.split()) for cell in cells if cell.cell_type == "markdown")
    estimate = words / 130 + sum(cell.cell_type == "code" for cell in cells)
    assert abs(lesson.minutes - estimate) <= 5


def test_readme_asks_the_same_questions_in_the_same_order():
    rows = re.findall(r"^\| `(\d\d)_(\w+)` \| (.*?) \| (\d+) \|$", (REPOSITORY / "README.md").read_text(), re.M)
    exercises = [str(len(registry.lesson_exercises(one.number))) for one in LESSONS]
    expected = [(one.number, one.name, one.question) for one in LESSONS]
    assert rows == [(*row, count) for row, count in zip(expected, exercises, strict=True)]


def test_a_lesson_can_be_put_into_the_middle_and_nothing_is_renamed(monkeypatch):
    new = dataclasses.replace(LESSONS[3], number="99", name="text")
    course = (*LESSONS[:3], new, *LESSONS[3:])
    monkeypatch.setattr(syllabus, "syllabus", lambda: course)
    names = sorted(one.file_name for one in course)
    ordered = syllabus.in_order(pathlib.Path(name) for name in [*names, "zz_own.ipynb"])
    assert [path.name for path in ordered] == [one.file_name for one in course] + ["zz_own.ipynb"]
    chosen = selection.choose_lessons(ordered, ["4", "99"])
    assert [path.name[:2] for path in chosen] == ["99", "04"]


def test_checks_come_in_the_order_of_the_course(monkeypatch):
    turned = tuple(reversed(LESSONS))
    monkeypatch.setattr(registry, "syllabus", lambda: turned)
    registry.lessons.cache_clear()
    try:
        assert registry.lessons() == tuple(one.number for one in turned)
    finally:
        registry.lessons.cache_clear()
