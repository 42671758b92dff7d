"""SCAFFOLD against plain NumPy in float64, and against the drift that it is made for."""

import numpy as np
import pytest
from client_drift import COHORTS, LR, Drift, run_by_hand, stack
from numpy_reference import BATCH, reference_client

import fedlearn_edu as fl
from fedlearn_edu.simulation.communication import measure_message_sizes

TOLERANCE = 2e-6  # float32 in TFF against float64 here


@pytest.fixture(scope="module")
def process(features):
    return fl.build_scaffold(fl.linear_head(features), num_clients=features.num_clients, client_lr=LR, server_lr=0.7)


def reference(features, cohorts, server_lr):
    """The paper's algorithm 1 with option II; returns the model and the variates of clients and server."""
    x = np.zeros([features.feature_dim + 1, features.num_classes])
    c, c_i = np.zeros_like(x), [np.zeros_like(x) for _ in features.client_ids]
    for cohort in cohorts:
        moves, changes = [], []
        for i in cohort:
            examples = features.train(features.client_ids[i])
            steps = -(-len(examples[1]) // BATCH)
            move = reference_client(x, *examples, LR, BATCH, extra_gradient=lambda w, shift=c - c_i[i]: shift)
            renewed = c_i[i] - c - move / (steps * LR)
            moves.append(move)
            changes.append(renewed - c_i[i])
            c_i[i] = renewed
        x = x + server_lr * np.mean(moves, axis=0)
        c = c + len(cohort) / features.num_clients * np.mean(changes, axis=0)
    return x, c_i, c


def test_four_rounds_with_partial_participation(process, features):
    expected, variates, server_variate = reference(features, COHORTS, 0.7)
    weights, states = run_by_hand(process, features, COHORTS)
    np.testing.assert_allclose(stack(weights[-1]), expected, atol=TOLERANCE)
    assert np.abs(expected).max() > 0.05  # it moved, far more than the tolerance
    assert set(states) == {features.client_ids[i] for cohort in COHORTS for i in cohort}
    for i, client_id in enumerate(features.client_ids):
        if client_id in states:
            np.testing.assert_allclose(stack(states[client_id]["control"]), variates[i], atol=TOLERANCE)
    # ... and the server's is the average over all clients, trained or not
    np.testing.assert_allclose(server_variate, np.mean(variates, axis=0), atol=1e-12)
    assert np.abs(server_variate).max() > 0.01


def test_the_first_round_is_federated_averaging(features, process):
    plain = fl.build_unweighted_fed_avg(fl.linear_head(features), client_lr=LR, server_lr=0.7)
    corrected, uncorrected = (run_by_hand(p, features, COHORTS[:2])[0] for p in (process, plain))
    for a, b in zip(corrected[0], uncorrected[0], strict=True):
        np.testing.assert_array_equal(a, b)
    assert np.abs(corrected[1][0] - uncorrected[1][0]).max() > 1e-3


def test_a_client_with_an_infinite_update_has_no_effect(features, process):
    """As in TFF's own client work its delta counts as zeros; its variate stays as it was."""
    examples = features.examples.copy()
    examples[features.clients["client_1"].train[0]] = np.inf
    broken = features.with_examples(examples)
    weights, states = run_by_hand(process, broken, [[0, 1]])
    alone, _ = run_by_hand(process, features, [[0]])
    for broken_weight, weight in zip(weights[0], alone[0], strict=True):
        np.testing.assert_allclose(broken_weight, weight / 2, atol=TOLERANCE)
    assert not any(np.any(c) for c in states["client_1"]["control"])
    assert all(np.any(c) for c in states["client_0"]["control"])


def test_traffic_is_twice_that_of_federated_averaging():
    """On a model large enough that the structure of a message does not count."""
    big = fl.FederatedDataset(
        "big", np.zeros([2, 1280], np.float32), np.zeros(2, np.int32), tuple("abcdefghij"),
        {"one": fl.ClientSplit(np.array([0]), np.array([1]))},
    )  # fmt: skip
    plain = measure_message_sizes(fl.build_unweighted_fed_avg(fl.linear_head(big)))
    double = measure_message_sizes(fl.build_scaffold(fl.linear_head(big), num_clients=1))
    assert double.broadcast_bytes / plain.broadcast_bytes == pytest.approx(2, abs=0.01)
    assert double.upload_bytes / plain.upload_bytes == pytest.approx(2, abs=0.01)


def test_no_drift_where_federated_averaging_stalls():
    """Ten local steps on two unlike clients: FedAvg ends at a distance from the pooled optimum, SCAFFOLD in it."""
    drift = Drift()
    plain = fl.build_unweighted_fed_avg(drift.model, client_lr=0.2)
    scaffold = fl.build_scaffold(drift.model, num_clients=2, client_lr=0.2)
    stalled = drift.distances(plain, 20)
    assert stalled[-1] == pytest.approx(stalled[-5], abs=1e-4)  # more rounds do not help
    assert stalled[-1] > 0.2
    assert drift.distances(scaffold, 25)[-1] < 1e-5


def test_runs_through_run_rounds(process, features):
    history = fl.run_rounds(process, features, num_rounds=3, clients_per_round=3, batch_size=5, progress=False)
    assert history.settings["process"]["algorithm"] == "scaffold"
    assert set(history.client_states) == set(history.client_metric("in_cohort").index)
    assert history.global_accuracy > history.global_metrics()["accuracy"][0]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"num_clients": 0}, "num_clients: expected a whole number of at least 1, got 0"),
        ({"num_clients": 2.5}, "num_clients: expected a whole number of at least 1, got 2.5"),
        ({"num_clients": 6, "client_lr": 0}, "client_lr: expected a number above 0"),
        ({"num_clients": 6, "server_lr": float("nan")}, "server_lr: expected a number above 0"),
    ],
)
def test_bad_arguments_are_one_clear_line(features, arguments, message):
    with pytest.raises(fl.UsageError, match=rf"^{message}"):
        fl.build_scaffold(fl.linear_head(features), **arguments)


def test_another_number_of_clients_is_refused(process, features):
    few = features.select_clients(features.client_ids[:4])
    with pytest.raises(fl.UsageError, match=r"^num_clients: scaffold was built for 6 clients, but there are 4"):
        fl.run_rounds(process, few, num_rounds=1, clients_per_round=2, progress=False)
