"""Checks of lesson 02: similarity and neighbours in feature space, a classifier without training, convolutions."""

from __future__ import annotations

import numpy as np

from fedlearn_edu.course.checks.compare import equal, near
from fedlearn_edu.course.checks.exercise import Case, Exercise, visible, weighted
from fedlearn_edu.course.checks.wrong_02 import WRONG_ANSWERS


def _cosine_similarity(seed: int) -> list[Case]:
    rng = np.random.default_rng([seed, 1])
    num_a, num_b = (2, 3) if seed == 0 else (int(n) for n in rng.choice(np.arange(2, 9), size=2, replace=False))
    shape = f"shape ({num_a}, {num_b}), entries from -1 to 1"

    # Vectors in the plane, given by length and direction: the answer is the cosine of a difference of angles.
    angles_a = rng.choice(np.arange(0, 360, 15), size=num_a, replace=False)
    angles_b = rng.choice(np.arange(0, 360, 15), size=num_b, replace=False)
    a, b = _in_plane(angles_a, rng.uniform(0.5, 20, num_a)), _in_plane(angles_b, rng.uniform(0.5, 20, num_b))
    cosines = np.cos(np.deg2rad(angles_a[:, None] - angles_b[None, :]))

    # Multiples of different axes stand at right angles to each other, however long they are.
    dim = 4 if seed == 0 else int(rng.integers(3, 8))
    scales = rng.uniform(1, 9, dim)
    identity = np.eye(dim)

    with_zero = a.copy()
    row = int(rng.integers(num_a))
    with_zero[row] = 0
    zero_cosines = np.where(np.arange(num_a)[:, None] == row, 0.0, cosines)

    return [
        Case(
            "arrows in the plane",
            (a, b),
            near(cosines),
            visible(cosines, seed, shape),
            "the lengths of the arrows must not matter: divide each *row* by its own length",
        ),
        Case(
            "multiples of the axes",
            (np.diag(scales), np.diag(scales[::-1])),
            near(identity),
            f"1 on the diagonal, 0 elsewhere, shape ({dim}, {dim})",
            "an arrow and a longer arrow in the same direction have similarity 1",
        ),
        Case(
            "a vector of zeros",
            (with_zero, b),
            near(zero_cosines),
            f"zeros in row {row}" if seed == 0 else "zeros in the row of that vector",
            "zero divided by zero is not a number: what do you divide by if the length is 0?",
        ),
    ]


