"""Local fine-tuning against plain NumPy in float64; fairness by hand."""

import numpy as np
import pandas as pd
import pytest
from numpy_reference import mean_loss, reference_client

import fedlearn_edu as fl

LR = 0.5


@pytest.fixture(scope="module")
def odd():
    """Two clients to whom a label means the opposite, one with a single example, one without test examples."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=[40, 3]).astype(np.float32)
    y = (x[:, 0] > 0).astype(np.int32)
    y[15:30] = 1 - y[15:30]
    rows = {"a": (range(10), range(10, 15)), "b": (range(15, 25), range(25, 30)), "one": ([30], [31, 32]),
            "no_test": (range(33, 40), [])}  # fmt: skip
    clients = {c: fl.ClientSplit(np.array(tr, int), np.array(te, int)) for c, (tr, te) in rows.items()}
    return fl.FederatedDataset("odd", x, y, ("no", "yes"), clients)


@pytest.fixture(scope="module")
def start():
    """A global model that a and b disagree about."""
    return [np.array([[-0.5, 0.5], [0.2, 0.0], [0.0, 0.1]], np.float32), np.array([0.1, 0.0], np.float32)]


@pytest.fixture(scope="module")
def tuned(odd, start):
    return fl.fine_tune_locally(
        fl.linear_head(odd), odd, start, num_epochs=4, client_lr=LR, batch_size=10
    )  # full batches: the order does not matter


def test_every_client_goes_on_alone(tuned, odd, start):
    stacked = np.vstack([start[0], start[1][None]]).astype(np.float64)
    assert list(tuned.index) == odd.client_ids
    for client_id, row in tuned.iterrows():
        w = stacked
        for _ in range(4):
            w = w + reference_client(w, *odd.train(client_id), LR, 10)
        assert np.abs(w - stacked).max() > 0.1
        x, y = odd.test(client_id)
        assert (row["num_train"], row["num_test"]) == (len(odd.clients[client_id].train), len(y))
        for name, model in (("before", stacked), ("after", w)):
            if not len(y):
                assert np.isnan([row[name], row[f"loss_{name}"]]).all()
                continue
            correct = (x @ model[:-1] + model[-1]).argmax(axis=1) == y
            assert row[name] == pytest.approx(correct.mean())
            assert row[f"loss_{name}"] == pytest.approx(mean_loss(model, x, y), abs=2e-6)


def test_where_labels_conflict_it_beats_the_global_model(tuned):
    assert tuned.loc[["a", "b"], "before"].min() < 0.3
    assert tuned.loc[["a", "b"], "after"].min() >= 0.8


def test_shuffles_follow_the_seed_and_a_process_will_do(odd, start):
    process = fl.build_unweighted_fed_avg(fl.linear_head(odd))
    runs = [
        fl.fine_tune_locally(process, odd, start, num_epochs=2, client_lr=LR, batch_size=2, seed=seed)["loss_after"]
        for seed in (0, 0, 1)
    ]
    pd.testing.assert_series_equal(runs[0], runs[1])
    assert runs[0]["a"] != runs[2]["a"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"num_epochs": 0}, "num_epochs: expected a whole number of at least 1, got 0"),
        ({"batch_size": 2.5}, "batch_size: expected a whole number"),
        ({"client_lr": 0}, "client_lr: expected a number above 0"),
        ({"seed": -1}, "seed: expected a whole number from 0"),
        (
            {"model_weights": [np.zeros([3, 2])]},
            r"model_weights: expected finite arrays of the shapes \[\(3, 2\), \(2,",
        ),
        ({"model_weights": [np.full([3, 2], np.nan), np.zeros([2])]}, "model_weights: expected finite arrays"),
    ],
)
def test_bad_arguments_are_one_clear_line(odd, start, change, message):
    arguments = {"model_weights": start} | change
    with pytest.raises(fl.UsageError, match=rf"^{message}") as error:
        fl.fine_tune_locally(fl.linear_head(odd), odd, **arguments)
    assert "\n" not in str(error.value)


BEFORE = {f"c{i}": i / 20 for i in range(20)}  # 0, 0.05, ... 0.95
AFTER = {f"c{i}": 0.9 if i < 10 else i / 20 - 0.1 for i in range(20)}


def test_fairness_by_hand():
    table = fl.fairness_table(BEFORE, AFTER)
    before, after = table.loc["before"], table.loc["after"]
    assert before["mean"] == pytest.approx(0.475)
    assert before["variance"] == pytest.approx((20**2 - 1) / 12 / 20**2)  # of equal steps
    assert before["standard_deviation"] == pytest.approx(np.sqrt(before["variance"]))
    assert before["worst_decile"] == pytest.approx(0.025)  # of 20 clients two
    assert before["best_decile"] == pytest.approx(0.925)
    assert (before["num_worse"], before["num_better"], before["num_clients"]) == (0, 0, 20)
    assert after["worst_decile"] == pytest.approx((0.4 + 0.45) / 2)  # others than before
    assert (after["num_worse"], after["num_better"]) == (10, 10)
    # a tenth of 21 clients, rounded up, are three
    assert fl.fairness_table(BEFORE | {"d": 1.0}, AFTER | {"d": 1.0}).loc["before", "worst_decile"] == pytest.approx(
        0.05
    )


def test_several_models_against_one():
    table = fl.fairness_table(BEFORE, {"better": pd.Series(AFTER), "same": BEFORE})
    assert list(table.index) == ["before", "better", "same"]
    assert table["num_worse"].tolist() == [0, 10, 0]
    assert table.loc["same", "mean"] == table.loc["before", "mean"]


def test_tables_and_clients_without_test_examples(tuned):
    table = fl.before_and_after(tuned)
    assert set(table.index) == {"a", "b", "one"}
    assert table["before"].is_monotonic_increasing
    np.testing.assert_allclose(table["gain"], table["after"] - table["before"])
    assert fl.fairness_table(tuned).loc["after", "num_clients"] == 3
    pd.testing.assert_frame_equal(fl.before_and_after(tuned["before"], tuned["after"]), table)


def test_histories():
    def rows(metric, values):
        return [(t, c, metric, v) for t, by_client in values.items() for c, v in by_client.items()]

    plain = fl.History({}, rows("accuracy", {0: {"a": 0.1, "b": 0.2}, 2: {"a": 0.5, "b": 0.4}}))
    personal = fl.History({}, [*plain.rows, *rows("personal_accuracy", {0: {"a": 0, "b": 0}, 2: {"a": 0.9, "b": 0.3}})])
    assert fl.before_and_after(plain).loc["a"].tolist() == pytest.approx([0.1, 0.5, 0.4])
    assert fl.before_and_after(personal).loc["a"].tolist() == pytest.approx([0.5, 0.9, 0.4])
    assert fl.before_and_after(plain, personal).loc["b"].tolist() == pytest.approx([0.4, 0.3, -0.1])
    assert fl.fairness_table(plain, {"own": personal, "again": plain})["num_worse"].tolist() == [0, 1, 0]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (({"a": 0.5},), "after: expected accuracies of the same clients by another model, got None"),
        (({"a": 0.5}, {"b": 0.5}), "after: expected accuracies of the same 1 clients as before, got 1; 'a' is in one"),
        (({"a": 50}, {"a": 60}), "before: expected an accuracy from 0 to 1 by client id"),
        (({}, {}), "before: expected an accuracy from 0 to 1 by client id, of at least one client, got dict with 0"),
        (({"a": 0.5}, {"a": "good"}), "after: expected an accuracy from 0 to 1 by client id"),
        ((pd.DataFrame({"x": [1]}),), r"before: expected a table with the columns before and after.* got \['x'\]"),
        ((fl.History({}),), "before: expected an accuracy from 0 to 1 by client id"),
    ],
)
def test_what_cannot_be_compared_is_one_clear_line(arguments, message):
    for function in (fl.before_and_after, fl.fairness_table):
        with pytest.raises(fl.UsageError, match=rf"^{message}") as error:
            function(*arguments)
        assert "\n" not in str(error.value)
