"""How the result of a check and the table of progress look: plain text, and HTML for a notebook or a feedback page."""

from __future__ import annotations

import html

# One letter-sized mark besides the colour: colour alone is lost on some readers and in print.
_MARKS = {"passed": "✓", "failed": "✗", "todo": "○"}
# White on these is readable in the light and in the dark theme alike (contrast above 4.5).
_COLOURS = {"passed": "#1b7a3d", "failed": "#b3261e", "todo": "#5f6368"}
# JupyterLab's own variables follow its theme; `inherit` and a half-transparent line serve everywhere else.
_TEXT = "color: var(--jp-ui-font-color1, inherit)"
_QUIET = "color: var(--jp-ui-font-color2, inherit)"
_FONT = "font-family: var(--jp-ui-font-family, system-ui, sans-serif); font-size: 13px; line-height: 1.45"
_MONO = "font-family: var(--jp-code-font-family, monospace); white-space: pre-wrap; overflow-wrap: anywhere"
_LINE = "1px solid rgba(128, 128, 128, 0.35)"
# In a page without a doctype tables inherit neither colour nor size, so each cell says both.
_CELL = f"{_TEXT}; font-size: 13px; text-align: left; vertical-align: top; padding: 2px 10px 2px 0; border: none"


def _points(value: float) -> str:
    return f"{value:.2f}".rstrip("0").rstrip(".")


def result_text(result) -> str:
    """Returns a `CheckResult` as text, a few lines."""
    score = f"{_points(result.points)} of {result.possible} points"
    lines = [f"{_MARKS[result.status]} {result.exercise_id}  {result.status}  {score}  {result.title}".rstrip()]
    if result.message:
        lines.append(f"    {result.message}")
    if result.status == "todo":
        return "\n".join(lines)
    for case in result.cases:
        lines.append(f"  {_MARKS['passed' if case.passed else 'failed']} {case.name}{_aside(case, result)}")
        lines += [f"      {label:<9} {text}" for label, text in _details(case)]
    return "\n".join(lines)


def _aside(case, result) -> str:
    """Why a right case adds no points, where somebody may count."""
    trivial = case.passed and not case.weight and not result.passed
    return " (no points: nearly any function gets this right)" if trivial else ""


def _details(case) -> list[tuple[str, str]]:
    if case.passed:
        return []
    rows = [("input", case.given), ("expected", case.expected), ("got", case.got), ("problem", case.problem)]
    return [row for row in rows + [("hint", case.hint)] if row[1]]


def _badge(status: str) -> str:
    return (
        f'<span style="background: {_COLOURS[status]}; color: #fff; border-radius: 9px; padding: 1px 9px; '
        f'font-weight: 600; white-space: nowrap">{_MARKS[status]} {status}</span>'
    )


def result_html(result) -> str:
    """Returns a `CheckResult` as an HTML fragment; every text in it is escaped."""
    score = f"{_points(result.points)} of {result.possible} points"
    parts = [
        f'<div class="fl-check" data-exercise="{html.escape(result.exercise_id)}" data-status="{result.status}" '
        f'style="{_FONT}; {_TEXT}; border-left: 4px solid {_COLOURS[result.status]}; padding: 4px 0 4px 12px; '
        'margin: 4px 0; max-width: 60em">',
        f'<div style="display: flex; flex-wrap: wrap; gap: 4px 10px; align-items: baseline">{_badge(result.status)}'
        f'<b style="{_MONO}">{html.escape(result.exercise_id)}</b><span>{html.escape(result.title)}</span>'
        f'<span style="{_QUIET}; margin-left: auto; white-space: nowrap">{score}</span></div>',
    ]
    if result.message:
        parts.append(f'<div style="margin-top: 4px">{html.escape(result.message)}</div>')
    if result.status != "todo":
        first = next((case for case in result.cases if not case.passed), None)
        parts += [_case_html(case, _aside(case, result), opened=case is first) for case in result.cases]
    return "".join(parts) + "</div>"


def _case_html(case, aside: str, *, opened: bool) -> str:
    """A line for a right case; a wrong one folds, and of several only one should be open: one thing at a time."""
    status = "passed" if case.passed else "failed"
    mark = f'<b style="color: {_COLOURS[status]}; filter: brightness(1.35)">{_MARKS[status]}</b>'
    rows = "".join(
        f'<tr style="background: none"><th scope="row" style="{_CELL}; {_QUIET}; font-weight: 400">{label}</th>'
        f'<td style="{_CELL}; {_MONO if label in ("input", "expected", "got") else ""}">{html.escape(text)}</td></tr>'
        for label, text in _details(case)
    )
    name = f'{mark} {html.escape(case.name)}<span style="{_QUIET}">{html.escape(aside)}</span>'
    if not rows:
        return f'<div style="margin-top: 5px; padding-left: 1em">{name}</div>'
    return (
        f'<details style="margin-top: 5px"{" open" * opened}><summary style="cursor: pointer">{name}</summary>'
        f'<table style="border-collapse: collapse; margin: 2px 0 4px 18px; border: none">{rows}</table></details>'
    )


def progress_text(progress) -> str:
    """Returns a `Progress` as a text table with a line of totals."""
    width = max([len(result.exercise_id) for result in progress.results], default=0)
    lines = [
        f"{_MARKS[r.status]} {r.exercise_id:<{width}}  {r.status:<6}  "
        f"{_points(r.points):>6} of {r.possible:<3} {r.title}".rstrip()
        for r in progress.results
    ]
    return "\n".join([*lines, f"{_points(progress.points)} of {progress.possible} points"])


def progress_html(progress) -> str:
    """Returns a `Progress` as an HTML table; every text in it is escaped."""
    border = f"border-top: {_LINE}"
    head = "".join(
        f'<th scope="col" style="{_CELL}; {_QUIET}">{name}</th>' for name in ("exercise", "", "status", "points")
    )
    rows = "".join(
        f'<tr style="background: none; {border}"><td style="{_CELL}; {_MONO}">{html.escape(r.exercise_id)}</td>'
        f'<td style="{_CELL}">{html.escape(r.title)}</td><td style="{_CELL}">{_badge(r.status)}</td>'
        f'<td style="{_CELL}; text-align: right">{_points(r.points)} of {r.possible}</td></tr>'
        for r in progress.results
    )
    total = f"{_points(progress.points)} of {progress.possible} points"
    return (
        f'<div class="fl-progress" style="{_FONT}; {_TEXT}"><table style="border-collapse: collapse; border: none">'
        f"<thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"
        f'<div style="margin-top: 4px"><b>{total}</b></div></div>'
    )
