"""Differential privacy as figures: noised releases, runs at several noises, epsilon curves, the bound on attacks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator, PercentFormatter

from fedlearn_edu.errors import UsageError
from fedlearn_edu.plotting.metric_axes import axis_title, highest, show_values
from fedlearn_edu.plotting.style import GRID, MUTED, TEXT, prepare
from fedlearn_edu.simulation.comparison import common_metric
from fedlearn_edu.simulation.history import History

# Okabe and Ito's colours: told apart with every common kind of colour vision.
_COLOURS = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9"]
_TIERS = [1.0, 10.0]  # up to which epsilon is called strong, and reasonable (arXiv:2303.00654)


def plot_releases(
    releases: Mapping[str, np.ndarray],
    *,
    ax: Axes | None = None,
    num_bins: int = 60,
    limits: tuple[float, float] | None = None,
) -> Axes:
    """Draws how often each number was published, for two or more neighbouring sets of clients, over one another.

    Args:
        releases: Name -> numbers published over many runs, each a flat array.
        ax: Where to draw; it is cleared first. None makes a new figure.
        num_bins: Bars, the same for all.
        limits: Smallest and largest number shown; default all of them.

    Returns:
        The axes; one outline per name.

    Example:
        >>> ax = plot_releases({"with": np.array([1.0, 2.0]), "without": np.array([0.0, 1.0])}, num_bins=2)
        >>> [text.get_text() for text in ax.get_legend().get_texts()]
        ['with', 'without']
    """
    ax = prepare(ax, figsize=(6.8, 3.4))
    edges = np.histogram_bin_edges(np.concatenate(list(releases.values())), bins=num_bins, range=limits)
    for (name, values), colour in zip(releases.items(), _colours(len(releases)), strict=True):
        shares = np.histogram(values, bins=edges)[0] / len(values)
        ax.stairs(shares, edges, fill=True, color=colour, alpha=0.25)
        ax.stairs(shares, edges, color=colour, lw=1.6, label=name)
    ax.set(xlabel="published number", ylabel="share of the runs", ylim=(0, None))
    _legend(ax)
    return ax


def plot_private_runs(histories: Mapping[str, History], *, ax: Axes | None = None) -> Axes:
    """Draws the global accuracy of several runs, with the epsilon that each has spent in the legend.

    Of another task than classes its primary metric takes the place of accuracy.

    Args:
        histories: Name -> run, all of one task. A run without an `epsilon` in its metrics gave no guarantee and is
            marked so.
        ax: Where to draw; it is cleared first. None makes a new figure.

    Returns:
        The axes; one line per run.

    Raises:
        UsageError: The runs are of different tasks, or one of them was never measured.

    Example:
        >>> rows = [(0, "global", "accuracy", 0.1), (1, "global", "accuracy", 0.6), (1, "global", "epsilon", 2.0)]
        >>> plot_private_runs({"z = 1": History({}, rows)}).get_legend().get_texts()[0].get_text()
        'z = 1   (epsilon 2)'
    """
    metric = common_metric("histories", {name: history.primary for name, history in histories.items()})
    untested = [name for name, history in histories.items() if not history.is_tested]
    if untested:
        raise UsageError(f"histories: expected runs with test examples, {untested[0]!r} has no {metric.label}")
    ax = prepare(ax, figsize=(6.8, 4.0))
    values = []
    for (name, history), colour in zip(histories.items(), _colours(len(histories)), strict=True):
        metrics = history.global_metrics()
        accuracy = metrics[metric.name].dropna()
        values.extend(accuracy)
        spent = metrics["epsilon"].dropna().iloc[-1] if "epsilon" in metrics else np.inf
        told = f"epsilon {spent:.3g}" if np.isfinite(spent) else "no guarantee"
        ax.plot(accuracy.index, accuracy, color=colour, lw=2, marker="o", ms=4, label=f"{name}   ({told})")
    ax.set(xlabel="round", ylabel=axis_title(metric), ylim=(0, 1.02 * highest(metric, values)))
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    show_values(ax.yaxis, metric)
    ax.grid(True, color=GRID, lw=0.8)
    _legend(ax, columns=1)
    return ax


def plot_epsilon(epsilons: pd.DataFrame | pd.Series, *, ax: Axes | None = None, log_x: bool = True) -> Axes:
    """Draws epsilon against what the table's index holds: one line per column, on logarithmic axes.

    The two thin lines are the tiers of Ponomareva et al.: up to 1 is a strong guarantee, up to 10 a reasonable one.

    Args:
        epsilons: Index: rounds, population, noise, ...; columns: one line each. Values above 0.
        ax: Where to draw; it is cleared first. None makes a new figure.
        log_x: Logarithmic x axis, too.

    Returns:
        The axes.

    Example:
        >>> ax = plot_epsilon(pd.Series([2.0, 4.0], index=pd.Index([1, 10], name="rounds"), name="z = 1"))
        >>> ax.get_xlabel(), len(ax.lines)
        ('rounds', 3)
    """
    table = epsilons.to_frame() if isinstance(epsilons, pd.Series) else epsilons
    ax = prepare(ax, figsize=(6.8, 4.0))
    for tier, name in zip(_TIERS, ["strong", "reasonable"], strict=True):
        ax.axhline(tier, color=MUTED, lw=0.9, ls=(0, (4, 3)))
        ax.annotate(
            f"{name} below", (1.01, tier), xycoords=("axes fraction", "data"), fontsize=8.5, color=MUTED, va="center"
        )
    for (name, column), colour in zip(table.items(), _colours(table.shape[1]), strict=True):
        shown = column[column > 0].dropna()
        label = f"{table.columns.name} {name}" if table.columns.name else str(name)
        ax.plot(shown.index, shown, color=colour, lw=2, marker="o", ms=4, label=label)
    ax.set(xlabel=str(table.index.name or ""), ylabel="epsilon", yscale="log", xscale="log" if log_x else "linear")
    ax.grid(True, color=GRID, lw=0.8)
    _legend(ax)
    return ax


def plot_attack_bound(
    false_positive_rates: Sequence[float],
    limits: Mapping[str, Sequence[float]],
    *,
    measured: Mapping[str, tuple[Sequence[float], Sequence[float]]] | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Draws what no membership attack can exceed, and what real attacks reach.

    Args:
        false_positive_rates: From 0 to 1, rising.
        limits: Name -> largest true positive rate at each of them (dashed; above it nothing is possible).
        measured: Name -> (false positive rates, true positive rates) of an attack (solid).
        ax: Where to draw; it is cleared first. None makes a new figure.

    Returns:
        The axes; the thin diagonal is guessing.

    Raises:
        UsageError: A curve has not one value for each rate.

    Example:
        >>> ax = plot_attack_bound([0, 1], {"epsilon 0": [0, 1]}, measured={"attack": ([0, 1], [0, 1])})
        >>> len(ax.lines)
        3
    """
    ax = prepare(ax, figsize=(5.2, 4.6))
    ax.plot([0, 1], [0, 1], color=MUTED, lw=0.9)
    curves = [(name, false_positive_rates, rates, (0, (5, 3))) for name, rates in limits.items()]
    curves += [(name, *rates, "-") for name, rates in (measured or {}).items()]
    for (name, false, true, style), colour in zip(curves, _colours(len(curves)), strict=True):
        if len(false) != len(true):
            raise UsageError(f"{name}: expected one true positive rate for each of {len(false)}, got {len(true)}")
        ax.plot(false, true, color=colour, lw=2, ls=style, label=name)
    ax.set(xlabel="non-members accused", ylabel="members found", xlim=(-0.01, 1.01), ylim=(-0.01, 1.01))
    for axis in (ax.xaxis, ax.yaxis):
        axis.set_major_formatter(PercentFormatter(1, decimals=0, symbol=" %"))
    ax.grid(True, color=GRID, lw=0.8)
    _legend(ax, columns=1)
    return ax


def _colours(number: int) -> list[str]:
    return [_COLOURS[i % len(_COLOURS)] for i in range(number)]


def _legend(ax: Axes, *, columns: int = 3) -> None:
    """Over the axes, where it cannot hide data."""
    ax.legend(
        loc="lower left",
        bbox_to_anchor=(-0.01, 1.0),
        ncols=columns,
        frameon=False,
        fontsize=9,
        labelcolor=TEXT,
        handlelength=1.8,
    )
