"""Reads one notebook that anyone may have written with anything: bytes -> code cells. Runs nothing."""

from __future__ import annotations

import codecs
import dataclasses
import json
import re

from fedlearn_edu.course.grading.ipython_cells import plain_python

MAX_BYTES = 200 * 2**20  # outputs included, which are dropped
MAX_SOURCE = 2_000_000  # characters of code in all cells
MAX_CELLS = 2_000
_MAX_IDS = 1_000
_MAX_ANSWERS = 50
MAX_ANSWER = 20_000  # characters of an answer in words that are kept
_EXERCISE_ID = re.compile(r"(?<![\w.])([0-9]{2}\.[a-z][a-z0-9_]{0,63})(?![a-z0-9_])")
_DEFINITION = re.compile(r"^(?:async )?def ([A-Za-z_]\w{0,63})(?!\w)", re.MULTILINE)


class UnreadableNotebook(Exception):
    """Why a file is no notebook, in one line."""


@dataclasses.dataclass(frozen=True)
class Notebook:
    """What grading needs of a notebook.

    Attributes:
        cells: The code cells as plain Python, in order.
        exercise_ids: Exercises that its cells name, in metadata or text ("03.weighted_mean").
        functions: Names of the functions that it defines at top level.
        notes: What was unusual about the file.
        answers: What was written in the cells for answers in words: (the cell's id, the exercise it is marked with,
            "markdown" or "code", text). The text is as the learner left it, up to one character more than `MAX_ANSWER`.
    """

    cells: tuple[str, ...]
    exercise_ids: frozenset[str]
    functions: frozenset[str]
    notes: tuple[str, ...] = ()
    answers: tuple[tuple[str, str, str, str], ...] = ()


def read_notebook(content: bytes) -> Notebook:
    """Reads a notebook of any nbformat version, also a damaged one.

    Of each cell only its kind, its source and how the course marked it are looked at: whatever else a file holds
    (outputs, metadata, attachments) can be anything and is dropped.

    Args:
        content: The file's bytes; UTF-8 is expected, other encodings are tried.

    Raises:
        UnreadableNotebook: No code cells can be got out of it.
        MemoryError: The process's limit does not suffice for what its JSON holds.
    """
    if len(content) > MAX_BYTES:
        raise UnreadableNotebook(f"larger than {MAX_BYTES // 2**20} MiB")
    if not content.strip():
        raise UnreadableNotebook("the file is empty")
    text, notes = _text(content)
    try:
        data = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UnreadableNotebook(f"not JSON ({type(error).__name__})") from None
    if not isinstance(data, dict):
        raise UnreadableNotebook("JSON, but no notebook")
    sources, ids, size = [], set(), 0
    for cell in _cells(data):
        source = _source(cell)
        details = cell.get("metadata")
        details = details.get("fedlearn") if isinstance(details, dict) else None
        marked = details.get("id") if isinstance(details, dict) else None
        if isinstance(marked, str) and _EXERCISE_ID.fullmatch(marked) and len(ids) < _MAX_IDS:
            ids.add(marked)
        if len(ids) < _MAX_IDS:
            ids |= {match[1] for match in _EXERCISE_ID.finditer(source[:100_000])}
        if cell.get("cell_type") == "code":
            size += len(source)
            if len(sources) >= MAX_CELLS or size > MAX_SOURCE:
                raise UnreadableNotebook(f"more than {MAX_SOURCE:,} characters or {MAX_CELLS:,} cells of code")
            sources.append(source.replace("\r\n", "\n").replace("\r", "\n"))
    if not sources:
        raise UnreadableNotebook("it has no code cells")
    cells, given_up = plain_python(sources)
    functions = {name for source in cells for name in _DEFINITION.findall(source)}
    answers = tuple(_answers(_cells(data)))
    return Notebook(tuple(cells), frozenset(ids), frozenset(functions), (*notes, *given_up), answers)


def _text(content: bytes) -> tuple[str, list[str]]:
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return content.decode("utf-16", "replace"), ["read as UTF-16"]
    try:
        return content.decode("utf-8-sig"), []
    except UnicodeDecodeError:
        # Every byte means something in this encoding, and code is ASCII all but always.
        return content.decode("cp1252", "replace"), ["not UTF-8; read as Windows-1252"]


def _cells(data: dict) -> list[dict]:
    """The cells of version 4, or of the worksheets of versions 2 and 3."""
    cells = data.get("cells")
    if not isinstance(cells, list):
        sheets = data.get("worksheets")
        sheets = sheets if isinstance(sheets, list) else []
        cells = [c for s in sheets if isinstance(s, dict) and isinstance(s.get("cells"), list) for c in s["cells"]]
    return [cell for cell in cells if isinstance(cell, dict)]


def _answers(cells: list[dict]) -> list[tuple[str, str, str, str]]:
    """What stands in the cells tagged for it, and in text cells that the learner put right below one."""
    found: list[tuple[str, str, str, str]] = []
    open_one = False
    for cell in cells:
        details = cell.get("metadata")
        details = details if isinstance(details, dict) else {}
        tags, ours, key = details.get("tags"), details.get("fedlearn"), cell.get("id")
        text = _source(cell)[: MAX_ANSWER + 1]
        if isinstance(tags, list) and "answer" in tags:
            if len(found) == _MAX_ANSWERS:
                break
            marked = ours.get("id") if isinstance(ours, dict) else None
            marked = marked if isinstance(marked, str) and _EXERCISE_ID.fullmatch(marked) else ""
            kind = "code" if cell.get("cell_type") == "code" else "markdown"
            found.append((key[:64] if isinstance(key, str) else "", marked, kind, text))
            open_one = kind == "markdown"
        elif open_one and cell.get("cell_type") == "markdown" and "nbgrader" not in details:
            *marks, before = found[-1]
            found[-1] = (*marks, f"{before}\n\n{text}"[: MAX_ANSWER + 1])
        else:
            open_one = False
    return found


def _source(cell: dict) -> str:
    """Its text: "source", or "input" and "code" as versions before 4 called that of a code cell."""
    source = next((cell[key] for key in ("source", "input", "code") if key in cell), "")
    if isinstance(source, list):
        source = "".join(line for line in source if isinstance(line, str))
    return source if isinstance(source, str) else ""