def _in_plane(degrees: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    radians = np.deg2rad(degrees)
    return np.stack([np.cos(radians), np.sin(radians)], axis=1) * lengths[:, None]


def _neighbour_agreement(seed: int) -> list[Case]:
    rng = np.random.default_rng([seed, 2])
    num_pairs = 5 if seed == 0 else int(rng.integers(6, 20))
    dim = 2 if seed == 0 else int(rng.integers(3, 7))

    def pairs(distance):
        """Pairs far away from all others, so that each is the other's nearest; some agree in their label."""
        centres = 100 * (1 + np.arange(num_pairs))[:, None] * np.ones(dim) + rng.uniform(-5, 5, [num_pairs, dim])
        offset = rng.normal(size=[num_pairs, dim])
        offset *= distance / np.linalg.norm(offset, axis=1, keepdims=True)
        num_agreeing = int(rng.integers(1, num_pairs))
        # Labels 0 and 1 in one pair, 2 and 3 in the next: whoever misses the partner never agrees by luck.
        first = 2 * (np.arange(num_pairs) % 2) + rng.integers(0, 2, num_pairs)
        second = np.where(rng.permutation(num_pairs) < num_agreeing, first, first ^ 1)
        order = rng.permutation(2 * num_pairs)
        features = np.concatenate([centres + offset / 2, centres - offset / 2])[order]
        labels = np.concatenate([first, second])[order]
        return features, labels, num_agreeing / num_pairs

    features, labels, share = pairs(distance=1.0)
    twins, twin_labels, twin_share = pairs(distance=0.0)
    # a - b - - c on a line: b is c's nearest, but c is nobody's.
    start, gap = float(rng.uniform(-3, 3)), float(rng.uniform(1, 2))
    chain = np.array([[start], [start + gap], [start + 2.5 * gap]])
    return [
        Case(
            "pairs far apart",
            (features, labels),
            near(share),
            visible(share, seed, "a number from 0 to 1"),
            "an example is nearest to itself: leave it out, and look for the smallest distance among the others",
        ),
        Case(
            "twins with the same features",
            (twins, twin_labels),
            near(twin_share),
            visible(twin_share, seed, "a number from 0 to 1"),
            "a distance of 0 does not mean that it is the same example: leave out by position",
        ),
        Case(
            "not always mutual",
            (chain, np.array([1, 0, 0])),
            near(1 / 3),
            visible(1 / 3, seed, "a number from 0 to 1"),
            "ask for each example who is nearest to it; the answer need not be mutual",
        ),
    ]


def _nearest_class_mean(seed: int) -> list[Case]:
    rng = np.random.default_rng([seed, 3])
    scale = 1.0 if seed == 0 else float(rng.uniform(0.5, 5))
    dim = 2 if seed == 0 else int(rng.integers(2, 7))
    axes = np.eye(max(dim, 2)) * scale

    def case(name, train, labels, tests, expected, num_classes, hint):
        order = rng.permutation(len(train))
        # Hidden cases rename the classes (never to their old names) and ask in another order.
        shift = num_classes - 1 if seed else 0
        asked = rng.permutation(len(tests)) if seed else np.arange(len(tests))
        train, labels = np.stack(train)[order], (np.array(labels)[order] + shift) % num_classes
        tests, expected = np.stack(tests)[asked], (np.array(expected)[asked] + shift) % num_classes
        shown = visible(expected, seed, f"{len(expected)} labels")
        return Case(name, (train, labels, tests, num_classes), equal(expected), shown, hint)

    x, y = axes[0], axes[1]
    return [
        # Class 0 lies wide around the origin, class 1 close around 5y: the nearest *example* misleads.
        case(
            "a wide class and a narrow one",
            [6 * x, -6 * x, 5 * y + x, 5 * y - x],
            [0, 0, 1, 1],
            [y, 2 * y, 3 * y, 4 * y],
            [0, 0, 1, 1],
            2,
            "average the features of each class first, then measure the distance to the averages",
        ),
        # All means in one direction, at 1, 4 and 10, and classes of different sizes.
        case(
            "classes of different sizes",
            [0.5 * x, 1.5 * x, 4 * x, 9 * x, 10 * x, 10 * x, 11 * x],
            [2, 2, 0, 1, 1, 1, 1],
            [1.2 * x, 3.5 * x, 9.5 * x, 2 * x],
            [2, 0, 1, 2],
            3,
            "it is the mean, not the sum, and the smallest distance, not the largest product",
        ),
        # Class 1 has no example. The second test image is nearer to the origin than to any mean.
        case(
            "a class without examples",
            [10 * x, 10 * x, 10 * y, 10 * y],
            [0, 0, 2, 2],
            [9 * x, 4 * x, 4 * y],
            [0, 0, 2],
            3,
            "of a class without examples you know nothing: it has no mean, and it is never the answer",
        ),
    ]


def _confusion_matrix(seed: int) -> list[Case]:
    rng = np.random.default_rng([seed, 4])

    def case(name, counts, hint):
        # The answer is drawn first; the labels that lead to it are made from it.
        rows, columns = np.indices(counts.shape)
        order = rng.permutation(int(counts.sum()))
        labels = np.repeat(rows.ravel(), counts.ravel())[order]
        predicted = np.repeat(columns.ravel(), counts.ravel())[order]
        shown = visible(counts, seed, f"whole numbers, shape {counts.shape}")
        return Case(name, (labels, predicted, len(counts)), equal(counts), shown, hint)

    size = 3 if seed == 0 else int(rng.integers(3, 7))
    asymmetric = rng.integers(0, 4, [size, size]) + np.triu(np.full([size, size], 4), k=1).astype(int)
    absent = rng.integers(1, 4, [size + 1, size + 1])
    absent[-1, :] = absent[:, -1] = 0
    absent[0, -2] += 5
    return [
        case("more of one error than of the other", asymmetric, "rows are what it is, columns are what was said"),
        case("a class that never occurs", absent, "the number of classes is an argument: it cannot be read off labels"),
        case("everything right", np.diag(rng.integers(1, 6, size)), "what is right stands on the diagonal"),
    ]


def _conv_weights(seed: int) -> list[Case]:
    rng = np.random.default_rng([seed, 5])

    def case(name, kernel_size, in_channels, out_channels, hint):
        # Counted on arrays that really exist, not by a formula.
        standard = np.empty([kernel_size, kernel_size, in_channels, out_channels]).size
        separable = np.empty([kernel_size, kernel_size, in_channels]).size + np.empty([in_channels, out_channels]).size
        expected = (standard, separable)
        shown = visible(expected, seed, "two whole numbers")
        return Case(name, (kernel_size, in_channels, out_channels), equal(expected), shown, hint)

    def channels(*visible):
        return visible if seed == 0 else tuple(int(n) for n in rng.choice(np.arange(4, 200), size=2, replace=False))

    two_parts = "a separable convolution has two parts: a filter for each channel, and a mix of the channels"
    return [
        case("small enough to count by hand", 3, *channels(2, 4), two_parts),
        case(
            "more channels in than out", 3, *sorted(channels(96, 24), reverse=True), "which part knows of the outputs?"
        ),
        case("larger filters", 5 if seed == 0 else 7, *channels(16, 32), "a filter of size 5 has 25 weights"),
        case(
            "filters of one pixel", 1, *channels(8, 12), "a filter of one pixel still has one weight for each channel"
        ),
    ]


def _block_weights(seed: int) -> list[Case]:
    rng = np.random.default_rng([seed, 6])

    def case(name, in_channels, out_channels, expansion, hint):
        wide = in_channels * expansion
        shapes = [(3, 3, wide), (wide, out_channels)]
        if expansion > 1:
            shapes.append((in_channels, wide))
        total = sum(np.empty(shape).size for shape in shapes)
        arguments = (in_channels, out_channels, expansion)
        return Case(name, arguments, equal(total), visible(total, seed, "a whole number"), hint)

    def channels(*visible):
        return visible if seed == 0 else tuple(int(n) for n in rng.choice(np.arange(4, 100), size=2, replace=False))

    wide = "first say how many channels there are after each of the three steps, then count each step's weights"
    return [
        case("small enough to count by hand", *channels(2, 3), 2, wide),
        case("as in most blocks of MobileNetV2", *channels(24, 32), 6, wide),
        case(
            "no expansion",
            *channels(16, 8),
            1,
            "without expansion there is nothing to widen: the first step is left out",
        ),
    ]


EXERCISES = [
    Exercise(
        id="02.cosine_similarity",
        points=3,
        title="Cosine similarity of feature vectors",
        cases=_cosine_similarity,
        wrong_answers=WRONG_ANSWERS["cosine_similarity"],
    ),
    Exercise(
        id="02.neighbour_agreement",
        points=3,
        title="How often the nearest neighbour agrees",
        cases=weighted(_neighbour_agreement, {"not always mutual": 0.5}),
        wrong_answers=WRONG_ANSWERS["neighbour_agreement"],
    ),
    Exercise(
        id="02.nearest_class_mean",
        points=4,
        title="A classifier without training: the nearest class mean",
        cases=_nearest_class_mean,
        wrong_answers=WRONG_ANSWERS["nearest_class_mean"],
    ),
    Exercise(
        id="02.confusion_matrix",
        points=2,
        title="What is taken for what: the confusion matrix",
        cases=weighted(_confusion_matrix, {"everything right": 0.5}),
        wrong_answers=WRONG_ANSWERS["confusion_matrix"],
    ),
    Exercise(
        id="02.conv_weights",
        points=3,
        title="Why MobileNetV2 is small: weights of a convolution",
        cases=_conv_weights,
        wrong_answers=WRONG_ANSWERS["conv_weights"],
    ),
    Exercise(
        id="02.block_weights",
        points=3,
        title="Weights of one block of MobileNetV2",
        cases=_block_weights,
        wrong_answers=WRONG_ANSWERS["block_weights"],
    ),
]
