"""Checks of lesson 09: class sums, totals over clients, the ridge head, bytes, FedCOF's covariance, and what leaks."""

from __future__ import annotations

import numpy as np

from fedlearn_edu.course.checks.compare import equal, near
from fedlearn_edu.course.checks.exercise import Case, Exercise, visible, weighted
from fedlearn_edu.course.checks.wrong_09 import WRONG_ANSWERS


def _class_sums(seed: int) -> list[Case]:
    rng = np.random.default_rng([seed, 91])
    dim = 2 if seed == 0 else int(rng.integers(3, 7))

    def case(name, counts, hint):
        # Class by class first, then shuffled: what the function has to put in order again.
        groups = [rng.normal(size=[n, dim]) for n in counts]
        labels, x = np.repeat(np.arange(len(counts)), counts), np.concatenate(groups)
        order = rng.permutation(len(labels))
        expected = (np.stack([group.sum(axis=0) for group in groups]), np.array(counts))
        shown = visible(expected, seed, f"arrays of shapes {(len(counts), dim)} and {(len(counts),)}")
        return Case(name, (x[order], labels[order], len(counts)), near(expected), shown, hint)

    def some(*low):
        return [n if seed == 0 else int(rng.integers(n, n + 5)) for n in low]

    return [
        case("three classes", some(2, 3, 1), "a sum for each class, and how many examples are in it"),
        case("classes without examples", [0, *some(3, 2), 0], "all classes have a row, also the first and the last"),
        case("many of one class", some(7, 2), "x[y == c] are the examples of class c"),
        case("no example at all", [0, 0, 0], "a sum over nothing is 0"),
    ]


def _global_means(seed: int) -> list[Case]:
    rng = np.random.default_rng([seed, 92])
    dim = 2 if seed == 0 else int(rng.integers(3, 7))
    num_classes = 3 if seed == 0 else int(rng.integers(4, 8))

    def message(counts):
        """Sums that go with these counts; classes without examples have sums of 0."""
        counts = np.array(counts, float)
        return rng.normal(size=[num_classes, dim]) * counts[:, None] + 0.0, counts

    def counts():
        return rng.integers(1, 9, num_classes)

    def case(name, messages, valid, hint):
        """`valid` are the messages that count, each once."""
        total, number = (sum(part) for part in zip(*valid, strict=True))
        expected = np.divide(total, number[:, None], out=np.zeros([num_classes, dim]), where=number[:, None] > 0)
        shown = visible(expected, seed, f"an array of shape {expected.shape}")
        # Copies: a function that changes what one client sent must not change what another sent.
        messages = [(client_id, sums.copy(), counts.copy()) for client_id, sums, counts in messages]
        return Case(name, (messages,), near(expected), shown, hint)

    small, large, third = message(counts()), message(20 * counts()), message(counts())
    nobody = [message([0, *rng.integers(1, 9, num_classes - 1)]) for _ in range(2)]
    return [
        case("two clients", [("ann", *small), ("bob", *third)], [small, third], "add first, divide last"),
        case("a large client", [("ann", *small), ("bob", *large)], [small, large], "examples count alike, not clients"),
        case(
            "a message that comes twice",
            [("ann", *small), ("bob", *third), ("ann", *small)],
            [small, third],
            "a connection broke, and ann sent again: she is one client all the same",
        ),
        case(
            "a message that is corrected",
            [("ann", *large), ("bob", *third), ("ann", *small)],
            [third, small],
            "of one client, the last message counts",
        ),
        case(
            "two clients that say the same",
            [("ann", *small), ("bob", *small), ("cem", *third)],
            [small, small, third],
            "who sent it decides, not what it says",
        ),
        case("a class that nobody has", [("ann", *nobody[0]), ("bob", *nobody[1])], nobody, "no examples: zeros"),
    ]


