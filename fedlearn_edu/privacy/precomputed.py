"""Private runs that were made before, so that a slider can answer at once."""

from __future__ import annotations

import functools
import pathlib

import pandas as pd

# The setting of benchmarks/privacy_utility.py, which made them.
POPULATION = 250


@functools.cache
def _read() -> pd.DataFrame:
    return pd.read_csv(pathlib.Path(__file__).parent / "assets" / "explorer_runs.csv")


def explorer_runs() -> pd.DataFrame:
    """Returns what `benchmarks/privacy_utility.py explorer` measured: one row per run and recorded round.

    Central DP-FedAvg of a linear head on the bundled backbone's features: 250 clients with 16 Fashion training images
    each, Poisson sampling, one seed.

    Returns:
        DataFrame with the columns `noise_multiplier` (0 = no noise), `clip_norm`, `clients_per_round` (expected),
        `round_num`, `epsilon` (at delta 250 ** -1.1; inf without noise), `accuracy`, and of the attack
        `client_membership` `attack_auc` (0.5 = guessing) and `attack_accuracy` (share of right guesses).
    """
    return _read().copy()
