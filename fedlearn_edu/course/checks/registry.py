"""Finds exercises by id: one module a lesson, loaded when it is first needed."""

from __future__ import annotations

import functools
import importlib
import pkgutil
import re

from fedlearn_edu.course.checks.data import describe
from fedlearn_edu.course.checks.exercise import Exercise
from fedlearn_edu.course.syllabus import syllabus
from fedlearn_edu.errors import UsageError, nearest_names

_PACKAGE = "fedlearn_edu.course.checks"
_LESSON = re.compile(r"lesson_(\d\d)")


@functools.cache
def lessons() -> tuple[str, ...]:
    """Returns the numbers of all lessons with checks, in the order of the course: ("00", "01", ...)."""
    modules = pkgutil.iter_modules(importlib.import_module(_PACKAGE).__path__)
    found = {match[1] for module in modules if (match := _LESSON.fullmatch(module.name))}
    place = {lesson.number: place for place, lesson in enumerate(syllabus())}
    return tuple(sorted(found, key=lambda number: (place.get(number, len(place)), number)))


@functools.cache
def lesson_exercises(lesson: str) -> dict[str, Exercise]:
    """Returns the exercises of one lesson by id, in the lesson's order.

    Raises:
      UsageError: Two of its exercises have one id, or an id belongs to another lesson.
    """
    exercises = {}
    for exercise in importlib.import_module(f"{_PACKAGE}.lesson_{lesson}").EXERCISES:
        if exercise.lesson != lesson or exercise.id in exercises:
            raise UsageError(f"lesson_{lesson}.py: expected unique ids that start with {lesson}., got {exercise.id!r}")
        exercises[exercise.id] = exercise
    return exercises


def all_exercises() -> dict[str, Exercise]:
    """Returns every exercise by id, lesson by lesson."""
    return {id: exercise for lesson in lessons() for id, exercise in lesson_exercises(lesson).items()}


def find_exercise(exercise_id: str) -> Exercise:
    """Returns the exercise with this id.

    Raises:
      UsageError: There is none; the message names the nearest ids.
    """
    if not isinstance(exercise_id, str):
        example = 'check("03.weighted_mean", weighted_mean)'
        raise UsageError(f"exercise: expected an id first, as in {example}, got {describe(exercise_id, limit=60)}")
    lesson = exercise_id.split(".")[0]
    exercises = lesson_exercises(lesson) if lesson in lessons() else {}
    if exercise_id not in exercises:
        near = nearest_names(exercise_id, exercises or all_exercises())
        raise UsageError(f"exercise {exercise_id!r} does not exist; {near}")
    return exercises[exercise_id]
