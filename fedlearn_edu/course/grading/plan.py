"""Decides which exercises each student owes, and which notebook answers them."""

from __future__ import annotations

import collections
import dataclasses
from collections.abc import Mapping, Sequence

from fedlearn_edu.course.checks.checking import Exercise
from fedlearn_edu.course.grading.notebooks import Notebook
from fedlearn_edu.course.grading.owners import bare_name, lesson_number
from fedlearn_edu.course.grading.reader import Handed
from fedlearn_edu.course.grading.submissions import Submission
from fedlearn_edu.errors import UsageError, nearest_names

_UNKNOWN = ""  # the lesson of a notebook that nothing tells of


@dataclasses.dataclass(frozen=True)
class Task:
    """One exercise of one student.

    Attributes:
        student: Unique name.
        exercise_id: Such as "03.weighted_mean".
        cells: The notebook's code; None if there is nothing to run, and `status` and `message` say why.
        status: Key of `marks.STATUSES`, or "".
        message: One line, or "".
        uses: Names on which the student's function depends.
        shape: The function without names and layout as a hash, and its size; None if that is not known.
    """

    student: str
    exercise_id: str
    cells: tuple[str, ...] | None
    status: str = ""
    message: str = ""
    uses: frozenset[str] = frozenset()
    shape: tuple[str, int] | None = None

    @property
    def function(self) -> str:
        """The function's name."""
        return self.exercise_id.partition(".")[2]


def make_plan(
    submissions: Sequence[Submission], exercises: Mapping[str, Exercise], lessons: Sequence[str] | None = None
) -> tuple[list[Task], dict[str, list[str]]]:
    """Lists what is graded: every exercise of every assigned lesson, for every student.

    A lesson is assigned if it is named in `lessons`, or, without `lessons`, if at least half of those who handed in a
    notebook handed it in: one student can neither drop an exercise by deleting its cells nor give the others a lesson
    they were not set.

    Args:
        submissions: From `read_submissions`.
        exercises: By id, in the order of the report.
        lessons: Numbers of lessons ("03" or "3").

    Returns:
        The tasks, student by student, and by student one line on everything unusual.

    Raises:
        UsageError: A lesson has no exercises, none was handed in by half of the students, or most submissions look like
            folders of several students.
    """
    known = _lessons_with(exercises)
    answers = {s.student: _by_lesson(s, exercises) for s in submissions}
    _refuse_folders_of_students(answers)
    if lessons is None:
        assigned = _assigned([answers[s.student] for s in submissions if s.files], known)
    else:
        assigned = choose(lessons, exercises)
    tasks, problems = [], {}
    for submission in submissions:
        found = answers[submission.student]
        unusual = problems[submission.student] = []
        for lesson in sorted(set(found) - set(assigned) - {_UNKNOWN}):
            unusual.append(f"{submission.student}: lesson {lesson} is not graded in this batch")
        if unusual and not set(found) & {*assigned, _UNKNOWN}:
            unusual[:] = [f"{submission.student}: 0 points, since nothing but {_lessons(set(found))} was handed in"]
        for lesson in assigned:
            notebook, status, message = _chosen(
                submission, found.get(lesson, []), found.get(_UNKNOWN, []), assigned, unusual, lesson
            )
            tasks += [
                _task(submission.student, exercise, notebook, status, message)
                for exercise in exercises.values()
                if exercise.lesson == lesson
            ]
    return tasks, problems


def choose(lessons: Sequence[str], exercises: Mapping[str, Exercise]) -> list[str]:
    """The named lessons, in the order of the exercises.

    Args:
        lessons: Numbers ("03" or "3").
        exercises: By id.

    Raises:
        UsageError: One of them has no exercises.
    """
    known = _lessons_with(exercises)
    lessons = [lesson.zfill(2) if lesson.isdecimal() else lesson for lesson in lessons]
    for lesson in lessons:
        if lesson not in known:
            raise UsageError(f"lessons: {lesson!r} has no exercises; {nearest_names(lesson, known)}")
    return [lesson for lesson in known if lesson in lessons]


