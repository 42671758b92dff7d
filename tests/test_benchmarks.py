"""The benchmarks compare equal work: what Flower's clients are told to do, and runs side by side, are our rounds."""

import importlib
import json

import numpy as np
import pytest
from click.testing import CliRunner
from shared import REPOSITORY, make_features


@pytest.fixture
def benchmark_modules(monkeypatch):
    monkeypatch.syspath_prepend(str(REPOSITORY / "benchmarks"))
    return importlib.import_module("flower"), importlib.import_module("flower_side")


def test_flower_trains_on_the_same_batches_as_our_rounds(benchmark_modules, tmp_path, monkeypatch):
    """Two rounds of `flower.Ours` against the clients of `flower_side`, averaged here in Flower's place."""
    flower, flower_side = benchmark_modules
    monkeypatch.setattr(flower, "FEATURE_DIM", 6)
    features = flower.make_features(3, seed=1)
    ours = flower.Ours(features, 2)
    flower.write_examples(features, 2, tmp_path)
    settings = flower.settings_of(3, 2, "numpy")
    (tmp_path / "settings.json").write_text(json.dumps(settings))
    weights = flower_side.initial_weights(settings)
    for round_num in (1, 2):
        ours.run_round()
        trained = []
        for partition in range(3):
            context = type("Context", (), {"node_config": {"partition-id": partition}})
            client_weights, num_examples = flower_side.train(str(tmp_path), context, weights, round_num)
            assert num_examples == 100
            trained.append(client_weights)
        weights = [np.mean(parts, axis=0) for parts in zip(*trained, strict=True)]
    assert max(np.abs(w).max() for w in weights) > 0.01
    for expected, found in zip(weights, ours.weights, strict=True):
        np.testing.assert_allclose(found, expected, atol=1e-6)


def test_stored_runs_go_on_and_are_whole_at_any_moment(monkeypatch, tmp_path):
    monkeypatch.syspath_prepend(str(REPOSITORY / "benchmarks"))
    stored_runs, path = importlib.import_module("stored_runs"), tmp_path / "runs.csv"
    arguments = path, ["name", "seed", "accuracy"], ["name", "seed"]
    stored_runs.StoredRuns(*arguments).add([("a", 1, 0.5), ("b", 1, 0.25)])
    again = stored_runs.StoredRuns(*arguments)
    assert again.made("name", "seed") == {("a", 1), ("b", 1)}
    again.add([("b", 1, 0.75), ("b", 2, 0.1)])  # what is made again takes the place of what was there
    assert stored_runs.StoredRuns(*arguments).table.to_numpy().tolist() == [
        ["a", 1, 0.5],
        ["b", 1, 0.75],
        ["b", 2, 0.1],
    ]
    whole = path.read_bytes()
    monkeypatch.setattr(stored_runs.os, "replace", lambda *paths: 1 / 0)  # interrupted while it is written
    with pytest.raises(ZeroDivisionError):
        again.add([("c", 1, 0.3)])
    assert path.read_bytes() == whole
    assert stored_runs.StoredRuns(*arguments, anew=True).made("name") == set()


def test_paired_differences_say_what_three_seeds_show(monkeypatch):
    """By hand: 2 +- 4.303 / sqrt(3) with Student's 97.5 % quantile at two degrees of freedom; t = sqrt(12)."""
    monkeypatch.syspath_prepend(str(REPOSITORY / "benchmarks"))
    describe = importlib.import_module("paired").describe_differences
    assert describe([3, 1, 2]) == ("+2.0 ± 1.0 (95 % interval -0.5 to 4.5; t = 3.5, 2 degrees of freedom, p = 0.074)")
    assert describe([0.0, 0.0, 0.0]) == "+0.0 for each seed"


def test_the_leads_on_fed_avg_are_computed_on_the_same_seeds(monkeypatch, tmp_path):
    """From runs that are written here: SCAFFOLD is 5, 6 and 7 points ahead of FedAvg at its best rate."""
    monkeypatch.syspath_prepend(str(REPOSITORY / "benchmarks"))
    benchmark, path = importlib.import_module("unlike_clients"), tmp_path / "rates.csv"
    rows = [
        (
            *benchmark.on_disk(algorithm),
            rate,
            seed,
            0.5 + seed / 100 + {"SCAFFOLD": (5 + seed - 1) / 100}.get(algorithm, 0) - rate / 10,
            0.4,
        )
        for seed in (1, 2, 3)
        for algorithm, rates in benchmark.COMPARED_RATES.items()
        for rate in rates
    ]
    importlib.import_module("stored_runs").StoredRuns(path, [*benchmark.RATE_KEYS, "accuracy", "worst_decile"], []).add(
        rows
    )
    monkeypatch.setattr(benchmark, "RATES", path)
    monkeypatch.setattr(benchmark, "run_trained", lambda *arguments, **rates: pytest.fail("nothing is missing"))
    printed = CliRunner().invoke(benchmark.main, ["rates"], catch_exceptions=False).output
    assert "SCAFFOLD at 0.02 - FedAvg at 0.02: +6.0 ± 1.0 (95 % interval 3.5 to 8.5" in printed
    assert "SCAFFOLD at 0.1 - FedAvg at 0.02: +5.2 ± 1.0" in printed


