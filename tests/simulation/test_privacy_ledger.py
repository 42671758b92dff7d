"""The ledger of a private run: cohorts as its accountant demands, epsilon in every round, resumed bit for bit."""

import dataclasses
import math
import types

import numpy as np
import pytest
import tensorflow_federated as tff

import fedlearn_edu as fl
from fedlearn_edu.learning.process import FederatedProcess
from fedlearn_edu.learning.requirements import Requirements
from fedlearn_edu.simulation import run
from fedlearn_edu.simulation.cohorts import build_cohort_fn
from fedlearn_edu.simulation.config import RunConfig

ARGS = {"num_rounds": 5, "clients_per_round": 2, "batch_size": 5, "seed": 1, "progress": False}


@dataclasses.dataclass
class FakeAccountant:
    """Half a unit of epsilon a round; the accounting proper is tested on its own."""

    sampling: str = "poisson"
    delta: float = 0.01
    per_round: float = 0.5

    @property
    def requirements(self):
        return Requirements("the fake", num_clients=6, clients_per_round=2, sampling=self.sampling)

    def epsilon(self, num_rounds):
        return self.per_round * num_rounds if num_rounds else 0.0

    def describe(self):
        return dataclasses.asdict(self)


@pytest.fixture(scope="module")
def ordinary(features):
    return fl.build_unweighted_fed_avg(fl.linear_head(features), client_lr=0.3)


def private(ordinary, **fields):
    return FederatedProcess(
        ordinary,
        model=ordinary.model,
        algorithm="fake",
        hyperparameters=ordinary.hyperparameters,
        privacy=FakeAccountant(**fields),
    )


@pytest.fixture(scope="module")
def history(ordinary, features):
    return fl.run_rounds(private(ordinary), features, **ARGS)


def test_epsilon_in_every_round(history):
    ledger = history.privacy_ledger()
    assert ledger.index.tolist() == [0, 1, 2, 3, 4, 5]
    assert ledger["epsilon"].tolist() == [0, 0.5, 1, 1.5, 2, 2.5]
    assert (ledger["delta"] == 0.01).all()
    assert history.settings["privacy"] == {"sampling": "poisson", "delta": 0.01, "per_round": 0.5}
    assert history.global_metrics()["epsilon"].tolist() == ledger["epsilon"].tolist()


def test_poisson_cohorts_vary_and_the_traffic_with_them(history):
    """The seed is one with an empty cohort: its round counts, moves nothing in a plain mean, and trains nobody."""
    sizes = history.privacy_ledger()["cohort_size"]
    metrics = history.global_metrics()
    assert sizes[1:].nunique() > 1
    full = int(sizes.idxmax())
    for name in ("upload_bytes_total", "broadcast_bytes_total"):
        per_client = metrics[name][full] / sizes[full]
        assert (metrics[name][1:] == per_client * sizes[1:]).all()
    empty = sizes[1:].index[sizes[1:] == 0]
    assert len(empty) >= 1
    for t in empty:
        assert math.isnan(metrics["train_accuracy"][t])
        assert metrics["loss"][t] == metrics["loss"][t - 1]
    assert np.isfinite(np.concatenate([w.ravel() for w in history.model_weights])).all()


def test_saved_and_loaded(history, tmp_path):
    history.save(tmp_path)
    loaded = fl.History.load(tmp_path)
    assert loaded.rows == history.rows
    assert loaded.privacy_ledger().equals(history.privacy_ledger())


def test_resumed_is_uninterrupted(ordinary, features, history, tmp_path):
    fl.run_rounds(private(ordinary), features, **{**ARGS, "num_rounds": 2}, checkpoint_dir=tmp_path)
    resumed = fl.run_rounds(private(ordinary), features, **ARGS, checkpoint_dir=tmp_path, resume=True)
    assert resumed.rows == history.rows
    assert resumed.privacy_ledger().equals(history.privacy_ledger())
    for a, b in zip(resumed.model_weights, history.model_weights, strict=True):
        np.testing.assert_array_equal(a, b)
    with pytest.raises(fl.UsageError, match=r"another run .privacy\.per_round was 0\.5, is now 0\.4"):
        fl.run_rounds(private(ordinary, per_round=0.4), features, **ARGS, checkpoint_dir=tmp_path, resume=True)


def test_another_run_than_the_one_accounted_for_is_refused(ordinary, features):
    with pytest.raises(fl.UsageError, match=r"^clients_per_round: the fake was built for 2 clients a round, got 3"):
        fl.run_rounds(private(ordinary), features, **{**ARGS, "clients_per_round": 3})
    with pytest.raises(fl.UsageError, match=r"^sampling: expected \"fixed_size\", .* got 'lottery'"):
        fl.run_rounds(private(ordinary, sampling="lottery"), features, **ARGS)


