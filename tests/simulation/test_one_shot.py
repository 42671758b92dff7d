"""run_one_shot: what it reports, exchanged aggregators, and federated training that starts from its head."""

import dataclasses

import numpy as np
import pytest
import tensorflow_federated as tff
from sklearn.linear_model import Ridge

import fedlearn_edu as fl
from fedlearn_edu.simulation.communication import serialized_bytes
from fedlearn_edu.simulation.one_shot import refuse_clipped


@pytest.fixture(scope="module")
def result(features):
    return fl.run_one_shot(fl.one_shot_ridge(features, ridge=0.1), features)


def num_sent(features):
    """Numbers in a client's message: half of X'X, sums and counts per class, and a 1."""
    dim, classes = features.feature_dim, features.num_classes
    return dim * (dim // 2 + 1) + classes * dim + classes + 1


def test_reports_the_accuracy_of_its_own_weights(features, result):
    kernel, bias = result.model_weights
    shapes = [w.shape for w in fl.linear_head(features).initial_weights[0]]
    assert [w.shape for w in result.model_weights] == shapes
    x, y = features.pooled("test")
    assert result.accuracy == pytest.approx(np.mean((x @ kernel + bias).argmax(axis=1) == y))
    assert result.accuracy > 0.5
    for client_id in features.client_ids:
        x, y = features.test(client_id)
        assert result.client_accuracy[client_id] == pytest.approx(np.mean((x @ kernel + bias).argmax(axis=1) == y))
    frame = result.to_frame()
    assert frame.index.tolist() == features.client_ids
    assert frame["took_part"].all()
    assert f"accuracy {result.accuracy:.3f} after one round over 6 clients" in result.summary()
    assert "\n" not in result.summary()


def test_bytes_are_those_of_half_a_gram_matrix_and_the_class_sums(features, result):
    assert 0 < result.upload_bytes - 4 * num_sent(features) < 250  # names and shapes
    whole = serialized_bytes(tff.TensorType(np.float32, [1280, 1280]))
    assert serialized_bytes(tff.TensorType(np.float32, [1280, 641])) < 0.501 * whole
    assert result.broadcast_bytes < 10  # there is no model to send
    small = fl.run_one_shot(fl.one_shot_ncm(features), features)
    assert result.upload_bytes - small.upload_bytes == pytest.approx(4 * 8 * 5, abs=100)  # 8 features


def test_only_the_named_clients_take_part(features):
    clients = features.client_ids[1:3]
    result = fl.run_one_shot(fl.one_shot_cof(features), features, clients=clients)
    assert result.clients == tuple(clients)
    expected = [np.bincount(features.train(c)[1], minlength=3) for c in clients]
    np.testing.assert_array_equal(result.statistics["class_counts"], expected)
    assert len(result.client_accuracy) == features.num_clients
    assert result.to_frame()["took_part"].tolist() == [False, True, True, False, False, False]


def test_a_secure_sum_gives_the_same_head(features, result):
    """Up to its fixed-point step of 2 * 100 / (2**32 - 1) per client and number."""
    aggregator = tff.aggregators.SecureSumFactory(100.0)
    secure = fl.run_one_shot(fl.one_shot_ridge(features, ridge=0.1, statistics_aggregator=aggregator), features)
    for name, value in result.statistics.items():
        np.testing.assert_allclose(secure.statistics[name], value, atol=6 * 200 / 2**32, rtol=1e-6)
    for got, expected in zip(secure.model_weights, result.model_weights, strict=True):
        np.testing.assert_allclose(got, expected, atol=1e-6)
    assert not np.array_equal(secure.statistics["gram"], result.statistics["gram"])  # it did go through integers
    # 32 bits a number, and 3 more so that the sum over six clients fits
    assert 0 <= secure.upload_bytes - num_sent(features) * 35 / 8 < 20
    # Had a client's sum been clipped, the round would have been refused, by these two names.
    for name in ("secure_upper_clipped_count", "secure_lower_clipped_count"):
        assert secure.measurements[name] == 0
        with pytest.raises(
            fl.RunError, match=r"^secure sum refused: 2 client\(s\) or more sent a sum beyond the bound"
        ):
            refuse_clipped({"inside": {**secure.measurements, name: 2}})


def test_a_mean_of_statistics_is_turned_into_their_sum(features, result):
    aggregator = tff.aggregators.UnweightedMeanFactory()
    mean = fl.run_one_shot(fl.one_shot_ridge(features, ridge=0.1, statistics_aggregator=aggregator), features)
    np.testing.assert_allclose(mean.statistics["class_counts"], result.statistics["class_counts"], rtol=1e-5)
    np.testing.assert_allclose(mean.model_weights[0], result.model_weights[0], atol=1e-5)
    assert mean.notes["alpha"] == pytest.approx(result.notes["alpha"], rel=1e-4)


def test_other_settings_need_no_other_round(features, result):
    kernel, bias, notes = fl.one_shot_ridge(features, ridge=3.0).solve(result.statistics)
    x, y = features.pooled("train")
    central = Ridge(alpha=notes["alpha"]).fit(x, np.eye(3)[y])
    np.testing.assert_allclose(x @ kernel + bias, central.predict(x), atol=1e-4)
    assert np.abs(kernel - result.model_weights[0]).max() > 0.01


def test_federated_training_starts_from_the_head(features, result):
    process = fl.build_unweighted_fed_avg(fl.linear_head(features, initial_weights=result.initial_weights()))
    start = process.get_model_weights(process.initialize()).trainable
    x, y = features.pooled("test")
    assert np.mean((x @ start[0] + start[1]).argmax(axis=1) == y) == pytest.approx(result.accuracy)
    # Its class means now win by 1 / temperature on average.
    x, y = features.pooled("train")
    scores = np.array([x[y == c].mean(axis=0) for c in range(3)]) @ start[0] + start[1]
    own = np.diag(scores)
    assert np.mean(own - (scores.sum(axis=1) - own) / 2) == pytest.approx(1 / 0.15, rel=1e-4)
    half = result.initial_weights(temperature=0.3)
    np.testing.assert_allclose(half[0], start[0] / 2, rtol=1e-5)
    with pytest.raises(fl.UsageError, match=r"^temperature: expected a finite number above 0"):
        result.initial_weights(temperature=0)


def test_a_class_that_nobody_had_can_still_be_learned(features):
    labels = np.where(features.labels == 1, 0, features.labels)
    without = dataclasses.replace(features, labels=labels)
    result = fl.run_one_shot(fl.one_shot_cof(without), without)
    assert result.model_weights[1][1] == np.float32(-1e9)
    kernel, bias = result.initial_weights()
    assert not kernel[:, 1].any()
    assert bias[1] == 0


def test_bad_runs_are_refused(features, result):
    narrow = features.with_examples(features.examples[:, :5])
    with pytest.raises(fl.UsageError, match=r"^head: expected one for 5 features and 3 classes, got one for 8 and 3"):
        fl.run_one_shot(result.head, narrow)
    with pytest.raises(fl.UsageError, match=r"^client_ids: .*no client is called 'nobody'"):
        fl.run_one_shot(result.head, features, clients=["nobody"])
    broken = features.examples.copy()
    broken[0, 0] = np.nan
    with pytest.raises(fl.UsageError, match=r"^features: expected finite numbers, got NaN or infinity"):
        fl.run_one_shot(fl.one_shot_ncm(features), features.with_examples(broken))
