"""One-shot heads against pooled NumPy and scikit-learn in float64, however the examples are spread over clients."""

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_federated as tff
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sklearn.linear_model import Ridge
from sklearn.neighbors import NearestCentroid

import fedlearn_edu as fl
from fedlearn_edu.learning.one_shot.cof import class_covariance
from fedlearn_edu.learning.one_shot.ridge import RIDGES, solve_ridge
from fedlearn_edu.learning.one_shot.statistics import pack_symmetric, unpack_symmetric

NUM_EXAMPLES, DIM, CLASSES = 60, 6, 3


@pytest.fixture(scope="module")
def pooled():
    """Features far from zero mean and unit scale, with classes of unequal size."""
    rng = np.random.default_rng(3)
    labels = rng.choice(CLASSES, NUM_EXAMPLES, p=[0.6, 0.3, 0.1]).astype(np.int32)
    scale = [1, 0.2, 5, 1, 2, 0.5]
    centres = rng.normal(size=[CLASSES, DIM])
    examples = (centres[labels] + rng.normal(size=[NUM_EXAMPLES, DIM])) * scale + rng.normal(size=DIM) * 5
    return examples.astype(np.float32), labels


@pytest.fixture(scope="module")
def toy(pooled):
    names = tuple("abc")
    return fl.FederatedDataset("toy", *pooled, names, {"all": fl.ClientSplit(np.arange(NUM_EXAMPLES), np.arange(0))})


@pytest.fixture(scope="module")
def ridge_head(toy):
    return fl.one_shot_ridge(toy, ridge=0.01)


@pytest.fixture(scope="module")
def heads(toy, ridge_head):
    """One of each, so that each round is compiled once."""
    return {"ncm": fl.one_shot_ncm(toy), "ridge": ridge_head, "cof": fl.one_shot_cof(toy, shrinkage=0.5)}


def datasets(x, y, holder, batch_size=7):
    """One in-memory dataset per client that holds anything."""
    return [
        tf.data.Dataset.from_tensor_slices((x[holder == k], y[holder == k])).batch(batch_size)
        for k in np.unique(holder)
    ]


def gather(head, data):
    """The round, and what the server sees of it in float64."""
    _, (statistics, _) = head.process.next(head.process.initialize(), data)
    return {name: np.asarray(value, np.float64) for name, value in statistics.items()}


def scores(solved, x):
    kernel, bias = solved[:2]
    return x.astype(np.float64) @ kernel + bias


def central_ridge(x, y, alpha):
    return Ridge(alpha=alpha).fit(x.astype(np.float64), np.eye(CLASSES)[y])


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    holder=st.lists(st.integers(0, 7), min_size=NUM_EXAMPLES, max_size=NUM_EXAMPLES),
    ridge=st.sampled_from([1e-4, 0.01, 1.0]),
)
def test_ridge_equals_the_central_one_for_every_partition(pooled, ridge_head, holder, ridge):
    x, y = pooled
    kernel, bias, notes = solve_ridge(gather(ridge_head, datasets(x, y, np.array(holder))), ridge)
    central = central_ridge(x, y, notes["alpha"])
    assert notes["alpha"] == pytest.approx(ridge * NUM_EXAMPLES * x.astype(np.float64).var(axis=0).mean(), rel=1e-6)
    np.testing.assert_allclose(kernel, central.coef_.T, atol=1e-4)
    np.testing.assert_allclose(scores((kernel, bias), x), central.predict(x), atol=1e-4)


def test_what_a_client_sends_is_its_sums(pooled, ridge_head):
    x, y = (part[:9] for part in pooled)
    statistics = gather(ridge_head, datasets(x, y, np.zeros(9), batch_size=4))
    assert set(statistics) == {"class_sums", "class_counts", "num_clients", "gram"}
    np.testing.assert_array_equal(statistics["class_counts"], np.bincount(y, minlength=CLASSES))
    np.testing.assert_allclose(statistics["class_sums"], np.eye(CLASSES)[y].T @ x.astype(np.float64), rtol=1e-6)
    np.testing.assert_allclose(unpack_symmetric(statistics["gram"]), x.T.astype(np.float64) @ x, rtol=1e-6)
    assert statistics["num_clients"] == 1
    # One client with one example: its feature vector lies in the message.
    alone = gather(ridge_head, datasets(x[:1], y[:1], np.zeros(1)))
    np.testing.assert_array_equal(alone["class_sums"][y[0]], x[0])


def test_the_server_adds_up_in_float64(ridge_head):
    """1 + 2**-26 + ... is 1 in float32."""
    tiny = np.float32(2.0**-26)
    data = [
        tf.data.Dataset.from_tensors((np.full([1, DIM], value, np.float32), np.zeros(1, np.int32)))
        for value in [1.0, *[tiny] * 4]
    ]
    assert gather(ridge_head, data)["class_sums"][0, 0] == 1 + 2.0**-24


