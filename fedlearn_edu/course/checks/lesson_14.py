"""Checks of lesson 14: the message that moves the mean, robust rules, what an attacker can do, and who is silenced.

Answers are drawn first wherever that is possible, and the arguments made from them.
"""

from __future__ import annotations

import numpy as np

from fedlearn_edu.course.checks.compare import equal, near
from fedlearn_edu.course.checks.exercise import Case, Exercise, visible, weighted
from fedlearn_edu.course.checks.wrong_14 import WRONG_ANSWERS


def _direction(rng, dim):
    vector = rng.normal(size=dim)
    return vector / np.linalg.norm(vector)


def _hijack_mean(seed: int) -> list[Case]:
    rng = np.random.default_rng([seed, 141])
    sizes = (3, 2) if seed == 0 else tuple(int(n) for n in rng.choice(np.arange(2, 6), size=2, replace=False))

    def delta():
        return [rng.normal(size=sizes), rng.normal(size=sizes[1])]

    def case(name, weights, own_weight, hint):
        # The message is drawn first; the target is where it takes the mean.
        message, honest = delta(), [delta() for _ in weights]
        shares = np.array([*weights, own_weight]) / (sum(weights) + own_weight)
        target = [np.tensordot(shares, np.stack(parts), axes=1) for parts in zip(*honest, message, strict=True)]
        shown = visible(message, seed, f"arrays of shapes {sizes} and {sizes[1:]}")
        return Case(name, (honest, weights, own_weight, target), near(message, tolerance=1e-4), shown, hint)

    n = 3 if seed == 0 else int(rng.integers(4, 8))
    unlike = [10, 30, 20] if seed == 0 else [int(w) for w in rng.integers(5, 90, n)]
    small, large = (2, 500) if seed == 0 else (int(rng.integers(2, 5)), int(rng.integers(300, 900)))
    return [
        case("everyone counts alike", [1] * n, 1, "write down the mean of all, yours included, and solve it"),
        case("clients of different sizes", unlike, 25, "each honest delta enters the sum with its own weight"),
        case("an attacker that counts little", unlike, small, "who counts little has to shout: divide by your weight"),
        case("an attacker that lies about its size", unlike, large, "your own weight is also part of the total"),
        case("nobody else came", [], 7, "then the mean is what you send"),
    ]


def _trimmed_mean(seed: int) -> list[Case]:
    rng = np.random.default_rng([seed, 142])
    dim = 3 if seed == 0 else int(rng.integers(4, 8))
    more = 0 if seed == 0 else int(rng.integers(1, 4))

    def rows(num_middle, num_ends):
        """Every column for itself: middle numbers, and as many above as below, in any order; and the mean."""
        # Far from 0, so that the numbers at the ends are not the ones with the largest absolute values.
        middle = rng.choice([-4, 4], dim) + 0.2 * rng.normal(size=[num_middle, dim])
        above, below = rng.uniform(1.5, 20, [num_ends, dim]), rng.uniform(1.5, 3, [num_ends, dim])
        ends = [middle.mean(axis=0) + above, middle.mean(axis=0) - below]
        return rng.permuted(np.concatenate([middle, *ends]), axis=0), middle.mean(axis=0)

    def case(name, num_middle, num_ends, hint, *, num_trimmed=None, bad=()):
        stack, expected = rows(num_middle, num_ends)
        for value in bad:
            row = rng.normal(size=dim)
            row[int(rng.integers(dim))] = value
            stack = np.insert(stack, int(rng.integers(len(stack))), row, axis=0)
        num_trimmed = num_ends if num_trimmed is None else num_trimmed
        return Case(name, (stack, num_trimmed), near(expected), visible(expected, seed, f"shape ({dim},)"), hint)

    nobody = np.full([2, dim], np.nan)
    return [
        case("nothing is trimmed", 4 + more, 0, "with num_trimmed 0 it is the plain mean"),
        case("one at either end", 3 + more, 1, "in each column: as many from the top as from the bottom"),
        case(
            "several at either end", 4 + more, 2, "columns are trimmed one by one: sort along the axis of the clients"
        ),
        case("the median", 2, 3 + more, "the largest trimming leaves the two in the middle, and their mean"),
        case("NaN and infinity", 3 + more, 2, "leave out the whole row of a client first", bad=[np.nan, -np.inf]),
        case(
            "too much for an odd number of rows",
            1,
            2 + more,
            "trim less: leave the one in the middle",
            num_trimmed=9,
            bad=[np.nan],
        ),
        case(
            "too much for an even number of rows",
            2,
            2 + more,
            "trim less: leave the two in the middle; rows that were left out do not count",
            num_trimmed=9,
            bad=[np.nan, np.inf],
        ),
        Case("nobody is left", (nobody, 1), near(np.zeros(dim)), "zeros", "then the model shall stay where it is"),
    ]


