"""RunConfig: one object for what a run does, or the same as keywords."""

import dataclasses

import numpy as np
import pytest

import fedlearn_edu as fl

CONFIG = fl.RunConfig(num_rounds=2, clients_per_round=3, batch_size=5, seed=7)


@pytest.fixture(scope="module")
def process(features):
    return fl.build_unweighted_fed_avg(fl.linear_head(features), client_lr=0.1)


def test_a_config_runs_as_the_same_keywords_do(process, features):
    by_config = fl.run_rounds(process, features, config=CONFIG, progress=False)
    keywords = dataclasses.asdict(CONFIG)
    by_keywords = fl.run_rounds(process, features, **keywords, progress=False)
    assert by_config.rows == by_keywords.rows
    assert by_config.settings == by_keywords.settings
    assert by_config.settings["run"] == {
        "clients_per_round": 3,
        "num_epochs": 1,
        "batch_size": 5,
        "seed": 7,
        "evaluate_every": 1,
    }


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"config": CONFIG, "seed": 3}, "seed: expected either config or keywords, got both"),
        ({"config": {"num_rounds": 3}}, "config: expected a RunConfig, got {'num_rounds': 3}"),
        ({"clients_per_round": 3}, "num_rounds: expected a whole number of at least 1, got none"),
        ({"num_rounds": 3}, "clients_per_round: expected a whole number of at least 1, got none"),
    ],
)
def test_either_one_is_whole(process, features, arguments, message):
    with pytest.raises(fl.UsageError, match=f"^{message}"):
        fl.iter_rounds(process, features, **arguments)


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("num_rounds", 0, "a whole number of at least 1, got 0"),
        ("num_epochs", 1.5, "a whole number of at least 1, got 1.5"),
        ("evaluate_every", True, "a whole number of at least 1, got True"),
        ("seed", 2**31, "a whole number from 0 to 2147483647, got 2147483648"),
    ],
)
def test_a_config_is_checked_when_it_is_made(field, value, message):
    with pytest.raises(fl.UsageError, match=f"^{field}: expected {message}"):
        dataclasses.replace(CONFIG, **{field: value})


def test_numbers_of_numpy_become_pythons_own():
    config = dataclasses.replace(CONFIG, num_rounds=np.int64(4), seed=np.uint8(9))
    assert config == dataclasses.replace(CONFIG, num_rounds=4, seed=9)
    assert {type(value) for value in dataclasses.astuple(config)} == {int}
