"""Checks of lesson 05: public images, a split without a leak, a learning rate, a teacher's targets, a contract."""

from __future__ import annotations

import copy
import dataclasses

import numpy as np

from fedlearn_edu.course.checks.chance import GROUPS, problem_of_split
from fedlearn_edu.course.checks.compare import equal, near
from fedlearn_edu.course.checks.data import as_array
from fedlearn_edu.course.checks.exercise import Case, Exercise, visible, weighted
from fedlearn_edu.course.checks.wrong_05 import WRONG_ANSWERS


def _cosine_rate(seed: int) -> list[Case]:
    rng = np.random.default_rng([seed, 51])
    peak = 0.01 if seed == 0 else float(rng.uniform(0.01, 0.1))
    warmup = 10 if seed == 0 else int(rng.integers(5, 20))
    quarter = 25 if seed == 0 else int(rng.integers(8, 40))  # of the steps after the warm-up
    total = warmup + 4 * quarter

    def case(name, step, num_steps, warmup_steps, share, hint):
        expected = share * peak
        shown = visible(expected, seed, "a number from 0 to the peak")
        return Case(name, (step, num_steps, warmup_steps, peak), near(expected, tolerance=1e-9), shown, hint)

    # Half of 1 + cos(x) is the square of cos(x / 2): the answers come from the square.
    eighth = 0.5 + np.sqrt(0.5) / 2
    odd = int(rng.integers(1, 4 * quarter))
    return [
        case("the first step of all", 0, total, warmup, 1 / warmup, "the first step shall move something: no 0"),
        case("the last step of the warm-up", warmup - 1, total, warmup, 1.0, "the warm-up ends at the peak"),
        case("halfway down", warmup + 2 * quarter, total, warmup, 0.5, "count the steps since the warm-up"),
        case("a quarter of the way", warmup + quarter, total, warmup, eighth, "a cosine starts flat: no straight line"),
        case("no warm-up", 2 * quarter, 4 * quarter, 0, 0.5, "with 0 steps of warm-up nothing is divided by them"),
        case(
            "some step",
            warmup + odd,
            total,
            warmup,
            float(np.cos(np.pi * odd / (8 * quarter)) ** 2),
            "the angle runs from 0 to pi while the rate falls",
        ),
    ]


