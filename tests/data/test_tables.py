"""A user's table becomes a data set that says what each client has, or is refused in one line."""

import io
import tempfile
import warnings

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fedlearn_edu.data.tables import load_table
from fedlearn_edu.errors import FedlearnError, UsageError

HEART = """age;pain;fever;sick;hospital
50;none;36,6;yes;Bern
61;mild;;no;Bern
47;strong;38,1;yes;Zürich
;mild;37,0;no;Zürich
39;none;36,9;;Zürich
70;mild;37,7;no;
"""


def write(folder, text, name="heart.csv"):
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def test_a_table_with_clients(tmp_path):
    with pytest.warns(UserWarning, match=r"2 of 6 rows left out, first no client: 1 \('\.'\)"):
        dataset = load_table(write(tmp_path, HEART), target="sick", client="hospital")
    assert dataset.name == "heart"
    assert dataset.modality == "table"
    assert dataset.task.kind == "classification"
    assert dataset.class_names == ("no", "yes")
    assert dataset.targets.tolist() == [1, 0, 1, 0]
    assert dataset.natural_client_ids.tolist() == ["Bern", "Bern", "Zürich", "Zürich"]
    assert dataset.inputs.dtype.names == ("age", "pain", "fever")
    np.testing.assert_array_equal(dataset.inputs["age"], [50, 61, 47, np.nan])
    np.testing.assert_array_equal(dataset.inputs["fever"], [36.6, np.nan, 38.1, 37.0])
    assert dataset.inputs["pain"].tolist() == ["none", "mild", "strong", "mild"]
    assert dataset.report.to_dict("index") == {
        ".": {"num_rows": 1, "num_kept": 0, "missing_cells": 0, "left_out": 1, "why": "no client: 1", "warnings": ""},
        "Bern": {"num_rows": 2, "num_kept": 2, "missing_cells": 1, "left_out": 0, "why": "", "warnings": ""},
        "Zürich": {"num_rows": 3, "num_kept": 2, "missing_cells": 1, "left_out": 1, "why": "no target: 1",
                   "warnings": ""},
    }  # fmt: skip


def test_without_clients_and_with_columns_left_out(tmp_path):
    rows = "".join(f"{i},1,{i % 3},c{i % 2},id {i}\n" for i in range(30))
    with pytest.warns(UserWarning, match="column 'row' left out: it only counts the rows; column 'one' left out"):
        dataset = load_table(write(tmp_path, "row,one,x,y,id\n" + rows), target="y", ignore=["id"])
    assert dataset.inputs.dtype.names == ("x",)
    assert dataset.natural_client_ids is None
    assert dataset.report.loc[".", ["num_rows", "num_kept"]].tolist() == [30, 30]


@pytest.mark.parametrize(
    ("values", "task", "kind"),
    [
        (["a", "b", "c"], None, "classification"),
        (["0", "1", "2"], None, "classification"),
        (["0", "1"], "binary", "binary"),
        (["0.0", "1.0"], "classification", "classification"),
        (["0", "1", "2"], "regression", "regression"),
        ([f"{i}.5" for i in range(30)], None, "regression"),
    ],
)
def test_the_task_follows_from_the_target_or_is_said(tmp_path, values, task, kind):
    rows = "".join(f"{i % 7},{values[i % len(values)]}\n" for i in range(60))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        dataset = load_table(write(tmp_path, "x,y\n" + rows), target="y", task=task)
    assert dataset.task.kind == kind
    assert dataset.targets.dtype == (np.float32 if kind == "regression" else np.int32)


def test_numbers_as_classes_are_in_order_and_one_number_is_one_class(tmp_path):
    dataset = load_table(write(tmp_path, "x,y\n1,10\n2,9.0\n3,9\n4,10.0\n"), target="y", task="classification")
    assert dataset.class_names == ("9", "10")
    assert dataset.targets.tolist() == [1, 0, 0, 1]


def test_which_of_two_classes_is_positive(tmp_path):
    path = write(tmp_path, "x,y\n1,good\n2,bad\n3,bad\n")
    with pytest.warns(UserWarning, match="'good' is the positive class"):
        assert load_table(path, target="y", task="binary").targets.tolist() == [1, 0, 0]
    dataset = load_table(path, target="y", task="binary", positive="bad")
    assert dataset.targets.tolist() == [0, 1, 1]
    assert dataset.class_names == ("good", "bad")


