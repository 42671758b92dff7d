"""Arrays and names that users hand in: lists, Series and tensors are taken, anything else is refused in one line."""

import unicodedata

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_data import make_dataset

from fedlearn_edu.data.federated import ClientSplit, FederatedDataset
from fedlearn_edu.data.images import ImageDataset
from fedlearn_edu.data.partition import IID, Dirichlet, Natural, partition
from fedlearn_edu.data.schemes import SCHEMES, parse_scheme
from fedlearn_edu.errors import UsageError

IMAGES = np.arange(4 * 2 * 2 * 3, dtype=np.uint8).reshape(4, 2, 2, 3)


def build(**changes) -> ImageDataset:
    return ImageDataset(
        **{"name": "toy", "images": IMAGES, "labels": [0, 1, 0, 1], "class_names": ["a", "b"]} | changes
    )


def refused(call, *arguments, **keywords) -> str:
    with pytest.raises(UsageError) as caught:
        call(*arguments, **keywords)
    message = str(caught.value)
    assert len(message.splitlines()) == 1
    assert len(message) < 500
    return message


@pytest.mark.parametrize("of", [list, pd.Series, np.array, lambda values: pd.Series(values, index=list("wxyz"))])
def test_lists_and_series_are_taken_like_arrays(of):
    dataset = build(
        images=IMAGES.tolist(),
        labels=of([0, 1, 0, 1]),
        class_names=of(["a", "b"]) if of is list else ["a", "b"],
        natural_client_ids=of(["x", "y", "y", "x"]),
        is_test=of([True, False, True, False]),
    )
    np.testing.assert_array_equal(dataset.images, IMAGES)
    assert (dataset.images.dtype, dataset.labels.dtype, dataset.is_test.dtype) == (np.uint8, np.int32, np.bool_)
    assert dataset.labels.tolist() == [0, 1, 0, 1]
    assert dataset.class_names == ("a", "b")
    clients = partition(dataset, Natural(), min_size=2)
    assert clients.client_ids == ["x", "y"]
    assert (clients.clients["x"].train.tolist(), clients.clients["x"].test.tolist()) == ([3], [0])


def test_series_that_allow_gaps_and_lists_of_pictures_are_taken():
    dataset = build(
        images=list(IMAGES),
        labels=pd.Series([0, 1, 0, 1], dtype="Int64"),
        is_test=pd.Series([True, False, False, True], dtype="boolean"),
        natural_client_ids=pd.Series(["x", "y", "y", "x"], dtype="category"),
    )
    assert dataset.labels.tolist() == [0, 1, 0, 1]
    assert dataset.is_test.tolist() == [True, False, False, True]
    assert dataset.natural_client_ids.tolist() == ["x", "y", "y", "x"]


def test_an_array_that_fits_is_not_copied():
    owners = np.array(["x", "Zoë", "x", "Zoë"])
    dataset = build(natural_client_ids=owners)
    assert dataset.images is IMAGES
    assert dataset.natural_client_ids is owners


@pytest.mark.parametrize("missing", [None, float("nan"), pd.NA, pd.NaT, 1.5, b"x", True])
@pytest.mark.parametrize("of", [list, lambda values: pd.Series(values, dtype=object)])
def test_an_image_without_an_owner_is_named(missing, of):
    message = refused(build, natural_client_ids=of(["x", "y", missing, "x"]))
    assert message.startswith("natural_client_ids: expected an owner for each image, text or a whole number, got ")
    assert "for image 2; " in message


def test_owners_by_number_keep_the_order_of_numbers():
    clients = partition(build(natural_client_ids=[10, 9, 9, 10]), Natural(), min_size=2)
    assert clients.client_ids == ["9", "10"]


def test_owners_and_classes_are_the_same_however_unicode_writes_them():
    forms = ["Zoë", unicodedata.normalize("NFD", "Zoë")]
    assert len(set(forms)) == 2
    clients = partition(build(natural_client_ids=forms * 2), Natural(), min_size=2)
    assert clients.client_ids == ["Zoë"]
    assert "class_names: expected different names, but two classes are called 'Zoë'" in refused(
        build, class_names=forms
    )
    split = [ClientSplit([row], []) for row in (0, 1)]
    message = refused(FederatedDataset, "toy", IMAGES, [0, 1, 0, 1], ["a", "b"], dict(zip(forms, split, strict=True)))
    assert "two are the same in Unicode's composed form" in message


