"""The geometric median: the least sum of distances, against SciPy's minimum and the condition for one."""

import numpy as np
import pytest
import scipy.optimize
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from fedlearn_edu.learning.aggregators.geometric_median import geometric_median_of

_SIGNATURE = [tf.TensorSpec([None, None], tf.float64), tf.TensorSpec([None], tf.float64)]


@pytest.fixture(scope="module")
def median_of():
    """As a graph: its loop is slow without."""
    graph = tf.function(geometric_median_of, input_signature=_SIGNATURE)
    return lambda values, weights: graph(np.asarray(values, float), np.asarray(weights, float))[0].numpy()


def total(values, weights, point):
    return weights @ np.linalg.norm(values - point, axis=1)


def left_over_force(values, weights, point, *, same):
    """How much harder the clients elsewhere pull than those within a distance of `same` hold, in parts of all weight.

    Where this is not above 0, the point has the least sum of distances of all (the sum is convex).
    """
    offsets = values - point
    distances = np.linalg.norm(offsets, axis=1)
    away = distances > same
    pull = np.linalg.norm(weights[away] @ (offsets[away] / distances[away, None]))
    return (pull - weights[~away].sum()) / weights.sum()


def least_total(values, weights):
    """SciPy's minimum, from near the best of the values, and theirs."""
    best = min(values, key=lambda point: total(values, weights, point))
    found = scipy.optimize.minimize(lambda point: total(values, weights, point), best + 1e-3, method="BFGS")
    return min(total(values, weights, best), found.fun)


def federation(kind, num_clients, dim, seed):
    rng = np.random.default_rng(seed)
    values = rng.normal(size=[num_clients, dim])
    if kind == "ties":
        values = rng.integers(-2, 3, size=[num_clients, dim]).astype(float)
    elif kind == "line":
        values = np.outer(rng.integers(-4, 5, size=num_clients), rng.integers(-2, 3, size=dim)) + 0.0
    elif kind == "nearly a line":
        values = np.outer(rng.normal(size=num_clients), rng.normal(size=dim)) + 1e-6 * values
    elif kind == "two heaps":
        values = rng.normal(size=dim) * np.resize([1.0, -1.0], num_clients)[:, None]
    elif kind == "far away":
        values[: (num_clients - 1) // 2] *= 1e8
    return values


FEDERATIONS = st.builds(
    federation,
    st.sampled_from(["plain", "ties", "line", "nearly a line", "two heaps", "far away"]),
    st.integers(1, 9),
    st.integers(1, 6),
    st.integers(0, 2**31),
)
WEIGHTS = st.lists(
    st.sampled_from([1.0, 1.0, 2.0, 3.0, 0.25, 1e-3, 0.0]) | st.floats(0.1, 10), min_size=9, max_size=9
).filter(lambda weights: weights[0] > 0)


@settings(max_examples=40, deadline=None)
@given(FEDERATIONS, WEIGHTS, st.sampled_from([1e-8, 1.0, 1e8]))
def test_no_point_has_a_smaller_sum_of_distances(median_of, values, weights, scale):
    weights = np.array(weights[: len(values)])
    found = median_of(values * scale, weights) / scale
    # Values are about 1, except those far away, whose distances have fewer digits behind the point.
    tolerance = (1e-9 + 1e-14 * np.abs(values).max()) * weights.sum()
    assert total(values, weights, found) <= least_total(values, weights) + tolerance
    assert left_over_force(values, weights, found, same=1e-9 * max(1, np.abs(found).max())) < 1e-6


@settings(max_examples=15, deadline=None)
@given(FEDERATIONS, WEIGHTS, st.randoms(use_true_random=False))
def test_it_does_not_depend_on_order_and_moves_with_the_clients(median_of, values, weights, random):
    weights = np.array(weights[: len(values)])
    order = random.sample(range(len(values)), len(values))
    moved = median_of(3 * values[order] + 0.5, weights[order])
    moved_back = (moved - 0.5) / 3
    reference = total(values, weights, median_of(values, weights))
    # Not the points themselves: on a line, an even number of clients has many.
    assert total(values, weights, moved_back) == pytest.approx(reference, rel=1e-9, abs=1e-12)


def test_answers_that_are_known(median_of):
    right_angle = [[0, 0], [1, 0], [0, 1]]  # Fermat's point of this triangle
    fermat = (3 - 3**0.5) / 6
    np.testing.assert_allclose(median_of(right_angle, np.ones(3)), [fermat, fermat], atol=1e-12)
    square_and_one = [[0, 0], [4, 0], [4, 4], [0, 4], [2.0, 2.0]]  # a client stands where the others balance
    np.testing.assert_array_equal(median_of(square_and_one, np.ones(5)), [2, 2])
    crossing = [[0, 0], [6, 0], [5, 3], [0, 6.0]]  # of four corners: where the diagonals meet
    np.testing.assert_allclose(median_of(crossing, np.ones(4)), [3.75, 2.25], atol=1e-12)
    heavy = [[1, 7.0], [0, 0], [9, 2]]  # half of the weight decides
    np.testing.assert_array_equal(median_of(heavy, [5, 2, 3]), [1, 7])
    np.testing.assert_array_equal(median_of([[3.0, 4]], [0.1]), [3, 4])
    np.testing.assert_array_equal(median_of([[3.0, 4], [5, 5]], [1, 1.5]), [5, 5])
    np.testing.assert_array_equal(median_of([[1.0]] * 4, np.ones(4)), [1])


@pytest.mark.parametrize("margin", [1e-1, 1e-2, 1e-4, -1e-6])
def test_close_to_a_client_whose_weight_nearly_holds(median_of, margin):
    """Where Weiszfeld's steps get shorter and shorter; with what force the others pull at the first is known."""
    angles, weights = np.array([0.3, 2.0, -1.9]), np.array([0, 1.0, 1.5, 0.7])
    units = np.column_stack([np.cos(angles), np.sin(angles)])
    values = np.vstack([[0, 0], units * [[1], [2], [3]]])
    weights[0] = np.linalg.norm(weights[1:] @ units) * (1 - margin)
    found = median_of(values, weights)
    assert left_over_force(values, weights, found, same=1e-12) < 1e-9
    if margin < 0:
        np.testing.assert_array_equal(found, [0, 0])
    else:
        assert 0 < np.linalg.norm(found) < margin


def test_a_model_of_many_weights(median_of):
    """As long as a linear head's delta, with a fifth of the clients far away on one side."""
    rng = np.random.default_rng(0)
    values = rng.normal(size=[20, 12_810])
    values[:4] = 1e3
    found = median_of(values, np.ones(20))
    assert left_over_force(values, np.ones(20), found, same=0) < 1e-11
    assert np.linalg.norm(found) < 0.5 * np.linalg.norm(values[10])
