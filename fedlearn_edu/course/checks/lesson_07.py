"""Checks of lesson 07: normalising, pooled statistics, forgetting, and the live layers of a nested model."""

from __future__ import annotations

import numpy as np

from fedlearn_edu.course.checks.compare import equal, near
from fedlearn_edu.course.checks.exercise import Case, Exercise, visible, weighted
from fedlearn_edu.course.checks.wrong_07 import WRONG_ANSWERS


def _normalise(seed: int) -> list[Case]:
    rng = np.random.default_rng([seed, 71])
    channels = 2 if seed == 0 else int(rng.integers(3, 6))
    epsilon = 0.1 if seed == 0 else float(rng.uniform(0.05, 0.3))
    ones, zeros = np.ones(channels), np.zeros(channels)

    def case(name, shape, live, scale, offset, hint):
        # What is normalised is drawn first, with mean 0 and variance v in each channel; the input is made from it.
        axes = tuple(range(len(shape)))
        z = rng.normal(size=[*shape, channels])
        z -= z.mean(axis=axes)
        z *= np.sqrt(rng.uniform(0.2, 3, channels) / (z**2).mean(axis=axes))
        mean, variance = rng.normal(size=channels), (z**2).mean(axis=axes)
        if not live:
            variance = rng.uniform(0.2, 3, channels)
            z = z + 1.0  # stored statistics need not fit the batch
        expected = np.stack(
            [scale[c] * z[..., c] * (variance[c] + epsilon) ** -0.5 + offset[c] for c in range(channels)], axis=-1
        )
        given = (None, None) if live else (mean, variance)
        shown = visible(expected, seed, f"an array of shape {expected.shape}")
        return Case(name, (z + mean, *given, scale, offset, epsilon), near(expected), shown, hint)

    scale, offset = rng.uniform(0.5, 2, channels), rng.normal(size=channels)
    return [
        case("stored statistics", [4], False, ones, zeros, "use the mean and variance that are given"),
        case("live statistics", [5], True, ones, zeros, "None: take them from x, one for each channel"),
        case("scale and offset", [4], False, scale, offset, "scale first, then add the offset"),
        case("images, live", [3, 2, 2], True, scale, offset, "average over the batch, the height and the width"),
        case("images, stored", [2, 2, 2], False, scale, offset, "NumPy stretches [channels] along the last axis"),
    ]


def _pool_statistics(seed: int) -> list[Case]:
    rng = np.random.default_rng([seed, 72])
    channels = 2 if seed == 0 else int(rng.integers(3, 6))

    def case(name, sizes, shift, spread, hint):
        # The examples themselves are drawn; what clients send and the answer are both measured on them.
        parts = [rng.normal(shift * rng.normal(size=channels), spread, [n, channels]) for n in sizes]
        if not shift:
            parts = [part - part.mean(axis=0) for part in parts]
        arguments = (
            np.stack([part.mean(axis=0) for part in parts]),
            np.stack([part.var(axis=0) for part in parts]),
            np.array(sizes),
        )
        everyone = np.concatenate(parts)
        expected = (everyone.mean(axis=0), everyone.var(axis=0))
        shown = visible(expected, seed, f"two arrays of shape ({channels},)")
        return Case(name, arguments, near(expected), shown, hint)

    n = 5 if seed == 0 else int(rng.integers(6, 12))
    return [
        case("equal clients with one mean", [n, n], 0.0, 1.0, "with equal means, only the variance within is left"),
        case("clients with different means", [n, n, n], 3.0, 1.0, "the variance between the means has to be added"),
        case("clients of different sizes", [n, 4 * n, 2], 2.0, 1.0, "a client counts by its number of examples"),
        case("one example each", [1, 1, 1, 1], 2.0, 1.0, "no variance within any client, and yet there is one"),
    ]


def _updates_to_forget(seed: int) -> list[Case]:
    rng = np.random.default_rng([seed, 73])

    def case(name, momentum, updates, hint, share=None):
        # Halfway between two powers, so that rounding decides nothing.
        share = momentum ** (updates - 0.5) if share is None else share
        shown = visible(updates, seed, "a whole number")
        return Case(name, (momentum, float(share)), equal(updates), shown, hint)

    slow = 0.99 if seed == 0 else float(rng.uniform(0.98, 0.995))
    quick = 0.3 if seed == 0 else float(rng.uniform(0.2, 0.4))
    return [
        case("a half, three times", 0.5, 3, "after n updates the start weighs momentum to the power n", share=0.125),
        case("a slow layer", slow, 459 if seed == 0 else int(rng.integers(200, 600)), "logarithms turn powers round"),
        case("a quick layer", quick, 4 if seed == 0 else int(rng.integers(5, 9)), "whole updates only: round up"),
        case("nothing to forget", slow, 0, "before the first update the start weighs 1", share=1.0),
    ]


def _live_layers(seed: int) -> list[Case]:
    rng = np.random.default_rng([seed, 74])
    tag = "" if seed == 0 else f"_{int(rng.integers(10, 99))}"

    def layer(name, type="batch_norm", trainable=True, training=None):
        return {"name": name + tag, "type": type, "trainable": trainable, "training": training}

    def model(name, *layers, trainable=True, training=None):
        return layer(name, "model", trainable, training) | {"layers": list(layers)}

    def case(name, layers, expected, hint):
        paths = ["/".join(part + tag for part in path.split("/")) for path in expected]
        return Case(name, (layers,), equal(paths), visible(paths, seed, "a list of paths"), hint)

    conv, dense = layer("conv", "conv"), layer("head", "dense")
    return [
        case(
            "a flat model",
            [conv, layer("bn_1"), layer("bn_2", trainable=False), layer("bn_3", training=False), dense],
            ["bn_1"],
            "live: a batch_norm that is trainable and called with training=True",
        ),
        case(
            "two models deep",
            [model("backbone", conv, layer("stem_bn"), model("block", conv, layer("bn"))), dense],
            ["backbone/stem_bn", "backbone/block/bn"],
            "a function that calls itself for what is inside a model",
        ),
        case(
            "a frozen model",
            [model("backbone", layer("stem_bn"), model("block", layer("bn")), trainable=False), layer("bn"), dense],
            ["bn"],
            "a model that is not trainable freezes everything inside, whatever the layers say",
        ),
        case(
            "a model called with training=False",
            [
                model("backbone", layer("stem_bn"), model("block", layer("bn")), training=False),
                model("top", layer("bn")),
            ],
            ["top/bn"],
            "None takes over what the model around it was called with, through all levels",
        ),
        case(
            "an inner True under an outer False",
            [model("backbone", layer("stem_bn"), layer("bn", training=True), training=False), dense],
            ["backbone/bn"],
            "what a call fixes itself wins over the model around it",
        ),
        case("no batch normalisation", [conv, model("backbone", conv), dense], [], "nothing found: an empty list"),
    ]


EXERCISES = [
    Exercise(id=f"07.{name}", points=points, title=title, cases=cases, wrong_answers=WRONG_ANSWERS[name])
    for name, points, title, cases in [
        ("normalise", 3, "Normalise", _normalise),
        (
            "pool_statistics",
            4,
            "Pool the clients' statistics",
            weighted(_pool_statistics, {"equal clients with one mean": 0.5}),
        ),
        (
            "updates_to_forget",
            3,
            "How long does a layer remember?",
            weighted(_updates_to_forget, {"a half, three times": 0.5, "nothing to forget": 0}),
        ),
        ("live_layers", 5, "Find the live layers", weighted(_live_layers, {"no batch normalisation": 0})),
    ]
]
