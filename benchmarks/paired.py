"""What differences of two methods on the same seeds show: mean, spread, 95 % interval, and a t-test."""

from __future__ import annotations

import numpy as np
from scipy import stats


def describe_differences(differences) -> str:
    """Returns one line on differences that stem from seeds, one from each, in points.

    p is that of one comparison alone, two-sided; who makes m of them holds it against 0.05 / m (Bonferroni).
    """
    differences = np.asarray(differences, dtype=float)
    mean, spread = differences.mean(), differences.std(ddof=1)
    if spread == 0:
        return f"{mean:+.1f} for each seed"
    test = stats.ttest_1samp(differences, 0)
    low, high = test.confidence_interval(0.95)
    return (
        f"{mean:+.1f} ± {spread:.1f} (95 % interval {low:.1f} to {high:.1f}; t = {test.statistic:.1f}, "
        f"{len(differences) - 1} degrees of freedom, p = {test.pvalue:.3f})"
    )
