"""Message sizes: equal to those of messages made from a real round."""

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_federated as tff

import fedlearn_edu as fl
from fedlearn_edu.simulation.communication import measure_message_sizes, serialized_bytes

# What TFF adds to the numbers themselves: shapes, types and structure of each tensor in the message.
OVERHEAD = 150


@pytest.mark.parametrize("build", [fl.build_unweighted_fed_avg, fl.build_weighted_fed_avg, fl.build_fed_sgd])
def test_sizes_are_those_of_a_real_clients_messages(features, build):
    """The client's part of a real round is run on real data, and its result is serialised and weighed."""
    process = build(fl.linear_head(features))
    form = tff.backends.mapreduce.get_map_reduce_form_for_computation(process.next)
    broadcast = form.prepare(process.initialize())
    x, y = features.train("client_2")
    upload = form.work(tf.data.Dataset.from_tensor_slices((x, y)).batch(5), broadcast)
    sizes = measure_message_sizes(process)

    def weigh(value, type_spec):
        return tff.framework.serialize_value(value, type_spec)[0].ByteSize()

    assert sizes.broadcast_bytes == weigh(broadcast, form.prepare.type_signature.result)
    assert sizes.upload_bytes == weigh(upload, form.work.type_signature.result)


def test_sizes_are_parameters_times_four_plus_structure(features):
    num_parameters = features.feature_dim * features.num_classes + features.num_classes
    sizes = measure_message_sizes(fl.build_unweighted_fed_avg(fl.linear_head(features)))
    assert 0 <= sizes.broadcast_bytes - 4 * num_parameters < OVERHEAD
    assert 0 <= sizes.upload_bytes - 4 * num_parameters < 2 * OVERHEAD


def test_a_bigger_head_costs_more(features):
    small = measure_message_sizes(fl.build_unweighted_fed_avg(fl.mlp_head(features, hidden_units=4)))
    large = measure_message_sizes(fl.build_unweighted_fed_avg(fl.mlp_head(features, hidden_units=104)))
    extra = 100 * (features.feature_dim + 1 + features.num_classes) * 4
    assert large.upload_bytes - small.upload_bytes == pytest.approx(extra, abs=20)


def test_totals_in_the_history_are_per_cohort(features):
    process = fl.build_unweighted_fed_avg(fl.linear_head(features))
    sizes = measure_message_sizes(process)
    history = fl.run_rounds(process, features, num_rounds=2, clients_per_round=4, progress=False)
    totals = history.global_metrics()
    assert totals["broadcast_bytes_total"].dropna().tolist() == [4 * sizes.broadcast_bytes] * 2
    assert totals["upload_bytes_total"].dropna().tolist() == [4 * sizes.upload_bytes] * 2


def test_serialized_bytes_counts_a_plain_tensor():
    assert 0 < serialized_bytes(tff.TensorType(np.float32, [10, 10])) - 400 < 50
