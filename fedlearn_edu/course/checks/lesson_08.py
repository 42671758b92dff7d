"""Checks of lesson 08: where FedAvg stands still, proximal and corrected steps, and three ways to average.

Local training on a quadratic loss has a closed form, `_trained`, so that no local step is written here; the rest is
built from deltas whose average is known beforehand, or checked by what must hold at the answer.
"""

from __future__ import annotations

import numpy as np

from fedlearn_edu.course.checks.compare import near
from fedlearn_edu.course.checks.data import as_number, describe
from fedlearn_edu.course.checks.exercise import Case, Exercise, Problem, weighted
from fedlearn_edu.course.checks.wrong_08 import WRONG_ANSWERS

_STANDS_STILL = 1e-6  # how far a round may move the answer, as a part of the distance between the clients' optima


def _rounded(values):
    """Two digits after the point, and 0 has no sign: learners read these numbers."""
    return np.round(values, 2) + 0.0


def _case(seed, name, arguments, expected, hint) -> Case:
    """Shows the value itself in the cases that learners see, and what it is like in the hidden ones."""
    parts = expected if isinstance(expected, tuple) else (expected,)
    like = " and ".join(f"an array of shape {part.shape}" for part in parts)
    shown = describe(expected, limit=160) if seed == 0 else like
    return Case(name, arguments, near(expected, tolerance=1e-5), shown, hint)


def _fed_avg_fixed_point(seed: int) -> list[Case]:
    rng = np.random.default_rng([seed, 81])

    def stands_still(curvature, optimum, num_steps, client_lr):
        def verify(got):
            number = as_number(got)
            if number is None or not np.isfinite(number):
                return Problem("expected a single finite number", hint="where all clients meet: one number")
            # The way to the own optimum shrinks by the same factor in each step.
            left = optimum + (1 - client_lr * curvature) ** num_steps * (number - optimum)
            moved = abs(np.mean(left) - number) / np.ptp(optimum)
            return None if moved < _STANDS_STILL else "a round of FedAvg that starts there moves away"

        return verify

    def case(name, steepness, num_steps, hint, *, known=None):
        """`steepness`: learning rate times curvature of each client."""
        client_lr = float(np.round(rng.uniform(0.05, 0.3), 3))
        curvature = np.array(steepness) / client_lr
        optimum = np.round(rng.uniform(-9, 9, len(curvature)), 2)
        optimum[0] += 20.0  # beyond all others, so that no two averages are the same by chance
        shown = describe(known(curvature, optimum)) if known and seed == 0 else "where a round changes nothing"
        arguments = (curvature, optimum, num_steps, client_lr)
        return Case(name, arguments, stands_still(*arguments), shown, hint)

    def some(count, low=0.1, high=0.8):
        return rng.uniform(low, high, count)

    clients = 2 if seed == 0 else int(rng.integers(3, 6))
    few, many = (3, 400) if seed == 0 else (int(rng.integers(2, 6)), int(rng.integers(300, 500)))
    odd = 3 if seed == 0 else int(rng.choice([3, 5]))  # an even number of steps would hide the sign
    return [
        case(
            "one local step",
            some(clients, 0.1, 0.3),  # slow: a handful of rounds does not get there
            1,
            "after a single step the mean of the ways is a step along the mean gradient",
            known=lambda curvature, optimum: float(np.average(optimum, weights=curvature)),
        ),
        case("several local steps", some(clients + 1), few, "which part of its way does a client go in so many steps?"),
        case(
            "very many local steps",
            some(clients),
            many,
            "whoever has gone the whole way counts as much as anybody else",
            known=lambda curvature, optimum: float(np.mean(optimum)),
        ),
        case(
            "steps that overshoot",
            np.append(some(clients), 1.6),
            odd,
            "a step may be longer than the way that is left; the factor of a step is then negative, no more",
        ),
    ]


def _regression(rng, num_examples, dim):
    """A client's examples, the Hessian of its loss and where its gradient is zero; inputs of about unit size."""
    x = _rounded(rng.normal(size=[num_examples, dim]))
    y = _rounded(rng.normal(size=num_examples))
    return x, y, np.einsum("ni,nj->ij", x, x) / num_examples, np.linalg.lstsq(x, y, rcond=None)[0]


def _trained(hessian, stop, start, client_lr, num_steps):
    """Gradient descent on a quadratic with minimum `stop`: along each principal axis the distance shrinks steadily."""
    values, axes = np.linalg.eigh(hessian)
    return stop + axes @ ((1 - client_lr * values) ** num_steps * (axes.T @ (start - stop)))


def _sizes(rng, seed):
    """Numbers of examples and of weights, the first the larger."""
    return (4, 2) if seed == 0 else (int(rng.integers(6, 9)), int(rng.integers(3, 5)))


