import numpy as np
import pytest

from fedlearn_edu.data.federated import ClientSplit, FederatedDataset
from fedlearn_edu.errors import UsageError


def split(train, test=()):
    return ClientSplit(np.array(train, int), np.array(test, int))


def build(clients, *, examples=None):
    examples = np.arange(12.0, dtype=np.float32).reshape(6, 2) if examples is None else examples
    labels = np.array([0, 1, 1, 0, 2, 1], np.int32)
    return FederatedDataset("toy", examples, labels, ("a", "b", "c"), clients)


def test_a_client_sees_its_own_rows():
    clients = build({"x": split([2, 0], [4]), "y": split([1])})
    examples, labels = clients.train("x")
    assert examples.tolist() == [[4, 5], [0, 1]]
    assert labels.tolist() == [1, 0]
    assert clients.test("x")[1].tolist() == [2]
    assert clients.test("y")[0].shape == (0, 2)
    assert clients.pooled("train")[1].tolist() == [1, 0, 1]
    assert clients.pooled("test")[1].tolist() == [2]
    assert (clients.num_clients, clients.num_classes, clients.feature_dim) == (2, 3, 2)


def test_statistics():
    clients = build({"x": split([2, 5], [4]), "y": split([0], [3])})
    assert clients.label_counts().to_numpy().tolist() == [[0, 2, 1], [2, 0, 0]]
    assert clients.label_counts().columns.tolist() == ["a", "b", "c"]
    assert clients.summary().loc["x"].to_dict() == {
        "num_train": 2,
        "num_test": 1,
        "num_classes": 2,
        "top_class_share": pytest.approx(2 / 3),
    }


def test_other_examples_keep_the_clients():
    clients = build({"x": split([2], [4])}, examples=np.zeros((6, 4, 4, 3), np.uint8))
    with pytest.raises(UsageError, match="extract_features"):
        _ = clients.feature_dim
    features = clients.with_examples(np.ones((6, 5), np.float32))
    assert features.feature_dim == 5
    assert features.clients == clients.clients
    with pytest.raises(UsageError, match=r"labels: expected 5 whole numbers, one per example, got int32 \[6\]"):
        clients.with_examples(np.ones((5, 5), np.float32))


@pytest.mark.parametrize(
    ("clients", "message"),
    [
        ({}, "at least one client"),
        ({"x": split([], [1])}, "'x' has no training example"),
        ({"x": split([0, 1]), "y": split([1])}, "held by one client only"),
        ({"x": split([0], [0])}, "held by one client only"),
        ({"x": split([6])}, r"row numbers must lie in \[0, 6\)"),
        ({"x": split([-1])}, r"row numbers must lie in \[0, 6\)"),
        ({"a/b": split([0])}, "client_id: expected a name without '/'"),
        ({"..": split([0])}, "client_id: expected a name without '/'"),
        ({"": split([0])}, "client_id: expected a name that can be seen for a client, got ''"),
    ],
)
def test_clients_that_cannot_be(clients, message):
    with pytest.raises(UsageError, match=message):
        build(clients)


def test_some_clients_keep_the_examples():
    clients = build({"x": split([2, 5], [4]), "y": split([0], [3]), "z": split([1])})
    chosen = clients.select_clients(["z", "x"])
    assert chosen.client_ids == ["z", "x"]
    assert chosen.examples is clients.examples
    assert chosen.train("x")[1].tolist() == clients.train("x")[1].tolist()
    with pytest.raises(UsageError, match=r"client_ids: .* but no client is called 'w'"):
        clients.select_clients(["x", "w"])
    with pytest.raises(UsageError, match=r"client_ids: .* but one is named twice"):
        clients.select_clients(["x", "x"])
