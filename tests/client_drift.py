"""What the tests of SCAFFOLD and FedDyn share: rounds by hand, and a problem with drift."""

import collections

import numpy as np
import tensorflow as tf
import tensorflow_federated as tff
from numpy_reference import BATCH

import fedlearn_edu as fl
from fedlearn_edu.simulation.client_states import ClientStates

LR = 0.3
# Partial participation: clients of different sizes come, stay away and come again; the last never trains.
COHORTS = [[0, 1, 3], [1, 4], [0, 3, 4], [3, 1, 0]]


def run_by_hand(process, dataset, cohorts, *, batch_size=BATCH, num_epochs=1):
    """Calls `process.next` with the cohorts' batches in their stored order.

    Returns:
        The weights after each round, and the clients' states after the last.
    """
    state, states, weights = process.initialize(), ClientStates(process), []
    for cohort in cohorts:
        client_ids = [dataset.client_ids[i] for i in cohort]
        data = [
            tf.data.Dataset.from_tensor_slices(dataset.train(c)).batch(batch_size).repeat(num_epochs)
            for c in client_ids
        ]
        output = process.next(state, states.hand_out(client_ids, data))
        states.take_back(client_ids, output)
        state = output.state
        weights.append([np.asarray(w) for w in state.global_model_weights.trainable])
    return weights, states


def stack(kernel_and_bias):
    return np.vstack([kernel_and_bias[0], kernel_and_bias[1][None]])


class Drift:
    """Two clients that fit one line each, and agree on neither: linear regression in closed form.

    Their losses differ in curvature, so that the mean of their own optima is far from the optimum of the mean loss.
    Integer "labels" stand for the targets.
    """

    def __init__(self):
        x = np.array([[1.0, 0.2], [0.3, 0.5], [2.0, -0.4], [0.2, 1.5]], np.float32)
        y = np.array([1, 2, -3, 4], np.int32)
        clients = {c: fl.ClientSplit(np.array(rows), np.arange(0)) for c, rows in (("a", [0, 1]), ("b", [2, 3]))}
        self.dataset = fl.FederatedDataset("drift", x, y, ("any",), clients)
        x, y = x.astype(np.float64), y.astype(np.float64)
        self.optimum = np.linalg.solve(x.T @ x, x.T @ y)  # both have two examples: pooled = mean of the clients'
        self.model = _linear_regression()

    def distances(self, process, num_rounds):
        """How far from the optimum the model is after each round of ten local full-batch steps."""
        weights, _ = run_by_hand(process, self.dataset, [[0, 1]] * num_rounds, num_epochs=10)
        return [float(np.linalg.norm(kernel[:, 0] - self.optimum)) for [kernel] in weights]


def _linear_regression():
    @tf.function
    def predict(model_weights, x, training):
        del training
        return tf.matmul(x, model_weights[0][0])[:, 0]

    def loss(output, label, sample_weight=None):
        del sample_weight
        return tf.reduce_mean((output - tf.cast(label, tf.float32)) ** 2) / 2

    count = tf.function(lambda: collections.OrderedDict(num_examples=tf.zeros([], tf.int64)))

    @tf.function
    def add(state, labels, batch_output, sample_weight=None):
        del labels, sample_weight
        return collections.OrderedDict(
            num_examples=state["num_examples"] + tf.cast(batch_output.num_examples, tf.int64)
        )

    return tff.learning.models.FunctionalModel(
        initial_weights=((np.zeros([2, 1], np.float32),), ()),
        predict_on_batch_fn=predict,
        loss_fn=loss,
        metrics_fns=(count, add, tf.function(lambda state: state)),
        input_spec=(tf.TensorSpec([None, 2], tf.float32), tf.TensorSpec([None], tf.int32)),
    )
