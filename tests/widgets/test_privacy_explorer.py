"""The privacy explorer shows measured runs, and an epsilon that is computed anew."""

import math

import pytest

from fedlearn_edu.privacy.accounting import default_delta, epsilon
from fedlearn_edu.simulation.stored_runs import POPULATION, explorer_runs
from fedlearn_edu.widgets.privacy_explorer import PrivacyExplorer


@pytest.fixture(scope="module")
def runs():
    return explorer_runs()


def test_the_stored_epsilons_are_what_the_accountant_says(runs):
    private = runs[runs["noise_multiplier"] > 0]
    for row in private.sample(6, random_state=0).itertuples():
        setting = {"population": POPULATION, "delta": default_delta(POPULATION)}
        again = epsilon(
            noise_multiplier=row.noise_multiplier,
            num_rounds=row.round_num,
            clients_per_round=row.clients_per_round,
            **setting,
        )
        assert row.epsilon == pytest.approx(again, rel=1e-3)


def test_the_grid_is_whole_and_its_numbers_can_be(runs):
    keys = ["noise_multiplier", "clip_norm", "clients_per_round", "round_num"]
    assert len(runs) == math.prod(runs[key].nunique() for key in keys)
    assert not runs.duplicated(keys).any()
    assert runs["accuracy"].between(0, 1).all()
    assert runs["attack_auc"].between(0, 1).all()
    assert (runs["epsilon"].map(math.isinf) == (runs["noise_multiplier"] == 0)).all()


def test_moving_a_slider_shows_another_run(written):
    explorer = PrivacyExplorer()
    before, picture = explorer.chosen, explorer.picture.value
    explorer.noise_multiplier.value = 4.0
    assert explorer.error is None
    assert explorer.chosen["noise_multiplier"] == 4.0
    assert explorer.chosen["epsilon"] < before["epsilon"]
    assert explorer.picture.value != picture
    assert f"{100 * explorer.chosen['accuracy']:.1f} %" in explorer.numbers.value
    explorer.noise_multiplier.value = before["noise_multiplier"]
    assert explorer.picture.value == picture


def test_without_noise_there_is_no_guarantee():
    explorer = PrivacyExplorer()
    explorer.noise_multiplier.value = 0.0
    assert explorer.chosen["epsilon"] == math.inf
    assert "infinite (no guarantee)" in explorer.numbers.value


def test_a_larger_population_on_paper_is_called_a_calculation():
    explorer = PrivacyExplorer()
    assert "calculation" not in explorer.numbers.value
    accuracy = explorer.chosen["accuracy"]
    explorer.larger.value = 100
    assert explorer.epsilon_on_paper < explorer.chosen["epsilon"]
    assert "25,000 clients (a calculation)" in explorer.numbers.value
    assert explorer.chosen["accuracy"] == accuracy


def test_an_error_is_shown(monkeypatch):
    explorer = PrivacyExplorer()
    monkeypatch.setattr(explorer, "_epsilon", lambda population: 1 / 0)
    explorer.num_rounds.value = 60
    assert isinstance(explorer.error, ZeroDivisionError)
    assert "division by zero" in explorer.error_line.value
