"""A CSV file as columns of text: its encoding and separator found or refused, its size measured against the memory."""

from __future__ import annotations

import codecs
import csv
import itertools
import os

import numpy as np
import pandas as pd
import psutil

from fedlearn_edu.bars import progress_bar
from fedlearn_edu.data.names import check_name, one_line, quoted, same_name
from fedlearn_edu.errors import RunError, UsageError

SUFFIXES = (".csv", ".tsv", ".tab", ".txt", ".data")
_SEPARATORS = (",", ";", "\t", "|")
_HEAD_BYTES, _CHUNK_ROWS = 1 << 20, 50_000
_PEAK = 2.5  # what is held while columns are made of the cells, in sizes of the cells
_SHARE = 0.8  # of the memory that is free
_CSV_ADVICE = "save it as CSV (UTF-8)"


def read_columns(path: str, *, encoding: str | None = None) -> dict[str, np.ndarray]:
    """Reads a table with a header line; separators are `,` `;` tab or `|`, whichever cuts all lines alike.

    Args:
        path: The file.
        encoding: As Python calls it; None for UTF-8, with or without a byte order mark.

    Returns:
        Column name -> cells as text without spaces around them, `""` where there is none, dtype object, `[num_rows]`.
        Names are in Unicode's composed form (NFC); a column without a name is called `"column <number>"`.

    Raises:
        UsageError: No such file, no text in that encoding, no separator, no row, lines of several lengths, a column
            name that occurs twice or cannot be shown.
        RunError: The table needs more memory than is free.
    """
    name = quoted(os.path.basename(path))
    if not os.path.isfile(path):
        raise UsageError(f"table: expected a CSV file, {quoted(path)} does not exist or is none")
    codec = _codec(encoding)
    try:
        with open(path, "rb") as file:
            head = file.read(_HEAD_BYTES)
    except OSError as error:
        raise UsageError(f"table: {quoted(path)} cannot be read: {error.strerror}") from None
    _check_kind(head, name, encoding)
    try:
        separator = _separator(_lines(head, codec), name)
        cells = _read_chunks(path, name, head, separator, codec)
    except UnicodeError:
        raise _not_encoded(path, name, encoding) from None
    header = [same_name(cell.strip()) or f"column {number}" for number, cell in enumerate(cells[0], start=1)]
    _check_header(header, name)
    return dict(zip(header, cells[1], strict=True))


def _codec(encoding: str | None) -> str:
    if encoding is None:
        return "utf-8-sig"
    try:
        name = codecs.lookup(encoding).name
        "".encode(name)  # Python counts rot13 and base64 among the codecs, too
    except (LookupError, TypeError):
        raise UsageError(
            f"encoding: expected one that Python knows, such as 'cp1252' or 'utf-16', got {quoted(encoding)}"
        ) from None
    return "utf-8-sig" if name == "utf-8" else name


def _check_kind(head: bytes, name: str, encoding: str | None) -> None:
    if not head.strip():
        raise UsageError(f"table: {name} is empty; expected a header line and one line a row")
    if head.startswith(b"PK\x03\x04"):
        raise UsageError(f"table: {name} is a workbook or an archive, no text; {_CSV_ADVICE}")
    if encoding is None and head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise UsageError(f"table: {name} is UTF-16; say encoding='utf-16', or {_CSV_ADVICE}")
    if b"\0" in head and not (encoding or "").lower().startswith(("utf-16", "utf16", "utf-32", "utf32", "u16", "u32")):
        raise UsageError(f"table: {name} holds zero bytes and is no text; {_CSV_ADVICE}")


def _not_encoded(path: str, name: str, encoding: str | None) -> UsageError:
    if encoding is not None:
        return UsageError(f"encoding: {name} is not written in {quoted(encoding)}; try 'cp1252', or {_CSV_ADVICE}")
    where = ""
    with open(path, "rb") as file:
        for number, line in enumerate(file, start=1):
            try:
                line.decode("utf-8")
            except UnicodeDecodeError as error:
                where = f" (line {number}, byte 0x{line[error.start]:02x})"
                break
    return UsageError(
        f"table: {name} is no UTF-8{where}; if it comes from Windows or Excel say encoding='cp1252', else name its "
        f"encoding, or {_CSV_ADVICE}"
    )


def _lines(head: bytes, codec: str) -> list[str]:
    """Returns the first whole lines."""
    text = codecs.getincrementaldecoder(codec)().decode(head)
    lines = text.splitlines(keepends=True)
    return lines[:-1] if len(head) == _HEAD_BYTES and len(lines) > 1 else lines


def _separator(lines: list[str], name: str) -> str:
    found = {}
    for separator in _SEPARATORS:
        try:
            rows = itertools.islice(csv.reader(lines, delimiter=separator), 100)
            widths = [len(row) for row in rows if row]
        except csv.Error:
            continue
        if widths and widths[0] > 1:
            found[separator] = (np.mean(np.array(widths) == widths[0]), widths[0])
    if not found:
        header = one_line(lines[0].strip(), limit=60) if lines else ""
        raise UsageError(
            f"table: {name} has one column only, {quoted(header)}; expected columns separated by , ; tab or |"
        )
    return max(found, key=found.get)


def _read_chunks(path: str, name: str, head: bytes, separator: str, codec: str) -> tuple[list, list[np.ndarray]]:
    """Returns the header, and the cells of each column."""
    free = psutil.virtual_memory().available * _SHARE
    num_bytes, chunks, held = os.path.getsize(path), [], 0
    lines_in_head = max(1, head.count(b"\n"))
    with progress_bar(desc=f"reading {name}", unit="row", delay=1) as bar:
        try:
            with pd.read_csv(
                path,
                sep=separator,
                header=None,  # the header counts as a row: a longer row is then an error, and not an index
                dtype=str,
                na_filter=False,
                encoding=codec,
                chunksize=_CHUNK_ROWS,
                low_memory=False,
            ) as reader:
                for chunk in reader:
                    held += int(chunk.memory_usage(deep=True, index=False).sum())
                    chunks.append(chunk)
                    bar.update(len(chunk))
                    rows = max(sum(map(len, chunks)), num_bytes / len(head) * lines_in_head)
                    needed = held / sum(map(len, chunks)) * rows * _PEAK
                    if needed > free:
                        raise RunError(
                            f"table: {name} has {num_bytes / 1e9:.1f} GB and would take about {needed / 1e9:.1f} GB of "
                            f"memory, {free / 1e9:.1f} GB are free for it; keep fewer rows or columns of it in a file"
                        )
        except pd.errors.ParserError as error:
            reason = str(error).removeprefix("Error tokenizing data. C error: ").strip()
            raise UsageError(f"table: {name} is no regular table ({one_line(reason)}); repair that line") from None
    header = ["" if cell != cell else str(cell) for cell in chunks[0].iloc[0]]
    cells = []
    for position in range(len(header)):
        column = pd.concat([chunk[position] for chunk in chunks], ignore_index=True).iloc[1:]
        for chunk in chunks:
            del chunk[position]  # else the table is held twice
        cells.append(column.fillna("").str.strip().to_numpy(object))
    if not len(cells[0]):
        raise UsageError(f"table: {name} has a header and no row")
    return header, cells


def _check_header(header: list[str], name: str) -> None:
    seen = set()
    for title in header:
        check_name("table", title, what=f"a column of {name}")
        if title in seen:
            raise UsageError(f"table: two columns of {name} are called {quoted(title)}; rename one of them")
        seen.add(title)
