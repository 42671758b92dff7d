import dataclasses
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_data import make_dataset

import fedlearn_edu.data.partition as room
from fedlearn_edu.data.partition import IID, Dirichlet, Natural, NaturalDirichlet, Quantity, Shards, partition
from fedlearn_edu.errors import UsageError

SCHEMES = st.one_of(
    st.just(IID()),
    st.builds(Dirichlet, concentration=st.sampled_from([1e-6, 0.01, 0.3, 1.0, 1e6])),
    st.builds(Shards, shards_per_client=st.integers(1, 3)),
    st.builds(Quantity, skew=st.sampled_from([0.0, 0.5, 1.5, 100.0])),
)


@st.composite
def problems(draw):
    """Arguments that fit together: labels with any imbalance, and as many clients as they can serve."""
    labels = draw(st.lists(st.integers(0, 4), min_size=12, max_size=120))
    min_size = draw(st.integers(1, 4))
    scheme = draw(SCHEMES)
    per_client = max(min_size, scheme.shards_per_client if isinstance(scheme, Shards) else 1)
    num_clients = draw(st.integers(1, len(labels) // per_client))
    return labels, scheme, {"num_clients": num_clients, "min_size": min_size, "seed": draw(st.integers(0, 2**31 - 2))}


def make_owned(num_owners=3, size=40, **extra):
    labels = np.tile(np.arange(4), num_owners * size // 4)
    owners = np.repeat([f"owner{n}" for n in range(num_owners)], size)
    return dataclasses.replace(make_dataset(labels.tolist()), natural_client_ids=owners, **extra)


@given(num_clients=st.integers(3, 20), concentration=st.sampled_from([0.01, 0.3, 100.0]), seed=st.integers(0, 99))
@settings(max_examples=40, deadline=None)
def test_natural_dirichlet_never_mixes_owners_and_keeps_every_example(num_clients, concentration, seed):
    dataset = make_owned()
    scheme = NaturalDirichlet(concentration)
    clients = partition(dataset, scheme, num_clients=num_clients, seed=seed, min_size=3)
    assert clients.num_clients == num_clients
    for client_id, split in clients.clients.items():
        assert set(dataset.natural_client_ids[split.all]) == {client_id.rpartition("_")[0]}
    assert sorted(np.concatenate([split.all for split in clients.clients.values()])) == list(range(120))


def test_natural_dirichlet_skews_labels_within_an_owner():
    def top_share(concentration):
        clients = partition(make_owned(size=400), NaturalDirichlet(concentration), num_clients=15, seed=0)
        return clients.summary()["top_class_share"].mean()

    assert top_share(100.0) < 0.4 < 0.6 < top_share(0.05)


def test_natural_dirichlet_needs_owners_and_a_client_for_each():
    with pytest.raises(UsageError, match=r"num_clients: expected at least 3 \(one for each owner .*, got 2"):
        partition(make_owned(), NaturalDirichlet(), num_clients=2)
    with pytest.raises(UsageError, match=r"owner 'owner0' has 40; use at most 8"):
        partition(make_owned(), NaturalDirichlet(), num_clients=30)
    with pytest.raises(UsageError, match="needs a data set that knows its owners"):
        partition(make_dataset([0, 1] * 10), NaturalDirichlet(), num_clients=2)


@pytest.mark.parametrize("scheme", [IID(), Dirichlet(0.3), Natural(), NaturalDirichlet(0.3)])
def test_a_split_of_its_own_is_kept(scheme):
    is_test = np.arange(120) % 5 == 0
    clients = partition(make_owned(is_test=is_test), scheme, num_clients=3, seed=1, test_fraction=0.9)
    for split in clients.clients.values():
        assert not is_test[split.train].any()
        assert is_test[split.test].all()
    assert sum(len(split.test) for split in clients.clients.values()) == is_test.sum()


def test_a_split_that_does_not_fit_is_refused():
    with pytest.raises(UsageError, match=r"is_test: expected one bool per image \(120\), got bool \[3\]"):
        make_owned(is_test=np.zeros(3, bool))


def rows_of(clients):
    return [sorted(split.all.tolist()) for split in clients.clients.values()]


@settings(max_examples=150, deadline=None)
@given(problem=problems(), test_fraction=st.sampled_from([0.01, 0.2, 0.5, 0.99]))
def test_every_example_is_held_once_and_every_client_is_served(problem, test_fraction):
    labels, scheme, arguments = problem
    dataset = make_dataset(labels)
    clients = partition(dataset, scheme, test_fraction=test_fraction, **arguments)
    rows = rows_of(clients)
    assert sorted(row for held in rows for row in held) == list(range(len(labels)))
    assert len(rows) == arguments["num_clients"]
    assert min(len(held) for held in rows) >= arguments["min_size"]
    assert clients.examples is dataset.images
    np.testing.assert_array_equal(clients.labels, labels)
    for split in clients.clients.values():
        size = len(split.all)
        assert len(split.train) >= 1
        assert len(split.test) >= (1 if size >= 2 else 0)
        assert abs(len(split.test) - test_fraction * size) <= 1


@settings(max_examples=40, deadline=None)
@given(problem=problems())
def test_the_seed_decides(problem):
    labels, scheme, arguments = problem
    dataset = make_dataset(labels)

    def splits(seed):
        clients = partition(dataset, scheme, **arguments | {"seed": seed})
        return [(split.train.tolist(), split.test.tolist()) for split in clients.clients.values()]

    assert splits(arguments["seed"]) == splits(arguments["seed"])
    # Twelve examples in random order: that two seeds agree is out of the question.
    if arguments["num_clients"] > 1:
        assert splits(arguments["seed"]) != splits(arguments["seed"] + 1)


@pytest.mark.parametrize("scheme", [IID(), Dirichlet(0.1), Shards(2), Quantity(3.0)])
def test_an_order_of_the_images_is_not_kept(scheme):
    # A client of a folder's images must not see its classes one after the other.
    clients = partition(make_dataset(np.repeat([0, 1], 200)), scheme, num_clients=2, seed=0)
    for split in clients.clients.values():
        assert split.train.tolist() != sorted(split.train.tolist())


def test_filling_up_takes_no_more_than_is_needed():
    # Quantity(100) gives everything to one client; the others get min_size and not one more.
    clients = partition(make_dataset(np.arange(100) % 3), Quantity(100.0), num_clients=10, min_size=4)
    assert sorted(len(rows) for rows in rows_of(clients)) == [4] * 9 + [64]


def test_client_ids_sort_as_numbers():
    dataset = make_dataset(np.arange(500) % 2)
    assert partition(dataset, IID(), num_clients=3).client_ids == ["client_00", "client_01", "client_02"]
    ids = partition(dataset, IID(), num_clients=101, min_size=1).client_ids
    assert ids == sorted(ids)
    assert (ids[0], ids[-1]) == ("client_000", "client_100")


def test_one_example_only_trains():
    clients = partition(make_dataset([0, 1, 0]), IID(), num_clients=3, min_size=1)
    assert clients.summary()[["num_train", "num_test"]].to_numpy().tolist() == [[1, 0]] * 3


# --- natural owners


def test_owners_keep_their_examples():
    owners = ["bo", "al", "bo", "al", "bo"]
    dataset = make_dataset([0, 1, 1, 0, 0], owners)
    clients = partition(dataset, Natural(), min_size=1)
    assert clients.client_ids == ["al", "bo"]
    assert rows_of(clients) == [[1, 3], [0, 2, 4]]
    assert clients.examples is dataset.images


@settings(max_examples=50, deadline=None)
@given(
    owners=st.lists(st.sampled_from("abcdef"), min_size=10, max_size=60),
    seed=st.integers(0, 100),
    min_size=st.integers(1, 3),
)
def test_natural_clients_hold_what_their_owners_held(owners, seed, min_size):
    owners = np.array(owners)
    large = [owner for owner in np.unique(owners) if (owners == owner).sum() >= min_size]
    dataset = make_dataset(np.arange(len(owners)) % 2, owners)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        clients = partition(dataset, Natural(), num_clients=max(1, len(large) // 2), seed=seed, min_size=min_size)
    assert set(clients.client_ids) <= set(large)
    for owner in clients.client_ids:
        images = np.concatenate([clients.train(owner)[0], clients.test(owner)[0]])
        assert sorted(images[:, 0, 0, 2].tolist()) == np.flatnonzero(owners == owner).tolist()


def test_owners_drawn_depend_on_the_seed():
    dataset = make_dataset(np.arange(200) % 2, np.repeat([f"c{i:02}" for i in range(20)], 10))
    drawn = [tuple(partition(dataset, Natural(), num_clients=5, seed=seed).client_ids) for seed in (0, 0, 1)]
    assert drawn[0] == drawn[1] != drawn[2]
    assert len(partition(dataset, Natural(), num_clients=5).examples) == 50


def test_small_owners_stay_out_and_are_named():
    dataset = make_dataset([0, 1, 0, 1, 0, 1], ["al", "al", "al", "bo", "cy", "cy"])
    with pytest.warns(UserWarning, match=r"2 of 3 owners have fewer than 3 .* stay out: bo \(1\), cy \(2\)"):
        clients = partition(dataset, Natural(), min_size=3)
    assert clients.client_ids == ["al"]
    assert clients.labels.tolist() == [0, 1, 0]


def test_owner_names_become_file_names():
    dataset = make_dataset([0, 1] * 6, ["ward/a"] * 6 + ["ward/b"] * 6)
    assert partition(dataset, Natural()).client_ids == ["ward_a", "ward_b"]
    with pytest.raises(UsageError, match="two owners would both be called 'a_b'"):
        partition(make_dataset([0, 1] * 6, ["a/b"] * 6 + ["a_b"] * 6), Natural())


# --- bad arguments


@pytest.mark.parametrize(
    ("scheme", "arguments", "message"),
    [
        (
            IID(),
            {"num_clients": 21},
            "21 clients of at least 5 examples (min_size) need 105, 'toy' has 100; use at most 20",
        ),
        (IID(), {"num_clients": None}, "num_clients: expected a number of clients for IID(), got None"),
        (IID(), {"num_clients": 0}, "num_clients: expected a whole number of at least 1, got 0"),
        (IID(), {"num_clients": 2.0}, "num_clients: expected a whole number of at least 1, got 2.0"),
        (IID(), {"num_clients": 2, "seed": -1}, "seed: expected a whole number from 0 to 2147483647, got -1"),
        (IID(), {"num_clients": 2, "min_size": 0}, "min_size: expected a whole number of at least 1, got 0"),
        (
            IID(),
            {"num_clients": 2, "test_fraction": 1.0},
            "test_fraction: expected a number from 0.01 to 0.99, got 1.0",
        ),
        (IID(), {"num_clients": 2, "test_fraction": float("nan")}, "test_fraction: expected a number"),
        (IID, {"num_clients": 2}, "scheme: expected one like Dirichlet(0.3) or parse_scheme('dirichlet:0.3'), got"),
        ("iid", {"num_clients": 2}, "scheme: expected one like Dirichlet(0.3)"),
        (Natural(), {}, "'natural' needs a data set that knows its owners, 'toy' does not"),
    ],
)
def test_bad_arguments(scheme, arguments, message):
    with pytest.raises(UsageError) as caught:
        partition(make_dataset(np.arange(100) % 4), scheme, **arguments)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_bad_arguments_for_natural_owners():
    dataset = make_dataset([0, 1] * 10, ["al"] * 10 + ["bo"] * 10)
    with pytest.raises(UsageError, match=r"num_clients: expected 1 to 2 \(owners in 'toy'\), got 3"):
        partition(dataset, Natural(), num_clients=3)
    with pytest.raises(UsageError, match="none of the 2 owners in 'toy' has 11 examples, the largest has 10"):
        partition(dataset, Natural(), min_size=11)


def test_public_names():
    assert all(hasattr(room, name) for name in room.__all__)
