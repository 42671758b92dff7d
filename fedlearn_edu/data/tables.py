"""A user's own table: a CSV file becomes a data set of numbers and categories, with a report on each client."""

from __future__ import annotations

import os
import warnings
from collections.abc import Collection, Sequence

import numpy as np
import pandas as pd

from fedlearn_edu.data.dataset import Dataset
from fedlearn_edu.data.names import WHOLE, alike, check_name, one_line, quoted, same_name, shown
from fedlearn_edu.data.table_columns import MISSING, Column, UselessColumnError, find_decimal, typed_column
from fedlearn_edu.data.table_file import read_columns
from fedlearn_edu.data.table_target import read_target
from fedlearn_edu.errors import UsageError, nearest_names

_NOBODY = "."  # the report's row for rows without a client
_MOST_REMARKS = 5


def load_table(
    path: str | os.PathLike,
    *,
    target: str,
    client: str | None = None,
    text: str | None = None,
    task: str | None = None,
    positive: str | None = None,
    unit: str | None = None,
    ignore: Sequence[str] = (),
    categories: Sequence[str] = (),
    encoding: str | None = None,
) -> Dataset:
    """Reads a CSV file whose rows are examples.

    Separators (`,` `;` tab `|`) and decimal commas are found by what the file holds. A cell that is empty or reads NA,
    N/A, NaN, NULL, `?`, `-` or `.` is missing. A column of numbers stays one; dates become days since 1970-01-01;
    everything else is a category. Left out with a warning: columns whose values are all the same or all missing, that
    only count the rows, whose rows nearly all have a value of their own, or that hold whole texts. Rows without a
    target or a client are left out and counted.

    Args:
        path: The file, with a header line.
        target: The column to predict.
        client: The column that names each row's owner; None if nobody owns them.
        text: The column whose texts are the examples; all others are then left out. None for a table.
        task: `"classification"`, `"binary"` or `"regression"`; None where the target leaves no doubt.
        positive: With `task="binary"`: the value that is looked for; None for the second in order.
        unit: Of a target that is a number, such as `"EUR"`; None if it has none.
        ignore: Columns to leave out.
        categories: Columns of numbers that are names, such as zip codes.
        encoding: As Python calls it; None for UTF-8.

    Returns:
        Its `inputs` are a NumPy array with one named field a column: float64 with NaN where missing, or text with
        `""`; for `text` an array of str. Its `report` has one row a client (index `client_id`; `"."` for rows without
        one, or for all if there are no clients) with `num_rows`, `num_kept`, `missing_cells`, `left_out` (counts),
        `why` and `warnings` (text).

    Raises:
        UsageError: A column is not there, a file, target, client or number that cannot be used; see `read_columns`,
            `read_target` and `typed_column`.
        RunError: The table needs more memory than is free.
    """
    path = os.path.expanduser(os.fsdecode(path))
    columns = read_columns(path, encoding=encoding)
    ignore, categories = _names("ignore", ignore), _names("categories", categories)
    for argument, names in (("target", [target]), ("client", [client]), ("text", [text]),
                            ("ignore", ignore), ("categories", categories)):  # fmt: skip
        for name in names:
            _check_column(argument, name, columns, os.path.basename(path))
    _check_roles(target=target, client=client, text=text, ignore=ignore)
    target, client, text = (name and same_name(name) for name in (target, client, text))
    used = {name: cells for name, cells in columns.items() if name not in {client, text, *ignore, *categories}}
    owners = _owners(client, columns.get(client), len(columns[target]))
    lacks = {"no client": np.zeros(len(columns[target]), bool) if owners is None else owners == ""}
    if text is not None:
        lacks["no text"] = columns[text] == ""
    usable = ~np.any(list(lacks.values()), axis=0)
    if not usable.any():
        raise UsageError(f"table: no row of {quoted(os.path.basename(path))} has {_both(client, text)}")
    found = read_target(
        target,
        np.where(usable, columns[target], ""),  # so that rows are numbered as in the file
        decimal=(decimal := find_decimal(used)),
        task=task,
        positive=positive,
        unit=unit,
    )
    kept = found.kept
    lacks["no target"] = usable & ~kept
    if text is None:
        inputs_of = {n: cells for n, cells in columns.items() if n not in {target, client, *ignore}}
        typed, remarks = _typed(inputs_of, decimal, categories, kept)
        dates = [quoted(column.name) for column in typed if column.kind == "date"]
        remarks += [f"dates are days since 1970-01-01: column {name}" for name in dates]
        inputs, missing_of_kept = as_records(typed), np.sum([column.is_missing for column in typed], axis=0)
    else:
        inputs, remarks, missing_of_kept = columns[text][kept], [], 0
    missing = np.zeros(len(kept), int)
    missing[kept] = missing_of_kept
    report = _report(owners, lacks, missing)
    dataset = Dataset(
        name=_name_of(path),
        inputs=inputs,
        targets=found.values,
        task=found.task,
        modality="table" if text is None else "text",
        natural_client_ids=None if owners is None else owners[kept],
        report=report,
    )
    warn_once(dataset.name, [*found.remarks, *remarks, *_remarks(report, owners)])
    return dataset


def as_records(columns: Collection[Column]) -> np.ndarray:
    """Returns columns side by side as one array with a named field a column, `[num_rows]`."""
    columns = list(columns)
    records = np.empty(len(columns[0].values), [(column.name, column.values.dtype) for column in columns])
    for column in columns:
        records[column.name] = column.values
    return records


