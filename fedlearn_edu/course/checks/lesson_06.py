"""Checks of lesson 06: differences in pairs, the non-IID gap, the price of an accuracy, spreads, a byte budget."""

from __future__ import annotations

import numpy as np

from fedlearn_edu.course.checks.compare import equal, near
from fedlearn_edu.course.checks.exercise import Case, Exercise, visible, weighted
from fedlearn_edu.course.checks.wrong_06 import WRONG_ANSWERS

# Patterns with mean 0, and their standard deviation (dividing by one less): all expected spreads are a multiple of it.
_PATTERNS = {
    2: ([-1.0, 1.0], np.sqrt(2.0)),
    3: ([-1.0, 0.0, 1.0], 1.0),
    4: ([-1.0, -1.0, 1.0, 1.0], np.sqrt(4 / 3)),
}


def _seeds(rng, count: int) -> list[int]:
    return [int(s) for s in rng.choice(np.arange(1, 60), count, replace=False)]


def _around(rng, mean: float, scale: float, count: int) -> tuple[list[float], float]:
    """Numbers with this mean in a random order, and their standard deviation."""
    pattern, deviation = _PATTERNS[count]
    return [float(mean + scale * p) for p in rng.permutation(pattern)], float(scale * deviation)


def _paired_difference(seed: int) -> list[Case]:
    rng = np.random.default_rng([seed, 61])

    def case(name, count, luck, hint, *, shuffle=False, extra=0):
        mean, scale = float(rng.uniform(0.02, 0.1)), float(rng.uniform(0.005, 0.02))
        ahead, deviation = _around(rng, mean, scale, count)
        seeds, base = _seeds(rng, count + 2 * extra), rng.uniform(0.5 - luck, 0.5 + luck, count)
        ours = {s: float(b + a) for s, b, a in zip(seeds, base, ahead, strict=False)}
        theirs = {s: float(b) for s, b in zip(seeds, base, strict=False)}
        for mine, other in zip(seeds[count : count + extra], seeds[count + extra :], strict=True):
            ours, theirs = {mine: 0.99} | ours, {**theirs, other: 0.98}
        if shuffle:
            theirs = dict(reversed(theirs.items()))
        expected = (mean, deviation / count**0.5)
        shown = visible(expected, seed, "a mean and a standard error")
        return Case(name, (ours, theirs), near(expected), shown, hint)

    return [
        case("three seeds", 3, 0.02, "the standard deviation divides by one less than the number of pairs"),
        case("seeds in another order", 3, 0.2, "pair by seed, not by place", shuffle=True),
        case("luck that both share", 4, 0.3, "subtract first: what a pair has in common goes away"),
        case("a seed that one side lacks", 2, 0.1, "without its partner a run says nothing here", extra=1),
    ]


