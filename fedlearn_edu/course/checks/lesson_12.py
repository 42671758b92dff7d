"""Checks of lesson 12: clipping, the private mean and its noise, and systems that only look private.

Answers are drawn first wherever that is possible, and the arguments made from them.
"""

from __future__ import annotations

import numpy as np

from fedlearn_edu.course.checks.compare import equal, near
from fedlearn_edu.course.checks.exercise import Case, Exercise, visible, weighted
from fedlearn_edu.course.checks.wrong_12 import WRONG_ANSWERS


def _sizes(rng, seed):
    return (3, 2) if seed == 0 else tuple(int(n) for n in rng.choice(np.arange(2, 6), size=2, replace=False))


def _delta(rng, sizes, norm):
    """A kernel and a bias with this norm over both."""
    arrays = [rng.normal(size=sizes), rng.normal(size=sizes[1])]
    scale = norm / np.sqrt(sum(np.vdot(a, a) for a in arrays))
    return [scale * a for a in arrays]


def _clip_delta(seed: int) -> list[Case]:
    rng = np.random.default_rng([seed, 121])
    sizes = _sizes(rng, seed)
    clip_norm = 0.5 if seed == 0 else float(rng.uniform(0.2, 3))

    def case(name, clipped, factor, hint):
        # The answer is drawn first; what the client sent points the same way.
        delta = [factor * a for a in clipped]
        shown = visible(clipped, seed, f"arrays of shapes {sizes} and {sizes[1:]}")
        return Case(name, (delta, clip_norm), near(clipped), shown, hint)

    far = 10.0 if seed == 0 else float(rng.uniform(2, 40))
    lopsided = _delta(rng, sizes, clip_norm)
    lopsided[1] = lopsided[1] * 1e-3
    lopsided = [a * clip_norm / np.sqrt(sum(np.vdot(b, b) for b in lopsided)) for a in lopsided]
    zeros = [np.zeros(sizes), np.zeros(sizes[1])]
    return [
        case("too long", _delta(rng, sizes, clip_norm), far, "one factor for all arrays: clip_norm / norm"),
        case("short enough", _delta(rng, sizes, clip_norm / 2), 1.0, "the factor is 1 at most: nothing is made longer"),
        case("a small bias", lopsided, far, "the norm is that of all arrays together, not of each by itself"),
        case("a client that changed nothing", zeros, 1.0, "the norm may be 0: do not divide by it"),
    ]


def _private_mean(seed: int) -> list[Case]:
    rng = np.random.default_rng([seed, 122])
    sizes = _sizes(rng, seed)
    clip_norm = 0.5 if seed == 0 else float(rng.uniform(0.2, 3))
    multiplier = 2.0 if seed == 0 else float(rng.uniform(0.5, 4))
    expected_cohort = 4 if seed == 0 else int(rng.integers(5, 9))

    def case(name, deltas, noise_multiplier, expected, hint, *, noise=None):
        noise = noise or _delta(rng, sizes, 1.0)
        arguments = (deltas, noise, clip_norm, noise_multiplier, expected_cohort)
        return Case(name, arguments, near(expected), visible(expected, seed, "a kernel and a bias"), hint)

    def some(number):
        return [_delta(rng, sizes, clip_norm * float(rng.uniform(0.3, 1))) for _ in range(number)]

    full, few = some(expected_cohort), some(expected_cohort - 2)
    zeros = [[np.zeros(sizes), np.zeros(sizes[1])]] * expected_cohort
    noise = [rng.normal(size=sizes), rng.normal(size=sizes[1])]
    step = clip_norm * multiplier / expected_cohort
    plain = [np.stack(part).mean(axis=0) for part in zip(*full, strict=True)]
    return [
        case("no noise", full, 0.0, plain, "without noise and with all clients there, it is the plain mean"),
        case(
            "fewer came than expected",
            few,
            0.0,
            [np.stack(part).mean(axis=0) * (len(few) / expected_cohort) for part in zip(*few, strict=True)],
            "how many came depends on the clients, so it must not be the divisor",
        ),
        case(
            "clients that send zeros",
            zeros,
            multiplier,
            [step * a for a in noise],
            "the noise on the sum has the standard deviation noise_multiplier x clip_norm",
            noise=noise,
        ),
        case(
            "nobody came",
            [],
            multiplier,
            [step * a for a in noise],
            "a sum over nobody is 0, and even that is kept secret: the noise has the shapes you need",
            noise=noise,
        ),
        case(
            "clients and noise",
            full,
            multiplier,
            [p + step * a for p, a in zip(plain, noise, strict=True)],
            "add noise to the sum, then divide both",
            noise=noise,
        ),
    ]