TABLE = "age,state,income,one,owner\n1,A,2.5,x,Ann\n2,B,3.5,x,Bob\n3,A,3.5,x,global\n"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"target": "incom"}, r"target: 'heart\.csv' has no column 'incom'; did you mean 'income'\? Known: age"),
        ({"target": "state", "client": "ownr"}, "client: .* did you mean 'owner'"),
        ({"target": "state", "ignore": ["x"]}, "ignore: .* has no column 'x'"),
        ({"target": "state", "ignore": "age"}, "ignore: expected a list of columns, got 'age'"),
        ({"target": None}, "target: expected the name of a column of 'heart.csv', got None"),
        ({"target": "state", "client": "state"}, "target: column 'state' cannot be the client, too"),
        ({"target": "state", "ignore": ["state"]}, "ignore: 'state' is the target"),
        ({"target": "state", "client": "one"}, "client: column 'one' holds only 'x'; a federation needs"),
        ({"target": "state", "client": "owner"}, "client: 'global' in column 'owner' cannot be a client"),
        ({"target": "one"}, "target: column 'one' holds only 'x'; there is nothing to learn"),
        ({"target": "income"}, "target: .* 2 different numbers such as '2.5' and '3.5'; say which is meant: task="),
        ({"target": "state", "task": "regression"}, r"task='regression' needs numbers, .* 'A' \(row 2 of the file\)"),
        ({"target": "age", "task": "binary"}, "task='binary' needs two values, column 'age' has 3: '1', '2', '3'"),
        ({"target": "age", "task": "classification"}, "3 different values of 'age' in 3 rows are no classes"),
        ({"target": "state", "task": "clustering"}, "task: expected 'classification', 'binary', 'regression'"),
        ({"target": "state", "positive": "A"}, "positive: only for task='binary'"),
        ({"target": "state", "task": "binary", "positive": "C"}, "positive: expected 'A' or 'B', got 'C'"),
        ({"target": "state", "ignore": ["age", "income", "owner"]}, "no column is left to predict the target from"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(tmp_path, options, message):
    with pytest.raises(UsageError, match=message) as caught:
        load_table(write(tmp_path, TABLE), **options)
    assert len(str(caught.value).splitlines()) == 1


def test_clients_of_any_name(tmp_path):
    owners = ["a/b", "..", "x" * 300, "Zoë 🙂", "con", "7"]
    rows = "".join(f"{i},{i % 2},{owner}\n" for owner in owners for i in range(6))
    dataset = load_table(write(tmp_path, "x,y,who\n" + rows), target="y", client="who")
    assert set(dataset.natural_client_ids) == set(owners)
    with pytest.raises(UsageError, match="control characters"):
        load_table(write(tmp_path, 'x,y,who\n1,a,"p\nq"\n2,b,r\n'), target="y", client="who")


def test_hundreds_of_columns_are_not_all_listed(tmp_path):
    header = ",".join(f"column_{i}" for i in range(500))
    with pytest.raises(UsageError) as caught:
        load_table(write(tmp_path, f"{header}\n{','.join('1' * 500)}\n"), target="y")
    assert len(str(caught.value)) < 500


ODD = st.one_of(
    st.sampled_from(["", "NA", "1", "2.5", "3,5", "1,234", "1.234,5", "a", "A", " a ", "global", "2020-01-31",
                     "3/4/2020",
                     "1e999", "-", "x" * 120, "line\nbreak", 'quo"te', "Ä", "A\u0308", "a/b", "\u2028"]),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=5),
)  # fmt: skip


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.lists(st.tuples(ODD, ODD, st.sampled_from(["yes", "no", "", "0.5"]), ODD), min_size=1, max_size=30),
    st.sampled_from([",", ";", "\t", "|"]),
    st.sampled_from([None, "classification", "binary", "regression"]),
    st.booleans(),
)
def test_every_table_is_counted_or_refused_in_one_line(rows, separator, task, with_client):
    buffer = io.StringIO()
    # Of this line's end, so that a cell with either half of it is written in quotes.
    pd.DataFrame(rows, columns=["a", "b", "y", "who"]).to_csv(buffer, sep=separator, index=False, lineterminator="\r\n")
    with tempfile.NamedTemporaryFile(suffix=".csv") as file, warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        file.write(buffer.getvalue().encode())
        file.flush()
        dataset = None
        try:
            dataset = load_table(file.name, target="y", client="who" if with_client else None, task=task)
        except FedlearnError as error:
            message = str(error)
    if dataset is None:
        assert len(message.splitlines()) == 1
        assert len(message) < 600
        return
    for warning in caught:
        assert len(str(warning.message).splitlines()) == 1
    assert dataset.report.num_rows.sum() == len(rows)
    assert dataset.report.num_kept.sum() == len(dataset.inputs) == len(dataset.targets)
    assert (dataset.report.num_kept + dataset.report.left_out == dataset.report.num_rows).all()
    assert dataset.report.num_kept.sum() <= sum(row[2] != "" for row in rows)
    for name in dataset.inputs.dtype.names:
        values = dataset.inputs[name]
        assert values.dtype.kind == "U" or not np.isinf(values).any()


@pytest.mark.parametrize("values", [("1", "1.0"), ("-0", "0")])
@pytest.mark.parametrize("task", [None, "classification", "binary", "regression"])
def test_one_number_written_in_two_ways_is_no_target(tmp_path, values, task):
    rows = "".join(f"{row % 7},{values[row % 2]}\n" for row in range(40))
    with pytest.raises(UsageError, match=r"target: column 'y' holds only .*; there is nothing to learn"):
        load_table(write(tmp_path, "x,y\n" + rows), target="y", task=task)


def test_minus_zero_is_the_class_zero(tmp_path):
    rows = "".join(f"{row % 7},{('-0', '0', '1')[row % 3]}\n" for row in range(42))
    dataset = load_table(write(tmp_path, "x,y\n" + rows), target="y")
    assert dataset.class_names == ("0", "1")
    assert np.bincount(dataset.targets).tolist() == [28, 14]


def test_targets_whose_squares_are_no_float32_are_refused(tmp_path):
    rows = "".join(f"{row % 7},{row}e30\n" for row in range(40))
    with pytest.raises(UsageError, match=r"targets: expected numbers of at most 1e\+16, since their squares are added"):
        load_table(write(tmp_path, "x,y\n" + rows), target="y", task="regression")
