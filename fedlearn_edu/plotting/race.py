"""Algorithms side by side: accuracy (or what a task is measured by) by round, a label where each curve ends."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from fedlearn_edu.data.metrics import METRICS, Metric
from fedlearn_edu.errors import UsageError
from fedlearn_edu.learning.catalogue import ALGORITHMS, ONE_SHOT, Entry
from fedlearn_edu.plotting.end_labels import EndLabel, write_end_labels
from fedlearn_edu.plotting.metric_axes import axis_title, baseline_name, show_values, value_text
from fedlearn_edu.plotting.style import GRID, MUTED, TEXT, prepare
from fedlearn_edu.simulation.comparison import common_metric
from fedlearn_edu.simulation.history import History
from fedlearn_edu.simulation.stored_runs import CENTRAL

_DASHED, _DOTTED, _MIXED = (0, (5, 2)), (0, (1.5, 1.5)), (0, (5, 1.5, 1, 1.5))
# Okabe and Ito's colours, one for each family of algorithms; within it, line style and mark tell them apart.
_LINES = ("-", _DASHED, _MIXED)
_FAMILIES = {
    "averaging": (TEXT, _LINES, "o.,"),
    "local training": ("#56b4e9", _LINES, "vsd"),
    "client memory": ("#0072b2", _LINES, "DPp"),
    "server momentum": ("#cc79a7", _LINES, "^>v"),
    "server optimizer": ("#e69f00", _LINES, "<>X"),
    "fairness": ("#d55e00", _LINES, "hHp"),
    "one-shot": ("#009e73", (_DOTTED,), "s^*"),
}
_SPARE = list(itertools.product(("-", _DASHED, _MIXED), ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00")))
_MARKS = "Dv^sP<>Xh"
_BOLD = "FedAvg"  # what the others are measured against
_LABEL_SHARE, _LABEL_LENGTH = 0.23, 24  # of the width of the axes, for labels of so many characters at the right


def plot_race(
    runs: pd.DataFrame | Mapping[str, History],
    *,
    dataset: str | None = None,
    concentration: float | None = None,
    algorithms: Iterable[str] | None = None,
    round_num: int | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Draws the accuracy of several algorithms round by round, the name of each where its curve ends.

    A curve is the mean over seeds, its band the standard deviation. A head that was computed in one round is a mark,
    and a dotted level from there on; the central ceiling is a thin level line. Before training all accuracies are far
    below: the axis starts where the slowest of the runs stands after two rounds, so that the curves can be told apart.
    It depends on the runs only, not on `algorithms` and `round_num`.

    Runs of another task than classes are drawn by its primary metric, in its unit. Where the axis reaches it, a thin
    line is the baseline that the histories recorded: what one answer for all test examples would give.

    Args:
        runs: As `algorithm_runs()` returns (`algorithm`, `round_num`, `accuracy` and, if there are several, `seed`); or
            name -> run: a `History`, or what `run_one_shot` or `train_centrally` returned. The ceiling of runs by name
            is the first `central_accuracy` that a history has.
        dataset: Which one, if `runs` has several.
        concentration: Which one, if `runs` has several.
        algorithms: Which ones, by name; default all. The ceiling is always drawn.
        round_num: The last round drawn; default all.
        ax: Where to draw; it is cleared first. None makes a new figure.

    Returns:
        The axes; accuracies are shares, 0 to 1. A line per algorithm has its name as label.

    Raises:
        UsageError: There is no such run, `runs` has several data sets or concentrations and none was chosen, or runs
            of different tasks.

    Example:
        >>> rows = [(0, "global", "accuracy", 0.1), (1, "global", "accuracy", 0.6)]
        >>> ax = plot_race({"FedAvg": History({}, rows), "SCAFFOLD": History({}, rows)})
        >>> [line.get_label() for line in ax.lines]
        ['FedAvg', 'SCAFFOLD']
    """
    metric, baseline = _metric_and_baseline(runs)
    table = _chosen(runs, {"dataset": dataset, "concentration": concentration}, metric)
    trained = table[table["algorithm"] != CENTRAL]
    names = list(trained["algorithm"].unique())
    chosen = names if algorithms is None else list(algorithms)
    missing = [name for name in chosen if name not in names]
    if missing or not chosen:
        raise UsageError(f"algorithms: expected some of {', '.join(names)}, got {', '.join(missing) or 'none'}")
    last_round = max(int(table["round_num"].max()), 1)
    end = last_round if round_num is None else min(round_num, last_round)
    ax = prepare(ax, figsize=(7.6, 4.6))
    styles, labels = _styles(_rows_of(runs, trained)), []
    for name in [name for name in names if name in chosen]:
        by_round = trained[(trained["algorithm"] == name) & (trained["round_num"] <= end)].groupby("round_num")
        mean, spread = by_round["value"].mean(), by_round["value"].std().fillna(0)
        if len(mean):
            _draw_curve(ax, name, mean, spread, styles[name], end)
            weight = "bold" if name == _BOLD else "normal"
            text = f"{name}  {value_text(metric, mean.iloc[-1])}"
            labels.append(EndLabel(mean.iloc[-1], text, styles[name][0], weight))
    ceiling = table.loc[table["algorithm"] == CENTRAL, "value"].mean()
    if np.isfinite(ceiling):
        ax.plot([0, end], [ceiling] * 2, color=MUTED, ls=":", lw=1.4, label=CENTRAL, zorder=1)
        labels.append(EndLabel(ceiling, f"{CENTRAL}  {value_text(metric, ceiling)}", MUTED))
    low, high = _limits(table, metric)
    longest = table["algorithm"].str.len().max() + 2 + _length_of_values(table, metric)
    if baseline is not None and low <= baseline <= high:
        name = baseline_name(metric)
        ax.plot([0, end], [baseline] * 2, color=MUTED, ls="-", lw=0.8, label=name, zorder=1)
        labels.append(EndLabel(baseline, f"{name}  {value_text(metric, baseline)}", MUTED))
        longest = max(longest, len(labels[-1].text) + 2)
    _set_axes(ax, low, high, last_round, longest, metric)
    write_end_labels(ax, labels, end=end, start=end + 0.035 * last_round)
    if "dataset" in table and "concentration" in table:
        first = table.iloc[0]
        title = f"{first['dataset']}, concentration {first['concentration']:g}"
        ax.set_title(title, loc="left", color=TEXT, fontsize=11)
    return ax


