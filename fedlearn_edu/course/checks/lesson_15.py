"""Checks of lesson 15: who gains and who loses, Ditto's step, mixing two models, class shares, epochs.

Answers are drawn first wherever that is possible, and the arguments made from them.
"""

from __future__ import annotations

import numpy as np

from fedlearn_edu.course.checks.compare import equal, near
from fedlearn_edu.course.checks.exercise import Case, Exercise, visible, weighted
from fedlearn_edu.course.checks.wrong_15 import WRONG_ANSWERS


def _sizes(rng, seed):
    return (3, 2) if seed == 0 else tuple(int(n) for n in rng.choice(np.arange(2, 6), size=2, replace=False))


def _weights(rng, sizes):
    """A kernel and a bias."""
    return [rng.normal(size=sizes), rng.normal(size=sizes[1])]


def _fairness_report(seed: int) -> list[Case]:
    rng = np.random.default_rng([seed, 151])

    def case(name, num_clients, tenth, num_worse, hint, *, unchanged=0, untested=0, tie=False):
        # The worst tenth afterwards lies below all others, and its clients were not the worst before.
        low, high = rng.uniform(0.1, 0.3, tenth), rng.uniform(0.5, 0.9, num_clients - tenth)
        if tie:  # one client more is exactly as badly off as the best of the worst tenth
            high[-1] = low.max()
        after = np.concatenate([low, high])
        change = rng.uniform(0.05, 0.1, num_clients)
        change[:num_worse] *= -1
        change[num_worse : num_worse + unchanged] = 0
        before = after - change
        if num_worse >= tenth:
            before[:tenth] = rng.uniform(0.85, 0.95, tenth)
        ids = [f"client_{i:02d}" for i in rng.permutation(num_clients + untested)]
        first, second = (
            dict(zip(ids, map(float, before), strict=False)),
            dict(zip(ids, map(float, after), strict=False)),
        )
        for client_id in ids[num_clients:]:
            first, second = {client_id: float("nan")} | first, {**second, client_id: float("nan")}
        second = dict(sorted(second.items()))
        expected = {
            "mean": float((low.sum() + high.sum()) / num_clients),
            "worst_decile": float(low.sum() / tenth),
            "num_worse": num_worse,
        }
        return Case(name, (first, second), near(expected), visible(expected, seed, "a dict of three numbers"), hint)

    tens = 2 if seed == 0 else int(rng.integers(2, 5))
    few = 5 if seed == 0 else int(rng.integers(4, 9))
    over = 3 if seed == 0 else int(rng.integers(1, 5))  # less than half of ten: the nearest whole number is wrong
    untested = 10 * tens, tens, tens + 1  # with those who have no accuracy, the tenth would be larger
    return [
        case("a round number of clients", 10 * tens, tens, tens + 1, "the worst tenth by the model afterwards"),
        case("a tenth that is no whole number", 10 * tens + over, tens + 1, tens + 2, "round the number of clients up"),
        case("fewer than ten clients", few, 1, 2, "a tenth of few clients is one client"),
        case("some stay as they were", few + 10, 2, 3, "the same is not worse", unchanged=2),
        case("two are equally badly off", over + 20, 3, 4, "exactly so many clients, not all up to a limit", tie=True),
        case("clients without test examples", *untested, "NaN is no accuracy: leave them out", untested=3),
    ]


