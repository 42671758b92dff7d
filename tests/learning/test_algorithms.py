"""The builders against plain NumPy in float64, round by round."""

import collections

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_federated as tff
from numpy_reference import BATCH, TOLERANCE, reference_client, run_tff, start_weights

import fedlearn_edu as fl
from fedlearn_edu.checks import check_learning_rate


@pytest.mark.parametrize("server_lr", [1.0, 0.5])
def test_unweighted_fed_avg_is_the_formula(features, server_lr):
    """M(t+1) = M(t) + server_lr * 1/k sum_i dw_i, three rounds, clients of different sizes."""
    client_ids = features.client_ids[:4]
    expected = start_weights(features)
    for _ in range(3):
        deltas = [reference_client(expected, *features.train(c), 0.3, BATCH) for c in client_ids]
        expected = expected + server_lr * np.mean(deltas, axis=0)
    process = fl.build_unweighted_fed_avg(fl.linear_head(features), client_lr=0.3, server_lr=server_lr)
    got = run_tff(process, features, client_ids, num_rounds=3, batch_size=BATCH)
    np.testing.assert_allclose(got, expected, atol=TOLERANCE)
    assert np.abs(expected).max() > 0.05  # it moved, far more than the tolerance


def test_weighted_fed_avg_weights_by_examples(features):
    client_ids = features.client_ids
    sizes = [len(features.clients[c].train) for c in client_ids]
    assert len(set(sizes)) > 1
    expected = start_weights(features)
    for _ in range(3):
        deltas = [reference_client(expected, *features.train(c), 0.3, BATCH) for c in client_ids]
        expected = expected + np.average(deltas, axis=0, weights=sizes)
    process = fl.build_weighted_fed_avg(fl.linear_head(features), client_lr=0.3)
    got = run_tff(process, features, client_ids, num_rounds=3, batch_size=BATCH)
    np.testing.assert_allclose(got, expected, atol=TOLERANCE)
    unweighted = fl.build_unweighted_fed_avg(fl.linear_head(features), client_lr=0.3)
    other = run_tff(unweighted, features, client_ids, num_rounds=3, batch_size=BATCH)
    assert np.abs(other - expected).max() > 100 * TOLERANCE


def test_fed_sgd_is_one_full_batch_step(features):
    """FedSGD = weighted FedAvg with one full-batch step per client = one step on the pooled examples."""
    client_ids = features.client_ids
    rows = np.concatenate([features.clients[c].train for c in client_ids])
    pooled = features.examples[rows], features.labels[rows]
    expected = start_weights(features)
    for _ in range(3):
        expected = expected + reference_client(expected, *pooled, 0.4, len(rows))
    sgd = fl.build_fed_sgd(fl.linear_head(features), server_lr=0.4)
    np.testing.assert_allclose(
        run_tff(sgd, features, client_ids, num_rounds=3, batch_size=1000), expected, atol=TOLERANCE
    )
    # ... however a client's examples are cut into batches
    np.testing.assert_allclose(
        run_tff(sgd, features, client_ids, num_rounds=3, batch_size=BATCH), expected, atol=TOLERANCE
    )
    averaged = fl.build_weighted_fed_avg(fl.linear_head(features), client_lr=0.4)
    np.testing.assert_allclose(
        run_tff(averaged, features, client_ids, num_rounds=3, batch_size=1000), expected, atol=TOLERANCE
    )


def test_equal_sizes_make_weighted_and_unweighted_equal(features):
    first = features.client_ids[0]
    size = len(features.clients[first].train)
    clients = {c: fl.ClientSplit(s.train[:size], s.test) for c, s in features.clients.items()}
    equal = fl.FederatedDataset("toy", features.examples, features.labels, features.class_names, clients)
    results = [
        run_tff(build(fl.linear_head(equal)), equal, equal.client_ids, num_rounds=2, batch_size=BATCH)
        for build in (fl.build_unweighted_fed_avg, fl.build_weighted_fed_avg)
    ]
    np.testing.assert_allclose(*results, atol=TOLERANCE)


def test_mlp_head_learns_what_a_linear_head_cannot():
    """XOR: the linear head stays at chance, the hidden layer solves it."""
    x = np.array([[0, 0], [0, 1], [1, 0], [1, 1]], np.float32) * 2 - 1
    y = np.array([0, 1, 1, 0], np.int32)
    clients = {"a": fl.ClientSplit(np.arange(4), np.arange(0))}
    xor = fl.FederatedDataset("xor", x, y, ("same", "different"), clients)
    accuracies = {}
    for name, head in [("linear", fl.linear_head(xor)), ("mlp", fl.mlp_head(xor, hidden_units=16, seed=1))]:
        process = fl.build_unweighted_fed_avg(head, client_lr=0.5)
        state = process.initialize()
        for _ in range(60):
            output = process.next(state, [tf.data.Dataset.from_tensors((x, y))])
            state = output.state
        accuracies[name] = float(output.metrics["client_work"]["train"]["accuracy"])
    assert accuracies["mlp"] == 1.0
    assert accuracies["linear"] <= 0.75


