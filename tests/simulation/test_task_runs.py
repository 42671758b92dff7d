"""Runs whose examples are no images and whose results are no accuracy."""

import numpy as np
import pytest

import fedlearn_edu as fl
from fedlearn_edu.data.dataset import Dataset
from fedlearn_edu.data.task import Task
from fedlearn_edu.errors import UsageError


class PlainEncoder:
    """Two columns of a table as they are, and a 1."""

    name, fingerprint, feature_dim, modality = "plain", "f" * 64, 3, "table"
    calls = 0

    def key(self):
        return "plain-v1"

    def features(self, inputs, **_):
        self.calls += 1
        columns = [inputs["a"].astype(np.float32), (inputs["town"] == "x").astype(np.float32), np.ones(len(inputs))]
        return np.stack(columns, axis=1).astype(np.float32)


def _table(kind: str) -> Dataset:
    rng = np.random.default_rng(3)
    records = np.empty(240, [("a", float), ("town", "U1")])
    records["a"], records["town"] = rng.normal(size=240), rng.choice(["x", "y"], 240)
    signal = 2 * records["a"] + (records["town"] == "x")
    noise = rng.normal(size=240)
    task, targets = {
        "binary": (Task.binary(positive="ill"), (signal + noise > 1.5).astype(int)),
        "regression": (Task.regression(unit="EUR"), 10 * signal + noise),
        "ranking": (Task.ranking([f"i{n}" for n in range(20)]), np.clip(signal * 3 + 10, 0, 19).astype(int)),
    }[kind]
    return Dataset("toy", records, targets, task, modality="table")


def _features(kind: str, **arguments):
    clients = fl.partition(_table(kind), fl.IID(), num_clients=6, seed=0)
    return fl.extract_features(clients, PlainEncoder(), progress=False, **arguments)


@pytest.mark.parametrize(("kind", "lr"), [("binary", 0.5), ("regression", 0.1), ("ranking", 0.5)])
def test_a_run_measures_what_its_task_names(kind, lr, tmp_path):
    features = _features(kind, cache_dir=tmp_path)
    process = fl.build_weighted_fed_avg(fl.linear_head(features), client_lr=lr)
    history = fl.run_rounds(process, features, num_rounds=4, clients_per_round=6, num_epochs=3, progress=False)
    primary, (x, y) = features.task.primary, features.pooled("test")
    kernel, bias = history.model_weights
    outputs = x @ kernel + bias
    if kind == "binary":
        pairs = outputs[y == 1, 0][:, None] - outputs[y == 0, 0][None, :]
        expected = np.mean(pairs > 0)
    elif kind == "regression":
        expected = np.sqrt(np.mean((outputs[:, 0] - y) ** 2))
    else:
        expected = np.mean([(row > row[target]).sum() < 10 for row, target in zip(outputs, y, strict=True)])
    curve = history.global_metrics()[primary.name].dropna()
    assert curve.iloc[-1] == pytest.approx(expected, abs=0.01 if kind == "binary" else 1e-4)
    better = curve.iloc[-1] > features.baseline() if primary.higher_is_better else curve.iloc[-1] < features.baseline()
    assert better
    assert f"train_{primary.name}" in history.global_metrics()
    assert len(history.client_metric(primary.name)) == 6


def test_features_come_from_the_cache_and_keep_what_was_asked(tmp_path):
    encoder, clients = PlainEncoder(), fl.partition(_table("regression"), fl.IID(), num_clients=3)
    first = fl.extract_features(clients, encoder, cache_dir=tmp_path, progress=False)
    again = fl.extract_features(clients, encoder, cache_dir=tmp_path, progress=False)
    assert encoder.calls == 1
    np.testing.assert_array_equal(first.examples, again.examples)
    assert first.task == clients.task
    assert first.encoder is encoder
    assert first.spec == ((3,), np.float32, np.float32)