def _hold_out(seed: int) -> list[Case]:
    rng = np.random.default_rng([seed, 52])

    def case(name, sizes, share, num_held_out, hint):
        names = [f"U+{int(n):X}" for n in rng.choice(np.arange(0x1F300, 0x1F700), len(sizes), replace=False)]
        groups = [name for name, size in zip(names, sizes, strict=True) for _ in range(size)]
        groups = [groups[i] for i in rng.permutation(len(groups))]
        drawn_by = int(rng.integers(1000))
        expected = f"True for {num_held_out} of {len(sizes)} groups, all of a group alike"

        def verify(got):
            return problem_of_split(got, groups, num_held_out)

        return Case(name, (groups, share, drawn_by), verify, expected, hint)

    many = 40 if seed == 0 else int(rng.integers(3, 7)) * 10
    size = many + 20  # so many ways to hold out half of them that two seeds never find the same one
    alone = case("one image each", [1] * size, 0.5, size // 2, "np.unique tells the groups, np.isin who is in them")
    groups, share, drawn_by = alone.arguments
    remembered = []

    def first(got):
        remembered[:] = [as_array(got)]
        return alone.verify(got)

    def same_again(got):
        same = not remembered or np.array_equal(as_array(got), remembered[0])
        return alone.verify(got) or (None if same else "the same arguments held out other groups than before")

    def other(got):
        same = bool(remembered) and np.array_equal(as_array(got), remembered[0])
        return alone.verify(got) or ("another seed held out the same groups" if same else None)

    seeded = "make one random generator from the seed and draw from it"
    return [
        case("four drawings each", [4] * many, 0.2, many // 5, GROUPS),
        case(
            "groups of different sizes",
            [1] * (many // 2) + [30] * (many // 2),
            0.3,
            round(0.3 * many),
            "the share is of the groups, whatever their size",
        ),
        case("a tiny share", [3] * (many // 2), 0.01, 1, "hold out one group at the least, or nothing is measured"),
        dataclasses.replace(alone, verify=first),
        dataclasses.replace(alone, name="the same seed again", verify=same_again, hint=seeded),
        dataclasses.replace(
            alone, name="another seed", arguments=(groups, share, drawn_by + 1), verify=other, hint=seeded
        ),
    ]


def _keep_public(seed: int) -> list[Case]:
    rng = np.random.default_rng([seed, 53])
    size = 4 if seed == 0 else int(rng.integers(5, 8))
    limit = 8.0 if seed == 0 else float(rng.integers(6, 12))

    def case(name, public, private, keep, hint):
        order = np.arange(len(public)) if seed == 0 else rng.permutation(len(public))
        arguments = (np.stack(public)[order], np.stack(private), limit)
        expected = np.array(keep)[order]
        return Case(name, arguments, equal(expected), visible(expected, seed, "True or False for each image"), hint)

    def image():
        return rng.integers(100, 156, [size, size, 3]).astype(np.uint8)

    def moved(image, by):
        """Every pixel moved by as much, up and down in turn: the mean of the differences themselves is near 0."""
        signs = np.where(np.indices(image.shape).sum(axis=0) % 2, 1, -1)
        return (image.astype(int) + by * signs).astype(np.uint8)

    a, b, c = image(), image(), image()
    near_by, far = int(limit) - 2, int(limit) + 3
    one_pixel = a.copy()
    one_pixel[0, 0] += np.uint8(90)  # much in one place, little on average
    dark, bright = np.full_like(a, 2), np.full_like(a, 250)
    return [
        case("the same picture", [a, b], [b], [True, False], "a difference of 0 is a copy: leave it out"),
        case(
            "nearly the same",
            [moved(a, near_by), moved(a, far), b],
            [a, c],
            [False, True, True],
            "average the absolute differences; above the limit an image is kept",
        ),
        case(
            "one pixel", [one_pixel, c], [a, b], [False, True], "the mean over all pixels, not the largest difference"
        ),
        case(
            "dark and bright",
            [dark, bright],
            [dark + np.uint8(4)],
            [False, True],
            "uint8 goes round: 2 - 6 is 252; subtract in another type",
        ),
        case(
            "any of several",
            [moved(c, near_by), image()],
            [a, b, c],
            [False, True],
            "one private image that is near is enough to leave it out",
        ),
    ]


def _teacher_targets(seed: int) -> list[Case]:
    rng = np.random.default_rng([seed, 54])
    dim = 2 if seed == 0 else int(rng.integers(3, 6))

    def case(name, sizes, hint, *, shift=0.0, constant=False):
        # What is wanted is drawn first, source by source, with mean 0 and deviation 1; the features are made from it.
        wanted, features, sources = [], [], []
        for number, n in enumerate(sizes):
            z = rng.normal(size=[n, dim])
            z -= z.mean(axis=0)
            z /= np.sqrt((z**2).mean(axis=0))
            scale, offset = rng.uniform(0.3, 4, dim), shift * rng.normal(size=dim)
            if constant and number == 1:
                scale[0], z[:, 0] = 0.0, 0.0
                offset[0] = 2.0  # a whole number: its mean has no rounding
            wanted.append(z)
            features.append(scale * z + offset)
            sources += [3 * number + 1] * n  # numbers with gaps
        order = rng.permutation(len(sources))
        expected = np.concatenate(wanted)[order]
        arguments = (np.concatenate(features)[order], np.array(sources)[order])
        shown = visible(expected, seed, f"an array of shape {expected.shape}")
        return Case(name, arguments, near(expected), shown, hint)

    n = 4 if seed == 0 else int(rng.integers(5, 9))
    return [
        case("one source", [n], "subtract the mean, divide by the deviation, each dimension by itself"),
        case("two sources far apart", [n, n], "each source has a mean and a deviation of its own", shift=5.0),
        case("sources of different sizes", [n, 3 * n, n + 1], "go through np.unique(sources)", shift=2.0),
        case("a dimension that never moves", [n, n], "0 / 0 is not a number: there the target is 0", constant=True),
    ]


_CLAUSES = ["call", "inputs", "outputs", "variables", "signature"]


def _module() -> dict:
    """A module that keeps the contract."""
    image, feature = {"dtype": "float32", "shape": [None, 64, 64, 3]}, {"dtype": "float32", "shape": [None, 1280]}
    return {
        "arguments": ["inputs", "training"],
        "inputs": image,
        "outputs": feature,
        "variables": ["stem/kernel", "bn/gamma", "bn/moving_mean", "head/kernel"],
        "trainable_variables": ["stem/kernel", "bn/gamma", "head/kernel"],
        "signatures": {"serving_default": {"default": feature}},
    }


def _broken_clauses(seed: int) -> list[Case]:
    rng = np.random.default_rng([seed, 55])
    size, dim = (64, 1280) if seed == 0 else (32 * int(rng.integers(1, 8)), int(rng.integers(10, 2000)))

    def case(name, changes, broken, hint):
        module = _module() | {
            "inputs": {"dtype": "float32", "shape": [None, size, size, 3]},
            "outputs": {"dtype": "float32", "shape": [None, dim]},
            "signatures": {"serving_default": {"default": {"dtype": "float32", "shape": [None, dim]}}},
        }
        if seed and broken:  # hidden modules break one more clause
            more = {
                "arguments": ("call", []),
                "trainable_variables": ("variables", ["?"]),
                "signatures": ("signature", {}),
            }
            key = rng.choice([key for key in more if key not in changes])
            clause, value = more[str(key)]
            changes, broken = changes | {str(key): value}, sorted({*broken, clause}, key=_CLAUSES.index)
        module = copy.deepcopy(module | changes)
        return Case(name, (module,), equal(broken), visible(broken, seed, "a list of clauses"), hint)

    def tensor(shape, dtype="float32"):
        return {"dtype": dtype, "shape": shape}

    batch = int(rng.integers(2, 64))
    names = [f"layer_{int(n)}" for n in rng.choice(100, 3, replace=False)]
    return [
        case(
            "all is well", {"variables": names, "trainable_variables": names[:2]}, [], "nothing broken: an empty list"
        ),
        case(
            "all trainable, images of any size",
            {"inputs": tensor([None, None, None, 3]), "variables": names, "trainable_variables": names},
            [],
            "None stands for any number: height and width may both be None",
        ),
        case("no training=", {"arguments": ["inputs"]}, ["call"], "it has to take inputs and training, maybe more"),
        case(
            "one more argument",
            {"arguments": ["inputs", "training", names[0]]},
            [],
            "more arguments than the two are allowed",
        ),
        case(
            "integers in, a map of features out",
            {"inputs": tensor([None, size, size, 3], "uint8"), "outputs": tensor([None, 7, 7, dim])},
            ["inputs", "outputs"],
            "one vector for each image: two axes; images are float32",
        ),
        case(
            "a fixed batch",
            {"inputs": tensor([batch, size, size, 3]), "outputs": tensor([batch, dim])},
            ["inputs", "outputs"],
            "the first axis is the batch, of any size",
        ),
        case(
            "not square, length unknown",
            {"inputs": tensor([None, size, 2 * size, 3]), "outputs": tensor([None, None])},
            ["inputs", "outputs"],
            "height equals width; the length of a feature vector is a number",
        ),
        case(
            "a variable that is nowhere",
            {"variables": names[:2], "trainable_variables": names[1:]},
            ["variables"],
            "what can be trained is among all variables",
        ),
        case(
            "no serving_default",
            {"signatures": {"predict": {"default": tensor([None, dim])}}, "arguments": []},
            ["call", "signature"],
            "the signature named serving_default has an output named default",
        ),
        case(
            "another output's name",
            {"signatures": {"serving_default": {names[0]: tensor([None, dim])}}},
            ["signature"],
            "look into serving_default for an output named default",
        ),
    ]


EXERCISES = [
    Exercise(id=f"05.{name}", points=points, title=title, cases=cases, wrong_answers=WRONG_ANSWERS[name])
    for name, points, title, cases in [
        ("keep_public", 4, "Keep private pictures out of public data", _keep_public),
        ("hold_out", 4, "Hold out without a leak", weighted(_hold_out, {"the same seed again": 0.5})),
        (
            "cosine_rate",
            3,
            "A learning rate that falls along a cosine",
            weighted(_cosine_rate, {"the first step of all": 0.5, "the last step of the warm-up": 0}),
        ),
        ("teacher_targets", 4, "A teacher's features as targets", weighted(_teacher_targets, {"one source": 0.5})),
        ("broken_clauses", 4, "Check a module's contract", weighted(_broken_clauses, {"all is well": 0})),
    ]
]
