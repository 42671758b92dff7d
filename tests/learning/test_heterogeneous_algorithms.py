"""Algorithms for unlike clients: each against its paper in NumPy, and against FedAvg where it must be FedAvg."""

import functools

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_federated as tff
from numpy_reference import (
    BATCH,
    TOLERANCE,
    client_batches,
    gradient,
    mean_loss,
    reference_client,
    run_tff,
    start_weights,
)

import fedlearn_edu as fl
from fedlearn_edu.engine import runtime

LR = 0.3
ROUNDS = 3
BUILDS = {
    "fed_prox": functools.partial(fl.build_fed_prox, proximal_strength=0.7, client_lr=LR),
    "fed_adam": functools.partial(fl.build_fed_adam, client_lr=LR, server_lr=0.05),
    "fed_yogi": functools.partial(fl.build_fed_yogi, client_lr=LR, server_lr=0.05, beta_2=0.9),
    "fed_adagrad": functools.partial(fl.build_fed_adagrad, client_lr=LR, beta_1=0.5, tau=0.01),
    "mime_lite": functools.partial(fl.build_mime_lite, client_lr=LR, momentum=0.8, server_lr=0.9),
    "q_fed_avg": functools.partial(fl.build_q_fed_avg, client_lr=LR, q=2.5, server_lr=0.9),
    "fed_nova": functools.partial(fl.build_fed_nova, client_lr=LR),
}


@pytest.fixture(scope="module")
def process_of(features):
    """Builds each process once; TFF compiles it at the first round."""
    return functools.cache(lambda name: BUILDS[name](fl.linear_head(features)))


@pytest.fixture(scope="module")
def weighted_fed_avg(features):
    process = fl.build_weighted_fed_avg(fl.linear_head(features), client_lr=LR)
    return functools.partial(run_tff, process, features, num_rounds=ROUNDS, batch_size=BATCH)


