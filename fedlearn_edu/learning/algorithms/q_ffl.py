"""q-FFL, solved by q-FedAvg: clients that are served badly count more."""

from __future__ import annotations

import collections

import tensorflow as tf
import tensorflow_federated as tff

from fedlearn_edu.checks import check_learning_rate, check_not_negative
from fedlearn_edu.learning.algorithms.composition import ClientResult, compose_process, train_to_delta
from fedlearn_edu.learning.client_weighting import ClientWeighting, check_client_weighting
from fedlearn_edu.learning.process import FederatedProcess

_LARGEST_Q = 20.0
_SMALLEST_LOSS = 1e-10  # a loss of 0 to the power of q - 1 would be infinite


def build_q_fed_avg(
    model: tff.learning.models.FunctionalModel,
    *,
    q: float = 1.0,
    client_lr: float = 0.1,
    server_lr: float = 1.0,
    server_optimizer: tff.learning.optimizers.Optimizer | None = None,
    client_weighting: ClientWeighting = "uniform",
    model_aggregator: tff.aggregators.UnweightedAggregationFactory | None = None,
) -> FederatedProcess:
    """Federated averaging for the objective `sum_k p_k F_k^(q+1) / (q+1)`, which a large F_k dominates.

    The server broadcasts the global model w. Each client computes F_k, the mean loss of w over its training examples,
    trains to w_k, and returns the numerator `p_k * F_k^q * delta_k` with delta_k = w - w_k, and the denominator
    `p_k * h_k` with `h_k = q * F_k^(q-1) * L * ||delta_k||^2 + F_k^q`. Both are summed over the clients, and the server
    steps against `sum(p_k * F_k^q * delta_k) / sum(p_k * h_k)`. L = 1 / `client_lr` stands for the Lipschitz constant
    of the gradients; the first term of h_k bounds how fast the gradient of F_k^(q+1) can change, so that one learning
    rate serves every q. (The paper has L times this numerator and this denominator; the quotient is the same.)

    With q = 0 it is FedAvg of the same weighting. As q grows, the worst client decides, as in minimax fairness, and the
    steps get shorter.

    Args:
        model: What is trained. Its loss must not be negative.
        q: From 0 to 20; the paper tries 0.001 to 15. Beyond, F^q leaves the range of float32.
        client_lr: Learning rate of the clients' SGD, above 0 and at most 100.
        server_lr: Learning rate of the server's SGD, above 0 and at most 100; the paper's algorithm has 1.
        server_optimizer: A TFF optimizer in place of SGD at `server_lr`.
        client_weighting: What p_k is: 1 (`"uniform"`), or the number of examples (`"num_examples"`). In the paper it is
            this number, too, but clients are then sampled by it and count alike; here all are as likely to be sampled.
        model_aggregator: A TFF factory that adds up `<numerator, denominator>`; default `SumFactory`. One that averages
            gives the same quotient.

    Returns:
        A learning process; `next` has the type `(<state@SERVER, {<x, y>*}@CLIENTS> -> <state, metrics>@SERVER)`.

    Shapes:
        An upload has the shapes of `model.initial_weights` and one number, p_k * h_k, more than that of FedAvg. Unless
        the sum is secure, the server can work out a client's F_k from it.

    Raises:
        UsageError: `q` or a learning rate is out of its range.

    Example:
        >>> process = fl.build_q_fed_avg(fl.linear_head(features), q=2)
        >>> process.hyperparameters["q"]
        2.0

    References:
        Li et al., Fair resource allocation in federated learning, ICLR 2020, arXiv:1905.10497, Algorithm 2.
    """
    q = check_not_negative("q", q, most=_LARGEST_Q)
    client_lr = check_learning_rate("client_lr", client_lr)
    server_lr = check_learning_rate("server_lr", server_lr)
    client_weighting = check_client_weighting(client_weighting)

    train = train_to_delta(model, tff.learning.optimizers.build_sgdm(client_lr), client_weighting)

    def client_work(weights, batches):
        result, trained = train(weights, batches)
        delta = result.update
        # p_k; 0 of a client whose training diverged, maybe from a loss of NaN.
        counts = result.update_weight
        loss = tf.where(counts > 0, _mean_loss(model, weights, batches), 1.0)
        loss = tf.maximum(loss, _SMALLEST_LOSS)
        squared_norm = tf.add_n([tf.reduce_sum(tf.square(d)) for d in tf.nest.flatten(delta)])
        weight = tf.pow(loss, q)
        denominator = q * tf.pow(loss, q - 1) * squared_norm / client_lr + weight
        update = collections.OrderedDict(
            numerator=tf.nest.map_structure(lambda d: counts * weight * d, delta), denominator=counts * denominator
        )
        return ClientResult(update=update, update_weight=counts), trained

    def quotient(sums):
        return tf.nest.map_structure(lambda total: total / sums["denominator"], sums["numerator"])

    return compose_process(
        model,
        client_work,
        tff.aggregators.as_weighted_aggregator(model_aggregator or tff.aggregators.SumFactory()),
        server_optimizer or tff.learning.optimizers.build_sgdm(server_lr),
        update_fn=quotient,
        algorithm="q_fed_avg",
        hyperparameters={
            "q": q,
            "client_lr": client_lr,
            "server_lr": server_lr,
            "server_optimizer": server_optimizer,
            "client_weighting": client_weighting,
            "model_aggregator": model_aggregator,
        },
    )


def _mean_loss(model, model_weights, batches):
    """Returns the mean loss over all examples of `batches`, 0 if there are none."""
    weights = (tuple(model_weights.trainable), tuple(model_weights.non_trainable))

    def add(sums, x, y):
        total, num_examples = sums
        output = model.predict_on_batch(weights, x, training=False)
        size = tf.cast(tf.shape(tf.nest.flatten(output)[0])[0], tf.float32)
        return total + model.loss(output, y) * size, num_examples + size

    return tf.math.divide_no_nan(*batches.reduce((tf.zeros([]), tf.zeros([])), add))
