"""HTML pages that nothing can run on: one style, one frame, and the few pieces they are made of."""

from __future__ import annotations

import base64
import hashlib
import html
from collections.abc import Iterable, Sequence

from fedlearn_edu.course.grading.text import clean

# One letter-sized mark besides the colour: colour alone is lost on some readers and in print.
_MARKS = {"passed": "✓", "todo": "○", "missing": "-", "unreadable": "-", "ungraded": "?"}
_NOT_RIGHT = "✗"
# The same words as in the tables and in the notebook's own check; what they mean stands beside them where needed.
MEANINGS = {
    "passed": "all cases right",
    "failed": "not right yet",
    "todo": "not written yet",
    "missing": "not found in what was handed in",
    "timeout": "no answer in time",
    "memory": "it took too much memory",
    "processes": "it started too many processes",
    "crashed": "the program ended before it answered",
    "unreadable": "the notebook cannot be read",
    "ungraded": "could not be graded, which is not your fault: ask your teacher",
}

STYLE = """
:root { color-scheme: light dark; --page: #fff; --text: #1f2933; --quiet: #52606d; --line: #cbd2d9; --soft: #f1f5f9;
  --good: #1b7a3d; --bad: #b3261e; --open: #5f6368; --link: #1d4ed8; --good-soft: #d9f2e1; --bad-soft: #fbdedb; }
@media (prefers-color-scheme: dark) { :root { --page: #14181d; --text: #e4e7eb; --quiet: #a6b0bb; --line: #3e4c59;
  --soft: #222a32; --link: #93c5fd; --good-soft: #17442a; --bad-soft: #5a1d19; } }
* { box-sizing: border-box; }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 54rem; margin: 1.5rem auto; padding: 0 1rem;
  color: var(--text); background: var(--page); overflow-wrap: anywhere; }
body.wide { max-width: 90rem; }
h1 { font-size: 1.5rem; margin: 0 0 .3rem; } h2 { font-size: 1.2rem; margin: 2rem 0 .5rem; }
h3 { font-size: 1rem; margin: 0; }
p, ol, ul { margin: .4rem 0; } a { color: var(--link); } .quiet { color: var(--quiet); }
code, .mono, pre { font-family: ui-monospace, monospace; font-size: .92em; }
pre { background: var(--soft); padding: .5rem .7rem; margin: .3rem 0; white-space: pre-wrap; }
table { border-collapse: collapse; } th, td { text-align: left; vertical-align: top; padding: .2rem .8rem .2rem 0; }
thead th { font-weight: 600; color: var(--quiet); } tbody tr { border-top: 1px solid var(--line); }
.number { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
.scroll { overflow-x: auto; max-width: 100%; overflow-wrap: break-word; }
.badge { color: #fff; background: var(--bad); border-radius: .6rem; padding: 0 .5rem; font-weight: 600;
  font-size: .85em; white-space: nowrap; }
.badge.passed { background: var(--good); }
.badge.todo, .badge.missing, .badge.unreadable, .badge.ungraded { background: var(--open); }
section { border-left: .3rem solid var(--bad); padding: .1rem 0 .1rem .8rem; margin: 1rem 0; }
section.passed { border-color: var(--good); } section.open { border-color: var(--open); }
.head { display: flex; flex-wrap: wrap; gap: .2rem .6rem; align-items: baseline; }
.head .points { margin-left: auto; white-space: nowrap; font-weight: 600; }
details { margin: .4rem 0; } summary { cursor: pointer; font-weight: 600; }
.case { margin: .1rem 0 .3rem 1rem; } .case tr { border: 0; }
.case th { font-weight: 400; color: var(--quiet); min-width: 4.5rem; white-space: nowrap; }
.case td { padding-right: 0; }
@media (max-width: 40rem) { .case, .case tbody, .case tr, .case th, .case td { display: block; padding: 0; }
  .case tr { margin-bottom: .3rem; } .case th { white-space: normal; }
  .roomy { display: none; } th, td { padding-right: .5rem; } td code { font-size: .8em; overflow-wrap: anywhere; }
  .cards thead { display: none; } .cards, .cards tbody, .cards tr, .cards td { display: block; text-align: left; }
  .cards tr { padding: .4rem 0; } .cards td { padding: 0; white-space: normal; } .cards td:empty { display: none; }
  .cards td + td::before { content: attr(data-name) ": "; color: var(--quiet); } }
""".strip()


