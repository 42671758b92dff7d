"""The class at a glance: one page with every mark in colour, the spread of totals, and what went wrong most often."""

from __future__ import annotations

import collections
import os
import statistics
import urllib.parse
from collections.abc import Mapping, Sequence

from fedlearn_edu.course.grading import pages
from fedlearn_edu.course.grading.feedback import file_name
from fedlearn_edu.course.grading.marks import Mark
from fedlearn_edu.course.grading.pages import MEANINGS, escape, points, sign
from fedlearn_edu.course.grading.worksheets import lesson_title

_NUM_BARS = 10
_MAX_NAMES = 8  # under "who needs help"
_HELP_SHARE = 0.5  # of the points; below it a student is named
_GOOD, _NOT_HANDED_IN = ("passed",), ("missing", "unreadable")
_STYLE = """
.grid td, .grid th { padding: .1rem .35rem; } .grid tbody tr { border: 0; }
.grid thead th { vertical-align: bottom; font-weight: 400; }
.grid thead th.task { writing-mode: vertical-rl; transform: rotate(180deg); text-align: left; padding: .35rem .1rem; }
.grid tbody th { font-weight: 400; white-space: nowrap; max-width: 16rem; overflow: hidden; text-overflow: ellipsis;
  position: sticky; left: 0; background: var(--page); }
.mark { text-align: center; border: 1px solid var(--page); background: var(--soft); font-size: .9em; }
.mark.passed { background: var(--good-soft); } .mark.wrong { background: var(--bad-soft); }
.lesson { border-left: 3px solid var(--line); }
svg { max-width: 100%; height: auto; } svg text { fill: var(--text); font-size: 12px; }
svg rect { fill: var(--link); } svg line { stroke: var(--line); }
.bar { display: inline-block; width: 6rem; height: .7rem; background: var(--bad-soft); vertical-align: middle; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .1rem 1rem; } dd { margin: 0; }
@media (max-width: 40rem) { dl { grid-template-columns: 1fr; } dd { margin-bottom: .5rem; }
  .grid tbody th { max-width: 7rem; } .grid td, .grid th { padding: .1rem .2rem; }
  .grid .number .quiet { display: block; font-size: .75em; white-space: normal; max-width: 5rem; margin-left: auto; } }
""".strip()


def make_overview(result) -> str:
    """Makes the page.

    Args:
        result: A `GradingResult`.

    Returns:
        HTML.
    """
    students, exercises = result.students_table(), result.exercises_table()
    if students.empty or exercises.empty:
        return pages.document("The class at a glance", "<p>Nothing was graded.</p>")
    totals = list(students["points"])
    middle = f"mean {points(statistics.fmean(totals))}, median {points(statistics.median(totals))}"
    possible = int(students["max_points"].max())
    parts = [
        f"<p><strong>{len(totals)} {'student' if len(totals) == 1 else 'students'}, {len(exercises)} exercises: "
        f"{middle} of {possible} points.</strong> Graded {escape(result.graded_at)}.</p>",
        "<h2>Totals</h2>",
        _histogram(list(students["share"])),
        "<h2>Who needs help</h2>",
        _help(students, _not_found(result)),
        "<h2>Exercises</h2>",
        _exercises(exercises),
        "<h2>Every mark</h2>",
        _legend(result.marks),
        _grid(result),
    ]
    return pages.document("The class at a glance", "\n".join(parts), style=_STYLE, wide=True)


def _histogram(shares: Sequence[float]) -> str:
    """How many students have which share of their points, in ten bars; the last one holds its upper end."""
    counts = [0] * _NUM_BARS
    for share in shares:
        counts[min(int(share * _NUM_BARS + 1e-9), _NUM_BARS - 1)] += 1
    width, height, base = 46, 110, 130
    bars = []
    for n, count in enumerate(counts):
        size = round(height * count / max(max(counts), 1), 1)
        left = n * width
        low, high = n * 100 // _NUM_BARS, (n + 1) * 100 // _NUM_BARS
        bars.append(
            f'<rect x="{left + 2}" y="{base - size}" width="{width - 4}" height="{size}"/>'
            f'<text x="{left + width / 2}" y="{base - size - 4}" text-anchor="middle">{count or ""}</text>'
            f'<text x="{left + width / 2}" y="{base + 16}" text-anchor="middle">{low}-{high}</text>'
        )
    told = "; ".join(
        f"{n * 100 // _NUM_BARS} to {(n + 1) * 100 // _NUM_BARS} %: {count}" for n, count in enumerate(counts) if count
    )
    total = _NUM_BARS * width
    return (
        f'<svg viewBox="0 0 {total} {base + 42}" width="{total}" role="img" '
        f'aria-label="Students by share of points. {told}">'
        f'<line x1="0" y1="{base}" x2="{total}" y2="{base}"/>{"".join(bars)}'
        f'<text x="{total / 2}" y="{base + 36}" text-anchor="middle">'
        "% of the points (number of students above)</text></svg>"
    )


def _not_found(result) -> dict[str, int]:
    """By student, how many functions are not in the notebook that was handed in for them."""
    return {
        student: sum(
            mark.status == "missing" and mark.exercise_id.split(".")[0] in result.sources.get(student, ())
            for mark in marks
        )
        for student, marks in result.marks.items()
    }