def _proximal_steps(seed: int) -> list[Case]:
    rng = np.random.default_rng([seed, 82])
    num_examples, dim = _sizes(rng, seed)

    def case(name, strength, num_steps, hint):
        x, y, hessian, optimum = _regression(rng, num_examples, dim)
        received = _rounded(rng.normal(size=dim))
        received[0] += 3.0
        pulled = hessian + strength * np.eye(dim)
        stop = np.linalg.solve(pulled, hessian @ optimum + strength * received)
        client_lr = float(np.round(0.8 / np.linalg.eigvalsh(pulled).max(), 3))
        expected = _trained(pulled, stop, received, client_lr, num_steps)
        return _case(seed, name, (received, x, y, client_lr, strength, num_steps), expected, hint)

    strength = 0.5 if seed == 0 else float(np.round(rng.uniform(0.4, 2), 2))
    steps = 3 if seed == 0 else int(rng.integers(3, 7))
    return [
        case("no spring", 0.0, steps, "with strength 0 it is gradient descent on the mean loss"),
        case("the first step", strength, 1, "where a client starts the spring is slack"),
        case("several steps", strength, steps, "the spring is fixed at the model received, and pulls towards it"),
        case("until it stands still", strength, 3_000, "at the end, gradient and spring balance each other"),
    ]


def _scaffold_client(seed: int) -> list[Case]:
    rng = np.random.default_rng([seed, 83])
    num_examples, dim = _sizes(rng, seed)

    def case(name, num_steps, hint, *, own=True, server=True, at_rest=False):
        x, y, hessian, optimum = _regression(rng, num_examples, dim)
        received = _rounded(rng.normal(size=dim) + 1)
        client_lr = float(np.round(0.6 / np.linalg.eigvalsh(hessian).max(), 3))
        control = _rounded(rng.normal(size=dim) * own)
        server_control = _rounded(rng.normal(size=dim) * server)
        if at_rest:  # the client knows its gradient at the model exactly, and there is nothing common to follow
            control = hessian @ (received - optimum)
        # A constant push moves the point where a quadratic's descent stands still, and changes nothing else.
        stop = optimum - np.linalg.solve(hessian, server_control - control)
        path = np.stack([_trained(hessian, stop, received, client_lr, k) for k in range(num_steps + 1)])
        mean_gradient = hessian @ (path[:-1].mean(axis=0) - optimum)
        expected = (received - path[-1], mean_gradient)
        arguments = (received, control, server_control, x, y, client_lr, num_steps)
        return _case(seed, name, arguments, expected, hint)

    steps = 4 if seed == 0 else int(rng.integers(3, 8))
    return [
        case(
            "the first round",
            steps,
            "with controls of zero it trains as in FedAvg; the new control is the mean gradient on the way",
            own=False,
            server=False,
        ),
        case("one step", 1, "take off your own control, put on the server's"),
        case("several steps", steps, "the correction stays the same in all steps; the server's control is part of it"),
        case(
            "nothing in common to follow",
            steps,
            "a client at the common optimum, whose control is its gradient, stays where it is and remembers the same",
            server=False,
            at_rest=True,
        ),
    ]


def _fed_nova_step(seed: int) -> list[Case]:
    rng = np.random.default_rng([seed, 84])
    clients, dim = (2, 3) if seed == 0 else (int(rng.integers(3, 6)), int(rng.integers(6, 9)))

    def case(name, per_step, num_steps, sizes, mean_step, hint):
        """`mean_step`: the weighted mean of the clients' deltas per step, known beforehand."""
        weights = _rounded(rng.normal(size=dim))
        expected = weights - np.average(num_steps, weights=sizes) * mean_step
        return _case(seed, name, (weights, num_steps[:, None] * per_step, num_steps, sizes), expected, hint)

    def counts(low, high):
        return rng.choice(np.arange(low, high), clients, replace=False)

    common, sizes, same = rng.normal(size=dim), counts(10, 90), int(rng.integers(3, 9))
    apart = rng.normal(size=[clients, dim])  # deviations that cancel when weighted by examples, or counted alike
    apart, alike = apart - np.average(apart, axis=0, weights=sizes), apart - apart.mean(axis=0)
    alone = np.where(np.arange(clients)[:, None] == 0, common, 0.0)
    together = np.tile(common, (clients, 1))
    hints = [
        "if all take equally many steps it is weighted FedAvg",
        "the step has the length of the mean number of steps, weighted as the deltas are",
        "who takes more steps must not count for more",
        "divide each delta by its steps first, then average by examples, then multiply",
    ]
    return [
        case("equal work", common + apart, np.full(clients, same), sizes, common, hints[0]),
        case("one direction, unequal work", together, counts(1, 20), counts(10, 90), common, hints[1]),
        case("equal amounts", common + alike, counts(1, 20), np.full(clients, 50), common, hints[2]),
        case("one against all", alone, counts(5, 30), sizes, common * sizes[0] / sizes.sum(), hints[3]),
    ]