def _lessons_with(exercises: Mapping[str, Exercise]) -> list[str]:
    return list(dict.fromkeys(exercise.lesson for exercise in exercises.values()))


def _task(student: str, exercise: Exercise, notebook: Notebook | None, status: str, message: str) -> Task:
    if notebook is None:
        return Task(student, exercise.id, None, status, message)
    name, insight = exercise.function_name, notebook.insight
    uses = insight.uses.get(name, frozenset())
    return Task(student, exercise.id, notebook.cells, status, message, uses, insight.shapes.get(name))


def _lessons(found: set[str]) -> str:
    """Lessons in words."""
    return f"lesson{'s' if len(found) > 1 else ''} {', '.join(sorted(found))}, not graded in this batch,"


def _by_lesson(submission: Submission, exercises: Mapping[str, Exercise]) -> dict[str, list[Handed]]:
    found = collections.defaultdict(list)
    for file in submission.files:
        if file.notebook:
            for lesson in _lessons_of(file.path, file.notebook, exercises) or [_UNKNOWN]:
                found[lesson].append(file)
    return dict(found)


def _lessons_of(path: str, notebook: Notebook, exercises: Mapping[str, Exercise]) -> list[str]:
    """By the ids in its cells; without any by the number in its name, else by the functions in it."""
    total = collections.Counter(exercise.lesson for exercise in exercises.values())
    named = collections.Counter(exercises[id].lesson for id in notebook.exercise_ids if id in exercises)
    if not named:
        number = lesson_number(path)
        if number in total:
            return [number]
        written = (e.lesson for e in exercises.values() if e.function_name in notebook.functions)
        named = collections.Counter(written)
    if not named:
        return []
    best = min(named, key=lambda lesson: (-named[lesson], lesson))
    return sorted({best} | {lesson for lesson in named if 2 * named[lesson] > total[lesson]})


def _refuse_folders_of_students(answers: Mapping[str, Mapping]) -> None:
    """Stops where most of what is taken for a student is a section of the class, or a whole class in a zip."""
    several = {}
    for student, found in answers.items():
        for lesson, files in found.items():
            folders = {file.path.rpartition("/")[0] for file in files}
            if lesson != _UNKNOWN and (len(folders) > 1 or len(files) > 2):
                several[student] = len(files), lesson
    handed_in = sum(bool(found) for found in answers.values())
    if len(several) > 1 and 2 * len(several) > handed_in:
        student, (count, lesson) = next(iter(several.items()))
        raise UsageError(
            f"submissions: {len(several)} of {handed_in} hold several notebooks of one lesson ({student}: {count} of "
            f"lesson {lesson}), so they look like folders of several students; grade each folder or zip by itself"
        )


def _assigned(answers: Sequence[Mapping], known: Sequence[str]) -> list[str]:
    """Lessons that half of those who handed in notebooks handed in."""
    if len(known) == 1:
        return list(known)
    counts = collections.Counter(lesson for found in answers for lesson in found)
    assigned = [lesson for lesson in known if 2 * counts[lesson] >= max(len(answers), 1)]
    if not assigned:
        found = ", ".join(f"{lesson}: {counts[lesson]}" for lesson in known if counts[lesson]) or "none at all"
        raise UsageError(
            f"lessons: no lesson was handed in by half of the {len(answers)} students (found {found}); name some"
        )
    return assigned


def _chosen(submission, candidates, unknown, assigned, problems, lesson):
    if not candidates and len(assigned) == 1:
        # The only notebook for the only lesson: renamed and stripped, it still is the answer.
        candidates = unknown
    if not candidates:
        broken = [file for file in submission.files if not file.notebook]
        if broken:
            return None, "unreadable", f"{bare_name(broken[-1].path)} cannot be read: {broken[-1].problem}"
        if not submission.files:
            return None, "missing", submission.instead
        return None, "missing", f"no notebook of lesson {lesson} was handed in"
    if len(candidates) > 1:
        ignored = ", ".join(file.path for file in candidates[:-1])
        problems.append(
            f"{submission.student}: several notebooks for lesson {lesson}; graded {candidates[-1].path}, not {ignored}"
        )
    return candidates[-1].notebook, "", ""
