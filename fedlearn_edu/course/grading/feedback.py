"""One HTML page per student: what to do first, all marks at a glance, then what went wrong, lesson by lesson."""

from __future__ import annotations

import collections
import dataclasses
import hashlib
import pathlib
import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence

from fedlearn_edu.course.grading import pages
from fedlearn_edu.course.grading.marks import Mark
from fedlearn_edu.course.grading.owners import bare_name
from fedlearn_edu.course.grading.pages import MEANINGS, anchor, badge, escape, link, points
from fedlearn_edu.course.grading.submissions import Submission
from fedlearn_edu.course.grading.text import clean
from fedlearn_edu.course.grading.worksheets import lesson_title

_READABLE_BYTES = 120
_DIGEST_CHARACTERS = 20  # 80 bits: nobody finds a name whose page takes another's place
_OURS = re.compile(rf".+-[0-9a-f]{{{_DIGEST_CHARACTERS}}}\.html")
_NUMBERED = re.compile("student_[0-9]+-")  # as `anonymous.numbered` calls everyone
_MAX_FIRST = 3  # things to do first
_MAX_OLDER = 3  # pages of an earlier run that are named
_MAX_TEXT = 600
_WRITTEN = {"failed", "timeout", "memory", "processes", "crashed"}  # there is a function to speak about
_ABSENT = {"missing", "unreadable"}  # there may be one reason for many exercises
_ADVICE = {
    "timeout": "Follow one loop by hand: does every step bring it nearer to its end? A case that never comes back "
    "keeps those after it from running.",
    "memory": "Look at the shapes: does an array have one axis too many, or does a list grow in every step?",
    "processes": "Nothing in this course needs processes of its own: leave out multiprocessing and subprocess.",
    "crashed": "Something ended Python itself. Look for exit(), quit(), sys.exit() or os._exit() in the notebook, and "
    "for a function that calls itself without end.",
    "missing": "Hand in the notebook of the lesson, and keep the names of its functions.",
    "unreadable": "Open the file in Jupyter, save it, and hand in what ends in .ipynb.",
}


@dataclasses.dataclass(frozen=True)
class Entry:
    """What is said of one kind of case: its hidden variants together.

    Attributes:
        name: The case's name.
        wrong: Variants that were answered wrongly.
        tries: Variants that were answered.
        example: The first wrong one, as in `Mark.cases`; the first of all if none is.
    """

    name: str
    wrong: int
    tries: int
    example: Mapping


def merged(cases: Iterable[Mapping]) -> list[Entry]:
    """Cases that were answered, one entry a name, in their order."""
    by_name = collections.defaultdict(list)
    for case in cases:
        if case.get("answered", True):
            by_name[case["name"]].append(case)
    entries = []
    for name, tries in by_name.items():
        wrong = [case for case in tries if not case["passed"]]
        entries.append(Entry(name, len(wrong), len(tries), (wrong or tries)[0]))
    return entries


def make_pages(result, folder: pathlib.Path) -> dict[pathlib.Path, str]:
    """Makes one page per student of a `GradingResult`.

    Args:
        result: The graded batch.
        folder: Where they shall lie.

    Returns:
        HTML by path.
    """
    return {folder / f"{file_name(one)}.html": _page(result, one) for one in result.submissions}


def file_name(submission: Submission) -> str:
    """A name that is the student's alone on any file system, whoever else hands in: the readable part, then a hash.

    People tell two of one name apart by the number in the LMS, else by what tells them apart in the tables.
    """
    readable = _readable(submission.name if submission.lms else submission.student)
    if submission.lms and submission.lms_id:
        readable = f"{readable or 'student'}_{_readable(submission.lms_id)}"
    digest = hashlib.sha256(submission.identity.encode()).hexdigest()[:_DIGEST_CHARACTERS]
    return f"{readable or 'student'}-{digest}"


def _readable(text: str) -> str:
    letters = "".join(
        character if unicodedata.category(character)[0] in "LMN" else "_"
        for character in unicodedata.normalize("NFC", text)
    )
    return re.sub("_+", "_", letters).strip("_").encode()[:_READABLE_BYTES].decode(errors="ignore")


