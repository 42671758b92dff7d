"""Grades a batch: reads submissions, runs what is not graded yet, writes tables and feedback."""

from __future__ import annotations

import collections
import dataclasses
import functools
import hashlib
import os
import pathlib
import re
import secrets
import sys
import time
from collections.abc import Mapping, Sequence

from tqdm.auto import tqdm

from fedlearn_edu.course.checks.data import to_data
from fedlearn_edu.course.checks.engine import Case, Exercise
from fedlearn_edu.course.grading import feedback as feedback_pages
from fedlearn_edu.course.grading import report
from fedlearn_edu.course.grading.inside import wire
from fedlearn_edu.course.grading.isolation import LEVELS, prepare
from fedlearn_edu.course.grading.marks import Mark, empty_mark
from fedlearn_edu.course.grading.plan import make_plan
from fedlearn_edu.course.grading.state import State, key_of, replace_files
from fedlearn_edu.course.grading.submissions import Submission, read_submissions
from fedlearn_edu.course.grading.term import OpenTerm, Term
from fedlearn_edu.course.grading.workers import Batch, run_tasks
from fedlearn_edu.errors import RunError, UsageError, nearest_names

_SEED_BITS = 256
_VARIANTS = 2  # hidden variants of each case
_VERSION = 3  # raise it when the same code would get another mark


@dataclasses.dataclass(frozen=True)
class GradingResult:
    """A graded batch.

    Attributes:
        submissions: In the order of the tables.
        marks: By student, in the order of the exercises.
        seed: Seed of the hidden cases; not shown where the result is.
        isolation: Key of `isolation.LEVELS`: the walls around learner code.
        notes: By student, and under "" for what is nobody's, one line on everything left out or unusual.
        num_resumed: Marks taken over from an earlier run.
        seconds: Wall time.
        files: What was written, by purpose.
        said: One line on everything about the roster, late work and the LMS's tables.
    """

    submissions: tuple[Submission, ...]
    marks: Mapping[str, tuple[Mark, ...]]
    seed: int = dataclasses.field(repr=False)
    isolation: str
    notes: Mapping[str, Sequence[str]]
    num_resumed: int
    seconds: float
    files: Mapping[str, pathlib.Path]
    said: tuple[str, ...] = dataclasses.field(default=(), kw_only=True)

    @property
    def problems(self) -> tuple[str, ...]:
        """All notes, student by student."""
        return tuple(line for lines in self.notes.values() for line in lines)

    def total(self, student: str) -> float:
        """Points of one student, after what is taken off for being late."""
        return round(sum(mark.points for mark in self.marks[student]) - self.taken_off(student), 2)

    def taken_off(self, student: str) -> float:
        """Points taken off for being late, at most those there are."""
        share = next((one.late_share for one in self.submissions if one.student == student), 0.0)
        return round(min(share * self.max_total(student), sum(mark.points for mark in self.marks[student])), 2)

    def max_total(self, student: str) -> int:
        """Points that the student could have had."""
        return sum(mark.max_points for mark in self.marks[student])