def _gap_table(seed: int) -> list[Case]:
    rng = np.random.default_rng([seed, 62])
    low = 0.1 if seed == 0 else float(np.round(rng.uniform(0.05, 0.3), 2))

    def rows_of(depth, mean, scale, count, *, between=(), extra=False):
        """All rows of a depth, and the pair (mean, standard deviation) of its gaps."""
        gaps, deviation = _around(rng, mean, scale, count)
        rows = []
        for run, gap in zip(_seeds(rng, count), gaps, strict=True):
            skewed = float(rng.uniform(0.3, 0.5))
            rows += [(depth, low, run, skewed), (depth, 100.0, run, skewed + gap)]
            rows += [(depth, float(c), run, float(rng.uniform(0.8, 0.95))) for c in between]
        if extra:
            rows.append((depth, 100.0, 99, 0.9))
        return rows, (mean, deviation)

    def case(name, depths, hint, *, shuffle=False):
        rows = [row for part, _ in depths.values() for row in part]
        if shuffle:
            rows = [rows[i] for i in rng.permutation(len(rows))]
        expected = {depth: pair for depth, (_, pair) in depths.items()}
        shown = visible(expected, seed, "a dict: depth -> (mean, standard deviation)")
        return Case(name, (rows,), near(expected), shown, hint)

    def mean():
        return float(rng.uniform(0.05, 0.3))

    return [
        case(
            "two depths",
            {"head": rows_of("head", 0.04, 0.01, 2), "scratch": rows_of("scratch", mean(), 0.05, 3)},
            "one gap for each depth and seed, then mean and standard deviation over the seeds",
        ),
        case(
            "concentrations between, rows in any order",
            {d: rows_of(d, mean(), 0.02, 2, between=(10, 1)) for d in ("all", "head")},
            "only the largest and the smallest concentration count, wherever their rows are",
            shuffle=True,
        ),
        case(
            "a seed with one end only",
            {"head": rows_of("head", mean(), 0.03, 2, extra=True)},
            "a seed counts if it has both ends",
        ),
        case(
            "skew that helps",
            {"one_shot": rows_of("one_shot", -mean(), 0.01, 3)},
            "lost is positive: alike minus skewed; a gain is a negative gap",
        ),
    ]


def _bytes_until(seed: int) -> list[Case]:
    rng = np.random.default_rng([seed, 63])
    size = 100 if seed == 0 else int(rng.integers(200, 2_000))
    first, later = (4, 8) if seed == 0 else (int(rng.integers(3, 6)), int(rng.integers(7, 12)))

    def case(name, curve, target, expected, hint):
        shown = visible(expected, seed, "None" if expected is None else "a whole number of bytes")
        return Case(name, (curve, target, size), equal(expected), shown, hint)

    return [
        case(
            "each round is recorded", [(0, 0.1), (1, 0.4), (2, 0.7), (3, 0.8)], 0.65, 2 * size * 4, "float32: 4 bytes"
        ),
        case(
            "some rounds are recorded",
            [(0, 0.1), (2, 0.3), (first, 0.5), (later, 0.75)],
            0.7,
            later * size * 4,
            "a client uploads in rounds without a record, too",
        ),
        case("just reached", [(0, 0.1), (first, 0.5), (later, 0.6)], 0.5, first * size * 4, "reached: target or more"),
        case(
            "falls back later",
            [(0, 0.1), (first, 0.7), (later, 0.4), (later + 2, 0.8)],
            0.6,
            first * size * 4,
            "the first time counts",
        ),
        case("before training", [(0, 0.55), (first, 0.7)], 0.5, 0, "in round 0 nothing has been uploaded"),
        case("never", [(0, 0.1), (first, 0.5), (later, 0.6)], 0.9, None, "no bytes are enough: None"),
    ]


def _optimizer_spread(seed: int) -> list[Case]:
    rng = np.random.default_rng([seed, 64])

    def runs(mean, count, scale):
        return _around(rng, mean, scale, count)[0] if count > 1 else [mean]

    def depth(counts, *, scale=0.05, **means):
        return {name: runs(mean, n, scale) for n, (name, mean) in zip(counts, means.items(), strict=True)}

    def case(name, accuracies, expected, hint):
        shown = visible(expected, seed, "a dict: depth -> a number")
        return Case(name, (accuracies,), near(expected), shown, hint)

    def at():
        """Worst, middle and best: the steps between them are never the same."""
        worst, step = float(rng.uniform(0.2, 0.4)), float(rng.uniform(0.05, 0.1))
        return worst, worst + step, worst + 3 * step

    a, b, c, d = at(), at(), at(), at()
    return [
        case(
            "one seed",
            {"head": depth([1, 1, 1], sgd=a[1], momentum=a[0], adam=a[2])},
            {"head": a[2] - a[0]},
            "best minus worst, whichever they are",
        ),
        case(
            "several seeds",
            {
                "head": depth([3, 3, 3], sgd=b[0], momentum=b[2], adam=b[1]),
                "scratch": depth([3, 3], sgd=c[2], adam=c[0]),
            },
            {"head": b[1] - b[0], "scratch": c[2] - c[0]},
            "first the mean over the seeds; and only what every depth was tried with",
        ),
        case(
            "an optimizer that one depth lacks",
            {"all": depth([2, 2], sgd=a[0], adam=a[1]), "head": depth([2, 2, 2], adam=d[1], yogi=d[2], sgd=d[0])},
            {"all": a[1] - a[0], "head": d[1] - d[0]},
            "more things tried give a wider spread: compare over those that all depths have",
        ),
        case(
            "different numbers of seeds",
            {"head": depth([4, 2, 3], sgd=c[1], momentum=c[2], adam=c[0])},
            {"head": c[2] - c[0]},
            "a mean for each optimizer over its own seeds",
        ),
    ]


