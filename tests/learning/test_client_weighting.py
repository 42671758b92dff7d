"""How much a client counts is the caller's choice: every row of the catalogue, and the plain ones against NumPy."""

import functools
import inspect

import numpy as np
import pytest
import tensorflow_federated as tff
from client_drift import run_by_hand
from numpy_reference import BATCH, TOLERANCE, gradient, reference_client, run_tff, start_weights
from shared import make_features

import fedlearn_edu as fl
from fedlearn_edu.learning import catalogue
from fedlearn_edu.learning.aggregators.gaussian_mean import gaussian_mean_factory

LR, NUM_CLIENTS = 0.3, 4
ONLY_UNIFORM = ("unweighted_fed_avg", "scaffold", "fed_dyn")
# FedBN hands its choice to FedPer; it needs a backbone with batch normalisation: tests/learning/test_batch_norm.py.
FREE = [row.name for row in catalogue.ALGORITHMS if row.name not in (*ONLY_UNIFORM, "fed_bn")]
# FedYogi and FedAdagrad are FedAdam with another rule of the server's.
TRAINED = [name for name in FREE if name not in ("fed_yogi", "fed_adagrad")]
WEIGHTINGS = ("uniform", "num_examples")


@functools.cache
def toy():
    """Clients with 12, 15, 18 and 21 examples: 3, 3, 4 and 5 steps."""
    return make_features(num_clients=NUM_CLIENTS, feature_dim=4)


def equally_large():
    clients = {c: fl.ClientSplit(split.train[:12], split.test) for c, split in toy().clients.items()}
    return fl.FederatedDataset("toy", toy().examples, toy().labels, toy().class_names, clients)


@functools.cache
def process_of(name, client_weighting):
    row = catalogue.by_name(name)
    model = fl.mlp_head(toy(), hidden_units=2) if "a hidden layer" in row.needs else fl.linear_head(toy())
    return row.build(model, num_clients=NUM_CLIENTS, client_lr=LR, client_weighting=client_weighting)


def one_round(name, client_weighting, data):
    """Returns the weights after a round on all clients; the personal ones left out."""
    weights, _ = run_by_hand(process_of(name, client_weighting), data, [range(NUM_CLIENTS)])
    return np.concatenate([np.ravel(w) for w in weights[-1]])


@pytest.mark.parametrize("row", catalogue.ALGORITHMS, ids=lambda row: row.name)
def test_the_default_is_what_the_row_says(row):
    default = inspect.signature(row.load()).parameters["client_weighting"].default
    assert default == ("num_examples" if row.weighted else "uniform")


@pytest.mark.parametrize("name", TRAINED)
def test_the_choice_matters_where_sizes_differ_and_there_alone(name):
    uniform, weighted = (one_round(name, weighting, toy()) for weighting in WEIGHTINGS)
    assert np.abs(uniform - weighted).max() > 1e-4
    uniform, weighted = (one_round(name, weighting, equally_large()) for weighting in WEIGHTINGS)
    np.testing.assert_allclose(uniform, weighted, atol=1e-6)
    assert process_of(name, "uniform").hyperparameters["client_weighting"] == "uniform"


def test_weighted_fed_avg_that_is_told_not_to_weigh_is_the_unweighted_one():
    features = toy()
    args = {"num_rounds": 2, "clients_per_round": 3, "batch_size": BATCH, "progress": False}
    same, plain = (
        fl.run_rounds(process_of(name, "uniform"), features, **args)
        for name in ("weighted_fed_avg", "unweighted_fed_avg")
    )
    assert same.rows == plain.rows  # bytes among them: no weight is sent
    for a, b in zip(same.model_weights, plain.model_weights, strict=True):
        np.testing.assert_array_equal(a, b)


# --- one round, from weights of zero, by hand ------------------------------------------------------------------------


def trained_by_each(**kwargs):
    """Trained - initial of every client."""
    start = start_weights(toy())
    return np.array([reference_client(start, *toy().train(c), LR, BATCH, **kwargs) for c in toy().client_ids])


def mean_delta(shares, **kwargs):
    return np.tensordot(shares, trained_by_each(**kwargs), axes=1)


def adam(shares):
    """From m = 0 and v = tau^2, server rate 0.01."""
    delta = mean_delta(shares)
    return 0.01 * 0.1 * delta / (np.sqrt(0.99 * 1e-6 + 0.01 * delta**2) + 1e-3)


def nova(shares):
    steps = np.array([3, 3, 4, 5])
    return (shares @ steps) * np.tensordot(shares, trained_by_each() / steps[:, None, None], axes=1)


def sgd(shares):
    start = start_weights(toy())
    return -LR * sum(
        share * gradient((start[:-1], start[-1]), *toy().train(c))
        for share, c in zip(shares, toy().client_ids, strict=True)
    )


def fair(shares):
    """All start with the loss log(3), so that F^q cancels but for the first term of h."""
    deltas, loss = trained_by_each(), np.log(3)
    h = 1 / loss * (deltas**2).sum(axis=(1, 2)) / LR + 1
    return np.tensordot(shares, deltas, axes=1) / (shares @ h)


