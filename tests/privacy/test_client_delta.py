"""What a server receives of one client: its own delta whatever the server does with it, or one clear line."""

import numpy as np
import pytest
import tensorflow_federated as tff
from numpy_reference import reference_client

import fedlearn_edu as fl

LR = 0.1
DP = {"clients_per_round": 3, "population": 6, "delta": 0.01}


def flat(arrays):
    return np.concatenate([np.ravel(array) for array in arrays])


def received(features, build, **arguments):
    """The delta as a server gets it in round 1, and plain NumPy's."""
    model = fl.linear_head(features)
    weights = [np.full_like(w, 0.3) for w in model.initial_weights[0]]
    x, y = features.train("client_1")
    process = build(model, client_lr=LR, **arguments)
    delta = fl.client_delta(process, x, y, batch_size=len(y), model_weights=weights)
    assert [array.dtype for array in delta] == [np.float32] * 2
    return flat(delta), -np.ravel(reference_client(np.vstack([weights[0], weights[1][None]]), x, y, LR, len(y)))


@pytest.mark.parametrize(
    ("build", "arguments"),
    [
        (fl.build_unweighted_fed_avg, {"server_lr": 0.25}),
        (fl.build_weighted_fed_avg, {"server_lr": 1e-6}),
        (fl.build_weighted_fed_avg, {"server_optimizer": lambda: tff.learning.optimizers.build_sgdm(20.0, 0.9)}),
        (fl.build_unweighted_fed_avg, {"model_aggregator": lambda: fl.geometric_median(clients_per_round=3)}),
        (fl.build_scaffold, {"num_clients": 6, "server_lr": 0.5}),
    ],
)
def test_the_servers_step_does_not_change_what_is_received(features, build, arguments):
    built = {name: value() if callable(value) else value for name, value in arguments.items()}
    delta, expected = received(features, build, **built)
    np.testing.assert_allclose(delta, expected, atol=1e-6)
    assert np.abs(expected).max() > 1e-3


@pytest.mark.parametrize("build", [fl.build_local_dp_fed_avg, fl.build_distributed_dp_fed_avg])
def test_what_a_client_clips_is_received_clipped(features, build):
    """By a server that divides by the planned size of the cohort, here 3; with hardly any noise."""
    arguments = {**DP, "sampling": "all", "clip_norm": 0.01, "noise_multiplier": 1e-3}
    delta, unclipped = received(features, build, server_lr=0.5, **arguments)
    assert np.linalg.norm(unclipped) > 0.02
    np.testing.assert_allclose(delta, unclipped * 0.01 / np.linalg.norm(unclipped), atol=1e-4)


def test_what_a_client_noises_is_received_noised(features):
    arguments = {**DP, "sampling": "all", "clip_norm": 0.01, "noise_multiplier": 5.0}
    delta, _ = received(features, fl.build_local_dp_fed_avg, **arguments)
    assert 0.035 < np.std(delta) < 0.07  # 27 numbers, each with noise of 5 x 0.01


@pytest.mark.parametrize(
    ("build", "arguments", "reason"),
    [
        (fl.build_fed_adam, {}, "fed_adam with another optimizer or a correction"),
        (
            fl.build_weighted_fed_avg,
            {"server_optimizer": lambda: tff.learning.optimizers.build_adagrad(0.1)},
            "weighted_fed_avg with another optimizer or a correction",
        ),
        (fl.build_fed_dyn, {"num_clients": 6}, "fed_dyn with another optimizer or a correction"),
        (fl.build_q_fed_avg, {}, "q_fed_avg with a quotient of sums over clients"),
        (fl.build_dp_fed_avg, DP | {"noise_multiplier": 1.0}, "dp_fed_avg with an aggregator that adds something"),
        (
            fl.build_unweighted_fed_avg,
            {"model_aggregator": tff.aggregators.SumFactory},
            "unweighted_fed_avg with an aggregator that adds something of its own, or whose divisor is not known",
        ),
    ],
)
def test_a_server_that_does_more_than_step_along_the_mean_is_refused(features, build, arguments, reason):
    built = {name: value() if callable(value) else value for name, value in arguments.items()}
    with pytest.raises(fl.UsageError, match=f"^process: expected one whose server .*, got {reason}") as caught:
        received(features, build, **built)
    assert "\n" not in str(caught.value)


def test_a_process_of_tff_is_taken_as_well(features):
    sgd = tff.learning.optimizers.build_sgdm

    def build(model, client_lr):
        return tff.learning.algorithms.build_weighted_fed_avg(model, sgd(client_lr), sgd(0.01))

    fl.start_runtime()
    np.testing.assert_allclose(*received(features, build), atol=1e-6)
