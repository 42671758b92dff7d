"""Epsilon: against dp-accounting called by hand, against each other, and what is refused."""

import itertools
import json
import math
import warnings

import dp_accounting
import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

import fedlearn_edu as fl
from fedlearn_edu.privacy import accounting, dp_events
from fedlearn_edu.privacy.accounting import (
    GaussianAccountant,
    LocalAccountant,
    TreeAccountant,
    check_clip_norm,
    default_delta,
    describe_guarantee,
    epsilon,
    epsilon_table,
    guarantee_label,
    largest_attack_accuracy,
    noise_multiplier_for,
)
from fedlearn_edu.simulation.cohorts import build_cohort_fn

REPLACE_ONE = dp_accounting.NeighboringRelation.REPLACE_ONE
REPLACE_SPECIAL = dp_accounting.NeighboringRelation.REPLACE_SPECIAL
gaussian = dp_accounting.GaussianDpEvent
repeated = dp_accounting.SelfComposedDpEvent

SETTING = {"noise_multiplier": 1.0, "num_rounds": 20, "population": 1000, "clients_per_round": 100, "delta": 1e-5}
NOISE_FREE = {name: value for name, value in SETTING.items() if name != "noise_multiplier"}


def pld(event, delta, interval=1e-3):
    return dp_accounting.pld.PLDAccountant(value_discretization_interval=interval).compose(event).get_epsilon(delta)


def rdp(event, delta, neighbours=dp_accounting.NeighboringRelation.ADD_OR_REMOVE_ONE):
    return dp_accounting.rdp.RdpAccountant(neighboring_relation=neighbours).compose(event).get_epsilon(delta)


# noise multiplier, rounds, population, cohort, delta
POISSON = [
    (1.0, 1, 1000, 100, 1e-5),
    (1.0, 20, 1000, 100, 1e-5),
    (1.0, 100, 1000, 100, 1e-5),
    (0.7, 20, 50, 10, 0.0135),
    (2.0, 30, 100, 10, 1e-3),
    (5.0, 10, 50, 25, 1e-3),
    (0.5, 50, 10_000, 20, 1e-6),
    (1.2, 1000, 1_000_000, 10_000, 1e-7),
    (0.3, 10, 100, 10, 1e-3),
    (10.0, 200, 500, 50, 1e-4),
    (3.0, 5, 40, 40, 1e-3),
]


@pytest.mark.parametrize(("noise", "rounds", "population", "cohort", "delta"), POISSON)
def test_poisson_is_dp_accountings_pld(noise, rounds, population, cohort, delta):
    event = repeated(dp_accounting.PoissonSampledDpEvent(cohort / population, gaussian(noise)), rounds)
    ours = epsilon(
        noise_multiplier=noise,
        num_rounds=rounds,
        population=population,
        clients_per_round=cohort,
        delta=delta,
    )
    assert ours == pytest.approx(pld(event, delta), rel=0.01)
    # Renyi DP is another way to a bound of the same thing, known to be somewhat looser.
    assert ours <= rdp(event, delta) * 1.001
    assert ours >= rdp(event, delta) * 0.6


@pytest.mark.parametrize(
    ("noise", "rounds", "population", "cohort", "delta"),
    [(1.0, 20, 1000, 10, 1e-5), (2.0, 100, 100_000, 1000, 1e-6), (4.0, 10, 50, 10, 1e-2)],
)
def test_fixed_size_is_dp_accountings_rdp_at_twice_the_sensitivity(noise, rounds, population, cohort, delta):
    event = dp_accounting.SampledWithoutReplacementDpEvent(population, cohort, gaussian(noise / 2))
    direct = min(
        rdp(repeated(event, rounds), delta, REPLACE_ONE),
        pld(repeated(gaussian(noise / 2), rounds), delta),  # as if the client took part in every round
    )
    ours = epsilon(
        noise_multiplier=noise,
        num_rounds=rounds,
        population=population,
        clients_per_round=cohort,
        delta=delta,
        sampling="fixed_size",
    )
    assert ours == pytest.approx(direct, rel=0.01)


@pytest.mark.parametrize(("noise", "rounds", "delta"), [(1.0, 1, 1e-5), (5.0, 100, 1e-5), (0.5, 10, 1e-3)])
def test_all_is_dp_accountings_gaussian(noise, rounds, delta):
    ours = epsilon(
        noise_multiplier=noise,
        num_rounds=rounds,
        population=100,
        clients_per_round=7,
        delta=delta,
        sampling="all",
    )
    assert ours == pytest.approx(pld(repeated(gaussian(noise), rounds), delta), rel=0.01)