def _ditto_step(seed: int) -> list[Case]:
    rng = np.random.default_rng([seed, 152])
    sizes = _sizes(rng, seed)
    lr = 0.25 if seed == 0 else float(rng.uniform(0.05, 0.4))
    strength = 2.0 if seed == 0 else float(rng.uniform(0.5, 2))

    def case(name, strength, lr, hint, *, gradient=1.0, distance=1.0):
        server = _weights(rng, sizes)
        away = [distance * a for a in _weights(rng, sizes)]
        slope = [gradient * a + 0.0 for a in _weights(rng, sizes)]
        personal = [w + a for w, a in zip(server, away, strict=True)]
        # The distance to the global model shrinks by a factor; the loss moves the model as ever.
        after = [w + (1 - lr * strength) * a - lr * g for w, a, g in zip(server, away, slope, strict=True)]
        shown = visible(after, seed, f"arrays of shapes {sizes} and {sizes[1:]}")
        return Case(name, (personal, server, slope, strength, lr), near(after), shown, hint)

    return [
        case("all alone", 0.0, lr, "at strength 0 the global model has no say"),
        case("nothing left to learn", strength, lr, "the pull is towards the global model", gradient=0.0),
        case("at the global model", strength, lr, "no distance, no pull", distance=0.0),
        case("both at once", strength, lr, "the gradient of strength / 2 * distance squared, then one step for all"),
        case("a strong pull", 1 / lr, lr, "both gradients are taken at the personal model, before the step"),
    ]


def _best_mix(seed: int) -> list[Case]:
    rng = np.random.default_rng([seed, 153])
    dim = 4 if seed == 0 else int(rng.integers(5, 9))

    def case(name, along, hint, *, off=0.0, flat=False):
        server, direction = rng.normal(size=dim), rng.normal(size=dim)
        curvature = np.ones(dim) if flat else rng.uniform(0.1, 5, dim)
        aside = rng.normal(size=dim)
        aside -= direction * np.sum(curvature * aside * direction) / np.sum(curvature * direction**2)
        target = server + along * direction + off * aside
        best = min(max(along, 0.0), 1.0)
        arguments = (server, server + direction, target, curvature)
        return Case(name, arguments, near(best, tolerance=2e-6), visible(best, seed, "a number from 0 to 1"), hint)

    inside = round(float(rng.uniform(0.15, 0.45)), 4) + 3.7e-5  # between the points of a fine grid
    server = rng.normal(size=dim)
    nothing = (server, server.copy(), rng.normal(size=dim), rng.uniform(0.1, 5, dim))
    return [
        case("the best lies on the line", inside, "0 is the global model, 1 the local one", flat=True),
        case("it lies beside the line", 1 - inside / 2, "set the derivative to 0", off=1.0, flat=True),
        case("some weights matter more", inside, "the curvature weights each square", off=1.0),
        case("beyond the local model", 1 + inside, "at most the local model", off=0.5),
        case("on the other side", -inside, "at least the global model", off=0.5),
        Case("two equal models", nothing, near(0.0), "0", "0 / 0: any mixture is the same; take the global model"),
    ]