def _krum(seed: int) -> list[Case]:
    rng = np.random.default_rng([seed, 143])
    extra = 0 if seed == 0 else int(rng.integers(1, 4))

    def case(name, num_honest, num_attackers, hint, *, far=0.0, expects=None):
        # Clients stand on axes of their own, at right angles: squared distances are sums of two squares.
        expects = num_attackers if expects is None else expects
        n, dim = num_honest + num_attackers, num_honest + num_attackers + 2
        squares = rng.uniform(0.3, 3, n) ** 2
        squares[num_honest:] = far**2
        axes = np.linalg.qr(rng.normal(size=[dim, dim]))[0][:n]
        axes[num_honest:] = axes[-1]  # attackers agree: no distance between them
        stack = rng.normal(size=dim) + np.sqrt(squares)[:, None] * axes
        neighbours = n - expects - 2
        scores = []
        for i in range(n):
            friends = num_attackers - 1 if i >= num_honest else 0
            others = np.sort(np.delete(squares, i) if i < num_honest else squares[:num_honest])
            count = neighbours - friends
            scores.append(count * squares[i] + others[:count].sum())
        order = rng.permutation(n)
        scores = np.array(scores)[order]
        expected = (int(np.argmin(scores)), scores)
        shown = visible(expected, seed, "the chosen client's row number, and one score a client")
        return Case(name, (stack[order], expects), near(expected, tolerance=1e-6), shown, hint)

    def too_small(name, num_attackers, hint):
        stack = rng.normal(size=[2 * num_attackers + 2, 3 + extra])
        return Case(name, (stack, num_attackers), equal(None), "None", hint)

    f = 3 + extra
    return [
        case("nobody is hostile", 5 + extra, 0, "the n - 2 nearest OTHERS: nobody is a neighbour of itself", expects=0),
        case("one is expected, none is there", 6 + extra, 0, "squared distances to the n - f - 2 nearest", expects=1),
        case("a far attacker", 5 + extra, 1, "who stands far away has a large score; the least one wins", far=40.0),
        case("attackers that agree", f + 3, f, "a cohort of 2 f + 3 is enough; count n - f - 2 neighbours", far=60.0),
        too_small("a cohort that is too small", f, "the guarantee needs 2 f + 3 clients"),
    ]


def _geometric_median(seed: int) -> list[Case]:
    rng = np.random.default_rng([seed, 144])
    dim = 2 if seed == 0 else int(rng.integers(3, 6))
    more = 0 if seed == 0 else int(rng.integers(1, 4))
    center = rng.normal(size=dim)
    text = f"shape ({dim},)"

    def case(name, stack, num_iterations, expected, hint, *, smoothing=1e-6):
        arguments = (rng.permutation(stack), num_iterations, smoothing)
        return Case(name, arguments, near(expected, tolerance=1e-3), visible(expected, seed, text), hint)

    def on_opposite_sides(num_pairs, far):
        """Pairs that pull at the centre from opposite sides, from whatever distance: it is the geometric median."""
        directions = np.array([_direction(rng, dim) for _ in range(num_pairs)])
        one, other = rng.uniform(1, 2, [num_pairs, 1]), rng.uniform(1, 2, [num_pairs, 1])
        one[0] = far
        return np.concatenate([center + one * directions, center - other * directions])

    # On a line, one step: the start is the mean, and weights are one over the distance from it.
    # (An odd number of points: of an even one, all places between the two in the middle are medians.)
    axis, places = _direction(rng, dim), np.array([0.0, 1.0, 2.0, 6.0, 11.0]) + rng.uniform(0, 0.5, 5)
    away, smoothing = np.abs(places - places.mean()), float(rng.uniform(2.5, 3.5))
    line, one_step, smooth_step = (
        center + np.multiply.outer(where, axis)
        for where in (
            places,
            np.average(places, weights=1 / away),
            np.average(places, weights=1 / away.clip(smoothing)),
        )
    )
    # Whole numbers, so that the mean is the middle one to the last bit.
    middle, arm = rng.integers(-9, 10, dim).astype(float), rng.integers(1, 9, dim).astype(float)
    meets_mean = np.stack([middle - arm, middle, middle + arm])
    crowd = np.concatenate([np.tile(center, [5 + more, 1]), center + rng.uniform(1, 9, [2 + more, dim])])
    return [
        case("one step on a line", line, 1, one_step, "from the mean, one weighted average"),
        case("strong smoothing", line, 1, smooth_step, "the larger of distance and smoothing", smoothing=smoothing),
        case("pairs on opposite sides", on_opposite_sides(4 + more, 1.5), 300, center, "repeat from where you came to"),
        case(
            "one is far away",
            on_opposite_sides(4 + more, 500.0),
            300,
            center,
            "far or near, all pull alike: 1 / distance",
        ),
        case("a client right at the mean", meets_mean, 3, middle, "a distance may be 0: it counts as smoothing"),
        case(
            "most of them agree", crowd, 300, center, "it stays with a majority; how large is the weight of a near one?"
        ),
    ]