def peaked(benchmark, best):
    """Stands for training: accuracy falls with every step of the rates away from the best ones of an algorithm."""

    def run_trained(name, algorithm, seed, concentrations, **rates):
        steps = [
            abs(benchmark.STEPS.index(rates[rate]) - benchmark.STEPS.index(best[algorithm][rate])) for rate in rates
        ]
        made.append((name, algorithm, seed, *rates.values()))
        lead = {"SCAFFOLD": 0.04 + seed / 100}.get(algorithm, 0)
        yield concentrations[0], benchmark.ROUNDS, 0.5 + lead - sum(steps) / 10, 0.4

    made = []
    return run_trained, made


def test_each_is_compared_at_its_own_best_rates_which_no_grid_ends_at(monkeypatch, tmp_path):
    """FedAvg is best five steps above where it starts, FedAdam with both rates elsewhere; SCAFFOLD leads by 5, 6, 7."""
    monkeypatch.syspath_prepend(str(REPOSITORY / "benchmarks"))
    benchmark = importlib.import_module("unlike_clients")
    best = {algorithm: benchmark.rates_of(algorithm) for algorithm in benchmark.TRAINED}
    best["FedAvg"] = {"client_lr": 1.0}
    best["FedAdam"] = {"client_lr": 0.01, "server_lr": 0.1}
    run_trained, made = peaked(benchmark, best)
    monkeypatch.setattr(benchmark, "run_trained", run_trained)
    monkeypatch.setattr(benchmark, "TUNED", tmp_path / "tuned.csv")
    arguments = ["tuned", "--seeds", "3", "--dataset", "emoji"]
    printed = CliRunner().invoke(benchmark.main, arguments, catch_exceptions=False).output
    assert "FedAvg (client_lr 1): 50.0 ± 0.0" in printed
    assert "FedAdam (client_lr 0.01, server_lr 0.1): 50.0 ± 0.0 +0.0 for each seed" in printed
    assert "SCAFFOLD (client_lr 0.05): 56.0 ± 1.0 +6.0 ± 1.0 (95 % interval 3.5 to 8.5" in printed
    assert ("emoji", "FedAvg", benchmark.TUNING_SEED, 2.0) in made  # looked beyond the best, and no further
    assert ("emoji", "FedAvg", benchmark.TUNING_SEED, 3.0) not in made
    assert len(set(made)) == len(made)
    again = CliRunner().invoke(benchmark.main, arguments, catch_exceptions=False).output
    assert again.splitlines()[-9:] == printed.splitlines()[-9:]
    assert len(set(made)) == len(made)  # nothing is trained again


def test_runs_with_another_weighting_are_made_again_and_take_their_place(monkeypatch, tmp_path):
    monkeypatch.syspath_prepend(str(REPOSITORY / "benchmarks"))
    benchmark = importlib.import_module("unlike_clients")
    done = importlib.import_module("stored_runs").StoredRuns(
        tmp_path / "runs.csv", benchmark.COLUMNS, [*benchmark.KEYS_ON_DISK, "round_num"]
    )

    def rows(algorithm, weighting):
        return [
            ("emoji", *benchmark.on_disk(algorithm), c, 1, weighting, 60, 0.5, 0.4) for c in benchmark.CONCENTRATIONS
        ]

    for algorithm, weighting in [("FedAvg", "num_examples"), ("SCAFFOLD", "uniform"), ("FedNCM", None)]:
        done.add(rows(algorithm, weighting))
    wanted = [("emoji", algorithm, 1) for algorithm in ("FedAvg", "SCAFFOLD", "FedNCM", "FedNova")]
    assert benchmark.missing_of(wanted, done) == [("emoji", "FedAvg", 1), ("emoji", "FedNova", 1)]
    done.add(rows("FedAvg", "uniform"))
    assert benchmark.missing_of(wanted, done) == [("emoji", "FedNova", 1)]
    assert len(done.table) == 3 * len(benchmark.CONCENTRATIONS)


def test_all_algorithms_of_the_comparison_count_clients_alike(monkeypatch):
    """Built with the weighting of the benchmark, and no other."""
    monkeypatch.syspath_prepend(str(REPOSITORY / "benchmarks"))
    benchmark = importlib.import_module("unlike_clients")
    seen = []
    monkeypatch.setattr(benchmark, "federations", lambda name, seed: {c: make_features() for c in (100.0, 0.1)})
    monkeypatch.setattr(benchmark.fl, "run_rounds", lambda process, *args, **kwargs: seen.append(process) or 1 / 0)
    for algorithm in benchmark.TRAINED:
        with pytest.raises(ZeroDivisionError):
            list(benchmark.run_trained("emoji", algorithm, 1, [0.1]))
    assert [process.hyperparameters["client_weighting"] for process in seen] == ["uniform"] * len(benchmark.TRAINED)
