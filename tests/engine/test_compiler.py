"""Merging a client's work changes the speed of a round, not one bit of its result."""

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_federated as tff

import fedlearn_edu as fl
from fedlearn_edu.engine import runtime
from fedlearn_edu.engine.compiler import merge_client_work, simulate_secure_sums


def three_rounds(process, features, context):
    data = [tf.data.Dataset.from_tensor_slices(features.train(c)).batch(5) for c in features.client_ids]
    previous = tff.framework.get_context_stack().current
    tff.framework.set_default_context(context)
    try:
        state = process.initialize()
        for _ in range(3):
            output = process.next(state, data)
            state = output.state
    finally:
        tff.framework.set_default_context(previous)
    return state, tf.nest.flatten(state) + tf.nest.flatten(output.metrics)


@pytest.mark.parametrize(
    "build",
    [
        fl.build_weighted_fed_avg,
        fl.build_fed_sgd,
        lambda model: fl.build_unweighted_fed_avg(model, server_optimizer=tff.learning.optimizers.build_adam(0.01)),
        lambda model: fl.build_weighted_fed_avg(model, model_aggregator=tff.learning.robust_aggregator()),
    ],
    ids=["weighted", "sgd", "adam", "robust"],
)
def test_merged_equals_native_bit_for_bit(features, build, monkeypatch):
    process = build(fl.linear_head(features))
    worker = fl.start_runtime()
    merged_state, merged = three_rounds(process, features, tff.framework.get_context_stack().current)
    assert merge_client_work(process.next) is not process.next
    monkeypatch.setattr(runtime, "compile_for_worker", tff.backends.native.desugar_and_transform_to_native)
    native_state, native = three_rounds(process, features, runtime.RuntimeContext(worker))
    assert type(merged_state) is type(native_state)
    assert len(merged) == len(native) > 2
    for a, b in zip(merged, native, strict=True):
        np.testing.assert_array_equal(a, b)


def test_what_is_no_round_is_left_alone(features):
    process = fl.build_unweighted_fed_avg(fl.linear_head(features))
    assert merge_client_work(process.initialize) is process.initialize
    total = tff.federated_computation(tff.federated_sum, tff.FederatedType(np.int32, tff.CLIENTS))
    assert merge_client_work(total) is total


def test_secure_sums_are_simulated_on_purpose_and_not_by_merging(features):
    process = fl.build_secure_fed_avg(fl.linear_head(features), value_bound=8.0)
    assert merge_client_work(process.next) is process.next
    simulated = simulate_secure_sums(process.next)
    assert merge_client_work(simulated) is not simulated


def test_computations_without_secure_sums_are_not_touched(features):
    process = fl.build_unweighted_fed_avg(fl.linear_head(features))
    assert simulate_secure_sums(process.next) is process.next
    assert simulate_secure_sums(process.initialize) is process.initialize
