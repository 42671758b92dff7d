"""Secure aggregation as figures: ring elements, what the server sees next to what it must not see, and the cost."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from fedlearn_edu.errors import UsageError
from fedlearn_edu.plotting.style import GRID, MUTED, TEXT, NotebookFigure, prepare, shorten
from fedlearn_edu.privacy.secure_aggregation import FixedPoint, SecureSum

# Okabe and Ito's colours: told apart with every common kind of colour vision.
_COLORS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00")
_SIGNED = "RdBu_r"  # zero is white


def plot_ring_values(vectors: Mapping[str, np.ndarray], *, ax: Axes | None = None, num_bins: int = 32) -> Axes:
    """Draws how the elements of each vector are spread over the ring: what was masked is flat.

    Args:
        vectors: Name -> unsigned integers, all of one dtype.
        ax: Where to draw; it is cleared first. None makes a new figure.
        num_bins: Bars over the whole ring, at least 2.

    Returns:
        The axes; one line a vector, with the share of its elements in each bin.

    Raises:
        UsageError: There is no vector, or they are no unsigned integers of one dtype, or too few bins.

    Example:
        >>> ax = plot_ring_values({"a": np.array([0, 65535], np.uint16)}, num_bins=2)
        >>> ax.patches[0].get_data().values.tolist()
        [0.5, 0.5]
    """
    arrays = {name: np.asarray(vector).ravel() for name, vector in vectors.items()}
    dtypes = {array.dtype for array in arrays.values()}
    if len(dtypes) != 1 or next(iter(dtypes)).kind != "u":
        raise UsageError(f"vectors: expected unsigned integers of one dtype, got {sorted(map(str, dtypes))}")
    if num_bins < 2:
        raise UsageError(f"num_bins: expected at least 2, got {num_bins}")
    size = 2.0 ** (8 * next(iter(dtypes)).itemsize)
    ax = prepare(ax, figsize=(6.8, 3.2))
    edges = np.linspace(0, 1, num_bins + 1)
    for i, (name, array) in enumerate(arrays.items()):
        share = np.histogram(array / size, bins=edges)[0] / max(1, array.size)
        ax.stairs(share, edges, color=_COLORS[i % len(_COLORS)], lw=2, label=shorten(name, 40))
    ax.axhline(1 / num_bins, color=MUTED, lw=1, ls=(0, (4, 3)), zorder=0)
    ax.set(xlabel="place in the ring, from 0 to 2**bits", ylabel="share of the numbers", xlim=(-0.01, 1.01))
    ax.grid(True, axis="y", color=GRID, lw=0.8)
    ax.legend(frameon=False, labelcolor=TEXT, fontsize=9)
    return ax


def plot_server_view(
    vectors: Mapping[str, np.ndarray],
    result: SecureSum,
    *,
    encoding: FixedPoint | None = None,
    num_clients: int = 4,
    shape: tuple[int, int] = (40, 40),
) -> Figure:
    """Draws clients' vectors above what the server received for them, and the sums of both on the right.

    Args:
        vectors: client id -> what it contributed, as given to `secure_sum`.
        result: What `secure_sum` gave for them.
        encoding: As given to `secure_sum`.
        num_clients: Columns besides the sum, at least 1; fewer if not as many contributed.
        shape: Rows and columns of pixels; of each vector the first rows x columns numbers are drawn.

    Returns:
        The figure.

    Raises:
        UsageError: `num_clients` is below 1, a contributor has no vector, or vectors are smaller than the picture.
    """
    encoding = encoding or FixedPoint()
    if num_clients < 1:
        raise UsageError(f"num_clients: expected at least 1, got {num_clients}")
    if missing := [client_id for client_id in result.contributors if client_id not in vectors]:
        raise UsageError(f"vectors: expected one for every contributor, none came for {missing}")
    size = int(np.prod(shape))
    if result.total.size < size:
        raise UsageError(f"shape: expected at most {result.total.size} pixels, one a number, got {shape}")
    received = result.server.received["masked_input"]
    shown = result.contributors[:num_clients]
    plain = [np.ravel(vectors[client_id]) for client_id in shown]
    plain.append(np.sum([np.ravel(vectors[client_id]) for client_id in result.contributors], axis=0))
    seen = [encoding.decode(received[client_id]).ravel() for client_id in shown] + [result.total.ravel()]
    figure = NotebookFigure(figsize=(1.75 * len(plain) + 0.9, 4.1), layout="constrained")
    axes = figure.subplots(2, len(plain), squeeze=False)
    for row, images, label in ((0, plain, "what is there"), (1, seen, "what the server sees")):
        limit = max(_scale(image[:size]) for image in images[:-1])
        for column, image in enumerate(images):
            ax, last = axes[row, column], column == len(images) - 1
            bound = (_scale(image[:size]) if last else limit) or 1.0  # the sum has a scale of its own
            ax.imshow(image[:size].reshape(shape), cmap=_SIGNED, vmin=-bound, vmax=bound, interpolation="nearest")
            ax.set(xticks=[], yticks=[], xlabel=f"colours: ±{bound:,.3g}")
            ax.xaxis.label.set(color=MUTED, fontsize=8)
            for spine in ax.spines.values():
                spine.set_color(TEXT if last else GRID)
            if row == 0:
                title = f"sum of {len(result.contributors)}" if last else shorten(shown[column])
                ax.set_title(title, fontsize=9.5, color=TEXT, fontweight="bold" if last else "normal")
        axes[row, 0].set_ylabel(label, fontsize=9.5, color=TEXT)
    return figure


def plot_secure_cost(costs: pd.DataFrame) -> Figure:
    """Draws what secure aggregation costs against the number of clients: bytes on the left, time on the right.

    Args:
        costs: Index number of clients; columns `plain_bytes` and `secure_bytes` (what one client sends and receives for
            the sum), `client_seconds` (work of one client) and `server_seconds`.

    Returns:
        The figure.

    Raises:
        UsageError: A column is missing.
    """
    wanted = ["plain_bytes", "secure_bytes", "client_seconds", "server_seconds"]
    if missing := [name for name in wanted if name not in costs]:
        raise UsageError(f"costs: expected columns {', '.join(wanted)}, missing are {', '.join(missing)}")
    figure = NotebookFigure(figsize=(9.6, 3.5), layout="constrained")
    left, right = figure.subplots(1, 2)
    parts = [
        (left, 1e3, "kB per client", {"secure_bytes": "secure", "plain_bytes": "the vector alone, float32"}),
        (right, 1e-3, "ms", {"client_seconds": "one client", "server_seconds": "the server"}),
    ]
    for ax, unit, label, columns in parts:
        prepare(ax, figsize=(1, 1))
        for (column, name), color in zip(columns.items(), _COLORS, strict=False):
            ax.plot(costs.index, costs[column] / unit, color=color, lw=2, marker="o", ms=5, label=name)
        ax.set(xlabel="clients", ylabel=label, ylim=(0, None), xlim=(0, None))
        ax.xaxis.set_major_locator(MaxNLocator(nbins=8, steps=[1, 2, 5, 10], integer=True))
        ax.grid(True, color=GRID, lw=0.8)
        ax.legend(frameon=False, labelcolor=TEXT, fontsize=9)
    return figure


def _scale(values: np.ndarray) -> float:
    """Where the colours end: a few outliers must not leave the rest white."""
    return float(np.quantile(np.abs(values), 0.99))
