"""Robust aggregators: the rules against NumPy, the factories against the rules, and what is not finite left out."""

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_federated as tff
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

import fedlearn_edu as fl
from fedlearn_edu.learning.aggregators.coordinate_median import median_of
from fedlearn_edu.learning.aggregators.gaussian_mean import gaussian_mean_factory
from fedlearn_edu.learning.aggregators.geometric_median import geometric_median_of
from fedlearn_edu.learning.aggregators.krum import krum_rule, krum_scores
from fedlearn_edu.learning.aggregators.norm_bounding import bounded_mean_rule, zeroed_mean_rule
from fedlearn_edu.learning.aggregators.trimmed_mean import trimmed_mean_rule
from fedlearn_edu.simulation.communication import measure_message_sizes

NUM_CLIENTS, DIM = 7, 7
VALUE_TYPE = [(np.float32, [3]), (np.float32, [2, 2])]

# Small whole numbers: many ties, and exact in any order of operations.
STACKS = st.tuples(st.integers(1, 9), st.integers(1, 4)).flatmap(
    lambda shape: arrays(np.float64, shape, elements=st.integers(-3, 3).map(float))
)
few = settings(max_examples=25, deadline=None)


def applied(rule, stack, weights=None):
    """The rule's aggregate and selection as NumPy."""
    weights = np.ones(len(stack)) if weights is None else weights
    aggregate, selected = rule(tf.constant(stack), tf.constant(weights))
    return aggregate.numpy(), None if selected is None else selected.numpy()


def reference_scores(stack, num_attackers):
    scores = []
    for i, own in enumerate(stack):
        distances = sorted(np.sum((own - other) ** 2) for j, other in enumerate(stack) if j != i)
        scores.append(sum(distances[: max(len(stack) - num_attackers - 2, 1)]))
    return np.array(scores)


@few
@given(STACKS)
def test_median_is_numpys(stack):
    np.testing.assert_array_equal(applied(median_of, stack)[0], np.median(stack, axis=0))


