"""Softmax regression and its local training in plain NumPy, float64, and the same problem run by TFF.

Weights are one array here: the rows of the kernel, then the bias as the last row.
"""

import numpy as np
import tensorflow as tf

TOLERANCE = 1e-6  # float32 in TFF against float64 here
BATCH = 5


def softmax(z):
    z = np.exp(z - z.max(axis=1, keepdims=True))
    return z / z.sum(axis=1, keepdims=True)


def gradient(weights, x, y):
    kernel, bias = weights
    error = softmax(x @ kernel + bias)
    error[np.arange(len(y)), y] -= 1
    return np.array([*(x.T @ error / len(y)), error.mean(axis=0)])  # bias as the last row


def mean_loss(weights, x, y):
    """Cross-entropy in nats."""
    return -np.log(softmax(x @ weights[:-1] + weights[-1])[np.arange(len(y)), y]).mean()


def reference_client(weights, x, y, lr, batch_size, *, extra_gradient=lambda w: 0.0):
    """SGD over one client's batches; returns trained - initial, kernel rows first, bias as the last row."""
    w = weights.copy()
    for start in range(0, len(y), batch_size):
        rows = slice(start, start + batch_size)
        w -= lr * (gradient((w[:-1], w[-1]), x[rows], y[rows]) + extra_gradient(w))
    return w - weights


def start_weights(features):
    return np.zeros([features.feature_dim + 1, features.num_classes])


def client_batches(features, client_ids, batch_size=BATCH):
    """Clients' batches in their stored order."""
    return [tf.data.Dataset.from_tensor_slices(features.train(c)).batch(batch_size) for c in client_ids]


def run_tff(process, features, client_ids, *, num_rounds, batch_size):
    """Rounds of `process.next` on the clients' batches in their stored order."""
    data = client_batches(features, client_ids, batch_size)
    state = process.initialize()
    for _ in range(num_rounds):
        state = process.next(state, data).state
    weights = process.get_model_weights(state).trainable
    return np.vstack([weights[0], weights[1][None]])