def test_an_encoder_of_another_kind_and_features_are_refused(tmp_path):
    features = _features("binary", cache_dir=tmp_path)
    with pytest.raises(UsageError, match="got feature vectors; extract_features was called before"):
        fl.extract_features(features, PlainEncoder(), cache_dir=tmp_path)
    images = fl.partition(
        fl.ImageDataset("i", np.zeros((9, 8, 8, 3), np.uint8), [0] * 9, ("a",)), fl.IID(), num_clients=1
    )
    with pytest.raises(
        UsageError, match="backbone: expected an encoder of images, which 'i' holds, got 'plain' for tab"
    ):
        fl.extract_features(images, PlainEncoder(), cache_dir=tmp_path)
    raw = fl.partition(_table("binary"), fl.IID(), num_clients=2)
    with pytest.raises(UsageError, match="examples of the kind 'table' as they came; call extract_features"):
        fl.linear_head(raw)


def test_label_skew_of_a_number_is_refused_and_of_yes_or_no_is_not():
    with pytest.raises(
        UsageError, match=r"^dirichlet:0\.3: works for a classification or binary task only, got a regr"
    ):
        fl.partition(_table("regression"), fl.Dirichlet(0.3), num_clients=4)
    assert fl.partition(_table("binary"), fl.Dirichlet(0.3), num_clients=4).num_clients == 4


def test_what_needs_classes_refuses_a_number(tmp_path):
    features = _features("regression", cache_dir=tmp_path)
    with pytest.raises(UsageError, match=r"^flip_labels: works for a classification or binary task only, got a regre"):
        fl.flip_labels(features, features.client_ids[:1])
    classes = fl.FederatedDataset("c", features.examples, [0] * 240, ("a", "b"), features.clients)
    with pytest.raises(UsageError, match=r"^run_one_shot: works for a classification task only, got a regression task"):
        fl.run_one_shot(fl.one_shot_ncm(classes), features)


def test_histories_show_the_primary_metric_of_their_task(tmp_path):
    features = _features("regression", cache_dir=tmp_path)
    process = fl.build_weighted_fed_avg(fl.linear_head(features), client_lr=0.1)
    history = fl.run_rounds(process, features, num_rounds=3, clients_per_round=6, progress=False)
    history.save(tmp_path / "saved")
    history = fl.History.load(tmp_path / "saved")
    table = history.client_table()
    assert list(table) == ["rmse", "gain", "rounds_trained"]
    assert table["rmse"].is_monotonic_decreasing  # worst first
    assert (table["gain"] > 0).all()
    assert history.baseline == pytest.approx(np.std(features.pooled("test")[1]))
    assert history.format(history.baseline).endswith(" EUR")
    ceiling = fl.train_centrally(process.model, features, num_epochs=200, learning_rate=0.5)
    assert ceiling.accuracy is None
    assert ceiling.value < history.baseline
    with pytest.raises(UsageError, match="measured by RMSE, not by accuracy"):
        _ = history.global_accuracy
    history.central_accuracy = ceiling.value
    ax = fl.plot_accuracy(history)
    assert ax.get_ylabel() == "RMSE (EUR)"
    assert any(list(line.get_ydata()) == [history.baseline] * 2 for line in ax.lines)
    assert ax.get_ylim()[1] > history.global_metrics()["rmse"].max()


def test_clients_of_one_class_have_no_auc(tmp_path):
    features = _features("binary", cache_dir=tmp_path)
    client_id = features.client_ids[0]
    split = features.clients[client_id]
    one_class = split.test[features.targets[split.test] == 0]
    features = features.select_clients(features.client_ids)
    features.clients[client_id] = fl.ClientSplit(split.train, one_class)
    process = fl.build_weighted_fed_avg(fl.linear_head(features), client_lr=0.1)
    history = fl.run_rounds(process, features, num_rounds=1, clients_per_round=2, progress=False)
    assert client_id not in history.client_metric("auc").index
    assert client_id in history.client_metric("loss").index