def _help(students, not_found: Mapping[str, int]) -> str:
    """Three groups that do not overlap: nothing handed in, no point, the least of the others; then who lacks a part."""
    lost = students["student"].map(not_found)
    students = students.assign(lost=lost, missing=students["missing"] - lost)
    nothing = students[students["missing"] == students["exercises"]]
    rest = students.drop(nothing.index)
    zero = rest[rest["points"] == 0]
    others = rest.drop(zero.index)
    least = others[others["share"] < _HELP_SHARE].sort_values("share", kind="stable").head(_MAX_NAMES)
    gaps = others[others["missing"] > 0]
    shown = [f"{escape(row.student)} ({points(row.points)} of {row.max_points})" for row in least.itertuples()]
    part = [f"{escape(row.student)} ({row.missing} of {row.exercises})" for row in gaps.itertuples()]
    without = [f"{escape(row.student)} ({row.lost} of {row.exercises})" for row in rest[rest["lost"] > 0].itertuples()]
    groups = [
        ("no readable notebook", [escape(name) for name in nothing["student"]]),
        ("0 points", [escape(name) for name in zero["student"]]),
        ("least points, less than half", shown),
        ("exercises not handed in", part),
        ("functions not found in the notebook", without),
    ]
    items = "".join(f"<dt>{label}</dt><dd>{', '.join(names)}</dd>" for label, names in groups if names)
    return f"<dl>{items}</dl>" if items else "<p>Everyone has at least half of the points.</p>"


def _exercises(exercises) -> str:
    rows = []
    for row in exercises.itertuples():
        rows.append(
            (
                f"<code>{escape(row.exercise)}</code> {escape(row.title)}",
                f"{row.passed} of {row.students} ({100 * row.passed_share:.0f} %)",
                f"{points(row.mean_points)} of {row.max_points}",
                _counted(row.common_messages),
                _counted(row.common_mistakes),
            )
        )
    head = ["exercise", "passed", "mean points", "commonest messages", "known mistakes"]
    note = (
        '<p class="quiet">A known mistake is a stored wrong answer of the exercise that is wrong in the same cases and '
        "gives the same numbers: a likely reason, no proof.</p>"
    )
    return pages.table(head, rows, numbers=[2], cards=True) + note


def _counted(pairs: Sequence[tuple[str, int]]) -> str:
    return "<br>".join(f"{escape(text, limit=120)}: {count}" for text, count in pairs)


def _legend(marks: Mapping[str, Sequence[Mark]]) -> str:
    used = collections.Counter(mark.status for row in marks.values() for mark in row)
    shown = "; ".join(
        f"{sign(status)} {status} ({meaning.partition(',')[0]}): {used[status]}"
        for status, meaning in MEANINGS.items()
        if used[status]
    )
    return f'<p class="quiet">{shown}. With a part of the points, these stand beside the mark.</p>'


def _grid(result) -> str:
    """Students down, exercises across; a row of means at the end."""
    columns = [mark.exercise_id for mark in next(iter(result.marks.values()))]
    starts = {n for n, id in enumerate(columns) if n == 0 or id.split(".")[0] != columns[n - 1].split(".")[0]}
    lessons = [(n, columns[n].split(".")[0]) for n in sorted(starts)]
    ends = [*sorted(starts)[1:], len(columns)]
    top = "".join(
        f'<th scope="colgroup" class="lesson" colspan="{end - start}" title="{escape(lesson_title(lesson))}">'
        f"{escape(lesson)}</th>"
        for (start, lesson), end in zip(lessons, ends, strict=True)
    )
    names = "".join(
        f'<th scope="col" class="task{" lesson" if n in starts else ""}">{escape(id.split(".")[1])}</th>'
        for n, id in enumerate(columns)
    )
    pages_of = _feedback_links(result)
    late = {one.student: one.late for one in result.submissions}
    rows = []
    for student, marks in result.marks.items():
        name = escape(student)
        if student in pages_of:
            name = f'<a href="{pages_of[student]}">{name}</a>'
        by_id = {mark.exercise_id: mark for mark in marks}
        cells = "".join(_cell(by_id.get(id), n in starts) for n, id in enumerate(columns))
        total = points(result.total(student)) + _lateness(result, late.get(student, ""), student)
        rows.append(
            f'<tr><th scope="row" title="{escape(student)}">{name}</th><td class="number">{total}</td>{cells}</tr>'
        )
    return (
        f'<div class="scroll"><table class="grid"><thead><tr><td></td><td></td>{top}</tr>\n'
        f'<tr><th scope="col">student</th><th scope="col" class="number">points</th>{names}</tr></thead>\n'
        f"<tbody>{chr(10).join(rows)}</tbody></table></div>"
    )


def _lateness(result, late: str, student: str) -> str:
    """How late, and what that costs, in few words: "late 2 days 3 h, -1.5"."""
    if not late:
        return ""
    taken_off = result.taken_off(student)
    cost = f", -{points(taken_off)}" if taken_off else ""
    return f' <span class="quiet" title="{escape(late)}">late {escape(late.partition(";")[0])}{cost}</span>'


def _feedback_links(result) -> dict[str, str]:
    """The address of each student's page, as seen from this one; empty if there are no pages."""
    if "feedback" not in result.files:
        return {}
    folder = os.path.relpath(result.files["feedback"], result.files["overview"].parent)
    return {one.student: urllib.parse.quote(f"./{folder}/{file_name(one)}.html") for one in result.submissions}


def _cell(mark: Mark | None, first: bool) -> str:
    edge = " lesson" if first else ""
    if mark is None:
        return f'<td class="mark{edge}"></td>'
    kind = "passed" if mark.status == "passed" else "" if sign(mark.status) != "✗" else "wrong"
    part = f" {points(mark.points)}" if 0 < mark.points < mark.max_points or mark.override else ""
    told = f"{mark.exercise_id}: {mark.status}, {points(mark.points)} of {mark.max_points}. {mark.message}"
    if mark.override:
        told += f" Set by the teacher: {mark.override}"
    return f'<td class="mark {kind}{edge}" title="{escape(told)}">{sign(mark.status)}{part}</td>'
