"""FedDyn against plain NumPy in float64, and against the drift that it is made for."""

import numpy as np
import pytest
from client_drift import COHORTS, LR, Drift, run_by_hand, stack
from numpy_reference import BATCH, reference_client

import fedlearn_edu as fl
from fedlearn_edu.simulation.communication import measure_message_sizes

TOLERANCE = 2e-6  # float32 in TFF against float64 here
STRENGTH = 0.4


def reference(features, cohorts):
    """Algorithm 1 of the paper, with SGD in place of the exact local minimum; returns model, g_i and h."""
    w = np.zeros([features.feature_dim + 1, features.num_classes])
    h, g = np.zeros_like(w), [np.zeros_like(w) for _ in features.client_ids]
    for cohort in cohorts:
        trained = []
        for i in cohort:
            move = reference_client(
                w,
                *features.train(features.client_ids[i]),
                LR,
                BATCH,
                extra_gradient=lambda v, own=g[i], w=w: STRENGTH * (v - w) - own,
            )
            w_i = w + move
            g[i] = g[i] - STRENGTH * (w_i - w)
            trained.append(w_i)
        h = h - STRENGTH / features.num_clients * sum(w_i - w for w_i in trained)
        w = np.mean(trained, axis=0) - h / STRENGTH
    return w, g, h


def test_four_rounds_with_partial_participation(features):
    expected, gradients, server_gradient = reference(features, COHORTS)
    process = fl.build_fed_dyn(
        fl.linear_head(features), num_clients=features.num_clients, regularization_strength=STRENGTH, client_lr=LR
    )
    weights, states = run_by_hand(process, features, COHORTS)
    np.testing.assert_allclose(stack(weights[-1]), expected, atol=TOLERANCE)
    assert np.abs(expected).max() > 0.05
    assert set(states) == {features.client_ids[i] for cohort in COHORTS for i in cohort}
    for i, client_id in enumerate(features.client_ids):
        if client_id in states:
            np.testing.assert_allclose(stack(states[client_id]["gradient"]), gradients[i], atol=TOLERANCE)
    np.testing.assert_allclose(server_gradient, np.mean(gradients, axis=0), atol=1e-12)
    # nothing but the model travels, and a number to count the cohort
    plain = measure_message_sizes(fl.build_unweighted_fed_avg(fl.linear_head(features)))
    sizes = measure_message_sizes(process)
    assert sizes.broadcast_bytes == plain.broadcast_bytes
    assert 4 <= sizes.upload_bytes - plain.upload_bytes < 50


def test_the_optimum_of_the_whole_is_reached():
    """Where FedAvg stalls at a distance (shown in the test of SCAFFOLD), FedDyn ends in the pooled optimum."""
    drift = Drift()
    process = fl.build_fed_dyn(drift.model, num_clients=2, regularization_strength=0.5, client_lr=0.2)
    assert drift.distances(process, 30)[-1] < 1e-5


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"num_clients": True}, "num_clients: expected a whole number of at least 1, got True"),
        (
            {"num_clients": 6, "regularization_strength": -0.1},
            "regularization_strength: expected .* got -0.1",
        ),
        ({"num_clients": 6, "client_lr": "fast"}, "client_lr: expected a number above 0"),
    ],
)
def test_bad_arguments_are_one_clear_line(features, arguments, message):
    with pytest.raises(fl.UsageError, match=rf"^{message}"):
        fl.build_fed_dyn(fl.linear_head(features), **arguments)