@few
@given(STACKS, st.integers(0, 4))
def test_trimmed_mean_drops_at_both_ends_and_leaves_one_or_two(stack, num_trimmed):
    dropped = min(num_trimmed, (len(stack) - 1) // 2)
    expected = [np.mean(sorted(column)[dropped : len(stack) - dropped]) for column in stack.T]
    np.testing.assert_allclose(applied(trimmed_mean_rule(num_trimmed), stack)[0], expected, atol=1e-12)
    np.testing.assert_allclose(applied(trimmed_mean_rule(0), stack)[0], stack.mean(axis=0), atol=1e-12)
    np.testing.assert_allclose(applied(trimmed_mean_rule(99), stack)[0], np.median(stack, axis=0), atol=1e-12)


@few
@given(STACKS, st.integers(0, 3), st.integers(1, 9))
def test_krum_is_a_loop_over_pairs_of_clients(stack, num_attackers, num_selected):
    scores = reference_scores(stack, num_attackers)
    np.testing.assert_array_equal(krum_scores(tf.constant(stack), num_attackers).numpy(), scores)
    aggregate, selected = applied(krum_rule(num_attackers, num_selected), stack)
    count = 1 if num_selected == 1 else min(num_selected, max(len(stack) - num_attackers, 1))
    expected = np.argsort(scores, kind="stable")[:count]  # of equals the first in the cohort
    assert np.flatnonzero(selected).tolist() == sorted(expected.tolist())
    np.testing.assert_allclose(aggregate, stack[expected].mean(axis=0), atol=1e-12)


@few
@given(STACKS, st.floats(0.5, 3))
def test_bounded_and_zeroed_means(stack, bound):
    norms = np.linalg.norm(stack, axis=1, keepdims=True)
    clipped = stack * np.minimum(1, bound / np.maximum(norms, 1e-9))
    np.testing.assert_allclose(applied(bounded_mean_rule(bound), stack)[0], clipped.mean(axis=0), atol=1e-9)
    zeroed = np.where(np.abs(stack).max(axis=1, keepdims=True) > bound, 0, stack)
    np.testing.assert_allclose(applied(zeroed_mean_rule(bound), stack)[0], zeroed.mean(axis=0), atol=1e-9)


RULES = {
    "coordinate_median": median_of,
    "trimmed_mean": trimmed_mean_rule(2),
    "krum": krum_rule(2, 1),
    "multi_krum": krum_rule(2, 5),
    "geometric_median": geometric_median_of,
}


@pytest.mark.parametrize("rule", RULES.values(), ids=RULES)
@pytest.mark.parametrize("far", [10.0, 1e15])
def test_two_of_seven_clients_move_the_aggregate_no_further_than_honest_ones_differ(rule, far):
    rng = np.random.default_rng(1)
    honest = rng.normal(size=[5, 4]) + 3
    for direction in (-1, 1):
        stack = np.concatenate([honest, np.full([2, 4], direction * far) + rng.normal(size=[2, 4])])[rng.permutation(7)]
        assert np.linalg.norm(applied(rule, stack)[0] - honest.mean(axis=0)) < 2.5  # the honest ones' are 1.0 to 2.4
        assert np.linalg.norm(stack.mean(axis=0) - honest.mean(axis=0)) > 4


BUILD = {
    "coordinate_median": lambda: fl.coordinate_median(clients_per_round=NUM_CLIENTS),
    "trimmed_mean": lambda: fl.trimmed_mean(clients_per_round=NUM_CLIENTS, num_trimmed=2),
    "multi_krum": lambda: fl.multi_krum(clients_per_round=NUM_CLIENTS, num_attackers=2),
    "geometric_median": lambda: fl.geometric_median(clients_per_round=NUM_CLIENTS),
    "finite_only": fl.finite_only,
    "norm_bounding": lambda: fl.norm_bounding(3.0),
    "zeroing": lambda: fl.zeroing(1.5),
}


def structured(row):
    row = np.asarray(row, np.float32)
    return [row[:3], row[3:].reshape(2, 2)]


def flat(value):
    return np.concatenate([np.ravel(part) for part in value])


def run(process, stack):
    return process.next(process.initialize(), [structured(row) for row in stack])


@pytest.fixture(scope="module", params=BUILD)
def factory_and_process(request):
    factory = BUILD[request.param]()
    return factory, factory.create(tff.to_type(VALUE_TYPE))


@pytest.fixture(scope="module")
def stack():
    return np.random.default_rng(0).normal(size=[NUM_CLIENTS, DIM]).astype(np.float32)


def test_a_factory_computes_its_rule(factory_and_process, stack):
    factory, process = factory_and_process
    expected, selected = applied(factory.rule, stack.astype(np.float64))
    output = run(process, stack)
    np.testing.assert_allclose(flat(output.result), expected, atol=1e-6)
    assert [part.shape for part in output.result] == [(3,), (2, 2)]
    assert output.measurements["num_excluded"] == 0
    assert output.measurements["excluded"].tolist() == [0] * NUM_CLIENTS
    if selected is not None:
        assert output.measurements["selected"].tolist() == selected.astype(int).tolist()
        assert 0 < selected.sum() < NUM_CLIENTS


@pytest.mark.parametrize("bad", [np.nan, -np.inf, 1e30], ids=str)
def test_what_is_not_finite_is_left_out_and_named_in_cohort_order(factory_and_process, stack, bad):
    """Also a value whose norm float32 cannot hold. The others' aggregate is that of a cohort without these clients."""
    factory, process = factory_and_process
    poisoned = np.insert(stack, [1, 6], stack[0], axis=0)
    poisoned[1, 4] = poisoned[7, 0] = bad
    output = run(process, poisoned)
    assert output.measurements["excluded"].tolist() == [0, 1, 0, 0, 0, 0, 0, 1, 0]
    assert output.measurements["num_excluded"] == 2
    expected, selected = applied(factory.rule, stack.astype(np.float64))
    np.testing.assert_allclose(flat(output.result), expected, atol=1e-6)
    if selected is not None:
        assert output.measurements["selected"].tolist() == np.insert(selected.astype(int), [1, 6], 0).tolist()


def test_nobody_left_is_no_step(factory_and_process, stack):
    _, process = factory_and_process
    for clients in ([], np.full([2, DIM], np.nan)):
        assert (flat(run(process, clients).result) == 0).all()


def test_around_another_factory_who_is_left_out_is_left_out_there_too(stack):
    inner = fl.krum(clients_per_round=NUM_CLIENTS, num_attackers=1)
    process = fl.norm_bounding(1.0, inner).create(tff.to_type(VALUE_TYPE))
    poisoned = stack.copy()
    poisoned[2] = np.nan
    output = run(process, poisoned)
    clipped = np.delete(stack, 2, axis=0).astype(np.float64)
    clipped /= np.maximum(np.linalg.norm(clipped, axis=1, keepdims=True), 1)
    expected, selected = applied(krum_rule(1, 1), clipped)
    np.testing.assert_allclose(flat(output.result), expected, atol=1e-6)
    inside = output.measurements["inner"]["clipping"]
    assert inside["excluded"].tolist() == [0, 0, 1, 0, 0, 0, 0]
    assert inside["selected"].tolist() == np.insert(selected.astype(int), 2, 0).tolist()


def test_tffs_own_factories_go_around_ours(stack):
    """Clipping, and a rotation as compression uses it, under which distances and so the geometric median stay."""
    inner = fl.geometric_median(clients_per_round=NUM_CLIENTS)
    process = tff.aggregators.clipping_factory(
        1.0, tff.aggregators.HadamardTransformFactory(inner_agg_factory=inner)
    ).create(tff.to_type(VALUE_TYPE))
    clipped = stack / np.maximum(np.linalg.norm(stack, axis=1, keepdims=True), 1)
    expected, _ = applied(inner.rule, clipped.astype(np.float64))
    np.testing.assert_allclose(flat(run(process, stack).result), expected, atol=1e-5)


def test_a_private_mean_counts_who_is_left_out_as_zero(stack):
    private = gaussian_mean_factory(noise_multiplier=1e-9, clients_per_round=NUM_CLIENTS, clip_norm=100.0)
    process = fl.finite_only(private).create(tff.to_type(VALUE_TYPE))
    poisoned = stack.copy()
    poisoned[3] = np.inf
    output = run(process, poisoned)
    np.testing.assert_allclose(flat(output.result), np.delete(stack, 3, axis=0).sum(axis=0) / NUM_CLIENTS, atol=1e-5)
    assert output.measurements["excluded"].tolist() == [0, 0, 0, 1, 0, 0, 0]


@pytest.mark.parametrize(
    "build", [lambda: fl.geometric_median(clients_per_round=3, weighted=True), lambda: fl.finite_only(weighted=True)]
)
def test_with_weights(build, stack):
    factory = build()
    process = factory.create(tff.to_type(VALUE_TYPE), tff.TensorType(np.float32))
    weights = np.array([1, 2, 0.5, 0, 3, 1, np.nan], np.float32)
    output = process.next(process.initialize(), [structured(row) for row in stack], list(weights))
    kept = [0, 1, 2, 4, 5]
    expected, _ = applied(factory.rule, stack[kept].astype(np.float64), weights[kept].astype(np.float64))
    np.testing.assert_allclose(flat(output.result), expected, atol=1e-6)
    assert output.measurements["excluded"].tolist() == [0, 0, 0, 1, 0, 0, 1]


def test_a_run_is_driven_and_its_bytes_are_measured(features):
    krum = fl.krum(clients_per_round=4, num_attackers=0)
    process = fl.build_unweighted_fed_avg(fl.linear_head(features), client_lr=0.3, model_aggregator=krum)
    history = fl.run_rounds(
        process, features, num_rounds=4, clients_per_round=4, batch_size=5, evaluate_every=4, progress=False
    )
    assert history.global_accuracy > 0.6  # 0.37 before training
    selected = history.client_metric("selected")
    assert (selected.count() == 1).all()  # in every round one client
    assert history.client_metric("in_cohort").reindex_like(selected)[selected.notna()].equals(selected)
    num_parameters = sum(w.size for w in history.model_weights)
    sizes = measure_message_sizes(process)
    assert 0 <= sizes.upload_bytes - 4 * (num_parameters + 1) < 300  # every number of the update, one more, structure
    assert history.global_metrics()["upload_bytes_total"][1] == 4 * sizes.upload_bytes


@pytest.mark.parametrize(
    "build",
    [
        lambda model: fl.build_unweighted_fed_avg(model, model_aggregator=fl.coordinate_median(clients_per_round=3)),
        lambda model: fl.build_scaffold(
            model, num_clients=6, model_aggregator=fl.norm_bounding(1.0, fl.geometric_median(clients_per_round=3))
        ),
    ],
)
def test_a_cohort_of_another_size_is_refused(features, build):
    process = build(fl.linear_head(features))
    with pytest.raises(
        fl.UsageError, match=r"^clients_per_round: .*clients_per_round=3.*, got 4 for the run; give both"
    ):
        fl.run_rounds(process, features, num_rounds=1, clients_per_round=4, progress=False)
    history = fl.run_rounds(process, features, num_rounds=1, clients_per_round=3, progress=False)
    assert history.num_rounds == 1


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: fl.krum(clients_per_round=8, num_attackers=3), r"at least 2 \* num_attackers \+ 3 = 9 clients, got 8"),
        (lambda: fl.multi_krum(clients_per_round=2, num_attackers=0), r"= 3 clients, got 2; take more clients a round"),
        (
            lambda: fl.trimmed_mean(clients_per_round=6, num_trimmed=3),
            r"more than 2 \* num_trimmed = 6 .* got 6; trim 2",
        ),
        (lambda: fl.coordinate_median(clients_per_round=2), "whole number of at least 3, got 2"),
        (lambda: fl.geometric_median(clients_per_round=2.5), "whole number of at least 3, got 2.5"),
    ],
)
def test_a_cohort_that_is_too_small_is_refused(build, message):
    with pytest.raises(fl.UsageError, match=f"^clients_per_round: expected .*{message}") as error:
        build()
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("build", "name"),
    [
        (lambda: fl.krum(clients_per_round=8, num_attackers=-1), "num_attackers"),
        (lambda: fl.multi_krum(clients_per_round=8, num_attackers=1, num_selected=9), "num_selected"),
        (lambda: fl.trimmed_mean(clients_per_round=8, num_trimmed=-1), "num_trimmed"),
        (lambda: fl.norm_bounding(float("nan")), "max_norm"),
        (lambda: fl.zeroing(0), "max_norm"),
        (lambda: fl.norm_bounding(1.0, fl.coordinate_median(clients_per_round=3), weighted=True), "weighted"),
    ],
)
def test_bad_arguments_are_refused(build, name):
    with pytest.raises(fl.UsageError, match=f"^{name}: expected .*, got ") as error:
        build()
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("build", [BUILD["coordinate_median"], fl.finite_only])
def test_whole_numbers_are_refused(build):
    with pytest.raises(fl.UsageError, match=r"^model_aggregator: expected floating-point tensors .* got int32"):
        build().create(tff.TensorType(np.int32, [3]))


def test_a_factory_shows_the_call_that_built_it():
    assert (
        repr(fl.trimmed_mean(clients_per_round=9, num_trimmed=2)) == "trimmed_mean(clients_per_round=9, num_trimmed=2)"
    )
    assert repr(fl.zeroing(2, fl.finite_only())) == "zeroing(max_norm=2.0, inner='finite_only()')"