def deltas_of(features, weights, **kwargs):
    """Trained - initial of every client, its examples, and its number of local steps."""
    deltas = [reference_client(weights, *features.train(c), LR, BATCH, **kwargs) for c in features.client_ids]
    sizes = np.array([len(features.clients[c].train) for c in features.client_ids])
    return np.array(deltas), sizes, -(-sizes // BATCH)


def reference_fed_prox(features):
    w = start_weights(features)
    for _ in range(ROUNDS):
        deltas, sizes, _ = deltas_of(features, w, extra_gradient=lambda local, w=w: 0.7 * (local - w))
        w = w + np.average(deltas, axis=0, weights=sizes)
    return w


def reference_fed_opt(features, second_moment, *, server_lr, beta_1, tau=1e-3):
    """Algorithm 2 of Reddi et al., in its signs: Delta = trained - initial."""
    w = start_weights(features)
    m, v = np.zeros_like(w), np.full_like(w, tau**2)
    for _ in range(ROUNDS):
        delta = np.mean(deltas_of(features, w)[0], axis=0)
        m = beta_1 * m + (1 - beta_1) * delta
        v = second_moment(v, delta**2)
        w = w + server_lr * m / (np.sqrt(v) + tau)
    return w


def reference_mime_lite(features):
    """In the paper's form: m is a running average, and the learning rate is 1 / (1 - momentum) times TFF's."""
    w, beta = start_weights(features), 0.8
    m = np.zeros_like(w)
    for _ in range(ROUNDS):
        deltas, sizes, _ = deltas_of(features, w, extra_gradient=lambda _, m=m: beta * m / (1 - beta))
        full = [gradient((w[:-1], w[-1]), *features.train(c)) for c in features.client_ids]
        m = (1 - beta) * np.average(full, axis=0, weights=sizes) + beta * m
        w = w + 0.9 * np.average(deltas, axis=0, weights=sizes)
    return w


def reference_q_fed_avg(features):
    """Algorithm 2 of Li et al.: Delta_k = L (w - w_k), h_k = q F^(q-1) ||Delta_k||^2 + L F^q."""
    w, q, lipschitz = start_weights(features), 2.5, 1 / LR
    for _ in range(ROUNDS):
        delta = -lipschitz * deltas_of(features, w)[0]
        loss = np.array([mean_loss(w, *features.train(c)) for c in features.client_ids])
        h = q * loss ** (q - 1) * (delta**2).sum(axis=(1, 2)) + lipschitz * loss**q
        w = w - 0.9 * (loss[:, None, None] ** q * delta).sum(axis=0) / h.sum()
    return w


def reference_fed_nova(features):
    w = start_weights(features)
    for _ in range(ROUNDS):
        deltas, sizes, steps = deltas_of(features, w)
        assert len(set(steps)) > 2
        share = sizes / sizes.sum()
        w = w + (share @ steps) * np.tensordot(share, deltas / steps[:, None, None], axes=1)
    return w


REFERENCES = {
    "fed_prox": reference_fed_prox,
    "fed_adam": functools.partial(
        reference_fed_opt, second_moment=lambda v, d2: 0.99 * v + 0.01 * d2, server_lr=0.05, beta_1=0.9
    ),
    "fed_yogi": functools.partial(
        reference_fed_opt, second_moment=lambda v, d2: v - 0.1 * d2 * np.sign(v - d2), server_lr=0.05, beta_1=0.9
    ),
    "fed_adagrad": functools.partial(
        reference_fed_opt, second_moment=lambda v, d2: v + d2, server_lr=0.1, beta_1=0.5, tau=0.01
    ),
    "mime_lite": reference_mime_lite,
    "q_fed_avg": reference_q_fed_avg,
    "fed_nova": reference_fed_nova,
}


@pytest.mark.parametrize("name", REFERENCES)
def test_is_the_papers_algorithm(features, process_of, weighted_fed_avg, name):
    """Three rounds on clients of different sizes and numbers of local steps."""
    expected = REFERENCES[name](features)
    got = run_tff(process_of(name), features, features.client_ids, num_rounds=ROUNDS, batch_size=BATCH)
    np.testing.assert_allclose(got, expected, atol=TOLERANCE)
    assert np.abs(expected).max() > 0.05
    assert np.abs(expected - weighted_fed_avg(features.client_ids)).max() > 1000 * TOLERANCE


def test_fed_prox_without_strength_and_mime_lite_without_momentum_are_fed_avg(features, weighted_fed_avg):
    expected = weighted_fed_avg(features.client_ids)
    run = functools.partial(run_tff, features=features, client_ids=features.client_ids, batch_size=BATCH)
    prox = fl.build_fed_prox(fl.linear_head(features), proximal_strength=0, client_lr=LR)
    np.testing.assert_array_equal(run(prox, num_rounds=ROUNDS), expected)
    mime = fl.build_mime_lite(fl.linear_head(features), momentum=0, client_lr=LR)
    np.testing.assert_allclose(run(mime, num_rounds=ROUNDS), expected, atol=TOLERANCE)


def test_tffs_own_fed_prox_pushes_away(features):
    """Why `build_fed_prox` is not built on it; once this fails, TFF has mended the sign of its proximal term."""
    process = tff.learning.algorithms.build_unweighted_fed_prox(
        fl.linear_head(features), 0.7, tff.learning.optimizers.build_sgdm(LR)
    )
    start = start_weights(features)
    first = features.client_ids[0]
    mended, pushed = (
        reference_client(start, *features.train(first), LR, BATCH, extra_gradient=lambda w, mu=mu: mu * (w - start))
        for mu in (0.7, -0.7)
    )
    got = run_tff(process, features, [first], num_rounds=1, batch_size=BATCH)
    np.testing.assert_allclose(got, pushed, atol=TOLERANCE)
    assert np.abs(got - mended).max() > 1000 * TOLERANCE


def test_q_fed_avg_at_0_is_unweighted_fed_avg(features):
    builds = [functools.partial(fl.build_q_fed_avg, q=0), fl.build_unweighted_fed_avg]
    results = [
        run_tff(
            build(fl.linear_head(features), client_lr=LR),
            features,
            features.client_ids,
            num_rounds=ROUNDS,
            batch_size=BATCH,
        )
        for build in builds
    ]
    np.testing.assert_allclose(*results, atol=TOLERANCE)


def test_fed_nova_with_equal_steps_is_weighted_fed_avg(features, process_of, weighted_fed_avg):
    client_ids = features.client_ids[:2]
    assert [len(features.clients[c].train) for c in client_ids] == [12, 15]  # 3 steps each, of unlike weight
    got = run_tff(process_of("fed_nova"), features, client_ids, num_rounds=ROUNDS, batch_size=BATCH)
    np.testing.assert_allclose(got, weighted_fed_avg(client_ids), atol=TOLERANCE)


@pytest.mark.parametrize("name", ["q_fed_avg", "fed_nova"])
def test_a_client_whose_training_diverges_does_not_count(features, process_of, name):
    process = process_of(name)
    data = client_batches(features, features.client_ids[:2])
    broken = data[0].map(lambda x, y: (x * float("nan"), y))
    state = process.initialize()
    states = [process.next(state, clients).state for clients in ([*data, broken], data)]
    for got, expected in zip(*(process.get_model_weights(s).trainable for s in states), strict=True):
        np.testing.assert_allclose(got, expected, atol=TOLERANCE)
        assert np.abs(expected).max() > 0.01


@pytest.mark.parametrize("name", ["fed_prox", "mime_lite", "q_fed_avg", "fed_nova"])
def test_merged_client_work_changes_nothing(features, process_of, name, monkeypatch):
    """As our runtime compiles it, and as TFF does: equal bit for bit."""
    process = process_of(name)
    data = client_batches(features, features.client_ids[:3])
    worker = fl.start_runtime()
    merged = process.next(process.initialize(), data)
    monkeypatch.setattr(runtime, "compile_for_worker", tff.backends.native.desugar_and_transform_to_native)
    previous = tff.framework.get_context_stack().current
    tff.framework.set_default_context(runtime.RuntimeContext(worker))
    try:
        native = process.next(process.initialize(), data)
    finally:
        tff.framework.set_default_context(previous)
    pairs = zip(tf.nest.flatten(merged), tf.nest.flatten(native), strict=True)
    assert all(np.array_equal(a, b) for a, b in pairs)


@pytest.mark.parametrize("name", BUILDS)
def test_run_rounds_drives_it(features, process_of, name):
    history = fl.run_rounds(
        process_of(name),
        features,
        num_rounds=2,
        clients_per_round=3,
        batch_size=BATCH,
        evaluate_every=2,
        progress=False,
    )
    assert history.status == "finished"
    assert history.global_metrics()["train_loss"][2] < np.log(3)  # better than guessing
    settings = history.settings["process"]
    assert settings["algorithm"] == name
    assert BUILDS[name].keywords.items() <= settings["hyperparameters"].items()


def test_hyperparameters_are_found_by_tff(features, process_of):
    process = process_of("fed_adam")
    state = process.initialize()
    hparams = process.get_hparams(state)
    assert hparams["finalizer"] == pytest.approx({"learning_rate": 0.05, "beta_1": 0.9, "beta_2": 0.99, "tau": 1e-3})
    hparams["finalizer"]["learning_rate"] = np.float32(0.5)
    assert process.get_hparams(process.set_hparams(state, hparams))["finalizer"]["learning_rate"] == 0.5


@pytest.mark.parametrize(
    ("build", "kwargs", "message"),
    [
        (fl.build_fed_prox, {"proximal_strength": -0.1}, "expected a finite number of at least 0, got -0.1"),
        (fl.build_fed_prox, {"proximal_strength": float("nan")}, "expected a finite number of at least 0, got nan"),
        (fl.build_fed_adam, {"beta_1": 1.0}, r"expected a number of at least 0 and below 1 \(try 0.9\), got 1.0"),
        (fl.build_fed_adam, {"beta_2": -0.5}, "expected a number of at least 0 and below 1 .*, got -0.5"),
        (fl.build_fed_yogi, {"beta_2": 1}, "expected a number of at least 0 and below 1 .*, got 1"),
        (fl.build_fed_adagrad, {"beta_1": "much"}, "expected a number of at least 0 and below 1 .*, got 'much'"),
        (fl.build_fed_yogi, {"tau": 0}, r"expected a finite number above 0 \(try 0.001\), got 0"),
        (fl.build_mime_lite, {"momentum": 1.5}, "expected a number of at least 0 and below 1 .*, got 1.5"),
        (fl.build_mime_lite, {"momentum": True}, "expected a number of at least 0 and below 1 .*, got True"),
        (fl.build_q_fed_avg, {"q": -1}, "expected a finite number from 0 to 20, got -1"),
        (fl.build_q_fed_avg, {"q": 21}, "expected a finite number from 0 to 20, got 21"),
    ]
    + [
        (getattr(fl, f"build_{name}"), {rate: 0}, r"expected a number above 0 and at most 100 \(try 0.1\), got 0")
        for name in BUILDS
        for rate in ("client_lr", "server_lr")
    ],
)
def test_arguments_are_checked(features, build, kwargs, message):
    (name,) = kwargs
    with pytest.raises(fl.UsageError, match=f"^{name}: {message}$"):
        build(fl.linear_head(features), **kwargs)
