"""Distributed DP's integers: the ring holds the noise that is really drawn, and rounding moves no client too far."""

import math
import re

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_federated as tff
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import stats

import fedlearn_edu as fl
from fedlearn_edu.learning.aggregators.integer_ring import choose_fixed_point
from fedlearn_edu.learning.aggregators.skellam_mean import SkellamMeanQuery, round_at_random, skellam_mean_factory

SIZE, CLIENTS = 16_384, 20
LINEAR_HEAD = {"noise_multiplier": 1.0, "clients_per_round": CLIENTS, "clip_norm": 0.5, "num_coordinates": SIZE}


def aggregate(values, **arguments):
    """The mean as the server gets it, and the standard deviation that is reported for its noise."""
    fl.start_runtime()
    factory = skellam_mean_factory(clients_per_round=len(values), seed=3, **arguments)
    process = factory.create(tff.TensorType(np.float32, [len(values[0])]))
    output = process.next(process.initialize(), list(values))
    return np.asarray(output.result), float(output.measurements["hd"]["dp_query_metrics"]["noise_stddev"])


@pytest.mark.parametrize(("noise_multiplier", "bits"), [(0.1, 8), (1.0, 11), (1.0, 12), (1.0, 20)])
def test_the_drawn_noise_is_the_reported_one_and_nothing_folds(noise_multiplier, bits):
    """With the clients' values all alike and far beyond the clip norm, which fills the ring as far as values can."""
    spike = np.zeros([CLIENTS, SIZE], np.float32)
    # Clipping makes them alike; but they are not the same bits, so that each client draws noise of its own.
    spike[:, 7] = 10 + np.arange(CLIENTS)
    found, stddev = aggregate(spike, noise_multiplier=noise_multiplier, bits=bits, clip_norm=0.5)
    error = found - np.float32(0.5) * (np.arange(SIZE) == 7)
    scale = choose_fixed_point(**LINEAR_HEAD | {"noise_multiplier": noise_multiplier, "bits": bits}).scale
    # Rounding adds less than sqrt(clients) / 2 units to the sum: less than the tolerance, except at 8 bits.
    most = math.hypot(stddev, math.sqrt(CLIENTS) / 2 / scale / CLIENTS)
    assert most < (1.01 if bits > 8 else 1.03) * stddev
    assert stddev * 0.98 < np.std(error) < most * 1.02
    assert abs(error[7]) < 5 * stddev


@pytest.mark.parametrize(
    ("bits", "clients", "noise_multiplier"),
    [(11, 20, 1.0), (12, 20, 1.0), (20, 20, 1.0), (14, 60, 1.0), (8, 20, 0.1)],
)
def test_no_coordinate_of_the_integers_leaves_the_ring(bits, clients, noise_multiplier):
    """The sum before it is taken modulo the ring, of values as a rotation at random leaves them."""
    setting = LINEAR_HEAD | {"clients_per_round": clients, "noise_multiplier": noise_multiplier, "bits": bits}
    chosen, rng = choose_fixed_point(**setting), np.random.default_rng(bits)
    query = SkellamMeanQuery(chosen, clients=clients, clip_norm=0.5, seed=1)
    signs = rng.choice([-1, 1], SIZE).astype(np.float32)  # a spike, rotated: the same for all clients
    total = np.zeros(SIZE, np.int64)
    for client in range(clients):
        record = tf.constant(signs * np.float32(1 + client / 1000))
        total += query.preprocess_record(query.initial_global_state(), record).numpy()
    signal = signs * clients * chosen.scale * 0.5 / math.sqrt(SIZE)
    assert np.abs(total).max() < 2 ** (bits - 1)
    # Rounding adds less than sqrt(clients) / 2 to what is reported.
    assert (
        chosen.noise_stddev * 0.98 < np.std(total - signal) < math.hypot(chosen.noise_stddev, clients**0.5 / 2) * 1.02
    )


@pytest.mark.parametrize("bits", [8, 9, 10, 12, 16, 22])
@pytest.mark.parametrize("dim", [8, 1024])
@pytest.mark.parametrize("noise_multiplier", [0.05, 0.5])
def test_the_stated_probability_bounds_that_of_the_distribution_itself(bits, dim, noise_multiplier):
    """All clients send the same spike, so that a coordinate of the sum is one of two numbers plus noise."""
    chosen = choose_fixed_point(
        noise_multiplier=noise_multiplier, clients_per_round=3, clip_norm=2.0, num_coordinates=dim, bits=bits
    )
    variance = chosen.noise_stddev**2
    room = 2 ** (bits - 1) - 1 - 3 * 2.0 * chosen.scale / math.sqrt(dim)
    assert room > 0
    if variance < 1e9:  # beyond, SciPy's Skellam distribution is no longer exact; there it is as good as normal
        tail = stats.skellam(variance / 2, variance / 2).sf(math.floor(room))
    else:
        tail = stats.norm(0, chosen.noise_stddev).sf(room)
    assert 2 * dim * tail < 1e-9
    assert chosen.l2_sensitivity <= 2 * 2.0 * chosen.scale


@pytest.mark.parametrize(("bits", "ratio"), [(11, 1.2163), (12, 1.0523), (14, 1.0058), (20, 1.00006)])
def test_few_bits_cost_noise_as_stated(bits, ratio):
    chosen = choose_fixed_point(**LINEAR_HEAD, bits=bits)
    assert chosen.noise_stddev / (chosen.scale * 0.5) == pytest.approx(ratio, abs=6e-5)