def _predict_with_shares(seed: int) -> list[Case]:
    rng = np.random.default_rng([seed, 154])
    num_classes = 4 if seed == 0 else int(rng.integers(5, 9))

    def case(name, own, everyone, hint):
        """`everyone`: the counts over all clients, this one included."""
        # Which class is right is drawn first; the scores are what the global model must then have said.
        answer = rng.integers(0, num_classes, 30)
        corrected = rng.uniform(0, 0.5, [30, num_classes])
        corrected[np.arange(30), answer] = 0.7
        scores = corrected - np.log1p(own) + np.log1p(everyone) + rng.normal(size=[30, 1])
        arguments = (scores, own.astype(np.int64), everyone.astype(np.int64))
        return Case(name, arguments, equal(answer), visible(answer, seed, "30 classes"), hint)

    def skewed(total):
        return np.round(total * rng.permutation(np.geomspace(1, 60, num_classes)) / 60)

    balanced = np.full(num_classes, 1000.0)
    few, own, many, lacking = skewed(90), skewed(90), skewed(3000), skewed(40)
    lacking[: num_classes // 2] = 0
    nobody = balanced + lacking
    nobody[0] = 0
    hints = [
        "add logarithms, not shares",
        "the model knows the shares of all already",
        "own share over the share of all, this client included",
        "count one example more of each class",
        "count one example more of each class, over all clients, too",
    ]
    return [
        case("classes that are equally common over all", few, balanced, hints[0]),
        case("a class that all have in plenty", own, own + skewed(3000), hints[1]),
        case("a client with many examples", many, many + balanced, hints[2]),
        case("classes that the client has never seen", lacking, lacking + balanced, hints[3]),
        case("a class that nobody has seen", lacking, nobody, hints[4]),
    ]


def _choose_epochs(seed: int) -> list[Case]:
    rng = np.random.default_rng([seed, 155])
    num_clients = 4 if seed == 0 else 2 ** int(rng.integers(3, 5))

    def accuracies(mean, lost=0):
        """Multiples of 1/64 with this mean (in 64ths): with 2**k clients, equal means are equal to the last bit.

        One client loses `lost`, and all share the gain, so that neither the median nor an extreme tells the mean.
        """
        steps = rng.integers(1, 9, num_clients // 2)
        values = rng.permutation(np.concatenate([mean + steps, mean - steps])) + lost // num_clients
        values[np.argmin(values)] -= lost
        return values / 64

    def case(name, epochs, validation, test, chosen, hint, *, unjust=None, majority=False):
        """`unjust`: the row that is worst for one client; `majority`: row 1 is row 0, better for all but one."""
        valid = np.stack([accuracies(m, 32 * (row == unjust)) for row, m in enumerate(validation)])
        judged = np.stack([accuracies(m, 16) for m in test])
        if majority:
            valid[1] = valid[0] + 1 / 64
            valid[1, np.argmin(valid[0])] -= 2 * num_clients / 64
        expected = (chosen, test[epochs.index(chosen)] / 64)
        arguments = ([int(e) for e in epochs], valid, judged)
        return Case(name, arguments, near(expected), visible(expected, seed, "a number of epochs, an accuracy"), hint)

    many = 10 if seed == 0 else int(rng.integers(6, 30))
    top = 44 if seed == 0 else int(rng.integers(40, 48))
    return [
        case(
            "both agree",
            [0, 1, many],
            [top - 9, top, top - 4],
            [top - 8, top - 1, top - 5],
            1,
            "the number of epochs, not its place",
            unjust=1,
        ),
        case(
            "the test images disagree",
            [0, 1, many],
            [top, top - 3, top - 6],
            [top - 8, top - 5, top - 2],
            0,
            "what judges must not choose",
        ),
        case(
            "epochs in any order",
            [many, 0, 2],
            [top - 4, top - 6, top],
            [top - 6, top - 4, top - 3],
            2,
            "row i belongs to epochs[i]",
        ),
        case(
            "a tie",
            [many, 3, many + 2, 1],
            [top, top, top, top - 5],
            [top - 2, top - 7, top - 3, top - 1],
            3,
            "the fewest epochs that do",
        ),
        case(
            "one client that loses",
            [0, many],
            [top, top - 1],
            [top - 2, top - 4],
            0,
            "the mean over clients decides, whatever the typical client says",
            majority=True,
        ),
    ]


EXERCISES = [
    Exercise(id=f"15.{name}", points=points, title=title, cases=cases, wrong_answers=WRONG_ANSWERS[name])
    for name, points, title, cases in [
        (
            "fairness_report",
            4,
            "Who gains and who loses",
            weighted(_fairness_report, {"a round number of clients": 0.5}),
        ),
        (
            "ditto_step",
            3,
            "Ditto's personal step",
            weighted(_ditto_step, {"all alone": 0.5, "at the global model": 0.5}),
        ),
        ("best_mix", 4, "Between global and local", weighted(_best_mix, {"two equal models": 0})),
        ("predict_with_shares", 3, "A client's own class shares", _predict_with_shares),
        ("choose_epochs", 4, "How many epochs, honestly", weighted(_choose_epochs, {"both agree": 0.5})),
    ]
]
