"""Grades a batch: reads submissions, has them marked, writes tables and feedback."""

from __future__ import annotations

import collections
import dataclasses
import functools
import os
import pathlib
import secrets
import sys
import time
from collections.abc import Mapping, Sequence

from fedlearn_edu.course.checks.checking import PARTIAL, Exercise
from fedlearn_edu.course.grading import answers, changes, overview, report
from fedlearn_edu.course.grading import feedback as feedback_pages
from fedlearn_edu.course.grading.anonymous import number_of, numbered, without_any_name, without_names
from fedlearn_edu.course.grading.following import explain_following
from fedlearn_edu.course.grading.hidden import SEED_BITS, hidden_cases
from fedlearn_edu.course.grading.isolation import LEVELS
from fedlearn_edu.course.grading.marking import mark_tasks
from fedlearn_edu.course.grading.mistakes import name_mistakes
from fedlearn_edu.course.grading.overrides import Overrides, apply_overrides, read_all_overrides
from fedlearn_edu.course.grading.plan import choose, make_plan
from fedlearn_edu.course.grading.result import GradingResult
from fedlearn_edu.course.grading.settings import kept, settle
from fedlearn_edu.course.grading.similar import find_similar
from fedlearn_edu.course.grading.state import State
from fedlearn_edu.course.grading.submissions import Submission, read_submissions
from fedlearn_edu.course.grading.summary import told_lost, told_overrides, told_waiting
from fedlearn_edu.course.grading.term import OpenTerm, Term
from fedlearn_edu.course.grading.text import clean
from fedlearn_edu.errors import UsageError, nearest_names
from fedlearn_edu.files import replace_files


