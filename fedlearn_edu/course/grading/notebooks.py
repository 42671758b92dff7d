"""Reads one notebook that anyone may have written with anything: bytes -> code cells. Runs nothing."""

from __future__ import annotations

import codecs
import dataclasses
import json
import re

import nbformat

from fedlearn_edu.course.grading.ipython_cells import plain_python

MAX_BYTES = 50 * 2**20
MAX_SOURCE = 2_000_000  # characters of code in all cells
MAX_CELLS = 2_000
_EXERCISE_ID = re.compile(r"(?<![\w.])(\d\d)\.([a-z][a-z0-9_]*)")
_DEFINITION = re.compile(r"^(?:async )?def ([A-Za-z_]\w*)", re.MULTILINE)


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
    """

    cells: tuple[str, ...]
    exercise_ids: frozenset[str]
    functions: frozenset[str]
    notes: tuple[str, ...] = ()


def read_notebook(content: bytes) -> Notebook:
    """Reads a notebook of any nbformat version, also a damaged one.

    Args:
        content: The file's bytes; UTF-8 is expected, other encodings are tried.

    Raises:
        UnreadableNotebook: No code cells can be got out of it.
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
    sources, ids = [], set()
    for cell in _cells(data):
        source = cell.get("source", cell.get("input", ""))
        if isinstance(source, list):
            source = "".join(line for line in source if isinstance(line, str))
        if not isinstance(source, str):
            continue
        details = cell.get("metadata")
        details = details.get("fedlearn") if isinstance(details, dict) else None
        if isinstance(details, dict) and isinstance(details.get("id"), str):
            ids.add(details["id"])
        ids |= {match[0] for match in _EXERCISE_ID.finditer(source[:100_000])}
        if cell.get("cell_type") == "code":
            sources.append(source.replace("\r\n", "\n").replace("\r", "\n"))
    if not sources:
        raise UnreadableNotebook("it has no code cells")
    if len(sources) > MAX_CELLS or sum(map(len, sources)) > MAX_SOURCE:
        raise UnreadableNotebook(f"more than {MAX_SOURCE:,} characters or {MAX_CELLS:,} cells of code")
    cells, given_up = plain_python(sources)
    functions = {name for source in cells for name in _DEFINITION.findall(source)}
    return Notebook(tuple(cells), frozenset(ids), frozenset(functions), (*notes, *given_up))


def _text(content: bytes) -> tuple[str, list[str]]:
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return content.decode("utf-16", "replace"), ["read as UTF-16"]
    try:
        return content.decode("utf-8-sig"), []
    except UnicodeDecodeError:
        # Every byte means something in this encoding, and code is ASCII all but always.
        return content.decode("cp1252", "replace"), ["not UTF-8; read as Windows-1252"]


def _cells(data: dict) -> list[dict]:
    """Brings any version to version 4; where nbformat gives up, takes what looks like cells."""
    worksheets = data.get("worksheets")
    raw = data.get("cells")
    if not isinstance(raw, list):
        sheets = worksheets if isinstance(worksheets, list) else []
        raw = [c for s in sheets if isinstance(s, dict) and isinstance(s.get("cells"), list) for c in s["cells"]]
    raw = [cell for cell in raw if isinstance(cell, dict)]
    for cell in raw:  # may be most of the file, and nothing that grading reads
        cell["outputs"] = []
    try:
        data.setdefault("metadata", {})
        data.setdefault("nbformat_minor", 0)
        data.setdefault("nbformat", 4 if "cells" in data else 3)
        return list(nbformat.convert(nbformat.from_dict(data), 4).cells)
    except Exception:  # whatever a hostile or damaged file makes of a library that expects a valid one
        return raw