@pytest.mark.parametrize(("rounds", "levels"), [(1, 1), (7, 3), (8, 4)])
def test_a_tree_visited_once_is_a_gaussian_per_level(rounds, levels):
    """10 rounds pass before a client's second turn; its first is below at most log2(rounds) + 1 nodes."""
    ours = TreeAccountant(3.0, 1000, 100, 1e-5).epsilon(rounds)
    by_hand = dp_accounting.ComposedDpEvent([gaussian(3.0)] * levels)
    assert ours == pytest.approx(pld(by_hand, 1e-5), rel=0.01)
    # dp-accounting knows the tree itself, by Renyi DP only
    event = dp_accounting.SingleEpochTreeAggregationDpEvent(3.0, rounds)
    bound = rdp(event, 1e-5, REPLACE_SPECIAL)
    assert bound == pytest.approx(rdp(by_hand, 1e-5))
    assert 0.7 * bound <= ours <= bound


def test_local_counts_turns_at_twice_the_sensitivity():
    every_round = LocalAccountant(4.0, 50, 10, 1e-3)
    assert every_round.epsilon(20) == pytest.approx(pld(repeated(gaussian(2.0), 20), 1e-3), rel=0.01)
    cyclic = LocalAccountant(4.0, 50, 10, 1e-3, sampling="cyclic")
    assert cyclic.epsilon(20) == pytest.approx(pld(repeated(gaussian(2.0), 4), 1e-3), rel=0.01)
    assert cyclic.epsilon(21) == cyclic.epsilon(25) > cyclic.epsilon(20)


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 40), st.integers(2, 30), st.data())
def test_tree_sensitivity_is_that_of_the_cohorts_drawn(num_rounds, population, data):
    """By brute force: every node of every tree, every client, the cohorts that run_rounds would draw."""
    cohort = data.draw(st.integers(1, population))
    restart = data.draw(st.none() | st.integers(1, num_rounds))
    length = restart or num_rounds
    draw = build_cohort_fn(list(range(population)), clients_per_round=cohort, seed=3, sampling="cyclic")
    present = np.zeros([population, num_rounds])
    for t in range(num_rounds):
        present[draw(t + 1), t] += 1
    assert present.max() == 1
    squares = np.zeros(population)
    for start in range(0, num_rounds, length):
        end = min(start + length, num_rounds)
        width = 1
        while start + width <= end:
            for first in range(start, end - width + 1, width):
                squares += present[:, first : first + width].sum(axis=1) ** 2
            width *= 2
    ours = dp_events.tree_sensitivity(num_rounds, population, cohort, restart)
    assert ours == pytest.approx(math.sqrt(squares.max()))
    assert ours <= dp_events._tree_sensitivity_bound(num_rounds, population, cohort, length) * (1 + 1e-9)


def test_tree_of_a_population_too_large_to_enumerate():
    few = TreeAccountant(8.0, 100_000, 1000, 1e-7).epsilon(500)
    many = TreeAccountant(8.0, 99_999_989, 1_000_000, 1e-9).epsilon(500)  # a prime: every client a pattern of its own
    assert few < many < 3 * few


@settings(max_examples=6, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    target=st.floats(0.3, 30),
    rounds=st.integers(1, 200),
    cohort=st.integers(1, 1000),
    sampling=st.sampled_from(["poisson", "all"]),
)
def test_noise_for_a_target_meets_it_closely(target, rounds, cohort, sampling):
    setting = {
        "num_rounds": rounds,
        "population": 1000,
        "clients_per_round": cohort,
        "delta": 1e-5,
        "sampling": sampling,
    }
    noise = noise_multiplier_for(target_epsilon=target, **setting)
    assert epsilon(noise_multiplier=noise, **setting) <= target
    assert epsilon(noise_multiplier=noise / 1.01, **setting) > target * 0.999


def test_noise_for_a_target_at_fixed_size():
    noise = noise_multiplier_for(target_epsilon=4.0, **NOISE_FREE, sampling="fixed_size")
    assert 3.9 < epsilon(noise_multiplier=noise, **NOISE_FREE, sampling="fixed_size") <= 4.0