def grade(
    submissions: str | os.PathLike,
    *,
    output: str | os.PathLike,
    feedback: str | os.PathLike | None = None,
    timeout: float | None = None,
    memory_gb: float | None = None,
    partial: str | None = None,
    overrides: str | os.PathLike | Sequence[str | os.PathLike] | None = None,
    anonymous: bool | None = None,
    jobs: int | None = None,
    seed: int | None = None,
    resume: bool = False,
    fresh: bool = False,
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

    What is None is as in the earlier run if `resume` is set; else, or if there was none, as said below.

    Args:
        submissions: Folder of notebooks, folder of one folder a student, .zip from an LMS, or one .ipynb.
        output: The table of marks (.csv). Beside it: `_totals.csv`, `_overview.html`, `_report.json`, `_state.json`; if
            there are any, `_answers.html` and `_answers.csv`, `_similar.csv`, `_changes.csv`; and what `term` asks for.
            Only their owner can read what is written.
        feedback: Folder for one HTML page per student; None = no pages.
        timeout: Seconds of wall time per exercise, above 0; None = 30. Loading Python and NumPy does not count.
        memory_gb: GiB per exercise, at least 1 (TensorFlow needs 2); None = 4.
        partial: What an answer is worth of which only some cases are right, see `checking.score`; None = "cases".
        overrides: The teacher's own marks, one table or several, see `overrides.read_all_overrides`; they stand above
            all others. None = those of the earlier run, also if it is not resumed; "" = none.
        anonymous: Whether tables and pages show numbers in place of names; `_names.csv` beside them holds the key.
            None = no.
        jobs: Exercises at a time; None = processor cores.
        seed: Of the hidden cases, 1 to 2**256 - 1; None = a random one, which the report and the state keep. Who
            knows it, or can guess it, knows the hidden cases: take 128 random bits or more and keep them to yourself.
        resume: Take over the marks of an earlier run on the same `output` for all that has not changed: notebook,
            check, settings.
        fresh: Lose the marks of an earlier run on the same `output`.
        lessons: Numbers of the lessons to grade; None = those that at least half of the students handed in.
        exercises: By id; None = all of the course.
        isolation: "auto" = the strongest walls this machine allows; see `isolation.LEVELS`.
        progress: Whether to show a progress bar.
        term: Roster, deadline and the tables of an LMS.

    Returns:
        The marks and what was written.

    Raises:
        UsageError: An argument is wrong; or there are marks of an earlier run, and neither `resume` nor `fresh` is set,
            or somebody has changed the table of marks or totals; or a file of the teacher's own would be replaced.
        RunError: A file cannot be written, or no wall can be built around learner code here.
        marking.Stopped: Ctrl-C; what was graded by then is kept.
    """
    started = time.monotonic()
    output = _checked_output(output)
    state = State(report.beside(output, "_state.json"), resume=resume, fresh=fresh)
    given = {"timeout": timeout, "memory_gb": memory_gb, "partial": partial, "lessons": lessons}
    given |= {"feedback": feedback, "overrides": overrides, "anonymous": anonymous}
    # A flag that was not set is not given.
    given |= {name: None if value is False else value for name, value in dataclasses.asdict(term or Term()).items()}
    options, remarks = settle(given, state.settings, output.parent)
    _check(options, jobs, seed, resume and fresh, isolation)
    if exercises is None:
        from fedlearn_edu.course.checks.registry import all_exercises

        exercises = all_exercises()
    choose(options["lessons"] or [], exercises)
    course = OpenTerm(Term(**{field.name: options[field.name] for field in dataclasses.fields(Term)}), output)
    files = report.paths(output, options["feedback"]) | course.files
    ours = [*files.values(), course.zip_path, *report.sometimes(output).values()]
    changes.refuse_foreign(output, options, ours, known=state.known or fresh)
    if resume and not state.known:
        print(f"--resume: no earlier run beside {output}; beginning anew", file=sys.stderr)
    state.seed = seed or state.seed or secrets.randbits(SEED_BITS) or 1

    def look(found: list[Submission]) -> None:
        own = _own_marks(options, course.try_enrol(found), exercises, state.seed)
        changes.refuse_edited(output, state, own)

    found, nobodys = read_submissions(submissions, ignore=ours, progress=progress, look=look)
    found = course.enrol(found)
    own = _own_marks(options, found, exercises, state.seed)
    names = {one.student: one for one in found}
    if options["anonymous"]:
        names = numbered(found, state.seed)
        found, nobodys = without_names(names), without_any_name(nobodys, names)
        files["names"] = report.sometimes(output)["names"]
    tasks, unusual = make_plan(found, exercises, options["lessons"])
    lessons = dict.fromkeys(task.exercise_id.partition(".")[0] for task in tasks)
    changes.refuse_edited(output, state, own)
    answers.filled_in(files["answers_table"], (one.student for one in found), lessons)
    state.settings = kept(options, output.parent)
    private = [submissions, output.parent] + ([options["feedback"]] if options["feedback"] else [])
    identities = {label: one.identity or one.student for label, one in names.items()}
    marks, fresh_ones, level = mark_tasks(
        tasks, exercises, identities, state, options, jobs=jobs, isolation=isolation, private=private, progress=progress
    )
    remarks += told_waiting([(tasks[n].student, marks[n]) for n in fresh_ones], marks, options["timeout"])

    remarks += told_lost(state.own, own, {identity: label for label, identity in identities.items()})
    set_by_hand = apply_overrides([(task.student, mark) for task, mark in zip(tasks, marks, strict=True)], own)
    remarks += told_overrides(own, set_by_hand)
    by_student = collections.defaultdict(list)
    for task, mark in zip(tasks, explain_following(tasks, set_by_hand), strict=True):
        by_student[task.student].append(mark)
    ids = dict.fromkeys(task.exercise_id for task in tasks)
    make_cases = {id: functools.partial(hidden_cases, exercises[id], state.seed) for id in ids}
    sources = answers.sources_of(found, tasks)
    # Once more: a batch takes time, in which a person may write.
    changes.refuse_edited(output, state, own)
    filled = answers.filled_in(files["answers_table"], (one.student for one in found), lessons)
    texts = answers.make_files(found, lessons, sources, files, filled)
    files = {purpose: path for purpose, path in files.items() if path in texts or not purpose.startswith("answers")}
    result = GradingResult(
        tuple(found),
        {student: tuple(row) for student, row in by_student.items()},
        state.seed,
        level,
        {"": nobodys} | {one.student: [*one.problems, *unusual[one.student]] for one in found},
        sum(task.cells is not None for task in tasks) - len(fresh_ones),
        round(time.monotonic() - started, 2),
        files,
        sources=sources,
        mistakes=name_mistakes(exercises, make_cases, by_student, progress=progress),
    )
    now = {identities[one.student]: (one.student, result.total(one.student), _given(result, one)) for one in found}
    earlier = state.given
    if options["anonymous"]:
        earlier = {identity: (number_of(identity, state.seed), *row[1:]) for identity, row in state.given.items()}
        remarks += changes.told_names(report.sometimes(output)["changes"])
    moved = changes.find_changes(
        changes.named_as_now(earlier, now), {student: (total, marks) for student, total, marks in now.values()}
    )
    if moved:
        files["changes"] = report.sometimes(output)["changes"]
        remarks += changes.told(moved, files["changes"].name)
    written = {(task.student, task.exercise_id) for task, m in zip(tasks, marks, strict=True) if m.status != "todo"}
    similar = find_similar(tasks, written=written)
    if similar or report.sometimes(output)["similar"].exists():
        files["similar"] = report.sometimes(output)["similar"]
    # An LMS needs to know whose marks they are, also where tables and pages do not tell.
    by_name = {names[number].student: row for number, row in result.marks.items()}
    mistakes = {(names[number].student, id): name for (number, id), name in result.mistakes.items()}
    exports = course.exports(
        dataclasses.replace(result, submissions=tuple(names.values()), marks=by_name, mistakes=mistakes)
    )
    remarks += map(clean, without_any_name(course.said, names) if options["anonymous"] else course.said)
    if options["feedback"]:
        folder, is_anonymous = pathlib.Path(options["feedback"]), bool(options["anonymous"])
        remarks += feedback_pages.told_older(result.submissions, folder, anonymous=is_anonymous)
    result = dataclasses.replace(result, remarks=tuple(remarks), changes=tuple(moved), similar=tuple(similar))
    texts |= report.make_tables(result, timeout=options["timeout"], memory_gb=options["memory_gb"]) | exports
    texts[files["overview"]] = overview.make_overview(result)
    if options["feedback"]:
        texts |= feedback_pages.make_pages(result, pathlib.Path(options["feedback"]))
    if options["anonymous"]:
        texts[files["names"]] = report.make_key(names)
    changes.refuse_edited_totals(files["totals"], state, {student: total for student, total, _ in now.values()})
    tables = {purpose: texts[files[purpose]] for purpose in ("grades", "totals")}
    state.given, state.before, state.written = now, state.written, tables
    state.own = [
        (identities[student], id, pathlib.Path(override.table).name) for (student, id), override in own.items()
    ]
    # Whoever ends us between two of these files finds no change untold, and no table that the state does not know.
    record = {files["changes"]: changes.as_table(moved, files["changes"])} if moved else {}
    replace_files(record | {files["state"]: state.text()} | texts)
    return result


def _own_marks(options: Mapping, found: list[Submission], exercises: Mapping, seed: int) -> Overrides:
    """The teacher's own marks, by the names that the tables show."""
    if not options["overrides"]:
        return {}
    numbers = numbered(found, seed)
    own = read_all_overrides(options["overrides"], found, exercises, numbers)
    if not options["anonymous"]:
        return own
    called = {one.student: number for number, one in numbers.items()}
    return {(called[student], id): override for (student, id), override in own.items()}


def _given(result: GradingResult, one: Submission) -> dict[str, tuple[str, float]]:
    return {mark.exercise_id: (mark.status, mark.points) for mark in result.marks[one.student]}


def _checked_output(output: str | os.PathLike) -> pathlib.Path:
    output = pathlib.Path(output)
    if output.suffix.lower() != ".csv" or output.is_dir():
        raise UsageError(f"output: expected a file that ends in .csv, got {output}")
    return output


def _check(options: Mapping, jobs: int | None, seed: int | None, both: bool, isolation: str) -> None:
    timeout, memory_gb, partial = options["timeout"], options["memory_gb"], options["partial"]
    if both:
        raise UsageError("resume: not together with fresh: one takes the earlier marks over, the other one loses them")
    if not 0 < timeout <= 86_400:
        raise UsageError(f"timeout: expected seconds above 0 and up to 86400, got {timeout}")
    if not 1 <= memory_gb <= 1024:
        raise UsageError(f"memory_gb: expected 1 to 1024 GiB, got {memory_gb}")
    if partial not in PARTIAL:
        raise UsageError(f"partial: {nearest_names(partial, PARTIAL)}")
    if (
        options["feedback"] is not None
        and os.path.lexists(options["feedback"])
        and not os.path.isdir(options["feedback"])
    ):
        raise UsageError(f"feedback: expected a folder, got {options['feedback']}, which is a file")
    if jobs is not None and jobs < 1:
        raise UsageError(f"jobs: expected at least 1, got {jobs}")
    if seed is not None and not 1 <= seed < 2**SEED_BITS:
        raise UsageError(f"seed: expected 1 to 2**{SEED_BITS} - 1 (0 is what learners see)")
    if isolation != "auto" and isolation not in LEVELS:
        raise UsageError(f"isolation: {nearest_names(isolation, ['auto', *LEVELS])}")
