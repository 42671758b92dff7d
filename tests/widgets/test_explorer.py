"""PartitionExplorer, driven in process: what it shows is what `partition` gives."""

import dataclasses

import numpy as np
import pytest

import fedlearn_edu as fl
from fedlearn_edu.data.images import ImageDataset


@pytest.fixture
def dataset():
    labels = (np.arange(600) % 4).astype(np.int32)
    return ImageDataset("toy", np.zeros([600, 8, 8, 3], np.uint8), labels, ("a", "b", "c", "d"))


def bars(explorer):
    """Widths of the bars in the picture: one list a class."""
    return [
        [path.vertices[:, 0].max() - path.vertices[:, 0].min() for path in collection.get_paths()]
        for collection in explorer.picture.figure.axes[0].collections
    ]


def expect(explorer, dataset, scheme, *, num_clients, seed):
    counts = fl.partition(dataset, scheme, num_clients=num_clients, seed=seed).label_counts()
    assert explorer.clients.label_counts().equals(counts)
    assert bars(explorer) == counts.T.to_numpy().tolist()
    assert explorer.error is None


def test_starts_with_a_partition(written, dataset):
    explorer = fl.PartitionExplorer(dataset, num_clients=5, seed=3)
    expect(explorer, dataset, fl.Dirichlet(0.3), num_clients=5, seed=3)
    assert "<svg " in explorer.picture.value


@pytest.mark.parametrize("seed", [-1, 1.5, None, "7", 2**31, True])
def test_a_seed_that_partition_would_not_take_is_refused(dataset, seed):
    with pytest.raises(fl.UsageError, match="seed: expected a whole number from 0 to"):
        fl.PartitionExplorer(dataset, num_clients=5, seed=seed)


def test_follows_every_control(written, dataset):
    explorer = fl.PartitionExplorer(dataset, num_clients=5)
    controls, pictures = explorer.controls, [explorer.picture.value]

    def changed():
        pictures.append(explorer.picture.value)
        return pictures[-1] != pictures[-2]

    controls.numbers[fl.Dirichlet][0].value = 5.0
    expect(explorer, dataset, fl.Dirichlet(5.0), num_clients=5, seed=0)
    assert changed()
    controls.num_clients.value = 8
    expect(explorer, dataset, fl.Dirichlet(5.0), num_clients=8, seed=0)
    assert changed()
    controls.seed.value = 4
    expect(explorer, dataset, fl.Dirichlet(5.0), num_clients=8, seed=4)
    assert changed()
    controls.scheme_choice.value = fl.Shards
    expect(explorer, dataset, fl.Shards(2), num_clients=8, seed=4)
    controls.numbers[fl.Shards][0].value = 1
    expect(explorer, dataset, fl.Shards(1), num_clients=8, seed=4)
    controls.scheme_choice.value = fl.Quantity
    controls.numbers[fl.Quantity][0].value = 2.0
    expect(explorer, dataset, fl.Quantity(2.0), num_clients=8, seed=4)
    controls.scheme_choice.value = fl.IID
    expect(explorer, dataset, fl.IID(), num_clients=8, seed=4)


def test_shows_only_the_number_that_applies(dataset):
    controls = fl.PartitionExplorer(dataset, num_clients=5).controls
    numbers = [controls.numbers[scheme][0] for scheme in (fl.Dirichlet, fl.Shards, fl.Quantity)]
    for scheme, expected in [(fl.Shards, 1), (fl.Quantity, 2), (fl.Dirichlet, 0), (fl.IID, None)]:
        controls.scheme_choice.value = scheme
        assert [i for i, number in enumerate(numbers) if number.layout.display != "none"] == (
            [] if expected is None else [expected]
        )


def test_natural_owners_only_where_they_are_known(dataset):
    assert fl.Natural not in dict(fl.PartitionExplorer(dataset).controls.scheme_choice.options).values()
    owned = dataclasses.replace(dataset, natural_client_ids=np.repeat(["x", "y", "z"], 200))
    explorer = fl.PartitionExplorer(owned)
    assert explorer.scheme == fl.Natural()
    assert explorer.clients.client_ids == ["x", "y", "z"]


def test_statistics(dataset):
    explorer = fl.PartitionExplorer(dataset, num_clients=6)
    explorer.controls.scheme_choice.value = fl.Shards
    explorer.controls.numbers[fl.Shards][0].value = 2
    summary = explorer.clients.summary()
    row = explorer.statistics.value.split("classes held")[1]
    assert f">{summary['num_classes'].min():.0f}<" in row
    assert f">{summary['num_classes'].max():.0f}<" in row
    assert ">100<" in explorer.statistics.value.split("examples held")[1]  # 600 examples, 6 clients


def test_impossible_setting_is_shown_and_passes(dataset):
    explorer = fl.PartitionExplorer(dataset, num_clients=5)
    before = explorer.clients
    explorer.controls.num_clients.value = 150  # 600 examples are not enough for 5 each
    assert isinstance(explorer.error, fl.UsageError)
    assert str(explorer.error).startswith("num_clients: 150 clients")
    assert "num_clients: 150 clients" in explorer.error_line.value
    assert explorer.clients is before
    explorer.controls.num_clients.value = 6
    assert explorer.error is None
    assert explorer.error_line.value == ""


def test_bad_argument():
    with pytest.raises(fl.UsageError, match="dataset: expected a data set"):
        fl.PartitionExplorer("fashion")


def test_numbers_have_no_classes_to_show():
    table = np.array([(1.0,), (2.0,)], [("x", float)])
    numbers = fl.Dataset("n", table, [1.5, 2.5], fl.Task.regression(), modality="table")
    with pytest.raises(fl.UsageError, match="PartitionExplorer: works for a classification or binary task only"):
        fl.PartitionExplorer(numbers)
    answers = fl.Dataset("a", np.tile(table, 30), [0, 1] * 30, fl.Task.binary(positive="b"), modality="table")
    assert fl.PartitionExplorer(answers, num_clients=4).clients.num_clients == 4
