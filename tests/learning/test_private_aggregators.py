"""Clipping, noise and refusals of the private aggregators, on values whose answer is known."""

import math

import numpy as np
import pytest
import tensorflow_federated as tff

import fedlearn_edu as fl
from fedlearn_edu.learning.aggregators.gaussian_mean import gaussian_mean_factory, split_noise
from fedlearn_edu.learning.aggregators.local_noise_mean import local_noise_mean_factory
from fedlearn_edu.learning.aggregators.secure_mean import secure_mean_factory
from fedlearn_edu.learning.aggregators.seeded_queries import seeded_normal_like
from fedlearn_edu.learning.aggregators.skellam_mean import skellam_mean_factory
from fedlearn_edu.learning.aggregators.tree_mean import tree_mean_factory

LARGE, SMALL = 150_000, 3


def aggregation(factory, size):
    """A process over two tensors, `[size]` and `[2, 2]`, with the runtime started."""
    fl.start_runtime()
    return factory.create(tff.to_type([(np.float32, [size]), (np.float32, [2, 2])]))


def value(first, second=0.0):
    return [np.asarray(first, np.float32), np.full([2, 2], second, np.float32)]


def flat(result):
    return np.concatenate([np.ravel(part) for part in result])


def metrics_of(output):
    found = output.measurements.get("hd", output.measurements)["dp_query_metrics"]
    return float(found["clip_norm"]), float(found["noise_stddev"])


@pytest.mark.parametrize(
    ("build", "stddev"),
    [
        (gaussian_mean_factory, 0.7 * 2 / 4),
        (tree_mean_factory, 0.7 * 2 / 4),  # of the first round: one node
        (local_noise_mean_factory, 0.7 * 2 / math.sqrt(4)),
        (skellam_mean_factory, 0.7 * 2 / 4),
    ],
)
def test_noise_has_the_stated_standard_deviation_and_is_new_in_every_round(build, stddev):
    process = aggregation(build(noise_multiplier=0.7, clients_per_round=4, clip_norm=2.0, seed=1), LARGE)
    clients = [value(np.full(LARGE, i * 1e-9)) for i in range(4)]  # of no weight, but not the same bits
    first = process.next(process.initialize(), clients)
    again = process.next(process.initialize(), clients)
    second = process.next(first.state, clients)
    assert np.std(flat(first.result)) == pytest.approx(stddev, rel=0.02)
    assert abs(np.mean(flat(first.result))) < 5 * stddev / math.sqrt(LARGE)
    assert metrics_of(first) == pytest.approx((2.0, stddev), rel=0.02)
    np.testing.assert_array_equal(flat(first.result), flat(again.result))
    new = flat(second.result)
    assert abs(np.corrcoef(flat(first.result), new)[0, 1]) < (0.02 if build is not tree_mean_factory else 0.9)


def test_seeds_streams_and_rounds_have_noise_of_their_own():
    zeros = [np.zeros(5000, np.float32), np.zeros(5000, np.float32)]
    noises = [
        noise.numpy()
        for seed in (0, 1)
        for stream in (0, 1)
        for round_num in (0, 1, 2)
        for noise in seeded_normal_like(zeros, stddev=1.0, seed=seed, stream=stream, round_num=round_num)
    ]
    correlation = np.corrcoef(noises) - np.eye(len(noises))
    assert len(noises) == 24
    assert np.abs(correlation).max() < 5 / math.sqrt(5000)


def test_noise_of_the_sum_over_rounds_stays_small_with_a_tree():
    process = aggregation(tree_mean_factory(noise_multiplier=1.0, clients_per_round=1, seed=3), LARGE)
    state, total, stddevs = process.initialize(), 0.0, []
    for _ in range(4):
        output = process.next(state, [])
        state, total = output.state, total + output.result[0]
        stddevs.append(np.std(total))
    # Honaker: a node of height h, estimated from all nodes below it, has variance 1 / (2 - 2**-h).
    expected = [1, math.sqrt(2 / 3), math.sqrt(2 / 3 + 1), math.sqrt(4 / 7)]
    assert stddevs == pytest.approx(expected, rel=0.02)