def _metric_and_baseline(runs) -> tuple[Metric, float | None]:
    """Returns what the runs are measured by, and their baseline; None unless those that recorded one agree."""
    if not isinstance(runs, Mapping):
        return METRICS["accuracy"], None
    histories = {name: run for name, run in runs.items() if isinstance(run, History)}
    known = {name: history.primary for name, history in histories.items()}
    # What was computed in one round has classes; what was trained centrally says its metric's value and no more.
    of_classes = [name for name, run in runs.items() if name not in known and not hasattr(run, "value")]
    baselines = {history.baseline for history in histories.values()} - {None}
    metric = common_metric("runs", known | dict.fromkeys(of_classes, METRICS["accuracy"]))
    return metric, baselines.pop() if len(baselines) == 1 else None


def _chosen(runs, choice: dict, metric: Metric) -> pd.DataFrame:
    """Returns a table of one data set and concentration, with the metric as `value`."""
    if isinstance(runs, Mapping):
        return _table_of(runs, metric)
    if runs.empty:
        raise UsageError("runs: expected at least one run, got an empty table; see algorithm_runs()")
    for column, value in choice.items():
        if value is not None and column not in runs:
            raise UsageError(f"{column}: expected None, since runs has no such column, got {value!r}; leave it out")
        known = list(runs[column].unique()) if column in runs else []
        if value is None and len(known) > 1:
            raise UsageError(f"{column}: runs has several, expected one of {', '.join(map(str, known))}, got None")
        if value is not None:
            if value not in known:
                raise UsageError(f"{column}: expected one of {', '.join(map(str, known))}, got {value!r}")
            runs = runs[runs[column] == value]
    return runs.rename(columns={"accuracy": "value"})


def _table_of(runs: Mapping, metric: Metric) -> pd.DataFrame:
    """Returns runs by name as a table with the columns of stored runs, with the metric as `value`."""
    rows, ceiling = [], None
    for name, run in runs.items():
        if isinstance(run, History):
            values = run.global_metrics().get(metric.name, pd.Series(dtype=float)).dropna()
            rows += [(name, round_num, value) for round_num, value in values.items()]
            ceiling = run.central_accuracy if ceiling is None else ceiling
        elif (value := getattr(run, "value", getattr(run, "accuracy", None))) is not None:
            rows.append((name, 0 if name == CENTRAL else 1, value))
        else:
            raise UsageError(f"runs: expected a History or another result with an accuracy, got {type(run).__name__}")
    if not rows:
        what = "an accuracy" if metric.name == "accuracy" else metric.label
        raise UsageError(f"runs: expected at least one run with {what}, got none")
    if ceiling is not None and CENTRAL not in runs:
        rows.append((CENTRAL, 0, ceiling))
    return pd.DataFrame(rows, columns=["algorithm", "round_num", "value"])


