"""Cells become numbers, days or categories; what could be read in two ways is refused."""

import numpy as np
import pytest

from fedlearn_edu.data.table_columns import UselessColumnError, find_decimal, typed_column
from fedlearn_edu.errors import UsageError


def cells(*texts):
    return np.array(texts, object)


def column(*texts, decimal=".", **options):
    return typed_column("c", cells(*texts), decimal=decimal, **options)


@pytest.mark.parametrize(
    ("texts", "decimal", "expected"),
    [
        (["1", "-2.5", ".5", "1e3", "+4."], ".", [1, -2.5, 0.5, 1000, 4]),
        (["1,234.5", "1,000,000", "7"], ".", [1234.5, 1_000_000, 7]),
        (["1,5", "1.234,5", "1.000.000"], ",", [1.5, 1234.5, 1_000_000]),
        (["1,234", "0,5"], ",", [1.234, 0.5]),
        (["1", "", "NA", "?", "nan", "-", "n/a", "NULL"], ".", [1] + [np.nan] * 7),
    ],
)
def test_numbers(texts, decimal, expected):
    assert find_decimal({"c": cells(*texts)}) == decimal
    found = column(*texts, decimal=decimal)
    assert found.kind == "number"
    np.testing.assert_array_equal(found.values, expected)
    np.testing.assert_array_equal(found.is_missing, np.isnan(expected))


def test_the_decimal_sign_is_one_for_the_file():
    assert find_decimal({"a": cells("1,234", "5,678"), "b": cells("0,5")}) == ","
    assert find_decimal({"a": cells("1,234", "5,678"), "b": cells("0.5")}) == "."
    assert find_decimal({"a": cells("one, two", "3"), "b": cells("4")}) == "."
    with pytest.raises(UsageError, match="column 'a' holds '1,234', and nothing tells"):
        find_decimal({"a": cells("1,234", "5,678"), "b": cells("6")})
    with pytest.raises(UsageError, match="column 'a' has decimal commas and column 'b' decimal points"):
        find_decimal({"a": cells("1,5"), "b": cells("2.5")})


def test_one_value_that_is_no_number_is_named_with_its_row():
    texts = [*map(str, range(10)), "ten"]
    with pytest.raises(UsageError, match=r"'c' holds numbers, but also 'ten' \(row 12 of the file\)"):
        column(*texts)
    assert column(*texts, as_category=True).kind == "category"
    assert column("1", "A2", "B3", "4").kind == "category"
    with pytest.raises(UsageError, match="'1e999'"):
        column(*texts[:10], "1e999")


@pytest.mark.parametrize(
    ("texts", "days"),
    [
        (["1970-01-02", "2000-01-01", ""], [1, 10957, np.nan]),
        (["1970-01-01T12:00", "1970-01-01 18:00:00+00:00"], [0.5, 0.75]),
        (["02.01.1970", "1.2.1970"], [1, 31]),
        (["13/1/1970", "2/1/1970"], [12, 1]),
        (["1/13/1970", "1/2/1970"], [12, 1]),
    ],
)
def test_dates_are_days(texts, days):
    found = column(*texts)
    assert found.kind == "date"
    np.testing.assert_allclose(found.values, days, rtol=1e-12)


def test_dates_that_can_be_read_in_two_ways_or_are_none():
    with pytest.raises(UsageError, match="'c' holds dates such as '3/4/2020', whose day and month"):
        column("3/4/2020", "5/6/2020")
    with pytest.raises(UsageError, match="'2020-02-30', which is no date"):
        column("2020-02-29", "2020-02-30")


def test_categories():
    found = column("red", "", "bl\nue", "A\u0308", "NA", "none")
    assert found.kind == "category"
    assert found.values.tolist() == ["red", "", "bl ue", "Ä", "", "none"]
    assert found.is_missing.tolist() == [False, True, False, False, True, False]
    zips = column("01", "02", "01", as_category=True)
    assert zips.values.tolist() == ["01", "02", "01"]


@pytest.mark.parametrize(
    ("texts", "why"),
    [
        (["", "NA", "?"], "all values are missing"),
        (["7"] * 4, "all values are the same"),
        ([f"person {i}" for i in range(30)], "a value of its own"),
        ([str(i) for i in range(5, 35)], "only counts the rows"),
        (["x" * 101, "y"], "texts of more than 100 characters"),
    ],
)
def test_columns_that_tell_nothing(texts, why):
    with pytest.raises(UselessColumnError, match=why):
        column(*texts)


def test_one_value_beside_missing_ones_tells_something():
    np.testing.assert_array_equal(column("7", "", "7").values, [7, np.nan, 7])
    assert column("yes", "", "yes").values.tolist() == ["yes", "", "yes"]


def test_thousands_of_categories_are_kept():
    texts = [f"town {i % 3000}" for i in range(10_000)]
    assert len(np.unique(column(*texts).values)) == 3000


def test_one_number_written_in_two_ways_tells_nothing():
    for texts in (["1", "1.0", "1.00"], ["-0", "0", "0.0"]):
        with pytest.raises(UselessColumnError, match="all values are the same"):
            column(*texts)
    assert column("1", "1.0", "").values.tolist()[:2] == [1, 1]  # where it is missing may tell something