def grade(
    submissions: str | os.PathLike,
    *,
    output: str | os.PathLike,
    feedback: str | os.PathLike | None = None,
    timeout: float = 30.0,
    memory_gb: float = 4.0,
    jobs: int | None = None,
    seed: int | None = None,
    resume: bool = False,
    lessons: Sequence[str] | None = None,
    exercises: Mapping[str, Exercise] | None = None,
    isolation: str = "auto",
    progress: bool = True,
    term: Term | None = None,
) -> GradingResult:
    """Grades a folder or zip of notebooks without trusting a line of them.

    Each exercise of each student runs in a guarded process of its own, on hidden variants of the cases. The process
    gets the notebook's code and inputs; it never holds an expected value. What it sends back is compared here. From a
    notebook only the statements that the exercise's function depends on are run, so a cell that is broken or never
    ends costs no other exercise.

    Args:
        submissions: Folder of notebooks, folder of one folder a student, .zip from an LMS, or one .ipynb.
        output: The table of marks (.csv). Beside it: `_totals.csv`, `_report.json`, `_state.json`, and what `term`
            asks for. Only their owner can read what is written.
        feedback: Folder for one HTML page per student.
        timeout: Seconds of wall time per exercise, above 0; loading Python and NumPy does not count.
        memory_gb: GiB per exercise, at least 1 (TensorFlow needs 2).
        jobs: Exercises at a time; None = processor cores.
        seed: Of the hidden cases, 1 to 2**256 - 1; None = a random one, which the report and the state keep. Who
            knows it, or can guess it, knows the hidden cases: take 128 random bits or more and keep them to yourself.
        resume: Take over the marks of an earlier run on the same `output` for all that has not changed.
        lessons: Numbers of the lessons to grade; None = those that at least half of the students handed in.
        exercises: By id; None = all of the course.
        isolation: "auto" = the strongest walls this machine allows; see `isolation.LEVELS`.
        progress: Whether to show a progress bar.
        term: Roster, deadline and the tables of an LMS.

    Returns:
        The marks and what was written.

    Raises:
        UsageError: An argument is wrong.
        RunError: A file cannot be written, or no wall can be built around learner code here.
    """
    started = time.monotonic()
    output = _checked(output, timeout, memory_gb, jobs, seed, isolation)
    if exercises is None:
        from fedlearn_edu.course.checks.registry import all_exercises

        exercises = all_exercises()
    course = OpenTerm(term or Term(), output)
    files = report.paths(output, feedback) | course.files
    state = State(files["state"], resume=resume)
    found, nobodys = read_submissions(submissions, ignore=[*files.values(), course.zip_path], progress=progress)
    found = course.enrol(found)
    tasks, unusual = make_plan(found, exercises, lessons)
    seed = seed or state.seed or secrets.randbits(_SEED_BITS) or 1
    state.seed = seed
    graded = dict.fromkeys(task.exercise_id for task in tasks)
    make_cases = {id: functools.partial(_hidden_cases, exercises[id], seed) for id in graded}
    inputs = {id: _digest(make()) for id, make in make_cases.items()}  # also a first trial of all checks
    marks: list[Mark | None] = [None] * len(tasks)
    keys, open_tasks, num_resumed = {}, [], 0
    for index, task in enumerate(tasks):
        if task.cells is None:
            marks[index] = empty_mark(exercises[task.exercise_id], task.status, task.message)
            continue
        exercise = exercises[task.exercise_id]
        content = (task.student, task.cells, exercise.id, exercise.points, inputs[exercise.id])
        keys[index] = key_of(_VERSION, *content, seed, timeout, memory_gb)
        marks[index] = state.get(keys[index])
        num_resumed += marks[index] is not None
        if marks[index] is None:
            open_tasks.append(index)

    private = [submissions, output.parent] + ([feedback] if feedback else [])
    with prepare(level=isolation, private=private) as walls:
        batch = Batch(exercises, make_cases, walls, timeout, memory_gb)
        with tqdm(total=len(tasks), initial=len(tasks) - len(open_tasks), unit="exercise", disable=not progress) as bar:

            def done(position: int, result: Mark) -> None:
                index = open_tasks[position]
                marks[index] = result
                if result.status != "ungraded":
                    state.put(keys[index], result)
                bar.update()

            jobs = min(jobs or len(os.sched_getaffinity(0)), max(len(open_tasks), 1))
            try:
                work = [(tasks[index].exercise_id, tasks[index].cells) for index in open_tasks]
                run_tasks(batch, work, jobs=jobs, done=done)
            finally:
                state.save()
    by_student = collections.defaultdict(list)
    for task, result in zip(tasks, marks, strict=True):
        by_student[task.student].append(result)
    result = GradingResult(
        tuple(found),
        {student: tuple(row) for student, row in by_student.items()},
        seed,
        walls.level,
        {"": nobodys} | {one.student: [*one.problems, *unusual[one.student]] for one in found},
        num_resumed,
        round(time.monotonic() - started, 2),
        files,
    )
    exports = course.exports(result)
    result = dataclasses.replace(result, said=tuple(course.said))
    texts = report.make_tables(result, timeout=timeout, memory_gb=memory_gb) | exports
    if feedback:
        texts |= feedback_pages.make_pages(result, pathlib.Path(feedback))
    replace_files(texts)
    return result


