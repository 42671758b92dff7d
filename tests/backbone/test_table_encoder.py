"""The federated encoder equals the one that is made of all clients' rows in one place, and sees no row."""

import types
import warnings

import numpy as np
import pytest
import tensorflow as tf
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from fedlearn_edu.backbone.table_encoder import build_table_encoder
from fedlearn_edu.backbone.table_statistics import _MOST_COLUMNS, _WORD_BYTES, _words, category_words
from fedlearn_edu.errors import UsageError

LONG = "Rechtsanwältin oder Rechtsanwalt in einer großen Kanzlei"
TOWNS = ["Bern", "Zürich", LONG, "Basel"]


def make_rows(rng, num_rows):
    rows = np.empty(num_rows, [("age", "f8"), ("day", "f8"), ("flat", "f8"), ("town", "U60"), ("größe", "U1")])
    rows["age"] = np.where(rng.random(num_rows) < 0.2, np.nan, rng.normal(50, 12, num_rows))
    rows["day"] = rng.uniform(20_000, 20_000.1, num_rows)  # its spread is a millionth of its mean
    rows["flat"] = 0.1
    rows["town"] = rng.choice(TOWNS[:3], num_rows)
    rows["größe"] = rng.choice(["S", "M", "L", ""], num_rows)
    return rows


def make_clients(num_clients=4, seed=0):
    """Returns tables that only one client shares "Basel" of, with the part of FederatedDataset that is asked."""
    rng = np.random.default_rng(seed)
    train = {f"client_{i}": make_rows(rng, 20 + 7 * i) for i in range(num_clients)}
    train["client_1"]["town"][:3] = "Basel"
    return types.SimpleNamespace(
        modality="table",
        num_clients=num_clients,
        client_ids=list(train),
        train=lambda client_id: (train[client_id], None),
    )


@pytest.fixture(scope="module")
def clients():
    return make_clients()


@pytest.fixture(scope="module")
def encoder(clients):
    return build_table_encoder(clients)


def pooled(clients):
    return np.concatenate([clients.train(client_id)[0] for client_id in clients.client_ids])


def test_numbers_equal_the_pooled_standardiser(clients, encoder):
    rows = pooled(clients)
    numbers = np.stack([rows["age"], rows["day"], rows["flat"]], axis=1)
    expected = np.nan_to_num(StandardScaler().fit_transform(numbers), nan=0.0)
    features = encoder.features(rows)
    assert features.dtype == np.float32
    place = [encoder.feature_names.index(name) for name in ("age", "day", "flat")]
    np.testing.assert_allclose(features[:, place], expected, rtol=1e-6, atol=2e-6)
    np.testing.assert_array_equal(features[:, encoder.feature_names.index("age is missing")], np.isnan(rows["age"]))
    assert encoder.statistics.num_rounds == 2  # for the day


def test_categories_equal_the_pooled_one_hot_encoder(clients, encoder):
    rows = pooled(clients)
    features = encoder.features(rows)
    towns = OneHotEncoder(sparse_output=False).fit(rows["town"][:, None])
    expected = towns.transform(rows["town"][:, None])
    for text, column in zip(towns.categories_[0], expected.T, strict=True):
        word = "(other)" if text == "Basel" else category_words([text]).numpy()[0].decode()
        np.testing.assert_array_equal(features[:, encoder.feature_names.index(f"town = {word}")], column)
    sizes = {size: int((rows["größe"] == size).sum()) for size in "SML"}
    assert encoder.statistics.categories["größe"] == sizes
    assert encoder.statistics.counts["größe"] == sum(sizes.values())
    counts = list(encoder.statistics.categories["größe"].values())
    assert counts == sorted(counts, reverse=True)


def test_a_category_of_one_client_is_not_kept(clients, encoder):
    assert "Basel" not in encoder.statistics.categories["town"]
    assert "Basel" in build_table_encoder(clients, min_clients=1).statistics.categories["town"]


def test_what_was_never_met_goes_to_the_others_and_what_is_missing_nowhere(clients, encoder):
    row = pooled(clients)[:1].copy()
    row["town"], row["größe"] = "Paris", ""
    told = dict(zip(encoder.feature_names, encoder.features(row)[0], strict=True))
    assert [name for name, value in told.items() if name.startswith("town") and value] == ["town = (other)"]
    assert [name for name, value in told.items() if name.startswith("größe") and value] == ["größe is missing"]


def test_the_exported_function_gives_the_same_features(clients, encoder):
    rows = pooled(clients)
    rows["town"][:2] = ["Paris", ""]
    columns = {
        name: tf.constant(rows[name].tolist(), tf.float64 if rows.dtype[name].kind == "f" else tf.string)
        for name in encoder.columns
    }
    np.testing.assert_array_equal(encoder.serving_fn()(columns).numpy(), encoder.features(rows))


def test_the_commonest_categories_have_a_place_and_the_fingerprint_follows_them(clients, encoder):
    small = build_table_encoder(clients, max_categories=1)
    assert small.feature_dim == encoder.feature_dim - 2 - 2
    assert small.fingerprint != encoder.fingerprint
    assert build_table_encoder(clients).fingerprint == encoder.fingerprint
    assert build_table_encoder(make_clients(seed=1)).fingerprint != encoder.fingerprint


def test_a_table_of_numbers_alone_and_one_of_a_single_client():
    rows = np.array([(1.0,), (3.0,)], [("x", "f8")])
    alone = types.SimpleNamespace(modality="table", num_clients=1, client_ids=["a"], train=lambda _: (rows, None))
    encoder = build_table_encoder(alone)
    assert encoder.feature_names == ("x",)
    assert encoder.features(rows).tolist() == [[-1], [1]]
    assert encoder.statistics.num_rounds == 1