def test_a_very_long_owner_is_kept_and_cut_in_messages():
    dataset = build(natural_client_ids=["x" * 300, "y" * 300, "x" * 300, "y" * 300])
    assert partition(dataset, Natural(), min_size=2).client_ids == ["x" * 300, "y" * 300]
    assert "xxx ... xxx" in refused(partition, dataset, parse_scheme("natural_dirichlet"), num_clients=4, min_size=2)


@pytest.mark.parametrize("name", ["Ren\udce9", "two\nlines", "a\x1b[31mred", "a\u2028b", "", " ", "\0"])
def test_names_that_cannot_be_shown_or_encoded_are_refused(name):
    assert repr(name) in refused(build, class_names=["a", name])
    assert refused(build, name=name).startswith("name: ")
    if name.strip("\0"):  # NumPy takes zeros at the end of a text for padding
        assert refused(build, natural_client_ids=["x", "x", name, name]).startswith("natural_client_ids: ")
    split = {name: ClientSplit([0], [])}
    assert refused(FederatedDataset, "toy", IMAGES, [0, 1, 0, 1], ["a", "b"], split).startswith("client_id: ")


def test_the_whole_has_its_name_for_itself():
    owned = build(natural_client_ids=["global", "x", "global", "x"])
    assert refused(partition, owned, Natural(), min_size=2).startswith("client_id: 'global' is what a history calls")
    assert partition(owned, IID(), num_clients=2, min_size=2).num_clients == 2


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"labels": [0.0, 1.0, 0.0, 1.0]}, "labels: expected 4 whole numbers, one per example, got float64 [4]"),
        ({"labels": ["a", "b", "a", "b"]}, "labels: expected 4 whole numbers"),
        ({"labels": [0, 1, None, 1]}, "labels: expected 4 whole numbers"),
        ({"labels": [2**70, 1, 0, 1]}, "labels: expected 4 whole numbers"),
        ({"labels": pd.Series([0, 1, 0, 2])}, "labels: expected values in [0, 2), one per class name, got 0 to 2"),
        ({"images": (IMAGES / 255).tolist()}, "images: expected uint8 [num_images, height, width, 3], got float64"),
        ({"images": (IMAGES + 300.0).astype(int)}, "images: expected uint8"),
        ({"images": [IMAGES[0], IMAGES[0, :1]]}, "images: expected an array, all of one size, got "),
        ({"images": np.zeros((4, 0, 2, 3), np.uint8)}, "images: expected at least one image and one pixel"),
        ({"class_names": "ab"}, "class_names: expected one name per label, got 'ab'"),
        ({"class_names": 2}, "class_names: expected one name per label, got 2"),
        ({"class_names": ["a", None]}, "class_names: expected text as the name of a class, got None"),
        ({"class_names": ["a", "a"]}, "class_names: expected different names, but two classes are called 'a'"),
        ({"is_test": [1, 0, 0, 1]}, "is_test: expected one bool per image (4), got int64 [4]"),
        ({"name": None}, "name: expected text as the name of a data set, got None"),
    ],
)
def test_arrays_that_are_refused(change, message):
    assert message in refused(build, **change)


def or_line(call, *arguments, **keywords):
    """Returns what a call returns, or the one short line with which it is refused."""
    try:
        return call(*arguments, **keywords)
    except UsageError as error:
        line = str(error)
        is_one_short_line = len(line.splitlines()) == 1 and len(line) < 500
        assert is_one_short_line, line
        return line


class _Stubborn:
    """What raises whatever it is asked."""

    def __array__(self, *_):
        raise RuntimeError("two\nlines")

    def __repr__(self):
        return "stubborn\nobject"


NUMBERS = st.one_of(st.integers(-3, 300), st.floats(), st.booleans(), st.none(), st.text(max_size=3))
JUNK = st.one_of(
    NUMBERS,
    st.binary(max_size=3),
    st.just(_Stubborn()),
    st.just(object()),
    st.just(np.array(3)),
    st.just(np.zeros(4, "datetime64[s]")),
    st.just(np.zeros(4, [("x", int)])),
    st.dictionaries(NUMBERS, NUMBERS, max_size=2),
    st.lists(NUMBERS, max_size=5),
    st.lists(NUMBERS, min_size=4, max_size=4),
    st.lists(NUMBERS, min_size=4, max_size=4).map(lambda values: pd.Series(values, dtype=object)),
    st.lists(st.lists(NUMBERS, max_size=2), max_size=4),
)