def _ridge_head(seed: int) -> list[Case]:
    rng = np.random.default_rng([seed, 93])
    dim = 3 if seed == 0 else int(rng.integers(4, 8))
    num_classes = 2 if seed == 0 else int(rng.integers(3, 5))
    penalty = 2.0 if seed == 0 else float(rng.uniform(0.5, 4))

    def case(name, labels_of, hint, *, centre=0.0, penalty=penalty, examples=6):
        """Least squares on the pooled examples, with rows for the penalty: no sums are used for the answer."""
        messages, pooled, targets = [], [], []
        for i, labels in enumerate(labels_of):  # each client has more examples than the one before
            y = np.eye(num_classes)[rng.choice(labels, examples + 3 * i)]
            x = centre + rng.normal(size=[len(y), dim]) + y[:, :1] - rng.normal(size=dim)
            messages.append((x.T @ x, y.T @ x, y.sum(axis=0)))
            pooled.append(x)
            targets.append(y)
        x, y = np.concatenate(pooled), np.concatenate(targets)
        shift = x.mean(axis=0)  # an intercept absorbs it; only so that large features do not cost digits
        rows = np.block(
            [[x - shift, np.ones([len(x), 1])], [np.sqrt(penalty) * np.eye(dim), np.zeros([dim, 1])]],
        )
        solved = np.linalg.lstsq(rows, np.concatenate([y, np.zeros([dim, num_classes])]), rcond=None)[0]
        expected = (solved[:-1], solved[-1] - shift @ solved[:-1])
        shown = visible(expected, seed, f"arrays of shapes {(dim, num_classes)} and {(num_classes,)}")
        return Case(name, (messages, penalty), near(expected, tolerance=1e-5), shown, hint)

    every, own = list(range(num_classes)), [[c] for c in range(num_classes)]
    return [
        case("one client", [every], "covariances first: subtract what the means explain"),
        case("three clients", [every] * 3, "add up all messages, and only then form means and covariances"),
        case("each client its own class", own, "the mean to subtract is that of all clients' examples"),
        case("features far from zero", [every] * 2, "the bias is not penalised, however large it has to be", centre=30),
        case("a weak penalty", own, "sums, not means: the penalty is not divided by anything", penalty=0.01),
        case("fewer examples than features", [every], "the penalty makes the matrix invertible", examples=dim - 1),
    ]


def _upload_bytes(seed: int) -> list[Case]:
    rng = np.random.default_rng([seed, 94])

    def case(name, num_examples, dim, num_classes, hint):
        head = 4 * num_classes * (dim + 1)
        triangle = sum(range(1, dim + 1))
        expected = {
            "class means": head,
            "ridge": 4 * triangle + head,
            "raw features": 4 * num_examples * (dim + 1),
            # The ratio is dim / (2 * num_classes) + 1; the next whole number above it.
            "break-even": dim // (2 * num_classes) + 2,
        }
        shown = visible(expected, seed, "a dict of four whole numbers")
        return Case(name, (num_examples, dim, num_classes), equal(expected), shown, hint)

    def more(most):
        return 0 if seed == 0 else int(rng.integers(1, most))

    dim = 1280 if seed == 0 else 20 * (40 + more(100)) - 1  # ridge is just below a whole number of heads
    return [
        case("by hand", 3 + more(9), 2 + more(9), 2, "a triangle of a 2 x 2 matrix, with its diagonal, has 3 numbers"),
        case("features of a backbone", 160 + more(500), dim, 10, "float32: 4 bytes for each number"),
        case(
            "more classes than features",
            50 + more(50),
            64 + more(50),
            1000 + more(500),
            "FedAvg needs more than one round",
        ),
        case(
            "equally dear",
            10 + more(90),
            12 * (2 + more(40)),
            3,
            "after the same bytes, FedAvg has sent as much, and not yet more",
        ),
    ]


