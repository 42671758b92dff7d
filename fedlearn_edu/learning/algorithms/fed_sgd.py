"""Federated SGD: clients send one gradient, the server takes the step."""

from __future__ import annotations

import tensorflow as tf
import tensorflow_federated as tff

from fedlearn_edu.checks import check_learning_rate
from fedlearn_edu.learning.aggregators.finite_only import AggregationFactory
from fedlearn_edu.learning.algorithms.composition import ClientResult, compose_process, discard_unless, is_finite
from fedlearn_edu.learning.client_weighting import ClientWeighting, aggregator_for, check_client_weighting, weight_of
from fedlearn_edu.learning.local_training import LocalTraining, gradients_of
from fedlearn_edu.learning.process import FederatedProcess


def build_fed_sgd(
    model: tff.learning.models.FunctionalModel,
    *,
    server_lr: float = 0.1,
    server_optimizer: tff.learning.optimizers.Optimizer | None = None,
    client_weighting: ClientWeighting = "num_examples",
    model_aggregator: AggregationFactory | None = None,
) -> FederatedProcess:
    """One gradient of the whole local dataset per client and round.

    The server broadcasts the global model. Each client computes the gradient of its mean loss over all its
    examples, at the model it received, and returns it with its number of examples. The server averages the
    gradients by these weights (or with equal ones) and takes one step of size `server_lr`. It equals FedAvg of the
    same weighting with a single full-batch step of `client_lr = server_lr` on each client.

    Args:
        model: What is trained.
        server_lr: Learning rate of the server's SGD, above 0 and at most 100.
        server_optimizer: A TFF optimizer in place of SGD at `server_lr`.
        client_weighting: `"num_examples"`: a client counts in proportion to its number of examples (an example seen in
            two local epochs counts twice); `"uniform"`: all count alike.
        model_aggregator: A TFF factory that averages the gradients; default TFF's mean with or without weights. With
            `"num_examples"` one that takes weights.

    Returns:
        A learning process; `next` has the type `(<state@SERVER, {<x, y>*}@CLIENTS> -> <state, metrics>@SERVER)`.

    Raises:
        UsageError: `server_lr` is not a finite number in its range, or `model_aggregator` would drop the weights.

    Example:
        >>> process = fl.build_fed_sgd(fl.linear_head(features), server_lr=0.5)
        >>> process.algorithm
        'fed_sgd'

    References:
        McMahan et al., Communication-efficient learning of deep networks from decentralized data, AISTATS 2017,
        arXiv:1602.05629 (there FedSGD is the baseline of FedAvg).
    """
    server_sgd = tff.learning.optimizers.build_sgdm(check_learning_rate("server_lr", server_lr))
    client_weighting = check_client_weighting(client_weighting)

    def client_work(weights, batches):
        trainable = tuple(weights.trainable)

        def add(sums, x, y):
            total, metrics, num_examples = sums
            gradients, batch = gradients_of(model, trainable, weights.non_trainable, x, y)
            size = tf.cast(batch.num_examples, tf.float32)
            total = tuple(t + size * g for t, g in zip(total, gradients, strict=True))
            return total, model.update_metrics_state(metrics, labels=y, batch_output=batch), num_examples + size

        zeros = tf.nest.map_structure(tf.zeros_like, trainable)
        total, metrics, num_examples = batches.reduce((zeros, model.initialize_metrics_state(), tf.zeros([])), add)
        gradient = tf.nest.map_structure(lambda t: t / num_examples, total)
        result = ClientResult(update=gradient, update_weight=weight_of(client_weighting, num_examples))
        return discard_unless(is_finite(gradient), result), LocalTraining(trainable, metrics, num_examples, 0)

    return compose_process(
        model,
        client_work,
        aggregator_for(client_weighting, model_aggregator),
        server_optimizer or server_sgd,
        algorithm="fed_sgd",
        hyperparameters={
            "server_lr": server_lr,
            "server_optimizer": server_optimizer,
            "client_weighting": client_weighting,
            "model_aggregator": model_aggregator,
        },
    )
