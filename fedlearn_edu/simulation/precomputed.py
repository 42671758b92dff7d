"""Federated runs with and without pre-training that were made before, so that a control can answer at once."""

from __future__ import annotations

import functools
import pathlib

import pandas as pd

# What tells runs apart, as far as a table has it.
_RUN = ["dataset", "depth", "algorithm", "server_optimizer", "concentration", "seed"]


@functools.cache
def _read() -> pd.DataFrame:
    return pd.read_csv(pathlib.Path(__file__).parent / "assets" / "pretraining_runs.csv")


def pretraining_runs() -> pd.DataFrame:
    """Returns what `benchmarks/pretraining_matters.py run` measured: one row per run and recorded round.

    2,000 images of each bundled data set (1,200 to train on, 800 to test), 10 clients of Fashion (Dirichlet) and 12 of
    emoji (three for each vendor, Dirichlet within a vendor), half of them in each of 20 rounds, one local epoch in
    batches of 20. A seed decides the images, the clients, the cohorts and, from scratch, the initial weights, so that
    two runs with one seed can be compared in pairs. Learning rates were chosen for each depth with a seed of its own.

    Batch normalisation keeps its frozen statistics at every depth. "From scratch" is the same network with random
    weights, and group normalisation in its place. "One-shot" is a ridge regression on the frozen features (Fed3R): one
    round in which every client takes part, nothing is trained.

    Returns:
        DataFrame with the columns `dataset`, `depth` (`"scratch"`, `"one_shot"`, or what is trained on the bundled
        backbone: `"head"`, `"last_block"`, ...), `server_optimizer` (`"sgd"` is plain averaging, and stands for none in
        one-shot runs; the others were run at one concentration), `concentration`, `seed`, `round_num` (0 = before
        training) and `accuracy`: that of the global model on the test images of all clients, 0 to 1.

    Example:
        >>> runs = pretraining_runs()
        >>> bool(runs["accuracy"].between(0, 1).all())
        True
    """
    return _read().copy()


def runs_at_round(runs: pd.DataFrame, round_num: int) -> pd.DataFrame:
    """Returns where every run stood after a round: its last recorded row up to then.

    A run that ended earlier keeps the accuracy it ended with.

    Args:
        runs: As `pretraining_runs()` or `algorithm_runs()` returns; columns besides theirs are kept.
        round_num: 0 or more.

    Returns:
        One row per run that has a record up to `round_num`; the order and the index are those of `runs`.

    Example:
        >>> runs = pretraining_runs()
        >>> len(runs_at_round(runs, 0)) == len(runs_at_round(runs, 1_000))
        True
    """
    known = runs[runs["round_num"] <= round_num].sort_values("round_num", kind="stable")
    return known.groupby([name for name in _RUN if name in known]).tail(1).sort_index()