def _influence(seed: int) -> list[Case]:
    rng = np.random.default_rng([seed, 123])
    clip_norm = 1.0 if seed == 0 else float(rng.uniform(0.2, 3))
    dim = 3 if seed == 0 else int(rng.integers(2, 7))

    def case(name, norms, expected_cohort, hint):
        # Without a client the sum lacks its clipped delta, and the divisor stays.
        norms = clip_norm * np.array(norms)
        directions = rng.normal(size=[len(norms), dim])
        deltas = directions * (norms / np.linalg.norm(directions, axis=1))[:, None]
        moves = np.minimum(norms, clip_norm) / expected_cohort
        shown = visible(moves, seed, f"{len(moves)} numbers, none above clip_norm / expected_cohort")
        return Case(name, (deltas, clip_norm, expected_cohort), near(moves), shown, hint)

    n = 4 if seed == 0 else int(rng.integers(5, 9))
    some = rng.uniform(0.1, 0.9, n)
    return [
        case("nobody is clipped", some, n, "take the client out, compute the mean again, and measure the distance"),
        case("one that shouts", [*some, 1000.0], n + 1, "clip before you add: how far can a huge delta get then?"),
        case("one that sends nothing", [*some, 0.0], n, "whoever adds nothing moves nothing; beware of 0 / 0"),
        case("fewer than expected", some[:2], 3 * n, "the divisor is the same with and without the client"),
    ]


def _calibrate_noise(seed: int) -> list[Case]:
    rng = np.random.default_rng([seed, 124])

    def case(name, multiplier, clip_norm, expected_cohort, delta, hint):
        # The noise multiplier is drawn first; epsilon follows from it.
        epsilon = float(np.sqrt(2 * (np.log(1.25) - np.log(delta))) / multiplier)
        stddev = multiplier * clip_norm / expected_cohort
        shown = visible(stddev, seed, "a number above 0")
        return Case(name, (epsilon, delta, clip_norm, expected_cohort), near(stddev, tolerance=1e-8), shown, hint)

    z = 8.0 if seed == 0 else float(rng.uniform(6, 30))
    c = 0.5 if seed == 0 else float(rng.uniform(0.2, 5))
    m = 10 if seed == 0 else int(rng.integers(20, 90))
    delta = 1e-5 if seed == 0 else float(rng.choice([1e-4, 1e-6, 1e-8]))
    return [
        case("a cohort of one, clip norm 1", z, 1.0, 1, delta, "the square root covers 2 and the logarithm"),
        case("another clip norm", z, c, 1, delta, "a client that may add twice as much needs twice the noise"),
        case("a real cohort", z, c, m, delta, "the noise is added to the sum; what does dividing do to it?"),
        case("a smaller delta", 2 * z, c, m, delta / 1000, "np.log is the natural logarithm, the one you need"),
    ]


_FINE, _LATE, _WEIGHTED, _LITTLE = "fine", "clips too late", "weights clients", "too little noise"
_SYSTEMS = [
    (_LITTLE, "all"),
    (_WEIGHTED, ""),
    (_FINE, ""),
    (_LITTLE, "some"),
    (_LATE, ""),
]