@pytest.mark.parametrize("bits", [8, 10])
def test_too_few_bits_are_refused_with_the_fewest_that_are_enough(bits):
    model = fl.linear_head(_wide_features())
    setting = {"noise_multiplier": 1.0, "clients_per_round": 20, "population": 20, "sampling": "all"}
    message = rf"^bits: expected at least 11 for 16,384 coordinates, 20 clients .*, got {bits}$"
    with pytest.raises(fl.UsageError, match=message):
        fl.build_distributed_dp_fed_avg(model, bits=bits, **setting)
    with pytest.raises(fl.UsageError, match=message):
        skellam_mean_factory(noise_multiplier=1.0, clients_per_round=20, bits=bits).create(
            tff.TensorType(np.float32, [12_810])
        )


def test_where_no_ring_is_large_enough_the_advice_is_another():
    with pytest.raises(fl.UsageError, match=r"^bits: expected more than the 22 there may be .* take less noise, fewer"):
        choose_fixed_point(**LINEAR_HEAD | {"noise_multiplier": 1e5}, bits=20)


@settings(max_examples=25, deadline=None)
@given(
    noise_multiplier=st.floats(1e-9, 30),
    clients=st.integers(1, 5000),
    log_dim=st.integers(0, 24),
    clip_norm=st.floats(1e-6, 1e6),
    bits=st.integers(8, 22),
)
def test_any_setting_is_chosen_well_or_refused_in_one_line(noise_multiplier, clients, log_dim, clip_norm, bits):
    setting = {
        "noise_multiplier": noise_multiplier,
        "clients_per_round": clients,
        "clip_norm": clip_norm,
        "num_coordinates": 2**log_dim,
    }
    chosen, fewest = None, bits
    while chosen is None:
        try:
            chosen = choose_fixed_point(**setting, bits=fewest)
        except fl.UsageError as refusal:
            line = str(refusal)
            found = re.fullmatch(
                r"bits: expected (?:at least (\d+)|more than the 22 .*) for .*, got \d+(; take .*)?", line
            )
            if not found[1]:
                return
            assert int(found[1]) > fewest == bits  # at least one more, and that many are enough
            fewest = int(found[1])
    if fewest > bits:
        with pytest.raises(fl.UsageError):
            choose_fixed_point(**setting, bits=fewest - 1)
    units = clip_norm * chosen.scale
    assert units < chosen.l2_sensitivity <= 2 * units * (1 + 1e-9)
    assert chosen.l1_sensitivity < 2**31
    # Five deviations of everything that is added up have room at the very least.
    deviation = math.hypot(chosen.noise_stddev, clients * units / math.sqrt(2**log_dim), math.sqrt(clients) / 2)
    assert 5 * deviation < 2 ** (fewest - 1)


VECTORS = st.integers(1, 40).flatmap(
    lambda dim: arrays(np.float32, dim, elements=st.floats(-50, 50, width=32) | st.sampled_from([0.5, -0.5, 7.5, 0.0]))
)


@settings(max_examples=40, deadline=None)
@given(VECTORS, st.integers(0, 2**31 - 1), st.floats(0, 3))
def test_rounding_keeps_to_the_norm_whatever_is_sent(vector, seed, slack):
    bound = float(np.linalg.norm(vector.astype(np.float64))) + slack
    found = round_at_random(tf.constant(vector), seed=[seed, 1], l2_bound=bound).numpy()
    assert found.dtype == np.int32
    assert np.linalg.norm(found.astype(np.float64)) <= bound + 1e-9
    assert np.abs(found - vector.astype(np.float64)).max() < 1


def test_rounding_is_right_on_average_and_whole_numbers_stay():
    vector = np.tile(np.array([0.25, -1.75, 3.0, 0.0, -0.5], np.float32), 20_000)
    found = round_at_random(tf.constant(vector), seed=[0, 1], l2_bound=1e9).numpy().reshape(-1, 5)
    np.testing.assert_allclose(found.mean(axis=0), [0.25, -1.75, 3, 0, -0.5], atol=0.02)
    assert (found[:, 2] == 3).all()
    assert not found[:, 3].any()


@pytest.mark.parametrize("dim", [64, 4096])
@pytest.mark.parametrize("shape", ["halves", "spike", "dense"])
def test_rounding_hardly_ever_has_to_truncate(dim, shape):
    """Also for the vectors that rounding makes longest; the bound is that of the fixed point."""
    chosen = choose_fixed_point(noise_multiplier=0.3, clients_per_round=5, clip_norm=1.0, num_coordinates=dim, bits=10)
    vector = np.full(dim, 0.5)
    if shape == "spike":
        vector[1:] = 0
    elif shape == "dense":
        vector = np.random.default_rng(0).normal(size=dim)
    vector *= min(chosen.scale / np.linalg.norm(vector), 1 if shape == "halves" else math.inf)
    for seed in range(50):
        found = round_at_random(tf.constant(vector, tf.float32), seed=[seed, 1], l2_bound=chosen.l2_sensitivity)
        assert np.linalg.norm(found) <= chosen.l2_sensitivity
        truncated = np.array_equal(found, np.trunc(vector))
        assert not truncated or shape == "spike"


def _wide_features():
    split = fl.ClientSplit(train=np.array([0]), test=np.array([1]))
    names = tuple("abcdefghij")
    return fl.FederatedDataset("wide", np.zeros([2, 1280], np.float32), np.zeros(2, np.int32), names, {"one": split})
