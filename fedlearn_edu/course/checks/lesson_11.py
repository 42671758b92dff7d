"""Checks of lesson 11: fixed-point numbers, additive shares, masks that cancel, Shamir's secret, what may be revealed.

Answers are drawn first wherever that is possible, and the arguments made from them.
"""

from __future__ import annotations

import itertools
import math

import numpy as np

from fedlearn_edu.course.checks.compare import equal
from fedlearn_edu.course.checks.data import as_array
from fedlearn_edu.course.checks.exercise import Case, Exercise, Problem, visible, weighted
from fedlearn_edu.course.checks.wrong_11 import WRONG_ANSWERS


def _to_fixed_point(seed: int) -> list[Case]:
    rng = np.random.default_rng([seed, 111])
    modulus = 1000 if seed == 0 else int(rng.integers(2000, 100_000))
    step = 0.25 if seed == 0 else float(rng.choice([0.5, 0.125, 0.01, 0.3]))
    most = 8 if seed == 0 else int(rng.integers(5, 30))  # steps up to the clip
    size = 4 if seed == 0 else int(rng.integers(5, 9))
    clip = most * step

    def case(name, steps, hint, *, off=0.0, spoil=None):
        # The whole numbers are drawn; values lie up to 0.45 steps beside them, so that all ways to round halves agree.
        values = (steps + off) * step
        expected = np.where(steps < 0, modulus + steps, steps)
        if spoil is not None:
            values[int(rng.integers(len(values)))] = spoil
            expected = None
        shown = "None" if expected is None else visible(expected, seed, f"{len(steps)} whole numbers")
        return Case(name, (values, clip, step, modulus), equal(expected), shown, hint)

    inside = rng.integers(1, most, size)
    mixed = inside * np.where(np.arange(size) % 2, -1, 1)
    off = rng.uniform(0.25, 0.45, size) * rng.choice([-1, 1], size)
    off[0], off[1] = 0.4, 0.4  # cutting the fraction off is wrong upwards and for negative numbers
    off[2] = -0.4
    return [
        case("exact steps", inside, "how many steps is a value?"),
        case("below zero", mixed, "on a clock with `modulus` hours, one step before 0 is modulus - 1"),
        case("between two steps", mixed, "the nearest step, also below zero", off=off),
        case("just as large as the clip", np.array([most, -most, 0]), "the limit itself may be sent"),
        case("too large", inside, "refuse the whole vector; do not clip in secret", spoil=clip + 0.6 * step),
        case("too large below zero", inside, "the limit holds on both sides of zero", spoil=-clip - 0.6 * step),
        case("not a number", inside, "comparisons with NaN are always False: ask for it", spoil=float("nan")),
    ]


_LAST = "draw all shares but one; what must the last one be?"
_CLOCK = "a clock with `modulus` hours has no hour below 0, and none between two hours"


def _split_into_shares(seed: int) -> list[Case]:
    rng = np.random.default_rng([seed, 112])
    modulus = 16 if seed == 0 else int(rng.integers(10, 25))
    num_shares = 3 if seed == 0 else int(rng.integers(4, 6))
    run_seed, other_seed = (int(n) for n in rng.choice(10_000, size=2, replace=False))
    remembered: dict[str, np.ndarray] = {}

    def case(name, secret, look, expected, hint, *, shares=num_shares, use_seed=run_seed):
        def verify(got):
            array = as_array(got)
            if array is None or array.shape != (shares, len(secret)):
                return f"expected {shares} shares of {len(secret)} numbers, one row for each share"
            if array.dtype.kind not in "iu" or array.min() < 0 or array.max() >= modulus:
                return Problem(f"a share is no whole number from 0 to {modulus - 1}", hint=_CLOCK)
            if ((array.sum(axis=0) - secret) % modulus).any():
                return Problem("the shares do not add up to the secret", hint=_LAST)
            return look(array)

        return Case(name, (secret, shares, modulus, use_seed), verify, expected, hint)

    def flat(array):
        """Any two rows together: chi-square over all pairs of numbers, with a limit that chance does not reach."""
        cells = modulus**2
        for missing in range(len(array)):
            rest = np.delete(array, missing, axis=0)
            for one, two in itertools.pairwise(rest):
                counts = np.bincount(one * modulus + two, minlength=cells)
                chi_square = np.sum((counts - array.shape[1] / cells) ** 2) * cells / array.shape[1]
                if chi_square > cells + 6 * np.sqrt(2 * cells):
                    return "somebody who holds all shares but one can see something: they are not uniformly random"
        return None

    def remember(array):
        remembered["shares"] = array
        return None

    def other(array):
        same = np.array_equal(array, remembered.get("shares"))
        return "another seed gave the same shares" if same else None

    secret = rng.integers(0, modulus, 12)
    constant = np.full(20 * modulus**2, int(rng.integers(1, modulus)))
    adds_up = f"{num_shares} x {len(secret)} numbers from 0 to {modulus - 1} that add up to the secret"
    return [
        case("adds up", secret, remember, adds_up, _LAST),
        case("two shares", secret, lambda array: None, "the same with two shares", _LAST, shares=2),
        case("another seed", secret, other, "other shares", "draw from a generator of this seed", use_seed=other_seed),
        case(
            "all but one say nothing",
            constant,
            flat,
            "all shares but one: uniform, whatever the secret is",
            "every entry of every share but the last is a draw of its own, from the whole clock",
        ),
    ]


