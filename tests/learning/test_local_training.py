"""Local training on arrays: which batches a client sees, and that rounds on arrays and on datasets are the same."""

import collections

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_federated as tff

import fedlearn_edu as fl
from fedlearn_edu.learning.local_training import Batches, build_batches_of_dataset, train_locally
from fedlearn_edu.simulation.client_data import ClientFiles, build_batches_computation, build_train_computation
from fedlearn_edu.simulation.client_states import compose_with_client_files

X, Y = tf.reshape(tf.range(10.0), [5, 2]), tf.constant([4, 3, 2, 1, 0])


def visited(batches):
    """The batches that `reduce` hands to a step, as lists of labels; outside of a graph it calls Python."""
    seen = []

    def step(count, x, y):
        np.testing.assert_array_equal(x, tf.gather(X, 4 - y))
        seen.append(list(y.numpy()))
        return count + 1

    assert int(batches.reduce(0, step)) == len(seen)
    return seen


def two_epochs(batch_size):
    return Batches.of_epochs(X, Y, [tf.constant([0, 1, 2, 3, 4]), tf.constant([4, 0, 3, 1, 2])], batch_size)


@pytest.mark.parametrize(
    ("batch_size", "expected"),
    [
        (2, [[4, 3], [2, 1], [0], [0, 4], [1, 3], [2]]),
        (5, [[4, 3, 2, 1, 0], [0, 4, 1, 3, 2]]),
        (9, [[4, 3, 2, 1, 0], [0, 4, 1, 3, 2]]),
    ],
)
def test_each_epoch_is_cut_into_batches_by_itself(batch_size, expected):
    assert visited(two_epochs(batch_size)) == expected


def test_repeated_batches_come_again_in_the_same_order():
    batches = two_epochs(3)
    once = visited(batches)
    assert once == [[4, 3, 2], [1, 0], [0, 4, 1], [3, 2]]
    assert visited(batches.repeated(3)) == 3 * once
    assert visited(batches.repeated(0)) == []


def test_a_client_without_examples_stays_where_it_starts(features):
    model = fl.linear_head(features)
    start = tff.learning.models.ModelWeights(*(tuple(w + 1 for w in part) for part in model.initial_weights))
    nothing = np.zeros([0, features.feature_dim], np.float32), np.zeros([0], np.int32)
    batches = Batches.of_epochs(*nothing, 2 * [tf.zeros([0], tf.int32)], 4)
    sgd = tff.learning.optimizers.build_sgdm(0.5)
    trained = tf.function(lambda: train_locally(model, start, batches, sgd), autograph=False)()
    for kept, before in zip(trained.trainable, start.trainable, strict=True):
        np.testing.assert_array_equal(kept, before)
    assert (int(trained.num_steps), int(trained.num_examples)) == (0, 0)


@pytest.mark.parametrize("as_dictionary", [False, True])
def test_a_datasets_batches_are_taken_as_they_are(as_dictionary):
    """Of any sizes, also of none, and whatever a batch is called."""
    fl.start_runtime()
    spec = (tf.TensorSpec([None, 2], tf.float32), tf.TensorSpec([None], tf.int32))

    def pack(columns):
        return collections.OrderedDict(zip("xy", columns, strict=True)) if as_dictionary else columns

    spec = pack(spec)
    collect = build_batches_of_dataset(spec)
    # As a dataset of our own, since TFF makes none of lists whose batches differ in size.
    rows = tf.data.Dataset.from_tensor_slices(([0, 1, 4], [1, 4, 5]))
    batches = Batches(*collect(rows.map(lambda start, end: pack((X[start:end], Y[start:end])))))
    np.testing.assert_array_equal(batches.x, X)
    assert visited(batches) == [[4], [3, 2, 1], [0]]
    empty = Batches(*collect([]))
    assert (empty.x.shape, list(empty.bounds)) == ((0, 2), [0])


def test_arrays_and_datasets_of_a_client_hold_the_same_batches(features):
    fl.start_runtime()
    told = ClientFiles(features)
    [client] = told.told(["client_1"], shuffle_seed=3)  # 15 examples
    arguments = {"num_epochs": 2, "batch_size": 4}
    batches = Batches(*build_batches_computation(features.feature_dim, **arguments)(client))
    dataset = list(build_train_computation(features.feature_dim, **arguments)(client))
    assert [len(y) for _, y in dataset] == 2 * [4, 4, 4, 3]
    rows = np.split(batches.order, batches.bounds[1:-1])
    for (x, y), row in zip(dataset, rows, strict=True):
        np.testing.assert_array_equal(x, batches.x[row])
        np.testing.assert_array_equal(y, batches.y[row])


@pytest.mark.parametrize("build", [fl.build_weighted_fed_avg, fl.build_ditto])
def test_a_round_on_datasets_is_the_round_on_arrays(features, build):
    fl.start_runtime()
    process = build(fl.linear_head(features), client_lr=0.3)
    files, cohort = ClientFiles(features), ["client_0", "client_2", "client_5"]
    arguments = {"num_epochs": 2, "batch_size": 4}
    arrays, datasets = (
        [read(features.feature_dim, **arguments)(client) for client in files.told(cohort, shuffle_seed=1)]
        for read in (build_batches_computation, build_train_computation)
    )
    state = process.initialize()
    if build is fl.build_ditto:
        own = process.initial_client_state("client_0")
        arrays, datasets = ([{"data": d, "client_state": own} for d in data] for data in (arrays, datasets))
    on_arrays, on_datasets = process.next_on_batches(state, arrays), process.next(state, datasets)
    assert any(np.any(w) for w in on_arrays.state.global_model_weights.trainable)
    assert float(on_arrays.metrics["client_work"]["train"]["num_examples"]) > 0
    for one, other in zip(*map(tf.nest.flatten, (on_arrays, on_datasets)), strict=True):
        np.testing.assert_array_equal(one, other)


BUILDERS = {
    "unweighted": fl.build_unweighted_fed_avg,
    "weighted": fl.build_weighted_fed_avg,
    "prox": lambda model: fl.build_fed_prox(model, proximal_strength=0.1),
    "adam": fl.build_fed_adam,
    "sgd": fl.build_fed_sgd,
    "nova": fl.build_fed_nova,
    "q_ffl": fl.build_q_fed_avg,
    "scaffold": lambda model: fl.build_scaffold(model, num_clients=6),
    "dyn": lambda model: fl.build_fed_dyn(model, num_clients=6),
    "ditto": fl.build_ditto,
    "per": fl.build_fed_per,
    "rep": fl.build_fed_rep,
    "attacked": lambda model: fl.build_attacked_fed_avg(model, attackers={"client_0": fl.SignFlip()}),
    "mime_lite": fl.build_mime_lite,
}


@pytest.mark.parametrize("name", BUILDERS)
def test_a_run_trains_without_a_dataset(features, name):
    """All but Mime Lite, whose client work is TFF's alone."""
    fl.start_runtime()
    process = BUILDERS[name](fl.mlp_head(features, hidden_units=3))
    training = compose_with_client_files(process, features.feature_dim, num_epochs=2, batch_size=4)
    serialized = tff.framework.serialize_computation(training.next).SerializeToString()
    assert (b"TensorSliceDataset" in serialized) == (name == "mime_lite")
    assert (b"Iterator" in serialized or b"ReduceDataset" in serialized) == (name == "mime_lite")
