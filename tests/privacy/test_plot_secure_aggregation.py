"""The figures of secure aggregation show the numbers they are given, and leave pyplot alone."""

import numpy as np
import pandas as pd
import pytest

import fedlearn_edu as fl
from fedlearn_edu.plotting import figure_png

ENCODING = fl.FixedPoint(clip=4.0, step=2.0**-16)


def make_sum():
    rng = np.random.default_rng(0)
    vectors = {name: rng.uniform(-1, 1, [30, 4]) for name in ("anna", "ben", "cleo", "dora")}
    dropouts = {"ben": "masked_input"}
    return vectors, fl.secure_sum(vectors, threshold=3, encoding=ENCODING, dropouts=dropouts, seed=0)


def pixels(ax):
    return np.asarray(ax.images[0].get_array())


def test_server_view_shows_plain_masked_and_both_sums():
    vectors, result = make_sum()
    figure = fl.plot_server_view(vectors, result, encoding=ENCODING, num_clients=2, shape=(10, 4))
    plain, seen = figure.axes[:3], figure.axes[3:]
    assert [ax.get_title() for ax in plain] == ["anna", "cleo", "sum of 3"]  # ben dropped out
    assert np.array_equal(pixels(plain[1]), vectors["cleo"][:10])
    assert np.abs(pixels(seen[1])).max() > 1000  # all over the ring
    assert np.abs(pixels(plain[2]) - pixels(seen[2])).max() <= 3 * ENCODING.step / 2
    assert figure_png(figure).startswith(b"\x89PNG")


def test_server_view_refuses_what_it_cannot_draw():
    vectors, result = make_sum()
    with pytest.raises(fl.UsageError, match="shape: expected at most 120 pixels"):
        fl.plot_server_view(vectors, result)
    del vectors["anna"]
    with pytest.raises(fl.UsageError, match=r"vectors: expected one for every contributor, none came for \['anna'\]"):
        fl.plot_server_view(vectors, result, shape=(2, 2))


def test_ring_values_are_shares_of_each_bin():
    vectors = {"low": np.array([0, 1, 2], np.uint16), "ends": np.array([0, 65535], np.uint16)}
    ax = fl.plot_ring_values(vectors, num_bins=4)
    assert [patch.get_data().values.tolist() for patch in ax.patches] == [[1, 0, 0, 0], [0.5, 0, 0, 0.5]]
    assert fl.plot_ring_values({"low": vectors["low"]}, ax=ax) is ax
    assert len(ax.patches) == 1  # cleared first
    for bad in ({}, {"a": np.zeros(2)}, {"a": np.zeros(2, np.uint16), "b": np.zeros(2, np.uint32)}):
        with pytest.raises(fl.UsageError, match="vectors: expected unsigned integers of one dtype"):
            fl.plot_ring_values(bad)
    with pytest.raises(fl.UsageError, match="num_bins: expected at least 2"):
        fl.plot_ring_values(vectors, num_bins=1)


def test_cost_draws_bytes_and_time():
    columns = {"plain_bytes": 4000, "secure_bytes": 5000, "client_seconds": 0.002, "server_seconds": 0.003}
    costs = pd.DataFrame({column: [value, 2 * value] for column, value in columns.items()}, index=[5, 10])
    left, right = fl.plot_secure_cost(costs).axes
    assert {line.get_label(): line.get_ydata().tolist() for line in left.lines} == {
        "secure": [5, 10],
        "the vector alone, float32": [4, 8],
    }
    assert [line.get_ydata().tolist() for line in right.lines] == [[2, 4], [3, 6]]
    with pytest.raises(fl.UsageError, match=r"costs: expected columns .*missing are server_seconds"):
        fl.plot_secure_cost(costs.drop(columns="server_seconds"))
