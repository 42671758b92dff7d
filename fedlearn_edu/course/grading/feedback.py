"""One HTML page per student: marks, what went wrong, and hints; nothing on it can run."""

from __future__ import annotations

import base64
import hashlib
import html
import pathlib
import re
import unicodedata

from fedlearn_edu.course.grading.marks import Mark
from fedlearn_edu.course.grading.submissions import Submission

_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 50rem; margin: 2rem auto; padding: 0 1rem; color: #1f2933; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.1rem; margin: 0; }
section { border: 1px solid #cbd2d9; border-left: .4rem solid #b91c1c; padding: .8rem; margin: 1rem 0; }
section.passed { border-left-color: #15803d; } section.todo { border-left-color: #b45309; }
.points { float: right; font-weight: 600; } .status { font-weight: 600; }
ul { padding-left: 1.2rem; } li { margin: .4rem 0; } code { overflow-wrap: anywhere; background: #f1f5f9; }
""".strip()
_STYLE_HASH = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
_READABLE_BYTES = 120
_DIGEST_CHARACTERS = 20  # 80 bits: nobody finds a name whose page takes another's place
_WORDS = {
    "passed": "all cases right",
    "failed": "not right yet",
    "todo": "not written yet",
    "missing": "not found",
    "timeout": "out of time",
    "memory": "out of memory",
    "processes": "too many processes",
    "crashed": "ended early",
    "unreadable": "the notebook cannot be read",
    "ungraded": "could not be graded; ask your teacher",
}


def make_pages(result, folder: pathlib.Path) -> dict[pathlib.Path, str]:
    """Makes one page per student of a `GradingResult`.

    Args:
        result: The graded batch.
        folder: Where they shall lie.

    Returns:
        HTML by path.
    """
    return {
        folder / f"{file_name(submission)}.html": _page(
            submission.student,
            result.total(submission.student),
            result.max_total(submission.student),
            result.marks[submission.student],
        )
        for submission in result.submissions
    }


def file_name(submission: Submission) -> str:
    """A name that is the student's alone on any file system, whoever else hands in: the readable part, then a hash."""
    letters = "".join(
        character if unicodedata.category(character)[0] in "LMN" else "_"
        for character in unicodedata.normalize("NFC", submission.name)
    )
    readable = re.sub("_+", "_", letters).strip("_").encode()[:_READABLE_BYTES].decode(errors="ignore")
    digest = hashlib.sha256(submission.identity.encode()).hexdigest()[:_DIGEST_CHARACTERS]
    return f"{readable or 'student'}-{digest}"


def _page(student: str, points: float, max_points: int, marks: tuple[Mark, ...]) -> str:
    sections = "\n".join(_section(mark) for mark in marks)
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'sha256-{_STYLE_HASH}'">
<meta name="viewport" content="width=device-width">
<title>Feedback for {html.escape(student)}</title>
<style>{_STYLE}</style>
</head>
<body>
<h1>Feedback for {html.escape(student)}</h1>
<p>{points:g} of {max_points} points. Your functions ran on other numbers than those in your notebook.</p>
{sections}
</body>
</html>
"""


def _section(mark: Mark) -> str:
    colour = mark.status if mark.status in ("passed", "todo") else "failed"
    cases = "\n".join(_case(case) for case in mark.cases) if mark.status not in ("passed", "todo") else ""
    message = f"<p>{html.escape(mark.message)}</p>" if mark.message and not mark.cases else ""
    return f"""<section class="{colour}">
<span class="points">{mark.points:g} / {mark.max_points}</span>
<h2>{html.escape(mark.exercise_id)} {html.escape(mark.title)}</h2>
<p class="status">{html.escape(_WORDS[mark.status])}</p>
{message}{"<ul>" + cases + "</ul>" if cases else ""}
</section>"""


def _case(case: dict) -> str:
    name = html.escape(case["name"])
    if case["passed"]:
        return f"<li>right: {name}</li>"
    hint = f"<br>Hint: {html.escape(case['hint'])}" if case["hint"] else ""
    return (
        f"<li>wrong: {name}<br>{html.escape(case['problem'])}<br>"
        f"given <code>{html.escape(case['given'])}</code>, got <code>{html.escape(case['got'])}</code>{hint}</li>"
    )