def _rows_of(runs, table: pd.DataFrame) -> dict[str, Entry | None]:
    """The catalogue's row of each algorithm: the one of this label, else that a run or the table names."""
    names = dict.fromkeys(table["algorithm"].unique())
    if isinstance(runs, Mapping):
        names |= {name: run.settings.get("algorithm") for name, run in runs.items() if isinstance(run, History)}
    elif "algorithm_name" in table:
        names |= dict(zip(table["algorithm"], table["algorithm_name"], strict=True))
    rows = (*ALGORITHMS, *ONE_SHOT)
    found = {}
    for label, name in names.items():
        same = [row for row in rows if row.label == label] or [row for row in rows if row.name == name]
        found[label] = same[0] if same else None
    return found


def style_of(row: Entry) -> tuple | None:
    """Returns colour, line style and mark of an algorithm: those of its family, and of its place there."""
    if row.family not in _FAMILIES:
        return None
    colour, lines, marks = _FAMILIES[row.family]
    place = [other.name for other in (*ALGORITHMS, *ONE_SHOT) if other.family == row.family].index(row.name)
    return colour, lines[place % len(lines)], marks[place % len(marks)]


def _styles(rows: dict[str, Entry | None]) -> dict[str, tuple]:
    """Colour, line style and mark of each: its own as far as it is known, else the next that is free."""
    styles, taken = {}, set()
    for name, row in rows.items():
        known = row and style_of(row)
        if known and known not in taken:
            styles[name] = known
            taken.add(known)
    spare = ((colour, line, mark) for (line, colour), mark in zip(_SPARE, itertools.cycle(_MARKS), strict=False))
    used = {style[:2] for style in styles.values()}
    spare = itertools.cycle([style for style in spare if style[:2] not in used] or [(MUTED, "-", "o")])
    return {name: styles.get(name) or next(spare) for name in rows}


def _draw_curve(ax: Axes, name: str, mean: pd.Series, spread: pd.Series, style: tuple, end: int) -> None:
    colour, line, mark = style
    if len(mean) == 1 and mean.index[0] > 0:  # in one round
        place, value = mean.index[0], mean.iloc[0]
        ax.errorbar(place, value, yerr=spread.iloc[0] or None, color=colour, capsize=3, zorder=4)
        size = 11 if mark == "*" else 7
        ax.plot(
            [place, end], [value] * 2, color=colour, ls=line, marker=mark, markevery=[0], ms=size, lw=1.4, label=name
        )
        return
    if spread.any():
        ax.fill_between(mean.index, mean - spread, mean + spread, color=colour, alpha=0.13, lw=0)
    marked = np.unique(np.linspace(0, len(mean) - 1, min(len(mean), 20)).round().astype(int)).tolist()
    ax.plot(
        mean.index, mean, color=colour, ls=line, lw=2.4 if name == _BOLD else 1.8, marker=mark, markevery=marked,
        ms=4.5, label=name, zorder=3,
    )  # fmt: skip


def _limits(table: pd.DataFrame, metric: Metric) -> tuple[float, float]:
    """Returns where the axis of the metric begins and ends."""
    # A head that is computed in one round, and the ceiling, have no later record than their first.
    last = table.groupby("algorithm")["round_num"].transform("max")
    means = table[table["round_num"] >= last.clip(upper=2)].groupby(["algorithm", "round_num"])["value"].mean()
    finite = means[np.isfinite(means)]  # of a run that diverges
    least, most = (finite.min(), finite.max()) if len(finite) else (0.0, 1.0)
    if metric.is_share:
        low, high = np.floor(20 * least - 0.2) / 20, np.ceil(20 * most + 0.2) / 20
        return max(low, -0.01), min(high, 1.02)
    edge = 0.06 * (most - least) or 0.5 * most or 0.5
    return max(least - edge, 0), most + edge


def _length_of_values(table: pd.DataFrame, metric: Metric) -> int:
    """Returns how many characters a value takes in a label; units in capitals are wide."""
    return len("99.9 %") if metric.is_share else 2 + max(len(metric.format(value)) for value in table["value"])


def _set_axes(ax: Axes, low: float, high: float, last_round: int, longest: int, metric: Metric) -> None:
    width = 1 / (1 - _LABEL_SHARE * np.clip(longest / _LABEL_LENGTH, 1, 2.5))  # of the axes, by that of the rounds
    ax.set(xlabel="round", ylabel=f"global {axis_title(metric)}", xlim=(-0.01 * last_round, width * last_round))
    ax.set_ylim(low, high)
    ticks = MaxNLocator(nbins=8, steps=[1, 2, 5, 10], integer=True).tick_values(0, last_round)
    ax.set_xticks([tick for tick in ticks if 0 <= tick <= last_round])
    ax.spines["bottom"].set_bounds(0, last_round)
    ax.xaxis.label.set_x(0.5 / width)  # under the rounds
    ax.yaxis.set_major_locator(MaxNLocator(nbins=9, steps=[1, 2, 5, 10]))  # whole percents, as they are labelled
    show_values(ax.yaxis, metric)
    ax.grid(axis="y", color=GRID, lw=0.8)