def test_one_client_moves_the_mean_by_the_clip_norm_over_the_expected_cohort_at_most():
    process = aggregation(gaussian_mean_factory(noise_multiplier=1.0, clients_per_round=5, clip_norm=2.0), SMALL)
    others = [value([1, 0, 0]), value([0.1, 3, 0])]
    without = flat(process.next(process.initialize(), others).result)
    for outlier in ([1e6, -1e6, 3.0], [0, 0, 1e15], [1, 0, 0], [1e30, 1e30, 0], [np.nan, 1, 2], [np.inf, 0, 0]):
        with_it = flat(process.next(process.initialize(), [*others, value(outlier, 7.0)]).result)
        moved = np.linalg.norm(with_it - without)
        assert moved <= 2.0 / 5 * (1 + 1e-5)
        if not np.isfinite(outlier).all() or max(outlier) > 1e20:
            assert moved == 0  # not finite, or its norm is not: counts as zero
        elif max(outlier) > 1:
            assert moved == pytest.approx(2.0 / 5, rel=1e-4)


@pytest.mark.parametrize("build", [gaussian_mean_factory, tree_mean_factory, local_noise_mean_factory])
def test_hardly_any_noise_and_a_large_clip_norm_is_the_plain_mean(build):
    process = aggregation(build(noise_multiplier=1e-12, clients_per_round=3, clip_norm=100.0), SMALL)
    clients = [value([1, 2, 3], 4), value([0, -2, 5], 0), value([9, 0, 0], -1)]
    result = flat(process.next(process.initialize(), clients).result)
    np.testing.assert_allclose(result, np.mean([flat(c) for c in clients], axis=0), rtol=1e-6, atol=1e-6)


def test_fixed_point_and_rotation_give_the_plain_mean_back():
    process = aggregation(skellam_mean_factory(noise_multiplier=1e-3, clients_per_round=2, clip_norm=10), SMALL)
    result = flat(process.next(process.initialize(), [value([1, 2, 3], 4), value([0, -2, 5])]).result)
    np.testing.assert_allclose(result, [0.5, 0, 4, 2, 2, 2, 2], atol=5 * 1e-3 * 10 / 2)
    not_finite = process.next(process.initialize(), [value([1, 2, 3], 4), value([0, np.nan, 5])]).result
    np.testing.assert_allclose(flat(not_finite), [0.5, 1, 1.5, 2, 2, 2, 2], atol=5 * 1e-3 * 10 / 2)


def test_adaptive_clip_norm_goes_to_the_quantile_and_repeats():
    factory = gaussian_mean_factory(noise_multiplier=0.1, clients_per_round=20, clip_norm=4.0, adaptive_clipping=True)
    process = aggregation(factory, SMALL)
    clients = [value([norm, 0, 0]) for norm in range(1, 21)]

    def clip_norms(num_rounds):
        state, norms = process.initialize(), []
        for _ in range(num_rounds):
            output = process.next(state, clients)
            state = output.state
            norms.append(metrics_of(output)[0])
        return norms

    norms = clip_norms(40)
    assert norms[0] == 4.0  # that of the round itself, not of the next one
    assert norms[1] > norms[0]
    assert norms[-1] == pytest.approx(10, rel=0.2)  # half of the norms are at most 10
    assert norms[:5] == clip_norms(5)  # also the noise on the count is seeded


@pytest.mark.parametrize(("noise_multiplier", "clients"), [(0.5, 10), (1.0, 10), (1.0, 1000), (5.0, 100)])
def test_adaptive_clipping_costs_no_more_than_stated(noise_multiplier, clients):
    value_noise, count_stddev = split_noise(noise_multiplier, clients)
    # Two Gaussian mechanisms compose to one; the count (+-1/2 per client) has sensitivity 1/2.
    assert (value_noise**-2 + (0.5 / count_stddev) ** 2) ** -0.5 == pytest.approx(noise_multiplier)
    assert value_noise <= 1.16 * noise_multiplier