def _largest_harm(seed: int) -> list[Case]:
    rng = np.random.default_rng([seed, 145])
    dim = 3 if seed == 0 else int(rng.integers(4, 8))
    max_norm = 0.5 if seed == 0 else float(rng.uniform(1.2, 4))
    n = 4 if seed == 0 else int(rng.integers(5, 9))

    def case(name, num_attackers, hint, *, num_long=0, silent=False):
        # The bounded deltas are drawn first; some were longer before.
        lengths = max_norm * rng.uniform(0.2, 0.9, n)
        lengths[:num_long] = max_norm
        common = rng.normal(size=dim)
        bounded = np.array([length * _direction(rng, dim) for length in lengths])
        bounded = np.array([b if b @ common > 0 else -b for b in bounded]) * (not silent) + 0.0
        factors = np.where(np.arange(n) < num_long, rng.uniform(2, 20, n), 1.0)
        order = rng.permutation(n)
        # The worst that can happen: all attackers send the longest delta against the honest mean.
        harm = num_attackers * (max_norm + float(np.linalg.norm(bounded.mean(axis=0)))) / (n + num_attackers)
        arguments = ((bounded * factors[:, None])[order], num_attackers, max_norm)
        return Case(name, arguments, near(harm), visible(harm, seed, "a number of at least 0"), hint)

    f = 3 if seed == 0 else int(rng.integers(2, 7))
    return [
        case("the honest say nothing", 1, "one of n + 1 clients sends a delta of length max_norm", silent=True),
        case("one attacker", 1, "which direction is the worst? Against the mean of the honest"),
        case("several attackers", f, "they all do the same; how many are averaged then?"),
        case("honest deltas that are too long", f, "honest deltas are bounded, too, before the mean", num_long=2),
        case("no attacker", 0, "then the mean stays where it is", num_long=1),
    ]


def _silenced_classes(seed: int) -> list[Case]:
    rng = np.random.default_rng([seed, 146])
    num_rounds, num_clients, num_classes = (4, 5, 3) if seed == 0 else (int(n) for n in rng.permutation([7, 9, 6]))
    shown = "row numbers of classes"

    def case(name, silent, alone, hint, *, empty=(), once=()):
        """Some clients are never kept, some once; `alone`: class -> its only holders; `empty` classes have no one."""
        kept = rng.integers(0, 2, [num_rounds, num_clients])
        kept[0], kept[-1] = 0, 1  # nobody is in all rounds, everybody in one at least, but for ...
        kept[:, list(silent)] = 0
        for client in once:
            kept[:, client] = 0
            kept[int(rng.integers(num_rounds - 1)), client] = 1
        counts = rng.integers(1, 60, [num_clients, num_classes])
        for label, holders in alone.items():
            counts[[i for i in range(num_clients) if i not in holders], label] = 0
        counts[:, list(empty)] = 0
        order, classes = rng.permutation(num_clients), rng.permutation(num_classes)
        # Holders do not stand in the first two rows, which is where 0 and 1 point that are taken for row numbers.
        order = np.array(sorted(order, key=lambda client: client < 1 + max([*silent, *once], default=-1)))
        lost = sorted(int(np.flatnonzero(classes == label)[0]) for label in alone if set(alone[label]) <= set(silent))
        arguments = (kept[:, order], counts[order][:, classes])
        return Case(name, arguments, equal(lost), visible(lost, seed, shown), hint)

    return [
        case("everyone is heard", [], {}, "a client counts as heard if it was kept in any round"),
        case("a minority", [0, 1], {0: [0, 1]}, "which classes does nobody hold who was ever kept?"),
        case("one of the two is heard, once", [0], {0: [0, 1]}, "a single round is enough", once=[1]),
        case("a class that nobody holds", [0], {0: [0]}, "nobody can be silenced about what nobody has", empty=[1]),
        case("two minorities", [0, 1, 2], {0: [0, 1], 1: [2]}, "look at each class on its own", once=[3]),
        case("many are dropped, none alone", [0, 1, 2], {0: [0, 1, 2, 3]}, "who else holds the class?", once=[3]),
    ]


EXERCISES = [
    Exercise(id=f"14.{name}", points=points, title=title, cases=cases, wrong_answers=WRONG_ANSWERS[name])
    for name, points, title, cases in [
        ("hijack_mean", 3, "Take over the mean", weighted(_hijack_mean, {"nobody else came": 0})),
        (
            "trimmed_mean",
            4,
            "The trimmed mean",
            weighted(_trimmed_mean, {"nothing is trimmed": 0, "nobody is left": 0}),
        ),
        ("krum", 4, "Krum", weighted(_krum, {"a cohort that is too small": 0})),
        (
            "geometric_median",
            4,
            "The geometric median",
            weighted(_geometric_median, {"a client right at the mean": 0, "most of them agree": 0}),
        ),
        (
            "largest_harm",
            3,
            "The largest harm",
            weighted(_largest_harm, {"the honest say nothing": 0.5, "no attacker": 0}),
        ),
        ("silenced_classes", 3, "Whom the defence silenced", weighted(_silenced_classes, {"everyone is heard": 0})),
    ]
]
