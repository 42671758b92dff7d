"""What a demo run decides where nobody said it: who holds the images, how many clients there are, learning rates."""

import types

import numpy as np
import pytest

import fedlearn_edu as fl
from fedlearn_edu import demo_setup
from fedlearn_edu.demo_data import deal_out
from fedlearn_edu.demo_options import DemoOptions
from fedlearn_edu.demo_setup import _decide_rate, train_ceiling
from fedlearn_edu.simulation import central


def photos(sizes):
    """Images of two classes, so many of each owner; nobody's if there is one number."""
    owners = np.repeat([f"owner_{number}" for number in range(len(sizes))], sizes)
    images = np.zeros([len(owners), 8, 8, 3], np.uint8)
    labels = (np.arange(len(owners)) % 2).astype(np.int32)
    return fl.ImageDataset("photos", images, labels, ("a", "b"), owners if len(sizes) > 1 else None)


@pytest.mark.filterwarnings("ignore:.*owners have fewer than 5 examples")
@pytest.mark.parametrize(
    ("sizes", "given", "partition", "num_clients"),
    [
        ([30, 30, 30], {}, "natural", 3),
        ([30, 4], {}, "iid", 3),  # a second owner with too few images to be a client is none
        ([30, 30, 4], {}, "natural", 2),
        ([30, 30, 30], {"num_clients": 2}, "natural", 2),
        ([30, 30, 30], {"partition": "iid"}, "iid", 9),
        ([6] * 30, {"partition": "natural_dirichlet:1"}, "natural_dirichlet:1", 30),  # no fewer clients than owners
        ([12], {}, "iid", 2),  # one client is no federation
        ([9], {}, "iid", 1),
        ([700], {}, "iid", 50),  # few images a client, and nobody's
        ([94], {}, "iid", 9),
        ([94], {"num_clients": 4}, "dirichlet:0.3", 4),
        ([94], {"partition": "dirichlet:0.3"}, "dirichlet:0.3", 9),
        ([999], {}, "iid", 50),
        ([1000], {}, "dirichlet:0.3", 50),
    ],
)
def test_owners_of_a_folder_are_clients_and_few_images_make_few(tmp_path, sizes, given, partition, num_clients):
    options, clients = deal_out(DemoOptions(dataset=str(tmp_path), **given), photos(sizes))
    assert (options.partition, clients.num_clients) == (partition, num_clients)


def features(num_train):
    rows = np.zeros([num_train + 2, 3], np.float32)
    clients = {"c": fl.ClientSplit(train=np.arange(num_train), test=np.arange(num_train, num_train + 2))}
    return fl.FederatedDataset("toy", rows, np.arange(len(rows), dtype=np.int32) % 2, ("a", "b"), clients)


@pytest.mark.parametrize(
    ("num_train", "steady", "epochs", "learning_rate"),
    [
        (80, 0.1, 150, 1e-3),  # 2 steps a pass: 150 passes are 300 steps
        (64 * 20, 0.1, 15, 1e-3),
        (64 * 30, 0.001, 15, 1e-4),  # plain SGD bears a hundredth of the usual rate, Adam a tenth
        (64 * 30, 10, 15, 1e-2),
    ],
)
def test_the_ceiling_trains_long_enough_of_few_images_and_at_a_rate_that_suits(
    monkeypatch, num_train, steady, epochs, learning_rate
):
    asked = []
    monkeypatch.setattr(demo_setup, "steady_client_lr", lambda *_, **__: steady)
    monkeypatch.setattr(
        central, "train_centrally", lambda *_, **given: asked.append(given) or types.SimpleNamespace(value=0.5)
    )
    experiment = types.SimpleNamespace(features=features(num_train), process=types.SimpleNamespace(model=None))
    assert train_ceiling(DemoOptions(seed=7), experiment).value == 0.5
    assert asked[0]["num_epochs"] == epochs
    assert asked[0]["learning_rate"] == pytest.approx(learning_rate)
    assert asked[0]["seed"] == 7


@pytest.mark.parametrize(("algorithm", "epochs", "batch"), [("unweighted_fed_avg", 3, 8), ("fed_sgd", 1, None)])
def test_a_rate_is_tried_as_it_will_be_used(monkeypatch, algorithm, epochs, batch):
    """FedSGD takes one step on all of a client's examples, whatever --num-epochs and --batch-size are."""
    asked = []
    monkeypatch.setattr(demo_setup, "steady_client_lr", lambda *_, **given: asked.append(given) or 0.01)
    options = DemoOptions(algorithm=algorithm, num_epochs=3, batch_size=8, seed=7)
    decided, why = _decide_rate(options, features(20), 5)
    assert decided.client_lr == 0.01
    assert "0.1 does not suit" in why
    assert {"clients_per_round": 5, "num_epochs": epochs, "batch_size": batch, "seed": 7}.items() <= asked[0].items()
    assert _decide_rate(decided, features(20), 5) == (decided, ""), "what was decided stands"
    assert len(asked) == 1