def _mask_vector(seed: int) -> list[Case]:
    rng = np.random.default_rng([seed, 113])
    num_clients = 4 if seed == 0 else int(rng.integers(5, 9))
    size = 3 if seed == 0 else int(rng.integers(4, 7))
    modulus = 100 if seed == 0 else int(rng.integers(200, 3000))

    def case(name, client, others, hint):
        upper = np.triu(np.ones([num_clients, num_clients], int), 1)[..., None]
        pair_masks = upper * rng.integers(0, modulus, [num_clients, num_clients, size])
        pair_masks = pair_masks + pair_masks.transpose(1, 0, 2)  # both clients of a pair have the same mask
        # What is sent is drawn; the vector is what is left when the masks are taken away.
        sent = rng.integers(0, modulus, size)
        signs = np.zeros(num_clients, int)
        signs[others] = np.sign(np.array(others) - client)
        vector = (sent - np.einsum("c,cd->d", signs, pair_masks[client])) % modulus
        shown = visible(sent, seed, f"{size} numbers from 0 to {modulus - 1}")
        return Case(name, (client, vector, pair_masks, others, modulus), equal(sent), shown, hint)

    everyone = list(range(num_clients))
    middle = int(rng.integers(1, num_clients - 1))
    gone = int(rng.choice([c for c in everyone if c != middle]))
    sign = "of each pair one adds the mask and the other subtracts it: the smaller number adds"
    return [
        case("the first client", 0, everyone[1:], sign),
        case("the last client", num_clients - 1, everyone[:-1], sign),
        case("in the middle", middle, [c for c in everyone if c != middle], sign),
        case("a partner is gone", middle, [c for c in everyone if c not in (middle, gone)], "mask with `others` only"),
    ]


def _shamir_secret(seed: int) -> list[Case]:
    rng = np.random.default_rng([seed, 114])

    def case(name, prime, points, hint):
        # The polynomial is drawn, in Python's whole numbers, which have no largest one.
        coefficients = [int(rng.integers(1, prime)) for _ in points]
        shares = {x: sum(c * x**k for k, c in enumerate(coefficients)) % prime for x in points}
        shown = visible(coefficients[0], seed, f"a whole number from 0 to {prime - 1}")
        return Case(name, (shares, prime), equal(coefficients[0]), shown, hint)

    small = 97 if seed == 0 else int(rng.choice([101, 103, 211, 499]))
    some = _points_with_fractions(rng)
    divide = "a fraction modulo a prime: pow(denominator, -1, prime) is 1 / denominator"
    return [
        case("a line", small, [1, 2], "the weight of a point is a product over all *other* points"),
        case("a parabola", small, [1, 2, 3], divide),
        case("any points in any order", small, some[::-1], "use the points that came, not 1, 2, 3, ..."),
        case("a single share", small, [some[0]], "a product over no other points is 1"),
        case("a large prime", 2**61 - 1, some, "whole numbers all the way: no /, no NumPy arrays of floats. " + divide),
    ]