def _fed_adam(seed: int) -> list[Case]:
    rng = np.random.default_rng([seed, 85])
    dim, rounds = (2, 4) if seed == 0 else (int(rng.integers(3, 5)), int(rng.integers(5, 9)))
    server_lr, tau = float(np.round(rng.uniform(0.05, 0.5), 3)), float(np.round(rng.uniform(0.05, 0.2), 3))
    b1, b2 = float(np.round(rng.uniform(0.3, 0.6), 2)), float(np.round(rng.uniform(0.8, 0.95), 2))
    weights = _rounded(rng.normal(size=dim))

    def case(name, deltas, betas, m, v, hint):
        """`m` and `v`: what the running averages are after each round, in closed form."""
        expected = weights - np.sum(server_lr * m / (v**0.5 + tau), axis=0)
        return _case(seed, name, (weights, deltas, server_lr, *betas, tau), expected, hint)

    t = np.arange(1, rounds + 1)[:, None]
    delta = rng.choice([-1.0, 1.0], dim) * np.round(rng.uniform(0.2, 0.4, dim) * 2.0 ** np.arange(dim), 2)
    steady, wild = np.tile(delta, (rounds, 1)), _rounded(rng.normal(size=[rounds, dim]))
    m, v = (1 - b1**t) * steady, b2**t * tau**2 + (1 - b2**t) * steady**2
    burst, fading = np.where(t == 1, delta, 0.0), b1 ** (t - 1) * (1 - b1) * delta
    forgotten = b2**t * tau**2 + b2 ** (t - 1) * (1 - b2) * delta**2
    hints = [
        "v starts at tau^2, and tau is added after the root",
        "m and v come nearer to the delta and its square from round to round; nothing corrects for their start",
        "the server goes on moving for a while when no delta comes",
        "with both betas 0 each number moves by about the learning rate",
    ]
    return [
        case("one round", steady[:1], (b1, b2), m[:1], v[:1], hints[0]),
        case("a steady delta", steady, (b1, b2), m, v, hints[1]),
        case("a burst, then silence", burst, (b1, b2), fading, forgotten, hints[2]),
        case("no memory", wild, (0.0, 0.0), wild, wild**2, hints[3]),
    ]


def _q_fed_avg_step(seed: int) -> list[Case]:
    rng = np.random.default_rng([seed, 86])
    clients, dim = (2, 3) if seed == 0 else (int(rng.integers(3, 5)), int(rng.integers(5, 8)))
    client_lr = float(np.round(rng.uniform(0.1, 0.5), 2))
    q = 2.0 if seed == 0 else float(np.round(rng.uniform(1.2, 4), 1))

    def case(name, deltas, losses, q, step, hint):
        weights = _rounded(rng.normal(size=dim))
        return _case(seed, name, (weights, deltas, losses, q, client_lr), weights - step, hint)

    def some(count=clients):
        return _rounded(rng.normal(size=[count, dim])), np.round(rng.uniform(0.3, 2, count), 2)

    plain, plain_losses = some()
    alone, alone_loss = some(1)
    alike, _ = some()
    loss = float(alike[0, 0] ** 2 + 0.5)
    squares = np.einsum("ki,ki->k", alike, alike)
    unlike, unlike_losses = some()
    # The paper's own form, in gradients (deltas / client_lr) and with L = 1 / client_lr.
    gradients, lipschitz = unlike / client_lr, 1 / client_lr
    numerator = np.einsum("k,ki->i", unlike_losses**q, gradients)
    bounds = unlike_losses**q * (q / unlike_losses * np.linalg.norm(gradients, axis=1) ** 2 + lipschitz)
    shorter = 1 + q * np.vdot(alone, alone) / (client_lr * alone_loss[0])
    bound = clients + q * squares.sum() / (client_lr * loss)
    hints = [
        "with q = 0 it is unweighted FedAvg",
        "even alone a client takes a shorter step than in FedAvg: the bound has two terms",
        "add up numerators and bounds over the clients, each by itself, and divide once",
        "the loss weighs delta and bound alike",
    ]
    return [
        case("q of 0", plain, plain_losses, 0.0, plain.mean(axis=0), hints[0]),
        case("a single client", alone, alone_loss, q, alone[0] / shorter, hints[1]),
        case("served alike", alike, np.full(clients, loss), q, alike.sum(axis=0) / bound, hints[2]),
        case("served unlike", unlike, unlike_losses, q, numerator / bounds.sum(), hints[3]),
    ]


EXERCISES = [
    Exercise(id=f"08.{name}", points=points, title=title, cases=cases, wrong_answers=WRONG_ANSWERS[name])
    for name, points, title, cases in [
        (
            "fed_avg_fixed_point",
            4,
            "Where FedAvg stands still",
            weighted(_fed_avg_fixed_point, {"very many local steps": 0}),
        ),
        ("proximal_steps", 4, "On a spring", weighted(_proximal_steps, {"no spring": 0.5, "the first step": 0.5})),
        (
            "scaffold_client",
            5,
            "A client that remembers",
            weighted(_scaffold_client, {"the first round": 0.5, "nothing in common to follow": 0}),
        ),
        ("fed_nova_step", 4, "Unequal work", weighted(_fed_nova_step, {"equal work": 0.5})),
        ("fed_adam", 4, "A step of its own for each number", weighted(_fed_adam, {"no memory": 0.5})),
        ("q_fed_avg_step", 5, "Whose loss counts", weighted(_q_fed_avg_step, {"q of 0": 0.5})),
    ]
]