def warn_once(name: str, remarks: list[str], *, what: str = "table") -> None:
    """Warns in one line of what a reader of the result would not expect; the report has the rest."""
    if remarks:
        more = f"; and {len(remarks) - _MOST_REMARKS} more" if len(remarks) > _MOST_REMARKS else ""
        text = "; ".join(one_line(remark, limit=250) for remark in remarks[:_MOST_REMARKS])
        warnings.warn(f"{what} {quoted(name)}: {text}{more} (see the report of the dataset)", stacklevel=3)


def _both(client: str | None, text: str | None) -> str:
    return " and ".join(what for what, name in (("a client", client), ("a text", text)) if name is not None)


def _names(argument: str, names: Sequence[str]) -> list[str]:
    if isinstance(names, str) or not all(isinstance(name, str) for name in names):
        raise UsageError(f"{argument}: expected a list of columns, got {quoted(names)}")
    return [same_name(name) for name in names]


def _check_column(argument: str, name: str | None, columns: Collection[str], file: str) -> None:
    if name is None and argument in ("client", "text"):
        return
    if not isinstance(name, str):
        raise UsageError(f"{argument}: expected the name of a column of {quoted(file)}, got {quoted(name)}")
    if same_name(name) not in columns:
        known = one_line(nearest_names(name, columns), limit=300)
        raise UsageError(f"{argument}: {quoted(file)} has no column {quoted(name)}; {known}")


def _check_roles(*, target: str, client: str | None, text: str | None, ignore: list[str]) -> None:
    roles = {"target": target, "client": client, "text": text}
    given = {role: same_name(name) for role, name in roles.items() if name is not None}
    for role, name in given.items():
        if name in ignore:
            raise UsageError(f"ignore: {quoted(name)} is the {role} and cannot be left out")
        twice = [other for other in given if other != role and given[other] == name]
        if twice:
            raise UsageError(f"{role}: column {quoted(name)} cannot be the {twice[0]}, too")


def _owners(client: str | None, cells: np.ndarray | None, num_rows: int) -> np.ndarray | None:
    """Returns each row's owner, `""` where there is none."""
    if cells is None:
        return None
    row_of, names = pd.factorize(cells)
    names = ["" if name.lower() in MISSING else same_name(name) for name in names]
    known = sorted(set(names) - {""})
    if len(known) < 2:
        found = f"only {quoted(known[0])}" if known else "no value at all"
        raise UsageError(
            f"client: column {quoted(client)} holds {found}; a federation needs at least two clients, and without "
            "client= rows are dealt out by a partition"
        )
    for name in known:
        check_name("client", name, what=f"a client in column {quoted(client)}")
        if name == WHOLE:
            raise UsageError(
                f"client: {WHOLE!r} in column {quoted(client)} cannot be a client, since a history calls all clients "
                "together so; rename it"
            )
    return np.array(names)[row_of]


def _typed(cells_of, decimal, categories, kept) -> tuple[list[Column], list[str]]:
    """Returns the columns that tell something of the rows that are kept, and why the others do not."""
    typed, useless = [], []
    for name, cells in cells_of.items():
        try:
            typed.append(typed_column(name, cells[kept], decimal=decimal, as_category=name in categories))
        except UselessColumnError as error:
            useless.append((name, str(error)))
    if not typed:
        first = f" ({quoted(useless[0][0])}: {useless[0][1]})" if useless else ""
        raise UsageError(f"table: no column is left to predict the target from{first}")
    return typed, [f"column {quoted(name)} left out: {why}" for name, why in useless]


def _report(owners: np.ndarray | None, lacks: dict[str, np.ndarray], missing_cells: np.ndarray) -> pd.DataFrame:
    """Returns one row a client; a row that lacks several things is counted under the first."""
    left_out = np.any(list(lacks.values()), axis=0)
    why = np.select(list(lacks.values()), list(lacks), default="")
    client_id = np.full(len(left_out), _NOBODY) if owners is None else np.where(owners == "", _NOBODY, owners)
    rows = pd.DataFrame({"client_id": client_id, "num_rows": 1, "num_kept": ~left_out, "missing_cells": missing_cells})
    report = rows.groupby("client_id").sum().astype(int)
    report["left_out"] = report["num_rows"] - report["num_kept"]
    counts = pd.crosstab(client_id, why).reindex(report.index, fill_value=0)
    report["why"] = [
        ", ".join(f"{reason}: {row[reason]}" for reason in lacks if row.get(reason)) for _, row in counts.iterrows()
    ]
    is_empty = (report["num_kept"] == 0) & (report.index != _NOBODY)
    report["warnings"] = np.where(is_empty, "no row is left", "")
    return report


def _remarks(report: pd.DataFrame, owners: np.ndarray | None) -> list[str]:
    remarks = []
    if left_out := int(report["left_out"].sum()):
        reasons = [f"{text} ({quoted(name)})" for name, text in report["why"].items() if text]
        remarks.append(f"{left_out} of {int(report['num_rows'].sum())} rows left out, first {reasons[0]}")
    if owners is not None:
        names = [name for name in report.index if name != _NOBODY]
        for group in alike(names):
            remarks.append(f"clients that differ only in case, spaces or the form of letters: "
                           f"{', '.join(map(quoted, group[:5]))}")  # fmt: skip
    remarks += [f"client {quoted(name)}: {text}" for name, text in report["warnings"].items() if text]
    return remarks


def _name_of(path: str) -> str:
    stem = os.path.splitext(os.path.basename(os.path.realpath(path)))[0]
    return shown(same_name(stem)).strip() or "table"