def told_older(submissions: Sequence[Submission], folder: pathlib.Path, *, anonymous: bool) -> list[str]:
    """One line on pages of an earlier run that this one does not write anew, if there are any.

    Args:
        submissions: Those whose pages are written.
        folder: Where they lie.
        anonymous: Whether pages are called by numbers, so that others tell a name.
    """
    written = {f"{file_name(one)}.html" for one in submissions}
    found = {path.name for path in folder.glob("*.html") if _OURS.fullmatch(path.name)}
    older = sorted(found - written)
    if not older:
        return []
    count, delete = (f"{len(older)} older pages", "delete them") if len(older) > 1 else ("1 older page", "delete it")
    holds = f"{clean(folder.name or folder)}/ still holds {count}"
    if anonymous and not all(map(_NUMBERED.match, older)):
        return [f"{holds} with names: {delete}"]  # which the line must not tell
    more = f" and {len(older) - _MAX_OLDER} more" if len(older) > _MAX_OLDER else ""
    return [f"{holds}: {delete} ({', '.join(map(clean, older[:_MAX_OLDER]))}{more})"]


def _page(result, submission: Submission) -> str:
    student = submission.student
    marks = result.marks[student]
    lessons = collections.defaultdict(list)
    for mark in marks:
        lessons[mark.exercise_id.split(".")[0]].append(mark)
    total = f"<strong>{points(result.total(student))} of {result.max_total(student)} points</strong>"
    passed = sum(mark.status == "passed" for mark in marks)
    head = [f"<p>{total}, {passed} of {len(marks)} exercises passed. Graded {escape(result.graded_at)}.</p>"]
    if submission.late:
        head.append(f"<p>Handed in late: {escape(submission.late)}.</p>")
    if sources := result.sources.get(student):
        paths = dict.fromkeys(bare_name(path) if submission.lms else path for path in sources.values())
        named = ", ".join(f"<code>{escape(path)}</code>" for path in paths)
        head.append(f'<p class="quiet">Files that were graded: {named}</p>')
    is_nothing = _has_nothing(marks)
    rows: list = []
    for lesson, row in lessons.items():
        rows.append(f"Lesson {escape(lesson_title(lesson))}")
        for mark in row:
            title = f'<span class="roomy">{escape(mark.title)}</span>'
            name = f"<code>{escape(mark.exercise_id)}</code>" if is_nothing else link(mark.exercise_id)
            rows.append((f"{name} {title}", _points(mark), _status(mark)))
    table = pages.table(["exercise", "points", "status"], rows, numbers=[1])
    named = {mark.exercise_id: result.mistakes.get((student, mark.exercise_id), "") for mark in marks}
    parts = [*head, _first(marks), f"<h2>All exercises</h2>\n{table}"]
    if any(mark.status == "passed" or (mark.status in _WRITTEN and mark.cases) for mark in marks):
        parts.append('<p class="quiet">Your functions ran on other numbers than those in your notebook.</p>')
    if not is_nothing:
        parts += [_lesson(lesson, row, named) for lesson, row in lessons.items()]
    return pages.document(f"Feedback for {student}", "\n".join(parts))


def _points(mark: Mark) -> str:
    return f"{points(mark.points)} of {mark.max_points}"


def _status(mark: Mark) -> str:
    return badge(mark.status) + (" set by the teacher" if mark.override else "")


def _has_nothing(marks: Sequence[Mark]) -> bool:
    """Whether one reason for everything is all that there is to say."""
    reasons = {(mark.status, mark.message, mark.override) for mark in marks}
    return len(reasons) == 1 and marks[0].status in _ABSENT and not marks[0].override


def _is_settled(mark: Mark) -> bool:
    """Whether nothing is left to do: right, or given all points by the teacher."""
    return mark.status == "passed" or (bool(mark.override) and mark.points >= mark.max_points)


def _first(marks: Sequence[Mark]) -> str:
    """What comes first: later functions of a lesson build on earlier ones, so the order is the course's."""
    if _has_nothing(marks):
        status = marks[0].status
        return f"<h2>What to do first</h2>\n<p>{_reason(status, marks[0].message)} {_ADVICE[status]}</p>"
    by_reason = collections.defaultdict(list)
    for mark in marks:
        if not _is_settled(mark):
            # A notebook that is missing is one thing to do, however many exercises it holds.
            whole = mark.message if mark.status in _ABSENT else mark.exercise_id
            by_reason[mark.exercise_id.split(".")[0], whole].append(mark)
    if not by_reason:
        everything = "right" if all(mark.status == "passed" for mark in marks) else "right, or settled by the teacher"
        return f"<h2>What to do first</h2>\n<p>Nothing: everything is {everything}.</p>"
    items = []
    for row in list(by_reason.values())[:_MAX_FIRST]:
        reason = row[0].message if row[0].message and row[0].status != "todo" else MEANINGS[row[0].status]
        items.append(f"<li>{', '.join(link(mark.exercise_id) for mark in row)}: {escape(reason)}</li>")
    more = len(by_reason) - len(items)
    rest = f"<p>Then the other {more}, from top to bottom.</p>" if more > 0 else ""
    return f"<h2>What to do first</h2>\n<ol>{''.join(items)}</ol>{rest}"


