"""Answers in words, and guesses: all that the class wrote to one question, for a person to read."""

from __future__ import annotations

import collections
import csv
import dataclasses
import html
import io
import pathlib
import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence

from fedlearn_edu.course.grading import pages
from fedlearn_edu.course.grading.notebooks import MAX_ANSWER, Notebook
from fedlearn_edu.course.grading.overrides import table_rows
from fedlearn_edu.course.grading.plan import Task
from fedlearn_edu.course.grading.submissions import Submission
from fedlearn_edu.course.grading.text import clean, neutral
from fedlearn_edu.course.grading.worksheets import Question, lesson_title, questions_of
from fedlearn_edu.errors import UsageError

# The first, second and the last two are those of a table of overrides.
HEADER = ["student", "exercise", "question", "status", "answer", "points", "reason"]
FilledIn = dict[tuple[str, str], tuple[str, str]]  # points and reason by student and question
_CUT = " [...] (cut here; the rest is in the notebook)"


@dataclasses.dataclass(frozen=True)
class Answer:
    """What one student wrote to one question.

    Attributes:
        student: Unique name.
        question: The question's name, such as "00.answer_2".
        exercise: The exercise it stands at.
        status: "answered", "empty" (as it was handed out) or "missing" (no notebook, or no such cell in it).
        text: As the student wrote it, lines and all, without control characters; "" unless answered.
    """

    student: str
    question: str
    exercise: str
    status: str
    text: str


def sources_of(submissions: Sequence[Submission], tasks: Iterable[Task]) -> dict[str, dict[str, str]]:
    """Which notebook was graded: its path by student and lesson.

    Args:
        submissions: From `read_submissions`.
        tasks: From `make_plan`.
    """
    files = {one.student: one.files for one in submissions}
    found: dict[str, dict[str, str]] = {one.student: {} for one in submissions}
    for task in tasks:
        for file in files[task.student]:
            if file.notebook and file.notebook.cells is task.cells:
                found[task.student][task.exercise_id.split(".")[0]] = file.path
    return found


def collect(submissions: Sequence[Submission], questions: Sequence[Question], sources) -> list[Answer]:
    """Finds the answers, question by question.

    Args:
        submissions: From `read_submissions`.
        questions: Of the graded lessons.
        sources: By student and lesson, the path of the notebook that was graded.

    Returns:
        One per question and student, in the order of both.
    """
    found = []
    for question in questions:
        for one in submissions:
            path = sources.get(one.student, {}).get(question.lesson)
            books = [file.notebook for file in one.files if file.notebook and file.path == path]
            status, text = _answer(question, books[-1] if books else None)
            found.append(Answer(one.student, question.name, question.exercise_id, status, text))
    return found


def _answer(question: Question, notebook: Notebook | None) -> tuple[str, str]:
    """Status and text."""
    written = notebook.answers if notebook else ()
    # By its id; programs that know no ids, or drop them, keep the exercise a cell belongs to.
    texts = [text for key, *_, text in written if key and key == question.key]
    place = (question.exercise_id, question.kind)
    texts = texts or [text for _, *marks, text in written if question.exercise_id and tuple(marks) == place]
    if not texts:
        return "missing", ""
    text = _printable(texts[-1][:MAX_ANSWER]) + (_CUT if len(texts[-1]) > MAX_ANSWER else "")
    # Who writes below the words that were handed out has answered, too.
    rest = text.removeprefix(_printable(question.prompt)).strip()
    return ("answered", rest) if rest else ("empty", "")


def _printable(text: str) -> str:
    """The lines of a text, with nothing in them that moves a cursor, hides or turns letters around."""
    plain = text.encode("utf-8", "replace").decode().replace("\r\n", "\n").replace("\r", "\n").expandtabs(4)
    shown = "".join(" " if c != "\n" and unicodedata.category(c) in ("Cc", "Cf", "Zl", "Zp") else c for c in plain)
    return "\n".join(line.rstrip() for line in shown.strip().split("\n"))


def make_page(answers: Sequence[Answer], questions: Sequence[Question]) -> str:
    """Makes the page: nothing a student wrote is rendered, as Markdown or otherwise.

    Returns:
        HTML.
    """
    parts = [
        "<p>Every answer as it was written. Answers in words carry no points of their own in this course. If one shall "
        "change the points of the exercise it stands at, fill in points and a reason in the table beside this page "
        "(.csv), and give its rows to the next run as overrides.</p>"
    ]
    for question in questions:
        own = [answer for answer in answers if answer.question == question.name]
        parts.append(_question(question, own))
    return pages.document("Answers in words", "\n".join(parts))