def document(title: str, body: str, *, style: str = "", wide: bool = False) -> str:
    """A whole page. Its policy allows one style sheet, named by its hash, and nothing else: no script, no address.

    Args:
        title: Plain text; also the page's heading.
        body: HTML in which every text is escaped.
        style: More rules for this kind of page.
        wide: Whether tables may take the screen's whole width.
    """
    sheet = f"{STYLE}\n{style}".strip()
    digest = base64.b64encode(hashlib.sha256(sheet.encode()).digest()).decode()
    policy = f"default-src 'none'; base-uri 'none'; form-action 'none'; style-src 'sha256-{digest}'"
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{escape(title)}</title>
<style>{sheet}</style>
</head>
<body{' class="wide"' if wide else ""}>
<h1>{escape(title)}</h1>
{body}
</body>
</html>
"""


def escape(text: object, *, limit: int = 400) -> str:
    """One printable line of whatever anyone wrote, safe to stand in HTML.

    Example:
        >>> escape('<b>"a"\\n')
        '&lt;b&gt;&quot;a&quot;'
    """
    return html.escape(clean(text, limit=limit))


def points(value: float) -> str:
    """Points without zeros that say nothing.

    Example:
        >>> points(2.0), points(29.5), points(0.333)
        ('2', '29.5', '0.33')
    """
    return f"{value:.2f}".rstrip("0").rstrip(".")


def sign(status: str) -> str:
    """The character that stands for a status.

    Example:
        >>> sign("passed"), sign("timeout"), sign("todo")
        ('✓', '✗', '○')
    """
    return _MARKS.get(status, _NOT_RIGHT)


def badge(status: str) -> str:
    """A status, as every table and the notebook names it."""
    return f'<span class="badge {escape(status)}">{sign(status)} {escape(status)}</span>'


def anchor(exercise_id: str) -> str:
    """The place of an exercise on a page."""
    return "exercise-" + escape(exercise_id).replace(".", "-")


def link(exercise_id: str) -> str:
    """A link to that place."""
    return f'<a href="#{anchor(exercise_id)}"><code>{escape(exercise_id)}</code></a>'


def table(
    head: Sequence[str], rows: Iterable[Sequence[str] | str], *, numbers: Sequence[int] = (), cards: bool = False
) -> str:
    """A table that scrolls by itself where a screen is too narrow.

    Args:
        head: Plain text.
        rows: Cells, or one text that heads the rows below it; HTML in which every text is escaped.
        numbers: Positions of the columns that hold numbers.
        cards: On a narrow screen each row becomes a paragraph, whose lines begin with the names of the columns: for
            columns of sentences.
    """
    names = [f' data-name="{escape(name)}"' if cards else "" for name in head]

    def cells(tag: str, row: Sequence[str] | str, scope: str = "") -> str:
        if isinstance(row, str):
            return f'<th scope="rowgroup" colspan="{len(head)}">{row}</th>'
        kinds = [names[n] * (tag == "td") + ' class="number"' * (n in numbers) for n in range(len(row))]
        return "".join(f"<{tag}{scope}{kind}>{cell}</{tag}>" for kind, cell in zip(kinds, row, strict=True))

    top = cells("th", [escape(name) for name in head], ' scope="col"')
    body = "".join(f"<tr>{cells('td', row)}</tr>\n" for row in rows)
    kind = ' class="cards"' if cards else ""
    return f'<div class="scroll"><table{kind}><thead><tr>{top}</tr></thead>\n<tbody>\n{body}</tbody></table></div>'