def _lesson(lesson: str, marks: Sequence[Mark], mistakes: Mapping[str, str]) -> str:
    parts = [_failure(mark, mistakes[mark.exercise_id]) for mark in marks if mark.status in _WRITTEN]
    others = collections.defaultdict(list)
    for mark in marks:
        if mark.status not in _WRITTEN:
            words = "" if mark.status in ("passed", "todo") else mark.message
            others[mark.status, words, _is_settled(mark)].append(mark)
    # Passed ones come last: what is to be done stands first.
    for (status, message, _), row in sorted(others.items(), key=lambda item: item[0][0] == "passed"):
        parts.append(_one_line(status, message, row))
    return f"<h2>Lesson {escape(lesson_title(lesson))}</h2>\n" + "\n".join(parts)


def _one_line(status: str, message: str, marks: Sequence[Mark]) -> str:
    named = ", ".join(
        f'<span id="{anchor(mark.exercise_id)}"><code>{escape(mark.exercise_id)}</code> ({_points(mark)})</span>'
        + _override(mark)
        for mark in marks
    )
    is_settled = all(map(_is_settled, marks))
    reason = "" if is_settled else f"<p>{_reason(status, message)}</p>"
    advice = f"<p>{_ADVICE[status]}</p>" if status in _ADVICE and not is_settled else ""
    kind = "passed" if is_settled else "open"
    head = f'<div class="head">{badge(status)} <span>{named}</span></div>'
    return f'<section class="{kind}">{head}{reason}{advice}</section>'


def _reason(status: str, message: str) -> str:
    return f"{escape(message or MEANINGS[status])}."


def _override(mark: Mark) -> str:
    return f" - set by the teacher: {escape(mark.override)}" if mark.override else ""


def _failure(mark: Mark, mistake: str) -> str:
    is_settled = _is_settled(mark)
    entries = [] if is_settled else merged(mark.cases)
    wrong = [entry for entry in entries if entry.wrong]
    right = [entry.name for entry in entries if not entry.wrong]
    answered = {entry.name for entry in entries}
    unanswered = list(dict.fromkeys(case["name"] for case in mark.cases if case["name"] not in answered))
    parts = []
    if mark.override:
        parts.append(f"<p>Set by the teacher: {escape(mark.override)}.</p>")
    if mark.message and not is_settled and all(mark.message != clean(entry.example["problem"]) for entry in wrong):
        parts.append(f"<p><strong>{escape(mark.message)}</strong></p>")
    if mark.status in _ADVICE and not is_settled:
        parts.append(f"<p>{_ADVICE[mark.status]}</p>")
    if mistake and not is_settled:
        parts.append(f"<p>It goes wrong as this known mistake does: <em>{escape(mistake)}</em>.</p>")
    parts += [_entry(entry, is_open=n == 0) for n, entry in enumerate(wrong)]
    if unanswered and entries:
        parts.append(f"<p>Without an answer: {'; '.join(map(escape, unanswered))}.</p>")
    if right:
        parts.append(f"<p>Right: {'; '.join(map(escape, right))}.</p>")
    kind = ' class="passed"' if is_settled else ""
    return f"""<section{kind} id="{anchor(mark.exercise_id)}">
<div class="head">{badge(mark.status)} <h3><code>{escape(mark.exercise_id)}</code> {escape(mark.title)}</h3>
<span class="points">{_points(mark)}</span></div>
{"".join(parts)}
</section>"""


def _entry(entry: Entry, *, is_open: bool) -> str:
    case = entry.example
    arguments = case.get("arguments") or [["input", case["given"]]]
    rows = [("problem", escape(case["problem"], limit=_MAX_TEXT), "")]
    rows += [(f"<code>{escape(name)}</code>", escape(text, limit=_MAX_TEXT), "mono") for name, text in arguments]
    rows.append(("got", escape(case["got"], limit=_MAX_TEXT), "mono"))
    if case["hint"]:
        rows.append(("hint", escape(case["hint"], limit=_MAX_TEXT), ""))
    cells = "".join(
        f'<tr><th scope="row">{label}</th><td{f" class={kind!r}" if kind else ""}>{text}</td></tr>'
        for label, text, kind in rows
    )
    tries = f"wrong in {entry.wrong} of {entry.tries} tries" if entry.tries > 1 else "wrong"
    return (
        f"<details{' open' if is_open else ''}><summary>{escape(entry.name)}: {tries}</summary>"
        f'<table class="case">{cells}</table></details>'
    )