def _find_flaw(seed: int) -> list[Case]:
    rng = np.random.default_rng([seed, 125])
    order = np.arange(len(_SYSTEMS))
    while seed and (order == np.arange(len(_SYSTEMS))).any():  # no system stays where the visible cases have it
        order = rng.permutation(len(_SYSTEMS))

    def case(letter, flaw, where):
        num_clients, dim = int(rng.integers(4, 8)), int(rng.integers(5, 9))
        clip_norm, multiplier = float(rng.uniform(0.5, 2)), float(rng.uniform(0.5, 1.5))
        deltas, num_examples, means = _audited(rng, num_clients, dim, clip_norm)
        stddev = np.full(dim, multiplier * clip_norm / num_clients)
        if where == "all":
            stddev /= np.sqrt(dim)  # as if the coordinates had to share one portion of noise
        elif where == "some":
            stddev[dim // 2 :] /= 10
        releases = means[flaw if flaw in means else _FINE] + stddev * rng.normal(size=[800, dim])
        arguments = (deltas, num_examples, clip_norm, multiplier, releases)
        hints = {
            _LITTLE: "measure the noise: the standard deviation over the releases, coordinate by coordinate",
            _FINE: "the noise is where it should be: which mean is it added to?",
        }
        hint = hints.get(flaw, "average the releases: the noise goes, and the mean that this system computes stays")
        return Case(f"system {letter}", arguments, equal(flaw), "one of the four answers", hint)

    return [case("ABCDE"[i], *_SYSTEMS[which]) for i, which in enumerate(order)]


def _audited(rng, num_clients, dim, clip_norm):
    """A cohort for which the right mean and both wrong ones are clearly apart."""
    while True:
        # One client pulls hard, the others alike and moderately: the plain mean is too long, too.
        norms = clip_norm * np.concatenate([[rng.uniform(8, 15)], rng.uniform(0.5, 1.5, num_clients - 1)])
        directions = rng.normal(size=[num_clients, dim]) + rng.normal(size=dim)
        deltas = directions * (norms / np.linalg.norm(directions, axis=1))[:, None]
        num_examples = [int(n) for n in rng.permutation([1, 2, *rng.integers(3, 60, num_clients - 3), 300])]
        bounded = deltas / np.maximum(norms / clip_norm, 1)[:, None]
        late = deltas.mean(axis=0)
        means = {
            _FINE: bounded.mean(axis=0),
            _LATE: late / max(np.linalg.norm(late) / clip_norm, 1),
            _WEIGHTED: np.average(bounded, axis=0, weights=num_examples),
        }
        values = list(means.values())
        apart = [np.linalg.norm(values[i] - values[j]) for i, j in [(0, 1), (0, 2), (1, 2)]]
        if min(apart) > 0.3 * clip_norm:
            return deltas, num_examples, means


def _adapt_clip(seed: int) -> list[Case]:
    rng = np.random.default_rng([seed, 126])
    clip_norm = 2.0 if seed == 0 else float(rng.uniform(0.2, 3))
    lr = 0.2 if seed == 0 else float(rng.uniform(0.1, 0.5))
    m = 10 if seed == 0 else 10 * int(rng.integers(2, 6))
    noise = 1.5 if seed == 0 else float(rng.uniform(-3, 3))

    def case(name, num_inside, num_outside, quantile, count_noise, hint, *, on_the_line=0):
        inside = rng.uniform(0.1, 0.9, num_inside - on_the_line).tolist() + [1.0] * on_the_line
        norms = clip_norm * rng.permutation(inside + rng.uniform(1.1, 9, num_outside).tolist())
        share = (num_inside + count_noise) / m
        new = clip_norm * float(np.exp(lr * quantile) / np.exp(lr * share))
        arguments = (clip_norm, norms, count_noise, quantile, m, lr)
        return Case(name, arguments, near(new), visible(new, seed, "a number above 0"), hint)

    half = m // 2
    return [
        case("as many clipped as wanted", half, half, 0.5, 0.0, "nothing to mend: the clip norm stays"),
        case("nobody is clipped", m, 0, 0.5, 0.0, "the bound is loose: tighten it, so that less noise is needed"),
        case("nearly all are clipped", 1, m - 1, 0.8, 0.0, "the bound hurts: it has to grow"),
        case("exactly at the bound", half, half, 0.4, 0.0, "a norm equal to the bound is not clipped", on_the_line=2),
        case("a noisy count", half, half, 0.5, noise, "the count is about clients: noise is added to it, then divide"),
        case("fewer than expected", half - 2, 1, 0.5, noise, "the share is one of the expected cohort"),
    ]


EXERCISES = [
    Exercise(id=f"12.{name}", points=points, title=title, cases=cases, wrong_answers=WRONG_ANSWERS[name])
    for name, points, title, cases in [
        (
            "clip_delta",
            3,
            "Clip a model delta",
            weighted(_clip_delta, {"short enough": 0, "a client that changed nothing": 0}),
        ),
        ("private_mean", 4, "The private mean", weighted(_private_mean, {"no noise": 0.5})),
        ("influence", 3, "How far one client can move it", weighted(_influence, {"nobody is clipped": 0.5})),
        ("calibrate_noise", 3, "How much noise?", weighted(_calibrate_noise, {"a cohort of one, clip norm 1": 0.5})),
        ("find_flaw", 5, "Five systems that claim to be private", _find_flaw),
        ("adapt_clip", 3, "A clip norm that finds itself", weighted(_adapt_clip, {"as many clipped as wanted": 0})),
    ]
]