def test_adaptive_clipping_uses_both_noises():
    factory = gaussian_mean_factory(noise_multiplier=2.0, clients_per_round=10, clip_norm=3.0, adaptive_clipping=True)
    state = aggregation(factory, SMALL).initialize().query_state.numerator_state
    value_noise, count_stddev = split_noise(2.0, 10)
    assert float(state.sum_state.stddev) == pytest.approx(value_noise * 3)
    count = state.quantile_estimator_state.below_estimate_state.numerator_state
    assert float(count.stddev) == pytest.approx(count_stddev)


def test_secure_mean_is_the_plain_mean_to_the_fixed_point_step(secure_process):
    clients = [value([1, 2, 3.3], 4), value([0, -2, 5], 0.1), value([7.7, 0, 0], -1)]
    output = secure_process.next(secure_process.initialize(), clients)
    step = 2 * output.measurements["mean_value"]["secure_upper_threshold"] / (2**32 - 1)
    exact = np.mean([flat(c).astype(np.float64) for c in clients], axis=0)
    np.testing.assert_allclose(flat(output.result), exact, rtol=1e-7, atol=step)


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (8.1, r"^secure sum refused: 2 client\(s\) or more sent a value beyond the bound of 8 \(choose a larger"),
        (-1e9, r"^secure sum refused: 2 client\(s\) or more sent a value beyond the bound of 8 "),
        (np.nan, r"^secure sum refused: 2 client\(s\) sent a value that is not finite$"),
        (-np.inf, r"^secure sum refused: 2 client\(s\) sent a value that is not finite$"),
    ],
)
def test_what_does_not_fit_into_a_secure_sum_is_refused(secure_process, bad, message):
    with pytest.raises(fl.RunError, match=message):
        secure_process.next(secure_process.initialize(), [value([1, bad, 0]), value([bad, 1, 0]), value([1, 1, 1])])


@pytest.fixture(scope="module")
def secure_process():
    return aggregation(secure_mean_factory(value_bound=8.0), SMALL)


GOOD = {"noise_multiplier": 1.0, "clients_per_round": 4}


@pytest.mark.parametrize(
    "build", [gaussian_mean_factory, tree_mean_factory, local_noise_mean_factory, skellam_mean_factory]
)
@pytest.mark.parametrize(
    "bad",
    [
        {"noise_multiplier": 0},
        {"noise_multiplier": -1.0},
        {"noise_multiplier": float("nan")},
        {"noise_multiplier": "1"},
        {"clip_norm": 0.0},
        {"clip_norm": float("inf")},
        {"clients_per_round": 0},
        {"clients_per_round": 2.5},
        {"seed": -1},
    ],
    ids=str,
)
def test_bad_arguments_are_refused(build, bad):
    (name,) = bad
    with pytest.raises(fl.UsageError, match=f"^{name}: expected .*, got ") as error:
        build(**{**GOOD, **bad})
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("build", "bad"),
    [
        (gaussian_mean_factory, {"target_unclipped_quantile": 0.0}),
        (gaussian_mean_factory, {"target_unclipped_quantile": 1.0}),
        (tree_mean_factory, {"restart_every": 0}),
        (skellam_mean_factory, {"bits": 7}),
        (skellam_mean_factory, {"bits": 23}),
    ],
)
def test_bad_special_arguments_are_refused(build, bad):
    (name,) = bad
    with pytest.raises(fl.UsageError, match=f"^{name}: expected "):
        build(**{**GOOD, **bad})


@pytest.mark.parametrize("bound", [0, -1.0, float("nan"), "8"])
def test_bad_bounds_are_refused(bound):
    with pytest.raises(fl.UsageError, match=r"^value_bound: expected a finite number above 0"):
        secure_mean_factory(value_bound=bound)
