"""Fine-tuning a part of a backbone as a federated process."""

import numpy as np
import pytest
import tensorflow as tf

import fedlearn_edu as fl
from fedlearn_edu.simulation.communication import measure_message_sizes


@pytest.fixture(scope="module")
def bundled():
    return fl.load_backbone("bundled")


@pytest.fixture(scope="module")
def split(bundled):
    return fl.split_backbone(bundled, ["Conv_1*"])


@pytest.fixture(scope="module")
def features(split, tmp_path_factory):
    clients = fl.partition(fl.load_dataset("fashion"), fl.IID(), num_clients=125, seed=0)
    few = clients.select_clients(list(clients.clients)[:4])
    return fl.extract_features(few, split, cache_dir=tmp_path_factory.mktemp("cache"), progress=False)


def test_only_what_is_trained_travels_and_it_learns(features, split):
    model = fl.fine_tuned_backbone(features, split)
    process = fl.build_weighted_fed_avg(model, client_lr=0.05)
    trained = split.num_trainable + 1281 * 10
    assert 0 <= measure_message_sizes(process).upload_bytes - 4 * trained < 1_000
    history = fl.run_rounds(process, features, num_rounds=2, clients_per_round=4, seed=0, progress=False)
    losses = history.global_metrics()["loss"].tolist()
    assert losses[-1] < losses[0]
    assert not np.allclose(history.model_weights[0], split.initial_values[0])


def test_a_cut_and_features_of_another_are_refused(features, bundled):
    with pytest.raises(fl.UsageError, match="features: expected extract_features"):
        fl.fine_tuned_backbone(features, fl.split_backbone(bundled, "head"))


def test_live_statistics_warn_and_differ_in_training_only(features, split):
    with pytest.warns(fl.BatchNormWarning, match="use 'frozen'"):
        live = fl.fine_tuned_backbone(features, split, batch_norm_statistics="live")
    frozen = fl.fine_tuned_backbone(features, split)
    rng = np.random.default_rng(0)
    weights = (*split.initial_values, rng.normal(size=[1280, 10]).astype(np.float32), np.zeros([10], np.float32))
    batch = tf.constant(features.examples[:10])
    scores = lambda model, training: model.predict_on_batch((weights, ()), batch, training=training).numpy()  # noqa: E731
    np.testing.assert_allclose(scores(live, False), scores(frozen, False), atol=1e-3)
    np.testing.assert_allclose(scores(frozen, True), scores(frozen, False), atol=1e-3)
    assert np.abs(scores(live, True) - scores(frozen, True)).max() > 0.1
    with pytest.raises(fl.UsageError, match="batch_norm_statistics: expected"):
        fl.fine_tuned_backbone(features, split, batch_norm_statistics="both")