BY_HAND = {
    "weighted_fed_avg": mean_delta,
    "fed_sgd": sgd,
    "fed_prox": lambda shares: mean_delta(shares, extra_gradient=lambda w: 0.1 * w),
    "fed_nova": nova,
    "mime_lite": mean_delta,  # its momentum starts at zero
    "fed_adam": adam,
    "q_fed_avg": fair,
    "ditto": mean_delta,
}


@pytest.mark.parametrize("client_weighting", WEIGHTINGS)
@pytest.mark.parametrize("name", BY_HAND)
def test_a_round_is_the_average_with_these_weights(name, client_weighting):
    sizes = np.array([12, 15, 18, 21])
    shares = sizes / 66 if client_weighting == "num_examples" else np.full(NUM_CLIENTS, 1 / NUM_CLIENTS)
    expected, process = BY_HAND[name](shares), process_of(name, client_weighting)
    if name == "ditto":
        (*_, (kernel, bias)), _ = run_by_hand(process, toy(), [range(NUM_CLIENTS)])
        got = np.vstack([kernel, bias])
    else:
        got = run_tff(process, toy(), toy().client_ids, num_rounds=1, batch_size=BATCH)
    np.testing.assert_allclose(got, expected, atol=TOLERANCE)
    assert np.abs(expected).max() > 1e-3


# --- what has no such choice -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ONLY_UNIFORM)
def test_where_all_clients_must_count_alike_weights_are_refused_with_the_reason(name):
    why = {"unweighted_fed_avg": "build_weighted_fed_avg", "scaffold": "control variate", "fed_dyn": "server state h"}
    with pytest.raises(
        fl.UsageError, match=f"^client_weighting: expected 'uniform', got 'num_examples'; .*{why[name]}"
    ) as error:
        process_of(name, "num_examples")
    assert "\n" not in str(error.value)
    assert process_of(name, "uniform").hyperparameters["client_weighting"] == "uniform"


@pytest.mark.parametrize("name", [*FREE, *ONLY_UNIFORM])
def test_what_is_no_weighting_is_refused(name):
    with pytest.raises(fl.UsageError, match=r"^client_weighting: expected 'uniform' or 'num_examples', got 'sqrt'"):
        process_of(name, "sqrt")


@pytest.mark.parametrize("name", [name for name in FREE if name != "q_fed_avg"])  # sums weights with its numerators
@pytest.mark.parametrize(
    "build",
    [
        lambda: fl.coordinate_median(clients_per_round=3),
        lambda: gaussian_mean_factory(clip_norm=1.0, noise_multiplier=1.0, clients_per_round=3, seed=0),
        lambda: tff.aggregators.DifferentiallyPrivateFactory.gaussian_fixed(1.0, 3, 1.0),
    ],
    ids=["median", "ours", "TFF's"],
)
def test_an_aggregator_that_would_drop_the_weights_is_refused(name, build):
    row = catalogue.by_name(name)
    model = fl.mlp_head(toy(), hidden_units=2) if "a hidden layer" in row.needs else fl.linear_head(toy())
    with pytest.raises(
        fl.UsageError, match=r"^model_aggregator: expected one that takes weights, .* got .*; give client_weighting="
    ) as error:
        row.load()(model, client_weighting="num_examples", model_aggregator=build())
    assert "\n" not in str(error.value)


def test_momentum_does_not_lose_the_weights_either():
    with pytest.raises(fl.UsageError, match=r"^full_gradient_aggregator: expected one that takes weights"):
        fl.build_mime_lite(fl.linear_head(toy()), full_gradient_aggregator=fl.coordinate_median(clients_per_round=3))


def test_tffs_own_names_are_taken():
    process = fl.build_fed_prox(fl.linear_head(toy()), client_weighting=tff.learning.ClientWeighting.UNIFORM)
    assert process.hyperparameters["client_weighting"] == "uniform"


def test_without_weights_those_that_could_take_them_are_given_equal_ones():
    process = fl.build_unweighted_fed_avg(
        fl.linear_head(toy()), client_lr=LR, model_aggregator=tff.aggregators.MeanFactory()
    )
    got = run_tff(process, toy(), toy().client_ids, num_rounds=1, batch_size=BATCH)
    np.testing.assert_allclose(got, trained_by_each().mean(axis=0), atol=TOLERANCE)


def test_a_run_does_not_go_on_with_other_weights(tmp_path):
    args = {"clients_per_round": 2, "checkpoint_dir": tmp_path, "progress": False}
    fl.run_rounds(process_of("weighted_fed_avg", "num_examples"), toy(), num_rounds=1, **args)
    with pytest.raises(fl.UsageError, match=r"client_weighting was 'num_examples', is now 'uniform'"):
        fl.run_rounds(process_of("weighted_fed_avg", "uniform"), toy(), num_rounds=2, **args, resume=True)