def _checked(output, timeout, memory_gb, jobs, seed, isolation) -> pathlib.Path:
    output = pathlib.Path(output)
    if output.suffix.lower() != ".csv" or output.is_dir():
        raise UsageError(f"output: expected a file that ends in .csv, got {output}")
    if not 0 < timeout <= 86_400:
        raise UsageError(f"timeout: expected seconds above 0 and up to 86400, got {timeout}")
    if not 1 <= memory_gb <= 1024:
        raise UsageError(f"memory_gb: expected 1 to 1024 GiB, got {memory_gb}")
    if jobs is not None and jobs < 1:
        raise UsageError(f"jobs: expected at least 1, got {jobs}")
    if seed is not None and not 1 <= seed < 2**_SEED_BITS:
        raise UsageError(f"seed: expected 1 to 2**{_SEED_BITS} - 1 (0 is what learners see)")
    if isolation != "auto" and isolation not in LEVELS:
        raise UsageError(f"isolation: {nearest_names(isolation, ['auto', *LEVELS])}")
    return output


def _hidden_cases(exercise: Exercise, seed: int) -> list[Case]:
    """The cases under seeds that follow from the batch's seed but do not tell it; never the visible seed 0."""
    cases = []
    for variant in range(_VARIANTS):
        # All 256 bits: a learner's code that searches the seeds for the arguments it was given never ends.
        hidden = int.from_bytes(hashlib.sha256(f"{seed}/{exercise.id}/{variant}".encode()).digest(), "big") or 1
        try:
            found = [dataclasses.replace(c, arguments=tuple(map(to_data, c.arguments))) for c in exercise.cases(hidden)]
        except Exception as error:
            reason = f"{type(error).__name__}: {error}"
            raise RunError(f"the checks of {exercise.id} fail for one of the hidden seeds: {reason}") from error
        cases += found
    return cases


def _digest(cases: Sequence[Case]) -> str:
    return key_of([[wire.encode(argument) for argument in case.arguments] for case in cases])


def run_grading(submissions: str | os.PathLike, *, seed_file: str | os.PathLike | None = None, **options) -> int:
    """What `fedlearn-edu grade` runs: `grade` with the same arguments, a summary on standard output, an exit code.

    Args:
        submissions: See `grade`.
        seed_file: Holds the seed, so that it stands on no command line; made with a random one if missing.
        **options: Of `grade`.

    Returns:
        0, or 1 if something could not be graded for a reason that is not the students'.
    """
    if seed_file is not None:
        options["seed"] = _seed_of(pathlib.Path(seed_file))
    result = grade(submissions, **options)
    print(report.summary(result))
    ungraded = sum(mark.status == "ungraded" for marks in result.marks.values() for mark in marks)
    if ungraded:
        print(f"{ungraded} exercises could not be graded; run the same command with --resume", file=sys.stderr)
    return 1 if ungraded else 0


def _seed_of(path: pathlib.Path) -> int:
    """Reads the seed, or makes the file; it is its owner's alone."""
    if not path.exists():
        replace_files({path: f"{secrets.randbits(_SEED_BITS) or 1}\n"})
    try:
        with open(path, encoding="ascii") as stream:
            status = os.fstat(stream.fileno())
            text = stream.read(1000).strip()
    except OSError as error:
        raise UsageError(f"seed_file: {path}: {error.strerror}") from None
    except UnicodeDecodeError:
        text = ""
    if status.st_mode & 0o077 or status.st_uid not in (0, os.geteuid()):
        raise UsageError(f"seed_file: others can read or write {path}; make it yours alone: chmod 600")
    if not re.fullmatch(r"[0-9]{1,80}", text):
        raise UsageError(f"seed_file: expected one whole number in {path} and nothing else")
    return int(text)