def test_the_real_accountant_refuses_another_run():
    from fedlearn_edu.privacy.accounting import GaussianAccountant

    stated = GaussianAccountant(1.0, 50, 10, 1e-3).requirements
    fifty, forty = (types.SimpleNamespace(num_clients=n, client_ids=["a"] * n) for n in (50, 40))
    stated.check(RunConfig(num_rounds=1, clients_per_round=10), fifty)
    who = r"the accountant of epsilon \(GaussianAccountant\) was built for"
    with pytest.raises(fl.UsageError, match=rf"^clients_per_round: {who} 10 clients a round, got 5 .*; give both"):
        stated.check(RunConfig(num_rounds=1, clients_per_round=5), fifty)
    with pytest.raises(fl.UsageError, match=rf"^num_clients: {who} 50 clients, but there are 40; build"):
        stated.check(RunConfig(num_rounds=1, clients_per_round=10), forty)


def test_an_ordinary_run_has_no_ledger_and_cohorts_of_fixed_size(ordinary, features):
    plain = fl.run_rounds(ordinary, features, **{**ARGS, "num_rounds": 3})
    assert "privacy" not in plain.settings
    assert set(plain.global_metrics()) == {
        "accuracy",
        "loss",
        "train_accuracy",
        "train_loss",
        "broadcast_bytes_total",
        "upload_bytes_total",
    }
    cohorts = plain.client_metric("in_cohort")
    sample = tff.simulation.build_uniform_sampling_fn(features.client_ids, random_seed=ARGS["seed"])
    for sampling in ("fixed_size", "all"):
        draw = build_cohort_fn(features.client_ids, clients_per_round=2, seed=ARGS["seed"], sampling=sampling)
        for t in (1, 2, 3):
            assert draw(t) == cohorts[t].dropna().index.tolist() == sorted(sample(t, 2))
    with pytest.raises(fl.UsageError, match=r"^history: expected a run of a private process"):
        plain.privacy_ledger()


def test_without_a_guarantee_epsilon_is_infinite_and_survives_a_file(tmp_path):
    history = fl.History({"privacy": {"delta": 0.01}})
    history.add(0, "global", accuracy=0.1, epsilon=0.0)
    history.add(1, "global", accuracy=0.2, epsilon=math.inf, clip_norm=0.5)
    history.save(tmp_path)
    assert fl.History.load(tmp_path).privacy_ledger()["clip_norm"][1] == 0.5
    assert fl.History.load(tmp_path).privacy_ledger()["epsilon"].tolist() == [0, math.inf]


def test_what_the_aggregator_reports_is_found():
    nested = {"mean": {"noise_stddev": np.float32(0.5)}, "clip_norm": 2, "other": np.zeros(3)}
    output = types.SimpleNamespace(metrics={"aggregator": nested})
    process = types.SimpleNamespace(privacy=FakeAccountant())
    assert run._privacy_metrics(process, output) == {"noise_stddev": 0.5, "clip_norm": 2.0}
    process.privacy = None
    assert run._privacy_metrics(process, output) == {}


def test_poisson_draws():
    """Mean and spread of the size, each client's share, independence of neighbours in the list; repeatable."""
    clients = [f"c{i:03}" for i in range(100)]
    draw = build_cohort_fn(clients, clients_per_round=20, seed=5, sampling="poisson")
    cohorts = [draw(t) for t in range(1, 2001)]
    present = np.array([np.isin(clients, cohort) for cohort in cohorts])
    sizes = present.sum(axis=1)
    # five standard errors: of the mean 4 / sqrt(2000), of a client's share 0.4 / sqrt(2000)
    assert abs(sizes.mean() - 20) < 5 * 4 / math.sqrt(2000)
    assert sizes.std() == pytest.approx(4, rel=0.1)
    assert np.abs(present.mean(axis=0) - 0.2).max() < 5 * 0.4 / math.sqrt(2000)
    assert abs((present[:, 0] & present[:, 1]).mean() - 0.04) < 5 * 0.2 / math.sqrt(2000)
    assert abs((present[:-1] & present[1:]).mean() - 0.04) < 0.005
    again = build_cohort_fn(clients, clients_per_round=20, seed=5, sampling="poisson")
    assert [again(t) for t in (7, 3)] == [cohorts[6], cohorts[2]]  # whatever was drawn before
    other = build_cohort_fn(clients, clients_per_round=20, seed=6, sampling="poisson")
    assert other(1) != cohorts[0]
    assert all(type(client) is str for client in cohorts[0])


def test_poisson_with_everyone_expected_is_everyone():
    draw = build_cohort_fn(["a", "b"], clients_per_round=2, seed=0, sampling="poisson")
    assert draw(1) == draw(2) == ["a", "b"]


def test_cyclic_takes_everyone_in_turn():
    clients = list("abcdefg")
    draw = build_cohort_fn(clients, clients_per_round=3, seed=1, sampling="cyclic")
    turns = [client for t in range(1, 8) for client in draw(t)]
    assert {client: turns.count(client) for client in clients} == dict.fromkeys(clients, 3)
    for t in range(1, 20):
        assert len(draw(t)) == 3
        assert not set(draw(t)) & set(draw(t + 1))  # 7 // 3 = 2 rounds apart at least