def test_more_categories_than_fit_are_refused(clients):
    rows = np.array([(f"c{i}",) for i in range(400)], [("x", "U4")])
    many = types.SimpleNamespace(modality="table", num_clients=1, client_ids=["a"], train=lambda _: (rows, None))
    with pytest.raises(UsageError, match=r"more different categories than 50 \(capacity\)"):
        build_table_encoder(many, capacity=50)


def test_arguments_and_inputs(clients, encoder):
    for options in ({"min_clients": 0}, {"max_categories": 0}, {"capacity": 0}, {"capacity": 10**9}):
        with pytest.raises(UsageError, match=f"{next(iter(options))}: expected"):
            build_table_encoder(clients, **options)
    with pytest.raises(UsageError, match="expected a column 'age' of numbers"):
        encoder.features(np.zeros(3))
    with pytest.raises(UsageError, match="expected a column 'age' of numbers"):
        encoder.features(np.array([("x",)], [("age", "U3")]))


def test_odd_clients_make_the_pooled_standardiser_all_the_same():
    rng = np.random.default_rng(5)
    kinds = [("age", "f8"), ("huge", "f8"), ("zero", "f8"), ("number", "i4"), ("flag", "?"), ("far", "f4")]
    sizes = {"one_row": 1, "no_age": 9, "flat": 12, "all": 40}
    tables = {name: np.zeros(size, kinds) for name, size in sizes.items()}
    for name, rows in tables.items():
        size = len(rows)
        rows["age"] = np.nan if name == "no_age" else 40.0 if name == "flat" else rng.normal(40, 9, size)
        rows["huge"] = rng.normal(size=size) * 1e30
        rows["zero"] = rng.choice([-0.0, 0.0], size)
        rows["number"], rows["flag"] = rng.integers(-9, 9, size), rng.random(size) < 0.3
        rows["far"] = 7e6 + rng.integers(0, 4, size)
    clients = types.SimpleNamespace(
        modality="table", num_clients=4, client_ids=list(tables), train=lambda name: (tables[name], None)
    )
    encoder, rows = build_table_encoder(clients), np.concatenate(list(tables.values()))
    numbers = np.stack([rows[name].astype(float) for name, _ in kinds], axis=1)
    features = encoder.features(rows)
    assert encoder.feature_names == ("age", "age is missing", "huge", "zero", "number", "flag", "far")
    expected = np.nan_to_num(StandardScaler().fit_transform(numbers), nan=0.0)
    np.testing.assert_allclose(np.delete(features, 1, axis=1), expected, rtol=2e-6, atol=2e-6)
    columns = {name: tf.constant(rows[name].astype(float)) for name, _ in kinds}
    np.testing.assert_array_equal(encoder.serving_fn()(columns).numpy(), features)


def test_a_column_without_a_value_in_training_rows_is_not_read():
    rows = np.array([(1.0, np.nan, ""), (3.0, np.nan, "")], [("x", "f8"), ("empty", "f8"), ("word", "U3")])
    alone = types.SimpleNamespace(modality="table", num_clients=1, client_ids=["a"], train=lambda _: (rows, None))
    encoder = build_table_encoder(alone)
    assert encoder.feature_names == ("x",)
    of_test = np.array([(5.0, 1e6, "new")], rows.dtype)
    assert encoder.features(of_test).tolist() == [[3.0]]
    other = np.array([(None, 5.0)], [("note", object), ("x", "f8")])
    assert encoder.features(other).tolist() == [[3.0]]  # what it does not read may be anything
    with pytest.raises(UsageError, match="clients: no column has a value in any training row"):
        build_table_encoder(types.SimpleNamespace(**{**vars(alone), "train": lambda _: (rows[["empty"]], None)}))


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (np.zeros(3, [("o", object)]), "clients: expected numbers or text in column 'o', got object; make it float"),
        (np.zeros(3, [("d", "M8[D]")]), r"clients: expected numbers or text in column 'd', got datetime64\[D\]"),
        (np.zeros(3, [("x", "f8", 3)]), "clients: expected numbers or text in column 'x', got"),
        (np.zeros([3, 2]), "clients: expected tables of at most 100,000 columns, got feature vectors"),
    ],
)
def test_columns_of_another_kind_are_one_clear_line(rows, message):
    clients = types.SimpleNamespace(modality="table", num_clients=1, client_ids=["a"], train=lambda _: (rows, None))
    with pytest.raises(UsageError, match=message):
        build_table_encoder(clients)


@pytest.mark.parametrize("text", ["\U0001f600" * 60, "a" * 44, "ä" * 22, "x" * 43])
def test_a_category_of_the_last_column_fits_into_the_message(text):
    (word,) = _words(_MOST_COLUMNS - 1, np.array([text]))
    assert len(word) <= _WORD_BYTES


@pytest.mark.parametrize("number", [1e200, np.inf])
def test_numbers_that_cannot_be_squared_are_told_by_their_column(number):
    rows = np.array([(1.0, number), (3.0, 2.0)], [("x", "f8"), ("vast", "f8")])
    alone = types.SimpleNamespace(modality="table", num_clients=1, client_ids=["a"], train=lambda _: (rows, None))
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        with pytest.raises(UsageError, match=r"^clients: column 'vast' holds infinity, or numbers whose squares"):
            build_table_encoder(alone)
