"""The target column: which task it sets, said by its values or by the user, and what each row's target is."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Sequence

import numpy as np
import pandas as pd

from fedlearn_edu.data.names import alike, quoted, same_name
from fedlearn_edu.data.table_columns import MISSING, parse_numbers
from fedlearn_edu.data.task import Task
from fedlearn_edu.errors import UsageError

TASKS = ("classification", "binary", "regression")
_FEW_CLASSES = 20  # whole numbers that are so few may be classes
_MOST_CLASSES = 1000
_SAY = "say which is meant: task='classification' (each number a class), 'binary' or 'regression'"


@dataclasses.dataclass(frozen=True)
class Target:
    """What is predicted.

    Attributes:
        task: What kind of target it is.
        values: int32 class numbers or float32 numbers, `[num_kept]`.
        kept: Which rows have a target, bool `[num_rows]`.
        remarks: What a reader of the result would not expect.
    """

    task: Task
    values: np.ndarray
    kept: np.ndarray
    remarks: list[str]


def read_target(
    name: str,
    cells: np.ndarray,
    *,
    decimal: str,
    task: str | None = None,
    positive: str | None = None,
    unit: str | None = None,
) -> Target:
    """Returns the task, and the targets of the rows that have one.

    Args:
        name: The column's.
        cells: Text, `""` where there is none, `[num_rows]`.
        decimal: `"."` or `","`.
        task: `"classification"`, `"binary"` or `"regression"`. None: names are classes, a few numbers without decimals
            are classes, and many numbers with decimals a regression; anything else is asked for.
        positive: Of two classes, the one that is looked for; None for the second in order.
        unit: Of numbers; None if they have none.

    Raises:
        UsageError: One value only, numbers that could be classes or amounts, or values that do not suit the task.
    """
    if task is not None and task not in TASKS:
        raise UsageError(f"task: expected {', '.join(map(repr, TASKS))} or None, got {quoted(task)}")
    if positive is not None and task != "binary":
        raise UsageError(f"positive: only for task='binary', got {quoted(positive)}")
    kept = np.array([text.lower() not in MISSING for text in cells], bool)
    values = [same_name(text) for text in pd.unique(cells[kept])]
    if len(values) < 2:
        found = f"only {quoted(values[0])}" if values else "no value at all"
        raise UsageError(f"target: column {quoted(name)} holds {found}; there is nothing to learn")
    numbers, wrong = parse_numbers(values, decimal=decimal)
    if not wrong and len(set(numbers)) < 2:
        raise UsageError(f"target: column {quoted(name)} holds only {quoted(values[0])}; there is nothing to learn")
    kind = task or _kind(name, values, numbers, wrong)
    if unit is not None and kind != "regression":
        raise UsageError(f"unit: only for task='regression', got {quoted(unit)} for a {kind} target")
    if kind == "regression":
        if wrong:
            row = int(np.argmax(cells == wrong[0])) + 2
            raise UsageError(
                f"target: task='regression' needs numbers, column {quoted(name)} holds {quoted(wrong[0])} (row {row} "
                "of the file)"
            )
        value_of = dict(zip(values, numbers, strict=True))
        targets = np.array([value_of[same_name(text)] for text in cells[kept]], np.float32)
        if not np.isfinite(targets).all():
            raise UsageError(f"target: column {quoted(name)} holds numbers beyond 32 bits; scale it down")
        return Target(Task.regression(unit=unit), targets, kept, [])
    class_of, class_names = _classes(values, None if wrong else numbers)
    if kind == "binary":
        built, remarks = _binary(name, class_names, positive)
        class_names = built.class_names
    else:
        _check_number_of_classes(name, class_names, int(kept.sum()), are_numbers=not wrong)
        built, remarks = Task.classification(class_names), []
    for group in alike(class_names):
        listed = ", ".join(map(quoted, group[:5]))
        remarks.append(f"classes that differ only in case, spaces or the form of letters: {listed}")
    number_of = {class_name: number for number, class_name in enumerate(class_names)}
    targets = np.array([number_of[class_of[same_name(text)]] for text in cells[kept]], np.int32)
    return Target(built, targets, kept, remarks)


def _check_number_of_classes(name: str, class_names: Sequence[str], num_rows: int, *, are_numbers: bool) -> None:
    most = min(_MOST_CLASSES, max(2, num_rows // 2))
    if len(class_names) > most:
        advice = "say task='regression'" if are_numbers else "choose another column"
        raise UsageError(
            f"target: {len(class_names):,} different values of {quoted(name)} in {num_rows:,} rows are no classes "
            f"(at most {most:,}); {advice}"
        )


def _kind(name: str, values: list[str], numbers: list[float], wrong: list[str]) -> str:
    if wrong:
        return "classification"
    are_whole = all(re.fullmatch(r"[+-]?[0-9]+", text) for text in values)
    if are_whole and len(values) <= _FEW_CLASSES:
        return "classification"
    if len(values) > _FEW_CLASSES and not all(float(number).is_integer() for number in numbers):
        return "regression"
    raise UsageError(
        f"target: column {quoted(name)} holds {len(values):,} different numbers such as {quoted(values[0])} and "
        f"{quoted(values[1])}; {_SAY}"
    )


def _classes(values: list[str], numbers: Sequence[float] | None) -> tuple[dict[str, str], tuple[str, ...]]:
    """Returns the class of each text, and all classes in order; "1" and "1.0" are one number and one class."""
    if numbers is None:
        return {text: text for text in values}, tuple(sorted(values))
    first = {}
    for text, number in zip(values, numbers, strict=True):
        first.setdefault(number, text)
    names = {number: f"{number + 0.0:.15g}" for number in first}  # + 0: "-0" is 0
    class_of = {text: names[number] for text, number in zip(values, numbers, strict=True)}
    return class_of, tuple(names[number] for number in sorted(first))


def _binary(name: str, class_names: tuple[str, ...], positive: str | None) -> tuple[Task, list[str]]:
    if len(class_names) != 2:
        raise UsageError(
            f"target: task='binary' needs two values, column {quoted(name)} has {len(class_names)}: "
            f"{', '.join(map(quoted, class_names[:5]))}; use task='classification'"
        )
    chosen = class_names[1] if positive is None else same_name(str(positive).strip())
    if chosen not in class_names:
        raise UsageError(
            f"positive: expected {quoted(class_names[0])} or {quoted(class_names[1])}, got {quoted(positive)}"
        )
    negative = class_names[1 - class_names.index(chosen)]
    remarks = [] if positive is not None else [f"{quoted(chosen)} is the positive class (positive= sets it)"]
    return Task.binary(positive=chosen, negative=negative), remarks
