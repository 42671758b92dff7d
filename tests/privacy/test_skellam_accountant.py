"""Distributed DP is never accounted for below the Gaussian noise that it imitates, and close to it."""

import math

import pytest

from fedlearn_edu.errors import UsageError
from fedlearn_edu.privacy.accounting import GaussianAccountant
from fedlearn_edu.privacy.processes.skellam_accountant import SkellamAccountant, skellam_renyi


@pytest.mark.parametrize("sampling", ["fixed_size", "all"])
@pytest.mark.parametrize("noise_multiplier", [1.0, 4.0])
@pytest.mark.parametrize("num_rounds", [1, 20])
def test_a_fine_fixed_point_is_about_gaussian(sampling, noise_multiplier, num_rounds):
    setting = (noise_multiplier, 1000, 50, 1e-4, sampling)
    gaussian = GaussianAccountant(*setting).epsilon(num_rounds)
    skellam = SkellamAccountant(*setting).epsilon(num_rounds)
    assert gaussian <= skellam * (1 + 1e-9)
    assert skellam < 1.35 * gaussian


def test_a_coarse_fixed_point_costs():
    fine = SkellamAccountant(1.0, 1000, 50, 1e-4, "all")
    coarse = fine.with_fixed_point(l1_sensitivity=10, l2_sensitivity=3)
    assert coarse.epsilon(1) > 1.05 * fine.epsilon(1)


@pytest.mark.parametrize(("variance", "shift", "order"), [(4.0, 1, 2), (4.0, 2, 3), (25.0, 3, 5)])
def test_the_bound_holds_for_the_distribution_itself(variance, shift, order):
    from scipy import stats

    support = range(-120, 121)
    noise = stats.skellam(variance / 2, variance / 2)
    moment = sum(math.exp(order * noise.logpmf(k) + (1 - order) * noise.logpmf(k - shift)) for k in support)
    exact = math.log(moment) / (order - 1)
    bound = skellam_renyi(order, math.sqrt(variance), abs(shift), abs(shift))
    assert exact <= bound < 1.7 * exact


def test_nothing_is_spent_before_the_first_round():
    assert SkellamAccountant(1.0, 1000, 50, 1e-4).epsilon(0) == 0


def test_poisson_sampling_is_refused():
    with pytest.raises(UsageError, match=r'^sampling: expected one of "fixed_size", "all", got .poisson.'):
        SkellamAccountant(1.0, 1000, 50, 1e-4, "poisson")
