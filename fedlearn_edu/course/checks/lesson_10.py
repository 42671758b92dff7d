"""Checks of lesson 10: counts from a bias, a feature from a head, its nearest image, members, a matching loss."""

from __future__ import annotations

import numpy as np

from fedlearn_edu.course.checks.compare import equal, near
from fedlearn_edu.course.checks.data import as_number
from fedlearn_edu.course.checks.exercise import Case, Exercise, visible, weighted
from fedlearn_edu.course.checks.wrong_10 import WRONG_ANSWERS


def _label_counts(seed: int) -> list[Case]:
    rng = np.random.default_rng([seed, 101])

    def case(name, counts, initial_bias, client_lr, hint):
        # The counts are drawn first; the gradient is the mean over examples of (belief - one-hot label).
        belief = np.exp(initial_bias) / np.exp(initial_bias).sum()
        one_hot = np.eye(len(counts))[np.repeat(np.arange(len(counts)), counts)]
        arguments = (client_lr * np.mean(belief - one_hot, axis=0), client_lr, int(np.sum(counts)), initial_bias)
        shown = visible(np.array(counts), seed, f"{len(counts)} whole numbers that add up to {sum(counts)}")
        return Case(name, arguments, near(np.array(counts, float), tolerance=1e-4), shown, hint)

    k = 4 if seed == 0 else int(rng.integers(5, 10))
    lr = 0.1 if seed == 0 else float(rng.uniform(0.02, 0.9))
    some = rng.integers(1, 12, k).tolist()
    lone = [0] * k
    lone[int(rng.integers(k))] = 1
    tilted = rng.normal(size=k)
    rare = rng.permutation([0, 1, 40] + [0] * (k - 3)).tolist()
    return [
        case("a head at zero", some, np.zeros(k), lr, "what does a head of zeros believe of every class?"),
        case("a head with a bias", some, tilted, lr, "with a kernel of zeros the belief is the softmax of the bias"),
        case("a single example", lone, 2 * tilted, 1.0, "counts, not shares: how many examples are there in all?"),
        case("a rare class", rare, 3 * tilted, lr / 2, "the learning rate scales the delta; which sign has it?"),
    ]


def _recover_feature(seed: int) -> list[Case]:
    rng = np.random.default_rng([seed, 102])
    dim, k = (3, 4) if seed == 0 else (int(rng.integers(4, 8)), int(rng.integers(5, 9)))

    def error_of(label, logits):
        belief = np.exp(logits) / np.exp(logits).sum()
        belief[label] -= 1
        return belief

    def case(name, feature, error, scale, hint):
        arguments = (scale * np.outer(feature, error), scale * error)
        shown = visible(feature, seed, f"{len(feature)} numbers")
        return Case(name, arguments, near(feature, tolerance=1e-5), shown, hint)

    x, other = np.round(rng.normal(size=[2, dim]) * 3, 1)
    plain = error_of(int(rng.integers(k)), rng.normal(size=k))
    # The first class was given no chance at all and did not move: there is nothing to divide by.
    still = np.append(0.0, error_of(1, rng.normal(size=k - 1)))
    several = sum(error_of(0, i * rng.normal(size=k)) for i in range(1, 4))
    return [
        case("one step", x, plain, 0.1, "divide a column of the kernel's delta by its entry of the bias' delta"),
        case("a clipped delta", other, plain, 1e-3, "the scale is in both parts: does it cancel?"),
        case("a class that did not move", other, still, 0.1, "0 / 0 is no number: choose a column that moved, or all"),
        case("several steps", x, several, 0.05, "each step added a multiple of the same vector to every column"),
    ]


def _nearest_public(seed: int) -> list[Case]:
    rng = np.random.default_rng([seed, 103])
    dim = 4 if seed == 0 else int(rng.integers(5, 9))

    def case(name, public, feature, row, hint):
        shown = visible(row, seed, "the number of a row")
        return Case(name, (feature, public), equal(row), shown, hint)

    # Directions from the centre that are orthogonal in pairs: opposite vectors, so that the mean is the centre.
    axes = np.linalg.qr(rng.normal(size=[dim, dim]))[0]
    lengths = rng.uniform(1, 3, dim)
    offsets = np.concatenate([axes * lengths[:, None], -axes * lengths[:, None]])
    rows = rng.permutation(len(offsets))[: 2 * dim]
    offsets = offsets[rows]
    target = int(rng.integers(len(offsets)))
    plain = offsets[target] * 1.1 + 0.05 * rng.normal(size=dim)
    # Far from zero everything points the same way; the row that differs little from the mean looks nearest.
    along, beside = 4 * axes[1], 0.5 * axes[1] + 0.3 * axes[2]
    crowd, far = np.stack([along, -along, beside, -beside]), 10 * axes[0]
    # Far out along the first direction lies nearer, by distance, to a row that points elsewhere.
    elsewhere = 5 * axes[0] + 3 * axes[1]
    spread = np.stack([axes[0], -axes[0], elsewhere, -elsewhere])
    # A long vector at a right angle and more wins every product that is not divided by the lengths.
    long_one = 50 * axes[1] + 10 * axes[0]
    trap = np.stack([axes[0], -axes[0], long_one, -long_one])
    order, turn, shuffle = (rng.permutation(4) for _ in range(3))
    return [
        case("centred", offsets, plain, target, "cosine similarity: which row points the same way?"),
        case(
            "all far from zero",
            crowd[shuffle] + far,
            0.5 * axes[1] + far,
            int(np.flatnonzero(shuffle == 0)[0]),
            "subtract the mean of the public features from both",
        ),
        case(
            "far out", spread[turn], 6 * axes[0], int(np.flatnonzero(turn == 0)[0]), "direction counts, length does not"
        ),
        case(
            "one very long row",
            trap[order],
            2 * axes[0],
            int(np.flatnonzero(order == 0)[0]),
            "divide by the rows' lengths",
        ),
    ]