def _points_with_fractions(rng) -> list[int]:
    """Four points whose weights are no whole numbers outside a prime field (those of 1, 2, 3, ... are)."""
    while True:
        points = sorted(int(x) for x in rng.choice(np.arange(2, 12), size=4, replace=False))
        whole = math.prod(points)
        parts = [abs(math.prod(y - x for y in points if y != x)) for x in points]
        if all(part // math.gcd(part, whole // x) > 4 for x, part in zip(points, parts, strict=True)):
            return points


def _what_to_reveal(seed: int) -> list[Case]:
    rng = np.random.default_rng([seed, 115])
    num_clients = 6 if seed == 0 else int(rng.integers(8, 13))
    names = [f"client_{number}" for number in rng.choice(100, size=num_clients, replace=False)]
    threshold = num_clients // 2 + 2

    def case(name, hint, *, dropped=0, contributors=None, threshold=threshold, answered_before=False, allowed=True):
        # Who is there is drawn; what may be said follows from who was put into which list.
        gone = names[:dropped]
        listed = names[dropped:] if contributors is None else contributors
        expected = {**dict.fromkeys(names[dropped:], "own mask"), **dict.fromkeys(gone, "mask key")}
        expected = expected if allowed else None
        shuffled = [names[i] for i in rng.permutation(num_clients)]
        shown = visible(expected, seed, f"a dict with {num_clients} names") if allowed else "None"
        arguments = (shuffled, listed, threshold, answered_before)
        return Case(name, arguments, equal(expected), shown, hint)

    fewest = num_clients - threshold  # as many may go
    too_few = names[fewest + 1 :]
    half = num_clients // 2
    return [
        case("nobody dropped out", "whose vector arrived, loses its own mask; the pair masks cancel by themselves"),
        case("some dropped out", "of those whose vector did not arrive, the masks of pairs are left over", dropped=1),
        case("just enough are left", "as many as the threshold are enough", dropped=fewest),
        case("too few are left", "with fewer than the threshold reveal nothing", dropped=fewest + 1, allowed=False),
        case(
            "a name twice",
            "count clients, not names on a list",
            contributors=[*too_few, too_few[0]],
            dropped=fewest + 1,
            allowed=False,
        ),
        case(
            "asked again",
            "a second answer could give the other kind of share about somebody",
            answered_before=True,
            dropped=1,
            allowed=False,
        ),
        case(
            "a low threshold",
            "if two separate groups can both reach the threshold, a liar gets both kinds of shares",
            threshold=half,
            dropped=1,
            allowed=False,
        ),
        case(
            "a stranger",
            "nobody holds shares of a client that never handed any out: the list is false",
            contributors=[*names, "stranger"],
            allowed=False,
        ),
    ]


EXERCISES = [
    Exercise(
        id="11.to_fixed_point",
        points=4,
        title="Numbers on a clock",
        cases=weighted(_to_fixed_point, {"exact steps": 0.5}),
        wrong_answers=WRONG_ANSWERS["to_fixed_point"],
    ),
    Exercise(
        id="11.split_into_shares",
        points=4,
        title="Additive shares",
        cases=weighted(_split_into_shares, {"adds up": 0.5, "two shares": 0.5, "another seed": 0.5}),
        wrong_answers=WRONG_ANSWERS["split_into_shares"],
    ),
    Exercise(
        id="11.mask_vector",
        points=3,
        title="Masks that cancel",
        cases=_mask_vector,
        wrong_answers=WRONG_ANSWERS["mask_vector"],
    ),
    Exercise(
        id="11.shamir_secret",
        points=4,
        title="The secret behind Shamir's shares",
        cases=weighted(_shamir_secret, {"a single share": 0}),
        wrong_answers=WRONG_ANSWERS["shamir_secret"],
    ),
    Exercise(
        id="11.what_to_reveal",
        points=5,
        title="What a client may reveal",
        cases=weighted(_what_to_reveal, {"nobody dropped out": 0.5}),
        wrong_answers=WRONG_ANSWERS["what_to_reveal"],
    ),
]