def test_mlp_head_depends_on_its_seed(features):
    same = [fl.mlp_head(features, seed=3).initial_weights[0][0] for _ in range(2)]
    other = fl.mlp_head(features, seed=4).initial_weights[0][0]
    np.testing.assert_array_equal(*same)
    assert not np.array_equal(same[0], other)


def test_metrics_equal_keras(features):
    """The sums kept by the head are those of SparseCategoricalAccuracy and SparseCategoricalCrossentropy."""
    model = fl.linear_head(features)
    rng = np.random.default_rng(0)
    weights = tuple(rng.normal(size=w.shape).astype(np.float32) for w in model.initial_weights[0])
    accuracy = tf.keras.metrics.SparseCategoricalAccuracy()
    loss = tf.keras.metrics.SparseCategoricalCrossentropy(from_logits=True)
    state = model.initialize_metrics_state()
    x, y = features.pooled("train")
    for rows in (slice(0, 7), slice(7, 40)):
        output = model.predict_on_batch((weights, ()), x[rows], training=False)
        batch = tff.learning.models.BatchOutput(
            loss=model.loss(output, y[rows]), predictions=output, num_examples=tf.size(y[rows])
        )
        state = model.update_metrics_state(state, labels=y[rows], batch_output=batch)
        accuracy.update_state(y[rows], output)
        loss.update_state(y[rows], output)
    got = model.finalize_metrics(state)
    assert isinstance(got, collections.OrderedDict)
    assert float(got["accuracy"]) == pytest.approx(float(accuracy.result()), abs=1e-6)
    assert float(got["loss"]) == pytest.approx(float(loss.result()), abs=1e-5)
    assert int(got["num_examples"]) == 40


def test_processes_are_tff_learning_processes(features):
    for build in (fl.build_unweighted_fed_avg, fl.build_weighted_fed_avg, fl.build_fed_sgd):
        process = build(fl.linear_head(features))
        assert isinstance(process, tff.learning.templates.LearningProcess)
        assert process.algorithm == build.__name__.removeprefix("build_")
        assert process.next.type_signature.parameter.client_data.placement is tff.CLIENTS


def test_client_optimizer_replaces_sgd(features):
    client_ids = features.client_ids[:2]
    adam = tff.learning.optimizers.build_adam(0.01)
    process = fl.build_unweighted_fed_avg(fl.linear_head(features), client_optimizer=adam)
    plain = fl.build_unweighted_fed_avg(fl.linear_head(features))
    results = [run_tff(p, features, client_ids, num_rounds=1, batch_size=BATCH) for p in (process, plain)]
    assert np.abs(results[0] - results[1]).max() > 1e-3
    assert process.hyperparameters != plain.hyperparameters


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 0, -0.1, 1e6, "fast", None])
@pytest.mark.parametrize("name", ["client_lr", "server_lr"])
def test_learning_rates_are_checked(features, name, value):
    with pytest.raises(fl.UsageError, match=rf"^{name}: expected a number above 0 and at most 100 .*got "):
        fl.build_weighted_fed_avg(fl.linear_head(features), **{name: value})
    with pytest.raises(fl.UsageError, match="server_lr"):
        fl.build_fed_sgd(fl.linear_head(features), server_lr=value)


def test_learning_rate_bounds_are_inclusive_above():
    assert check_learning_rate("client_lr", 100) == 100.0
    assert check_learning_rate("client_lr", np.float32(0.5)) == 0.5
    with pytest.raises(fl.UsageError, match="got True"):
        check_learning_rate("client_lr", True)


def test_heads_refuse_images_and_empty_layers(features):
    images = fl.FederatedDataset(
        "images",
        np.zeros([2, 4, 4, 3], np.uint8),
        np.zeros(2, np.int32),
        ("a", "b"),
        {"c": fl.ClientSplit(np.array([0]), np.array([1]))},
    )
    with pytest.raises(fl.UsageError, match="extract_features"):
        fl.linear_head(images)
    with pytest.raises(fl.UsageError, match="hidden_units: expected at least 1, got 0"):
        fl.mlp_head(features, hidden_units=0)