def _membership_advantage(seed: int) -> list[Case]:
    rng = np.random.default_rng([seed, 104])
    n = 8 if seed == 0 else int(rng.integers(10, 25))

    def case(name, num_found, num_members, num_accused, num_others, hint, *, tie=False):
        # Drawn from the answer: how many of each kind lie at or below the threshold.
        threshold = float(np.round(rng.uniform(0.5, 2), 2))

        def losses(below, count):
            low = rng.uniform(0.0, 0.9, below) * threshold
            if tie and below:
                low[0] = threshold
            return rng.permutation(np.concatenate([low, rng.uniform(1.1, 3, count - below) * threshold]))

        arguments = (losses(num_found, num_members), losses(num_accused, num_others), threshold)
        advantage = num_found / num_members - num_accused / num_others
        return Case(name, arguments, near(advantage, tolerance=1e-6), visible(advantage, seed, "from -1 to 1"), hint)

    some = n // 2 + 1
    return [
        case("equally many", some, n, 1, n, "which share of the members is accused, and which share of the others?"),
        case("fewer members than others", some, n, n // 2, 3 * n, "shares of each kind, not of all examples"),
        case("a model that tells nothing", n // 2, n, 2 * (n // 2), 2 * n, "both shares count"),
        case("a loss at the threshold", some, n, 2, 2 * n, "a loss equal to the threshold is accused, too", tie=True),
        case("worse than guessing", 1, n, n - 1, n, "the advantage may be below 0"),
    ]


def _matching_loss(seed: int) -> list[Case]:
    rng = np.random.default_rng([seed, 105])
    a, b, c = (3, 2, 4) if seed == 0 else (int(n) for n in rng.integers(2, 7, 3))

    def case(name, candidate, received, expected, hint):
        def verify(got):
            number = as_number(got)
            if number is None:
                return "expected a single number"
            return near(expected, tolerance=1e-6)(number)

        return Case(name, (candidate, received), verify, visible(expected, seed, "a number from 0 to 2"), hint)

    received = [rng.normal(size=[a, b]), rng.normal(size=b), rng.normal(size=[b, c])]
    scale = float(rng.uniform(0.1, 5))
    # One layer points away, the others agree: by the lengths of the layers, not by their number.
    turned = [-received[0], received[1], received[2]]
    squares = np.array([np.sum(part**2) for part in received])
    half = 2 * squares[0] / squares.sum()
    zeroed = [np.zeros_like(received[0]), received[1], received[2]]
    cosine = np.sqrt((squares[1] + squares[2]) / squares.sum())
    return [
        case("the same gradient", [g.copy() for g in received], received, 0.0, "equal directions: a loss of 0"),
        case("scaled", [scale * g for g in received], received, 0.0, "the cosine does not see the learning rate"),
        case("the opposite", [-g for g in received], received, 2.0, "1 - cosine similarity, for opposite directions"),
        case(
            "one layer turned round", turned, received, float(half), "one long vector of all layers, not layer by layer"
        ),
        case("one layer missing", zeroed, received, float(1 - cosine), "lengths, too, are taken over all layers"),
    ]


EXERCISES = [
    Exercise(
        id="10.label_counts",
        points=4,
        title="A client's label counts from its bias",
        cases=_label_counts,
        wrong_answers=WRONG_ANSWERS["label_counts"],
    ),
    Exercise(
        id="10.recover_feature",
        points=4,
        title="The feature vector of a lone example",
        cases=_recover_feature,
        wrong_answers=WRONG_ANSWERS["recover_feature"],
    ),
    Exercise(
        id="10.nearest_public",
        points=4,
        title="The public image that looks like it",
        cases=weighted(_nearest_public, {"centred": 0.5}),
        wrong_answers=WRONG_ANSWERS["nearest_public"],
    ),
    Exercise(
        id="10.membership_advantage",
        points=4,
        title="Who was in the training set?",
        cases=weighted(_membership_advantage, {"a model that tells nothing": 0}),
        wrong_answers=WRONG_ANSWERS["membership_advantage"],
    ),
    Exercise(
        id="10.matching_loss",
        points=4,
        title="How alike two gradients are",
        cases=weighted(_matching_loss, {"the same gradient": 0}),
        wrong_answers=WRONG_ANSWERS["matching_loss"],
    ),
]