def _covariance_from_means(seed: int) -> list[Case]:
    rng = np.random.default_rng([seed, 95])
    dim = 2 if seed == 0 else int(rng.integers(3, 6))

    def case(name, counts, hint, *, absent=0, spread=1.0):
        # The weighted deviations are drawn, orthogonal to sqrt(counts), so that they are deviations from the mean.
        root = np.sqrt(np.array(counts, float))[:, None]
        deviations = spread * rng.normal(size=[len(counts), dim])
        deviations -= root * (root * deviations).sum(axis=0) / (root**2).sum()
        sums = root**2 * rng.normal(size=dim) + root * deviations
        order = rng.permutation(len(counts) + absent)
        sums = np.concatenate([sums, np.zeros([absent, dim])])[order]
        counts = np.array([*counts, *[0] * absent])[order]
        expected = np.einsum("ki,kj->ij", deviations, deviations) / max(len(root) - 1, 1)
        shown = visible(expected, seed, f"an array of shape {(dim, dim)}")
        return Case(name, (sums, counts), near(expected), shown, hint)

    def some(number):
        return [int(n) for n in rng.permutation(np.arange(2, 30))[:number]]

    few = 3 if seed == 0 else int(rng.integers(4, 7))
    return [
        case("clients of equal size", [4] * few, "a mean of n examples scatters n times less than they do"),
        case("clients of different size", some(few), "the centre is the mean of all examples; weights are the counts"),
        case("clients without this class", some(few), "0 examples have no mean: leave these clients out", absent=2),
        case("one client only", some(1), "one mean has no spread: zeros", absent=1),
        case("all means are equal", some(few), "no scatter, no covariance", spread=0.0),
    ]


def _lone_examples(seed: int) -> list[Case]:
    rng = np.random.default_rng([seed, 96])
    dim = 3 if seed == 0 else int(rng.integers(4, 7))

    def case(name, of_victim, of_others, hint, *, error=0.0):
        features = [rng.normal(size=[n, dim]) for n in of_victim]
        others = np.stack([n * rng.normal(size=dim) for n in of_others])
        everybody = others + np.stack([f.sum(axis=0) for f in features])
        counts = [np.array(of_others, float), np.array(of_others, float) + of_victim]
        # A difference that is slightly too small, and one that is slightly too large.
        rounding = error * rng.uniform(0.5, 1, len(of_others)) * np.resize([-1, 1], len(of_others))
        without, with_all = counts[0] - rounding / 2, counts[1] + rounding / 2
        expected = {c: f[0] for c, f in enumerate(features) if len(f) == 1}
        shown = visible(expected, seed, "a dict: class -> array" if expected else "an empty dict")
        return Case(name, (everybody, with_all, others, without), near(expected, tolerance=2e-3), shown, hint)

    def some(number):
        return [int(n) for n in rng.integers(2, 9, number)]

    return [
        case("one lone example", [0, *some(1), 1], some(3), "with the client minus without it"),
        case("several", [1, *some(1), 1, 1], some(4), "each class of which the client has a single example"),
        case("nothing to be found", [0, *some(2)], [1, *some(2)], "it is the client's own count that has to be 1"),
        case("nobody else has it", [*some(1), 1], [*some(1), 0], "subtracting 0 is subtracting, too"),
        case(
            "rounded counts",
            [1, *some(1), 0, 1],
            some(4),
            "a count of 0.9994 stands for one example: round first",
            error=1e-3,
        ),
    ]


EXERCISES = [
    Exercise(id=f"09.{name}", points=points, title=title, cases=cases, wrong_answers=WRONG_ANSWERS[name])
    for name, points, title, cases in [
        ("class_sums", 2, "What a client sends", weighted(_class_sums, {"no example at all": 0})),
        ("global_means", 4, "Nobody counts twice", weighted(_global_means, {"two clients": 0.5})),
        ("ridge_head", 5, "The best head, from sums", _ridge_head),
        ("upload_bytes", 3, "Is it a trap?", _upload_bytes),
        (
            "covariance_from_means",
            4,
            "A covariance that nobody sent",
            weighted(_covariance_from_means, {"one client only": 0, "all means are equal": 0}),
        ),
        ("lone_examples", 4, "What two secure sums give away", weighted(_lone_examples, {"nothing to be found": 0})),
    ]
]