def _best_depth(seed: int) -> list[Case]:
    rng = np.random.default_rng([seed, 65])
    small = 50 if seed == 0 else int(rng.integers(60, 200))
    large = 20 * small
    gain = 0.0 if seed == 0 else float(rng.uniform(0.001, 0.009))

    def depth(num_trained, *curve):
        return {"num_trained": num_trained, "curve": [(r, accuracy + gain) for r, accuracy in curve]}

    def case(name, depths, budget, best, accuracy, hint):
        expected = (best, accuracy + gain)
        shown = visible(expected, seed, "the name of a depth, and an accuracy")
        return Case(name, (depths, int(budget)), near(expected), shown, hint)

    head = depth(small, (0, 0.1), (1, 0.5), (10, 0.7), (20, 0.71))
    whole = depth(large, (0, 0.1), (1, 0.4), (10, 0.75), (20, 0.85))
    return [
        case(
            "enough for all", {"head": head, "all": whole}, 20 * 4 * large + 1, "all", 0.85, "the higher accuracy wins"
        ),
        case(
            "enough for a few rounds",
            {"all": whole, "head": head},
            9 * 4 * large,
            "head",
            0.71,
            "for each depth, the last recorded round that the budget pays for",
        ),
        case("to the byte", {"head": head, "all": whole}, 10 * 4 * large, "all", 0.75, "the budget may be used up"),
        case(
            "nothing can be sent",
            {"head": depth(small, (0, 0.1), (1, 0.6)), "one_shot": depth(large, (0, 0.2), (1, 0.7))},
            4 * small - 1,
            "one_shot",
            0.2,
            "round 0 costs nothing",
        ),
        case(
            "a tie",
            {"all": depth(large, (0, 0.1), (4, 0.6)), "head": depth(small, (0, 0.1), (8, 0.6))},
            100 * 4 * large,
            "head",
            0.6,
            "equally good: the one that uploads less",
        ),
        case(
            "falls back",
            {"all": depth(large, (0, 0.1), (4, 0.9), (8, 0.5)), "head": depth(small, (0, 0.1), (8, 0.6))},
            8 * 4 * large,
            "head",
            0.6,
            "the model at the end of the budget is the one that you have, not the best on the way",
        ),
    ]


EXERCISES = [
    Exercise(id=f"06.{name}", points=points, title=title, cases=cases, wrong_answers=WRONG_ANSWERS[name])
    for name, points, title, cases in [
        ("paired_difference", 4, "Compare in pairs", _paired_difference),
        ("gap_table", 4, "The non-IID gap", _gap_table),
        (
            "bytes_until",
            3,
            "The price of an accuracy",
            weighted(_bytes_until, {"each round is recorded": 0.5, "before training": 0.5, "never": 0}),
        ),
        ("optimizer_spread", 3, "Spread across server optimizers", weighted(_optimizer_spread, {"one seed": 0.5})),
        ("best_depth", 5, "The best depth within a budget", weighted(_best_depth, {"enough for all": 0.5})),
    ]
]
