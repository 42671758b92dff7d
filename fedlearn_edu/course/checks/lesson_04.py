"""Checks of lesson 04: federated averaging of a linear head, part by part.

Expected values come from closed forms or from `_gradient`, which differentiates the loss numerically: no part of an
answer is written here.
"""

from __future__ import annotations

import numpy as np

from fedlearn_edu.course.checks.compare import near
from fedlearn_edu.course.checks.exercise import Case, Exercise, visible, weighted
from fedlearn_edu.course.checks.wrong_04 import WRONG_ANSWERS

_CLOSE = 1e-6  # answers in float32 would miss this; NumPy computes in float64 unless told otherwise


def _loss(weights, x, y):
    kernel, bias = weights
    scores = x @ kernel + bias
    highest = scores.real.max(axis=1)
    log_sums = np.log(np.exp(scores - highest[:, None]).sum(axis=1)) + highest
    return np.mean(log_sums - scores[np.arange(len(y)), y])


def _gradient(weights, x, y):
    """The gradient by complex steps, entry by entry: exact to rounding, and no formula of a derivative in sight."""
    result = [np.zeros(w.shape) for w in weights]
    for which, w in enumerate(weights):
        for index in np.ndindex(w.shape):
            shifted = [v.astype(complex) for v in weights]
            shifted[which][index] += 1e-30j
            result[which][index] = _loss(shifted, x, y).imag / 1e-30
    return result


def _trained(weights, batches, client_lr):
    for x, y in batches:
        weights = [w - client_lr * g for w, g in zip(weights, _gradient(weights, x, y), strict=True)]
    return weights


def _some_weights(rng, dim, num_classes, *, zero=False):
    shapes = [(dim, num_classes), (num_classes,)]
    return [np.zeros(shape) if zero else np.round(rng.normal(size=shape), 2) for shape in shapes]


def _some_batch(rng, num_examples, dim, num_classes):
    return np.round(rng.normal(size=[num_examples, dim]), 2), rng.integers(0, num_classes, num_examples)


def _sizes(rng, seed):
    return (2, 3) if seed == 0 else tuple(int(n) for n in rng.choice(np.arange(2, 6), size=2, replace=False))


def _like(weights) -> str:
    return f"arrays of shapes {weights[0].shape} and {weights[1].shape}"


def _softmax_gradient(seed: int) -> list[Case]:
    rng = np.random.default_rng([seed, 41])
    dim, num_classes = _sizes(rng, seed)

    def case(name, weights, batch, expected, hint):
        shown = visible(expected, seed, _like(weights))
        return Case(name, (weights, *batch), near(expected, tolerance=_CLOSE), shown, hint)

    # At zero all classes are equally likely: the bias gradient is 1/C minus each class's share, on paper.
    zero = _some_weights(rng, dim, num_classes, zero=True)
    x, y = _some_batch(rng, 4, dim, num_classes)
    surplus = 1 / num_classes - np.eye(num_classes)[y]
    at_zero = [np.einsum("ni,nc->ic", x, surplus) / 4, np.einsum("nc->c", surplus) / 4]

    weights = _some_weights(rng, dim, num_classes)
    batch = _some_batch(rng, 5, dim, num_classes)
    many = tuple(np.concatenate([part, part, part]) for part in batch)
    # So sure of the right class that nothing is left to learn; exp(1000) overflows.
    sure = [zero[0], np.where(np.arange(num_classes) == y[0], 1000.0, 0.0)]
    nothing = [np.zeros(w.shape) for w in sure]
    return [
        case(
            "weights of zero", zero, (x, y), at_zero, "softmax of equal scores gives every class the same probability"
        ),
        case(
            "any weights", weights, batch, _gradient(weights, *batch), "probabilities minus one-hot labels come first"
        ),
        case(
            "every example three times",
            weights,
            many,
            _gradient(weights, *batch),
            "the loss is a mean over examples: seeing each of them three times does not change it",
        ),
        case(
            "scores of 1000",
            sure,
            (x[:1], y[:1]),
            nothing,
            "subtract each row's largest score before you take exp: softmax stays the same and nothing overflows",
        ),
    ]


def _client_update(seed: int) -> list[Case]:
    rng = np.random.default_rng([seed, 42])
    dim, num_classes = _sizes(rng, seed)
    lr = 0.5 if seed == 0 else float(rng.uniform(0.1, 0.9))

    def case(name, weights, batches, client_lr, hint):
        after = _trained(weights, batches, client_lr)
        # initial - trained, written as a sum so that nothing here subtracts as the learner does
        delta = [np.sum([w, -t], axis=0) for w, t in zip(weights, after, strict=True)]
        expected = [delta, sum(len(y) for _, y in batches)]
        shown = visible(expected, seed, f"a list of {_like(weights)}, and a number of examples")
        return Case(name, (weights, batches, client_lr), near(expected, tolerance=_CLOSE), shown, hint)

    def batches(*sizes):
        return [_some_batch(rng, size, dim, num_classes) for size in sizes]

    weights = _some_weights(rng, dim, num_classes)
    sizes = (4, 4, 1) if seed == 0 else (5, 5, int(rng.integers(1, 5)))
    return [
        case("one batch", weights, batches(3), lr, "the delta is initial minus trained: after one step, lr x gradient"),
        case(
            "several batches", weights, batches(*sizes), lr, "each step starts from the weights that the last one left"
        ),
        case("start at zero", [0 * w for w in weights], batches(2, 3), lr, "kernel and bias are both trained"),
        case("no batch at all", weights, [], lr, "a client that has nothing changes nothing and counts for nothing"),
    ]