def _question(question: Question, answers: Sequence[Answer]) -> str:
    lines = [f"<h2>{pages.escape(question.name)}, lesson {pages.escape(lesson_title(question.lesson))}</h2>"]
    lines.append(f"<pre>{html.escape(_unwrapped(question.text))}</pre>")
    if question.model:
        model = html.escape(_unwrapped(question.model))
        lines.append(f"<p><strong>An answer to compare with</strong></p>\n<pre>{model}</pre>")
    # Guesses are often alike, and what was written alike word for word is worth seeing, too.
    by_text = collections.defaultdict(list)
    for answer in answers:
        if answer.status == "answered":
            by_text[answer.text].append(pages.escape(answer.student))
    for text, names in by_text.items():
        alike = f" ({len(names)} wrote the same)" if len(names) > 1 else ""
        lines.append(f"<h3>{', '.join(names)}{alike}</h3>\n<pre>{html.escape(_printable(text))}</pre>")
    for status, told in (("empty", "Left empty"), ("missing", "Not handed in")):
        names = [pages.escape(answer.student) for answer in answers if answer.status == status]
        if names:
            lines.append(f"<p>{told} ({len(names)}): {', '.join(names)}</p>")
    return "\n".join(lines)


def _unwrapped(text: str) -> str:
    """Our own Markdown without the ends of its lines, which were made for another width; lists keep theirs."""
    blocks = [block.split("\n") for block in text.strip().lstrip("# ").split("\n\n")]
    return "\n\n".join(
        "\n".join(block) if any(re.match(r"\s*([-*|]|\d+\.)\s|\s*```", line) for line in block) else " ".join(block)
        for block in blocks
    )


def filled_in(path: pathlib.Path, students: Iterable[str], lessons: Iterable[str]) -> FilledIn:
    """What a person wrote into the table of an earlier run, so that the next table holds it too.

    Args:
        path: The table; there need be none.
        students: Of this run.
        lessons: Numbers of those that this run grades.

    Raises:
        UsageError: It is another table, or points or a reason in it have no place in the next one.
    """
    questions = {question.name for lesson in lessons for question in questions_of(lesson)}
    if not questions or not path.is_file():
        return {}
    (_, header), *rows = [*table_rows(path)] or [(1, [])]
    header = [name for name in header if name]  # a spreadsheet may add columns without anything in them
    found = {}
    places = {(str(neutral(student)), question) for student in students for question in questions}
    for line, cells in rows:
        row = dict(zip(header, cells, strict=False))
        points, reason = (row.get(name, "").strip() for name in ("points", "reason"))
        place = (str(neutral(row.get("student", ""))), row.get("question", "").strip())
        is_lost = place not in places or place in found or any(cells[len(header) :])
        if (points or reason) and is_lost:
            raise UsageError(
                f"output: {path}, line {line}: {clean(' '.join(place), limit=100)} was filled in and has no place in "
                f"the next table of answers; give yours another name"
            )
        if points or reason:
            found[place] = (points, reason)
    if header != HEADER:
        raise UsageError(f"output: {path} is no table of answers that grading wrote; give yours another name")
    return found


def make_csv(answers: Sequence[Answer], filled: FilledIn | None = None) -> str:
    """The same as a table with room for a person's points and reasons; an answer is one line in it.

    Args:
        answers: All of them.
        filled: From `filled_in`.

    Returns:
        CSV.
    """
    stream = io.StringIO(newline="")
    stream.write("\ufeff")  # without it, Excel takes UTF-8 for something else
    table = csv.writer(stream)
    table.writerow(HEADER)
    for answer in answers:
        given = (filled or {}).get((str(neutral(answer.student)), answer.question), ("", ""))
        row = [neutral(answer.student), answer.exercise, answer.question, answer.status]
        table.writerow([*row, *map(_long_cell, (answer.text, *given))])
    return stream.getvalue()


def _long_cell(text: str) -> str:
    text = clean(text, limit=MAX_ANSWER + len(_CUT))
    # `neutral` cuts what is long; whether a spreadsheet takes it for a formula shows at its start.
    return ("'" if str(neutral(text)).startswith("'") and not text.startswith("'") else "") + text


def make_files(
    submissions: Sequence[Submission],
    lessons: Iterable[str],
    sources,
    files: Mapping[str, pathlib.Path],
    filled: FilledIn | None = None,
) -> dict[pathlib.Path, str]:
    """Makes page and table, if the lessons ask anything that is answered in words.

    Args:
        submissions: From `read_submissions`.
        lessons: Numbers of the graded lessons.
        sources: From `sources_of`.
        files: Paths, by the purposes "answers" (the page) and "answers_table".
        filled: From `filled_in`.

    Returns:
        Content by path; empty if there is no question.
    """
    questions = [question for lesson in lessons for question in questions_of(lesson)]
    if not questions:
        return {}
    answers = collect(submissions, questions, sources)
    return {files["answers"]: make_page(answers, questions), files["answers_table"]: make_csv(answers, filled)}