@settings(max_examples=6, deadline=None)
@given(noise=st.floats(0.3, 5), rounds=st.integers(1, 100), cohort=st.integers(1, 80))
def test_monotone(noise, rounds, cohort):
    """More noise, fewer rounds, smaller cohorts and less claimed chance: each in its one direction."""
    setting = {"population": 100, "delta": 1e-3, "noise_multiplier": noise, "num_rounds": rounds}
    base = epsilon(**setting, clients_per_round=cohort)
    assume(base > 0.01)
    assert epsilon(**{**setting, "noise_multiplier": 1.1 * noise}, clients_per_round=cohort) < base
    assert epsilon(**{**setting, "num_rounds": 2 * rounds}, clients_per_round=cohort) > base
    assert epsilon(**setting, clients_per_round=cohort + 20) > base
    assert epsilon(**{**setting, "delta": 1e-4}, clients_per_round=cohort) > base
    assert epsilon(**setting, clients_per_round=cohort, sampling="all") > base


@pytest.mark.parametrize("sampling", ["poisson", "fixed_size", "all"])
def test_the_ledger_never_falls_and_begins_at_zero(sampling):
    accountant = GaussianAccountant(0.8, 50, 10, 1e-3, sampling)
    spent = [accountant.epsilon(t) for t in range(40)]
    assert spent[0] == 0
    assert all(a < b for a, b in itertools.pairwise(spent))
    assert spent[20] == epsilon(
        noise_multiplier=0.8, num_rounds=20, population=50, clients_per_round=10, delta=1e-3, sampling=sampling
    )


def test_almost_no_noise_is_a_number_still():
    for noise in (1e-2, 9e-3, 1e-4):
        assert 1e4 < epsilon(**{**SETTING, "noise_multiplier": noise}) < 1e10


def test_table():
    table = epsilon_table(
        noise_multipliers=[0.5, 1, 2],
        num_rounds=[0, 1, 20],
        population=1000,
        clients_per_round=100,
        delta=1e-5,
    )
    assert list(table.columns) == [0, 1, 20]
    assert list(table.index) == [0.5, 1, 2]
    assert (table[0] == 0).all()
    assert table.loc[1, 20] == epsilon(**SETTING)


def test_default_delta_is_below_one_in_population():
    for population in (2, 50, 10**6):
        assert 0.1 / population < default_delta(population) < 1 / population


NUMBER = "expected a finite number above 0"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"noise_multiplier": 0}, rf"^noise_multiplier: {NUMBER} \(try 1.0; without noise .*\), got 0$"),
        ({"noise_multiplier": -1.0}, rf"^noise_multiplier: {NUMBER}.* got -1.0$"),
        ({"noise_multiplier": math.nan}, rf"^noise_multiplier: {NUMBER}.* got nan$"),
        ({"noise_multiplier": math.inf}, rf"^noise_multiplier: {NUMBER}.* got inf$"),
        ({"noise_multiplier": "1"}, rf"^noise_multiplier: {NUMBER}.* got '1'$"),
        ({"delta": 0}, r"^delta: expected a number from 1e-12 to below 1 \(try .*0.0005\), got 0$"),
        ({"delta": -1e-5}, "^delta: expected .* got -1e-05$"),
        ({"delta": 1}, "^delta: expected .* got 1$"),
        ({"delta": math.nan}, "^delta: expected .* got nan$"),
        ({"clients_per_round": 1001}, r"^clients_per_round: expected at most the population \(1000\), got 1001"),
        ({"clients_per_round": 0}, "^clients_per_round: expected a whole number of at least 1, got 0$"),
        ({"clients_per_round": 1.5}, "^clients_per_round: expected a whole number of at least 1, got 1.5$"),
        ({"population": 1}, "^population: expected a whole number of at least 2, got 1$"),
        ({"num_rounds": -1}, "^num_rounds: expected a whole number of at least 0, got -1$"),
        ({"num_rounds": True}, "^num_rounds: expected a whole number of at least 0, got True$"),
        ({"sampling": "random"}, '^sampling: expected one of "poisson", "fixed_size", "all", got \'random\'$'),
    ],
)
def test_refused(change, message):
    with pytest.raises(fl.UsageError, match=message):
        epsilon(**{**SETTING, **change})
    setting = {**SETTING, **change}
    num_rounds = setting.pop("num_rounds")
    with pytest.raises(fl.UsageError, match=message):
        GaussianAccountant(**setting).epsilon(num_rounds)


@pytest.mark.parametrize("target", [0, -1, math.nan, math.inf, "8", 2000])
def test_targets_refused(target):
    with pytest.raises(fl.UsageError, match=r"^target_epsilon: expected a number above 0 and at most 1000"):
        noise_multiplier_for(target_epsilon=target, **NOISE_FREE)


