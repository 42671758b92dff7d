import numpy as np
import pytest
import tensorflow as tf
import tensorflow_federated as tff
from sklearn.metrics import roc_auc_score

from fedlearn_edu.data.federated import ClientSplit, FederatedDataset
from fedlearn_edu.data.metrics import METRICS
from fedlearn_edu.data.task import Task
from fedlearn_edu.learning.models import linear_head, mlp_head
from fedlearn_edu.learning.tasks import example_losses

TASKS = {
    "classification": Task.classification(["a", "b", "c"]),
    "binary": Task.binary(positive="b"),
    "regression": Task.regression(unit="EUR"),
    "ranking": Task.ranking([f"item {n}" for n in range(15)]),
}


def _toy(kind: str, num_examples: int = 60) -> tuple[FederatedDataset, np.ndarray]:
    """Returns examples of a task in one client, and outputs that have something to do with the targets."""
    task, rng = TASKS[kind], np.random.default_rng(7)
    targets = rng.normal(size=num_examples) if kind == "regression" else None
    if targets is None:
        targets = rng.integers(len(task.class_names), size=num_examples)
    outputs = rng.normal(size=(num_examples, task.num_outputs)).astype(np.float32)
    split = ClientSplit(np.arange(num_examples), np.arange(0))
    x = rng.normal(size=(num_examples, 4)).astype(np.float32)
    return FederatedDataset("toy", x, targets, (), {"c": split}, task=task, modality="table"), outputs


def _state_of(model, outputs, targets, cuts):
    state = model.initialize_metrics_state()
    for o, y in zip(np.split(outputs, cuts), np.split(targets, cuts), strict=True):
        batch = tff.learning.models.BatchOutput(loss=model.loss(o, y), predictions=tf.constant(o), num_examples=len(y))
        state = model.update_metrics_state(state, labels=tf.constant(y), batch_output=batch)
    return state


KERAS = {
    "classification": tf.keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    "binary": tf.keras.losses.BinaryCrossentropy(from_logits=True),
    "regression": tf.keras.losses.MeanSquaredError(),
    "ranking": tf.keras.losses.SparseCategoricalCrossentropy(from_logits=True),
}


@pytest.mark.parametrize("kind", TASKS)
def test_losses_are_those_of_keras(kind):
    data, outputs = _toy(kind)
    targets = data.targets if kind in ("classification", "ranking") else data.targets[:, None]
    own = example_losses(data.task)(outputs, data.targets)
    assert own.shape == [60]
    np.testing.assert_allclose(np.mean(own), KERAS[kind](targets, outputs), rtol=1e-6)


@pytest.mark.parametrize("kind", TASKS)
def test_sums_of_batches_give_the_metric_of_all_examples(kind):
    data, outputs = _toy(kind)
    model, y = linear_head(data), data.targets
    state = _state_of(model, outputs, y, cuts=[1, 20, 45])
    by_tensorflow = model.finalize_metrics(state)
    places = (outputs >= outputs[np.arange(60), y.astype(int) % outputs.shape[1]][:, None]).sum(axis=1)
    expected = {
        "classification": lambda: {"accuracy": np.mean(outputs.argmax(axis=1) == y)},
        "binary": lambda: {
            "accuracy": np.mean((outputs[:, 0] > 0) == y),
            "auc": roc_auc_score(y, np.floor(outputs[:, 0] * 32)),
        },
        "regression": lambda: {"rmse": np.sqrt(np.mean((outputs[:, 0] - y) ** 2))},
        "ranking": lambda: {
            "hit_at_10": np.mean(places <= 10),
            "ndcg_at_10": np.mean([1 / np.log2(1 + p) if p <= 10 else 0 for p in places]),
        },
    }[kind]()
    assert {*expected, "loss", "num_examples"} == set(by_tensorflow)
    for name, value in expected.items():
        assert float(by_tensorflow[name]) == pytest.approx(value, rel=1e-5)
        of_sums = METRICS[name].value_of(np.asarray(state[name][0], np.float64), len(y))
        assert of_sums == pytest.approx(value, rel=1e-5)


def test_items_of_one_score_share_the_middle_place():
    data, _ = _toy("ranking")
    y = np.zeros(1, np.int32)
    [tied, first] = [np.zeros([1, 15], np.float32), np.eye(1, 15, dtype=np.float32)]
    model = linear_head(data)
    found = [model.finalize_metrics(_state_of(model, o, y, cuts=[])) for o in (tied, first)]
    assert [float(f["hit_at_10"]) for f in found] == [1, 1]  # 15 tied: place 8
    assert [float(f["ndcg_at_10"]) for f in found] == pytest.approx([np.log(2) / np.log(9), 1])


def test_scores_beyond_the_bins_and_nan_are_counted_at_their_ends():
    data, _ = _toy("binary")
    model = linear_head(data)
    state = _state_of(model, np.float32([[-1e9], [np.nan], [np.inf]]), np.int32([0, 0, 1]), cuts=[])
    counts = state["auc"][0].numpy()
    assert counts.sum() == 3
    assert counts[0, 0] == counts[0, 256] == counts[1, -1] == 1


@pytest.mark.parametrize("kind", TASKS)
def test_heads_have_an_output_for_what_is_asked(kind):
    data, _ = _toy(kind)
    outputs = {"classification": 3, "binary": 1, "regression": 1, "ranking": 15}[kind]
    for head in (linear_head(data), mlp_head(data, hidden_units=5)):
        assert head.initial_weights[0][-1].shape == (outputs,)
        assert head.input_spec[1].dtype == (tf.float32 if kind == "regression" else tf.int32)