@pytest.mark.parametrize("dim", [1, 2, 3, 6, 7])
def test_half_of_a_symmetric_matrix_holds_all_of_it(dim):
    square = np.random.default_rng(dim).normal(size=[dim, dim])
    symmetric = square + square.T
    packed = pack_symmetric(tf.constant(symmetric)).numpy()
    assert packed.shape == (dim, dim // 2 + 1)
    np.testing.assert_array_equal(unpack_symmetric(packed), symmetric)


def test_the_chosen_ridge_minimises_generalised_cross_validation():
    """Against the textbook formula on the pooled examples: mean squared residual / (1 - trace(hat) / n)^2."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, CLASSES, 30)
    one_hot = np.eye(CLASSES)[labels]
    x = one_hot @ rng.normal(size=[CLASSES, DIM]) + 2 * rng.normal(size=[30, DIM]) + 3
    statistics = {
        "gram": pack_symmetric(tf.constant(x.T @ x)).numpy(),
        "class_sums": one_hot.T @ x,
        "class_counts": one_hot.sum(axis=0),
    }
    centred = x - x.mean(axis=0)
    errors = []
    for ridge in RIDGES:
        alpha = ridge * 30 * centred.var(axis=0).mean()
        hat = centred @ np.linalg.solve(centred.T @ centred + alpha * np.eye(DIM), centred.T) + 1 / 30
        errors.append(((one_hot - hat @ one_hot) ** 2).sum() / (1 - np.trace(hat) / 30) ** 2)
    best = int(np.argmin(errors))
    assert 0 < best < len(RIDGES) - 1
    notes = solve_ridge(statistics, None)[2]
    assert notes["ridge"] == RIDGES[best]
    assert 1 < notes["effective_parameters"] < DIM + 1
    assert solve_ridge(statistics, 0.5)[2]["ridge"] == 0.5  # what was asked for is not chosen


def test_nearest_class_mean_is_that_of_the_pooled_examples(pooled, toy, heads):
    x, y = pooled
    statistics = gather(heads["ncm"], datasets(x, y, np.arange(NUM_EXAMPLES) % 4))
    assert "gram" not in statistics
    expected = NearestCentroid().fit(x.astype(np.float64), y).predict(x)
    euclidean = fl.one_shot_ncm(toy, distance="euclidean").solve(statistics)
    np.testing.assert_array_equal(scores(euclidean, x).argmax(axis=1), expected)
    means = np.array([x[y == c].mean(axis=0) for c in range(CLASSES)])
    cosine = x @ means.T / np.linalg.norm(x, axis=1)[:, None] / np.linalg.norm(means, axis=1)
    got = scores(heads["ncm"].solve(statistics), x)
    np.testing.assert_allclose(got / np.linalg.norm(x, axis=1)[:, None], cosine, atol=1e-5)
    assert np.any(got.argmax(axis=1) != expected)  # the two distances do differ here


def test_covariance_from_client_means_is_unbiased():
    """Averaged over many draws it is the true covariance, with clients of very unequal sizes."""
    rng = np.random.default_rng(0)
    root = np.array([[1.0, 0, 0], [0.5, 2, 0], [-1, 0, 0.5]])
    sizes = np.array([1, 2, 40, 5, 0])
    draws = []
    for _ in range(4000):
        sums = np.array([(rng.normal(size=[n, 3]) @ root.T + 7).sum(axis=0) for n in sizes])
        draws.append(class_covariance(sums, sizes.astype(float)))
    deviation = np.std(draws, axis=0) / np.sqrt(len(draws))
    assert np.all(np.abs(np.mean(draws, axis=0) - root @ root.T) < 5 * deviation)
    assert deviation.max() < 0.1
    np.testing.assert_array_equal(class_covariance(np.ones([1, 3]), np.ones(1)), np.zeros([3, 3]))


def test_cof_is_the_papers_formula(pooled, heads):
    x, y = pooled
    holder = np.arange(NUM_EXAMPLES) % 5
    head = heads["cof"]
    statistics = gather(head, datasets(x, y, holder))
    assert statistics["class_sums"].shape == (5, CLASSES, DIM)  # the server sees each client's
    kernel, bias, notes = head.solve(statistics)

    x = x.astype(np.float64)
    gram = NUM_EXAMPLES * np.outer(x.mean(axis=0), x.mean(axis=0))
    for c in range(CLASSES):
        mean, covariance = x[y == c].mean(axis=0), np.zeros([DIM, DIM])
        parts = [x[(y == c) & (holder == k)] for k in range(5)]
        parts = [part for part in parts if len(part)]
        for part in parts:
            covariance += len(part) * np.outer(part.mean(axis=0) - mean, part.mean(axis=0) - mean)
        covariance = covariance / (len(parts) - 1) + notes["gamma"] * np.eye(DIM)
        gram += (np.sum(y == c) - 1) * covariance
    expected = np.linalg.solve(gram, np.array([x[y == c].sum(axis=0) for c in range(CLASSES)]).T)
    np.testing.assert_allclose(kernel, expected / np.linalg.norm(expected, axis=0), rtol=1e-4, atol=1e-6)
    np.testing.assert_array_equal(bias, np.zeros(CLASSES))
    assert notes["gamma"] == pytest.approx(0.5 * notes["variance"])
    assert notes["clients_per_class"] == [len({*holder[y == c]}) for c in range(CLASSES)]


def test_cof_of_a_single_client_still_gives_a_head(pooled, heads):
    x, y = pooled
    kernel, _, notes = heads["cof"].solve(gather(heads["cof"], datasets(x, y, np.zeros(NUM_EXAMPLES))))
    assert notes["variance"] == 0
    assert np.isfinite(kernel).all()


@pytest.mark.parametrize("name", ["ncm", "ridge", "cof"])
def test_a_class_that_no_client_has_is_never_predicted(pooled, heads, name):
    x, y = (part[pooled[1] != 1] for part in pooled)
    head = heads[name]
    got = scores(head.solve(gather(head, datasets(x, y, np.arange(len(y)) % 3))), np.vstack([x, -x, 0 * x]))
    assert np.isfinite(got).all()
    assert np.all(got.argmax(axis=1) != 1)
    assert {*got.argmax(axis=1)} == {0, 2}


def test_clients_of_one_example_are_clients(pooled, ridge_head):
    x, y = (part[:12] for part in pooled)
    alone = ridge_head.solve(gather(ridge_head, datasets(x, y, np.arange(12))))
    together = ridge_head.solve(gather(ridge_head, datasets(x, y, np.zeros(12))))
    np.testing.assert_allclose(scores(alone, x), scores(together, x), atol=1e-4)


def test_a_singular_gram_matrix_needs_a_ridge(pooled, ridge_head):
    x, y = (part[:DIM] for part in pooled)
    statistics = gather(ridge_head, datasets(x, y, np.zeros(DIM)))
    with pytest.raises(
        fl.UsageError,
        match=r"^ridge: .* got 0: the covariance of 6 features over 6 examples is singular \(rank 5: ",
    ):
        solve_ridge(statistics, 0.0)
    for ridge in (1e-3, None):
        assert np.isfinite(solve_ridge(statistics, ridge)[0]).all()
    # Enough examples: plain least squares
    x, y = pooled
    kernel, bias, _ = solve_ridge(gather(ridge_head, datasets(x, y, y)), 0.0)
    np.testing.assert_allclose(scores((kernel, bias), x), central_ridge(x, y, 0).predict(x), atol=1e-4)
    same = gather(ridge_head, datasets(np.repeat(x[:1], 5, axis=0), y[:5], np.arange(5)))
    with pytest.raises(fl.UsageError, match=r"^features: expected examples that differ"):
        solve_ridge(same, 0.1)


@pytest.mark.parametrize(
    ("build", "arguments", "message"),
    [
        ("one_shot_ridge", {"ridge": -0.1}, r"^ridge: expected a finite number of at least 0 .*, got -0.1$"),
        ("one_shot_ridge", {"ridge": float("nan")}, "^ridge: expected a finite number"),
        ("one_shot_ridge", {"ridge": "auto"}, "^ridge: expected a finite number .* or None, got 'auto'$"),
        ("one_shot_cof", {"shrinkage": 0}, r"^shrinkage: expected a finite number above 0 \(try 1.0\), got 0$"),
        ("one_shot_ncm", {"distance": "manhattan"}, "^distance: expected 'cosine' or 'euclidean', got 'manhattan'$"),
        (
            "one_shot_ncm",
            {"statistics_aggregator": tff.aggregators.MeanFactory()},
            "^statistics_aggregator: expected an unweighted TFF factory",
        ),
    ],
)
def test_bad_arguments_are_refused(toy, build, arguments, message):
    with pytest.raises(fl.UsageError, match=message) as error:
        getattr(fl, build)(toy, **arguments)
    assert "\n" not in str(error.value)


def test_images_are_refused():
    images = fl.FederatedDataset(
        "images",
        np.zeros([2, 4, 4, 3], np.uint8),
        np.zeros(2, np.int32),
        ("a", "b"),
        {"c": fl.ClientSplit(np.array([0]), np.array([1]))},
    )
    for build in (fl.one_shot_ncm, fl.one_shot_ridge, fl.one_shot_cof):
        with pytest.raises(fl.UsageError, match="extract_features"):
            build(images)


def test_a_head_starts_where_it_is_told(toy):
    kernel, bias = np.ones([DIM, CLASSES]), np.arange(CLASSES)
    start, _ = fl.linear_head(toy, initial_weights=[kernel, bias]).initial_weights
    np.testing.assert_array_equal(start[0], kernel)
    np.testing.assert_array_equal(start[1], bias)
    assert {w.dtype for w in start} == {np.dtype(np.float32)}
    for bad in ([kernel.T, bias], [kernel], [kernel, bias * np.nan]):
        with pytest.raises(fl.UsageError, match=r"^initial_weights: expected finite \(kernel, bias\) of shapes"):
            fl.linear_head(toy, initial_weights=bad)