def test_a_delta_that_needs_no_noise_is_refused():
    with (
        pytest.warns(UserWarning, match=r"above 1 / population"),
        pytest.raises(fl.UsageError, match=r"^delta: 0.5 is so large that epsilon 1 is met without any noise"),
    ):
        noise_multiplier_for(target_epsilon=1.0, num_rounds=1, population=1000, clients_per_round=10, delta=0.5)


def test_large_delta_warns_where_it_was_written():
    with pytest.warns(UserWarning, match=r"^delta: 0.1 is above 1 / population = 0.001; .* = 0.0005\)$") as caught:
        epsilon(**{**SETTING, "delta": 0.1})
    assert caught[0].filename == __file__
    with pytest.warns(UserWarning, match=r"above 1 / population") as caught:
        TreeAccountant(1.0, 1000, 100, 0.1)
    assert caught[0].filename == __file__
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        epsilon(**{**SETTING, "delta": 1e-3})


@pytest.mark.parametrize("value", [0, -1, math.nan, math.inf, None])
def test_clip_norm_refused(value):
    with pytest.raises(fl.UsageError, match=r"^clip_norm: expected a finite number above 0"):
        check_clip_norm(value)


def test_accountants_refuse_other_sampling_and_restarts():
    with pytest.raises(fl.UsageError, match=r"^sampling: expected one of \"cyclic\", got 'poisson'"):
        TreeAccountant(1.0, 100, 10, 1e-3, sampling="poisson")
    with pytest.raises(fl.UsageError, match=r"^restart_every: expected a whole number of at least 1, got 0"):
        TreeAccountant(1.0, 100, 10, 1e-3, restart_every=0)
    with pytest.raises(fl.UsageError, match=r"^noise_multiplier: "):
        LocalAccountant(0.0, 100, 10, 1e-3)


def test_accountants_are_values_that_json_can_hold():
    for accountant in (
        GaussianAccountant(np.float32(1), np.int64(100), 10, 1e-3),
        TreeAccountant(1, 100, 10, 1e-3, restart_every=4),
        LocalAccountant(1, 100, 10, 1e-3),
    ):
        described = accountant.describe()
        assert json.loads(json.dumps(described)) == described
        assert described["noise_multiplier"] == 1.0
        assert described["sampling"] == accountant.sampling
        assert "client" in described["neighbours"]


def test_labels_and_words():
    assert [guarantee_label(e) for e in (0, 1, 1.01, 10, 10.1, math.inf)] == [
        "strong",
        "strong",
        "reasonable",
        "reasonable",
        "no guarantee",
        "no guarantee",
    ]
    text = describe_guarantee(2.0, 1e-5)
    assert "reasonable" in text
    assert "trusted" in text
    assert "add or remove one client" in text
    assert "secret coin" in text
    for large in (50.0, 1e6, math.inf):
        assert "no guarantee. It does not rule out" in describe_guarantee(large, 1e-5, sampling="fixed_size")
    assert "the server included" in describe_guarantee(2.0, 1e-5, mechanism="local")
    assert "replace one client by another" in describe_guarantee(2.0, 1e-5, sampling="fixed_size")


def test_attack_bound_is_that_of_the_guarantee_line():
    """The best point under both lines TPR <= e^eps FPR + delta and 1 - FPR <= e^eps (1 - TPR) + delta, by search."""
    for eps, delta in [(0.0, 0.0), (1.0, 0.1), (3.0, 1e-5)]:
        fpr = np.linspace(0, 1, 200_001)
        tpr = np.minimum(np.exp(eps) * fpr + delta, 1 - np.exp(-eps) * (1 - fpr - delta)).clip(0, 1)
        assert largest_attack_accuracy(eps, delta) == pytest.approx(((1 + tpr - fpr) / 2).max(), abs=1e-5)
    assert largest_attack_accuracy(math.inf, 0.0) == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((-1.0, 1e-5), "^epsilon: expected a number of at least 0, got -1.0"),
        ((math.nan, 1e-5), "^epsilon: expected a number of at least 0, got nan"),
        ((1.0, 1.0), "^delta: expected a number from 0 to below 1, got 1.0"),
    ],
)
def test_words_for_nothing_are_refused(arguments, message):
    with pytest.raises(fl.UsageError, match=message):
        describe_guarantee(*arguments)
    with pytest.raises(fl.UsageError, match=r"^mechanism: expected one of"):
        describe_guarantee(1.0, 1e-5, mechanism="magic")


def test_everything_public_is_there():
    assert all(getattr(accounting, name).__doc__ for name in accounting.__all__)