def is_whole(dataset) -> bool:
    """Whether everything in a data set has the form that it promises."""
    owners, tests = dataset.natural_client_ids, dataset.is_test
    return (
        dataset.images.dtype == np.uint8
        and dataset.images.shape == (4, 2, 2, 3)
        and (dataset.labels.dtype, dataset.labels.shape) == (np.int32, (4,))
        and set(dataset.labels.tolist()) <= set(range(len(dataset.class_names)))
        and all(type(name) is str for name in dataset.class_names)
        and (owners is None or (owners.shape == (4,) and owners.dtype.kind in "Uiu"))
        and (tests is None or (tests.shape == (4,) and tests.dtype == bool))
    )


@settings(max_examples=300, deadline=None)
@given(name=st.sampled_from(["name", "images", "labels", "class_names", "natural_client_ids", "is_test"]), value=JUNK)
def test_any_argument_makes_a_whole_data_set_or_one_line(name, value):
    dataset = or_line(build, **{name: value})
    if isinstance(dataset, str):
        assert dataset.startswith(f"{name}: ") or name == "class_names"  # too few names are said of the labels
    else:
        assert is_whole(dataset)


def federated(name, value) -> FederatedDataset:
    rows = {"train": [0, 1], "test": [2]} | ({name: value} if name in ("train", "test") else {})
    clients = {value if name == "id" and value.__hash__ else "x": ClientSplit(**rows)}
    arguments = {"name": "toy", "examples": IMAGES, "labels": [0, 1, 0, 1], "class_names": ["a", "b"]}
    arguments["clients"] = clients
    return FederatedDataset(**arguments | ({name: value} if name in arguments else {}))


@settings(max_examples=300, deadline=None)
@given(
    name=st.sampled_from(["name", "examples", "labels", "class_names", "clients", "train", "test", "id"]), value=JUNK
)
def test_any_argument_makes_a_whole_federation_or_one_line(name, value):
    clients = or_line(federated, name, value)
    if isinstance(clients, str):
        return
    assert all(type(client_id) is str for client_id in clients.client_ids)
    assert clients.labels.shape == (4,)
    for client_id in clients.client_ids:
        examples, labels = clients.train(client_id)
        assert len(examples) == len(labels) > 0


@settings(max_examples=200, deadline=None)
@given(name=st.sampled_from(["dataset", "scheme", "num_clients", "seed", "test_fraction", "min_size"]), value=JUNK)
def test_any_argument_of_partition_deals_all_out_or_is_one_line(name, value):
    arguments = {"dataset": make_dataset([0, 1] * 6), "scheme": IID(), "num_clients": 2, "seed": 0} | {name: value}
    clients = or_line(partition, **arguments)
    if not isinstance(clients, str):
        assert sorted(np.concatenate([split.all for split in clients.clients.values()])) == list(range(12))


@settings(max_examples=200, deadline=None)
@given(
    st.one_of(JUNK, st.builds("{}:{}".format, st.sampled_from([*SCHEMES, "iid "]), st.text(max_size=5) | st.floats()))
)
def test_any_text_is_a_scheme_or_one_line(text):
    assert isinstance(or_line(parse_scheme, text), (str, *SCHEMES.values()))


def test_questions_to_a_federation_are_answered_or_refused_in_one_line():
    clients = partition(make_dataset([0, 1] * 6), Dirichlet(1.0), num_clients=2)
    assert refused(clients.train, "client_7") == (
        "client_id: expected one of 2 clients such as 'client_00', got 'client_7'"
    )
    assert refused(clients.test, ["client_00"]).startswith("client_id: ")
    assert refused(clients.pooled, "valid") == "split: expected 'train' or 'test', got 'valid'"
    for client_ids in (None, "client_00", [["client_00"]], [None], 3, []):
        assert refused(clients.select_clients, client_ids).startswith("client")