def _weighted_mean(seed: int) -> list[Case]:
    rng = np.random.default_rng([seed, 43])
    dim, num_classes = _sizes(rng, seed)

    def case(name, client_weights, hint, *, expected=None, deltas=None):
        if deltas is None:
            deltas = [_some_weights(rng, dim, num_classes) for _ in client_weights]
        if expected is None:
            shares = np.array(client_weights) / sum(client_weights)
            expected = [np.einsum("c...,c->...", np.stack(part), shares) for part in zip(*deltas, strict=True)]
        shown = visible(expected, seed, _like(deltas[0]))
        return Case(name, (deltas, client_weights), near(expected), shown, hint)

    many = [30, 10, 60] if seed == 0 else [int(n) for n in rng.integers(5, 90, size=4)]
    opposite = _some_weights(rng, dim, num_classes)
    share = 3 if seed == 0 else int(rng.integers(4, 9))
    return [
        case("clients of one size", [20, 20], "equal weights must give the plain mean"),
        case("clients of different sizes", many, "who has twice the examples counts twice; divide by the total weight"),
        case(
            "one client that nobody can outvote",
            [1, 0],
            "a weight of 0 takes a client out",
        ),
        case(
            "two clients that disagree",
            [share, 1],
            "multiply each delta by its weight before you add",
            deltas=[opposite, [-w for w in opposite]],
            expected=[w * (share - 1) / (share + 1) for w in opposite],
        ),
    ]


def _server_update(seed: int) -> list[Case]:
    rng = np.random.default_rng([seed, 44])
    dim, num_classes = _sizes(rng, seed)

    def case(name, server_lr, hint):
        # The new weights are drawn first; the delta that leads there follows from them.
        new = _some_weights(rng, dim, num_classes)
        delta = _some_weights(rng, dim, num_classes)
        old = [np.sum([n, server_lr * d], axis=0) for n, d in zip(new, delta, strict=True)]
        return Case(name, (old, delta, server_lr), near(new), visible(new, seed, _like(new)), hint)

    lr = 0.5 if seed == 0 else float(rng.uniform(0.1, 0.9))
    return [
        case("server learning rate 1", 1.0, "the delta is initial - trained: which sign leads to what was trained?"),
        case("half a step", lr, "the rate multiplies the delta, not the weights"),
        case("more than a step", 1 + lr, "a rate above 1 goes beyond the mean of the clients; nothing is cut off"),
    ]


def _fed_avg_round(seed: int) -> list[Case]:
    rng = np.random.default_rng([seed, 45])
    dim, num_classes = _sizes(rng, seed)
    lr = 0.5 if seed == 0 else float(rng.uniform(0.1, 0.9))

    def case(name, weights, client_batches, expected, hint):
        shown = visible(expected, seed, _like(weights))
        return Case(name, (weights, client_batches, lr), near(expected, tolerance=_CLOSE), shown, hint)

    weights = _some_weights(rng, dim, num_classes)
    alone = [_some_batch(rng, 3, dim, num_classes) for _ in range(2)]
    # One full batch each: weighted averaging is then exactly one step on all examples in one place.
    sizes = (1, 2, 6) if seed == 0 else tuple(int(n) for n in rng.choice(np.arange(1, 9), size=4, replace=False))
    full = [_some_batch(rng, size, dim, num_classes) for size in sizes]
    pooled = tuple(np.concatenate(part) for part in zip(*full, strict=True))
    # Several batches each: the mean of the trained models, weighted by examples.
    uneven = [[_some_batch(rng, 2, dim, num_classes) for _ in range(n)] for n in (1, 3)]
    shares = np.array([1, 3]) / 4
    models = [_trained(weights, batches, lr) for batches in uneven]
    mean = [np.einsum("c...,c->...", np.stack(part), shares) for part in zip(*models, strict=True)]
    return [
        case("a single client", weights, [alone], _trained(weights, alone, lr), "with one client: its trained model"),
        case(
            "one full batch each",
            weights,
            [[batch] for batch in full],
            _trained(weights, [pooled], lr),
            "with one full batch each, a round is one step on everyone's examples: if clients count by examples",
        ),
        case(
            "clients that take more steps", weights, uneven, mean, "every client starts from the weights of the server"
        ),
        case("the same client twice", weights, [alone, alone], _trained(weights, alone, lr), "mean, not sum"),
    ]


EXERCISES = [
    Exercise(
        id="04.softmax_gradient",
        points=4,
        title="The gradient of a linear head",
        cases=weighted(_softmax_gradient, {"scores of 1000": 0}),
        wrong_answers=WRONG_ANSWERS["softmax_gradient"],
    ),
    Exercise(
        id="04.client_update",
        points=5,
        title="Client work: train, and send the model delta",
        cases=weighted(_client_update, {"no batch at all": 0}),
        wrong_answers=WRONG_ANSWERS["client_update"],
    ),
    Exercise(
        id="04.weighted_mean",
        points=4,
        title="Aggregator: the weighted mean of model deltas",
        cases=weighted(_weighted_mean, {"clients of one size": 0.5, "one client that nobody can outvote": 0}),
        wrong_answers=WRONG_ANSWERS["weighted_mean"],
    ),
    Exercise(
        id="04.server_update",
        points=2,
        title="Finalizer: the step of the server",
        cases=weighted(_server_update, {"server learning rate 1": 0.5}),
        wrong_answers=WRONG_ANSWERS["server_update"],
    ),
    Exercise(
        id="04.fed_avg_round",
        points=5,
        title="A whole round of federated averaging",
        cases=weighted(_fed_avg_round, {"a single client": 0.5}),
        wrong_answers=WRONG_ANSWERS["fed_avg_round"],
    ),
]
