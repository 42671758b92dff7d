"""The central ceiling: the same head trained on all clients' examples in one place."""

from __future__ import annotations

import dataclasses

import numpy as np
import tensorflow as tf
import tensorflow_federated as tff

from fedlearn_edu.checks import check_count, check_learning_rate, check_seed
from fedlearn_edu.data.federated import FederatedDataset
from fedlearn_edu.simulation.evaluation import metrics_of_sums
from fedlearn_edu.simulation.run_checks import check_features

BATCH_SIZE, _EPOCHS, _FEWEST_STEPS = 64, 15, 300
_RATES = {"image": 1e-3, "text": 1e-2, "table": 3e-2, "ids": 1e-2}  # of fewer features each weight has further to go


@dataclasses.dataclass(frozen=True)
class CentralResult:
    """A centrally trained head.

    Attributes:
        accuracy: On the pooled test examples of all clients (0 to 1); None for a task without accuracy.
        loss: Mean loss on the same; for classes cross-entropy (nats).
        model_weights: Trainable weights, float32 arrays.
        value: The task's primary metric on the same, for `History.central_accuracy`; None where it is not defined.
    """

    accuracy: float | None
    loss: float
    model_weights: list[np.ndarray]
    value: float | None


def train_centrally(
    model: tff.learning.models.FunctionalModel,
    features: FederatedDataset,
    *,
    num_epochs: int = _EPOCHS,
    batch_size: int = BATCH_SIZE,
    learning_rate: float = 1e-3,
    seed: int = 0,
) -> CentralResult:
    """Trains the model on the pooled training examples and measures it on the pooled test examples.

    This is what could be reached if the clients shared their data; a federated result is read against it. Adam with
    a linearly falling learning rate, so that the result depends little on these settings.

    Args:
        model: The same model that is trained federated, e.g. `process.model`.
        features: Extracted features of all clients.
        num_epochs: Passes over the pooled examples, at least 1.
        batch_size: Examples per step, at least 1.
        learning_rate: Of Adam at the start; it falls to 0.
        seed: Of the shuffles.

    Returns:
        Accuracy or what else the task measures, loss and weights.

    Raises:
        UsageError: An argument is out of range, or features are not finite.

    References:
        Kingma and Ba, Adam, ICLR 2015, arXiv:1412.6980.
    """
    check_learning_rate("learning_rate", learning_rate)
    num_epochs = check_count("num_epochs", num_epochs)
    batch_size = check_count("batch_size", batch_size)
    check_seed(seed)
    check_features(features)
    x, y = features.pooled("train")
    variables = [tf.Variable(w) for w in model.initial_weights[0]]
    steps_per_epoch = -(-len(y) // batch_size)
    schedule = tf.keras.optimizers.schedules.PolynomialDecay(learning_rate, num_epochs * steps_per_epoch, 0.0)
    optimizer = tf.keras.optimizers.Adam(schedule)
    optimizer.build(variables)

    @tf.function(reduce_retracing=True)
    def train_epoch(order):
        for start in tf.range(0, tf.size(order), batch_size):
            rows = order[start : start + batch_size]
            with tf.GradientTape() as tape:
                # values, not variables: the model's tf.function would keep a trace per variable object
                weights = [v.read_value() for v in variables]
                output = model.predict_on_batch((weights, ()), tf.gather(x_all, rows), training=True)
                loss = model.loss(output, tf.gather(y_all, rows))
            optimizer.apply_gradients(zip(tape.gradient(loss, variables), variables, strict=True))

    x_all, y_all = tf.constant(x), tf.constant(y)
    rng = np.random.default_rng(seed)
    for _ in range(num_epochs):
        train_epoch(tf.constant(rng.permutation(len(y))))

    weights = [v.numpy() for v in variables]
    x_test, y_test = features.pooled("test")
    outputs = model.predict_on_batch((weights, ()), x_test, training=False)
    loss = model.loss(outputs, y_test)
    batch = tff.learning.models.BatchOutput(loss=loss, predictions=outputs, num_examples=len(y_test))
    sums = model.update_metrics_state(model.initialize_metrics_state(), labels=y_test, batch_output=batch)
    values = metrics_of_sums([("all", sums)])[0].values if len(y_test) else {}
    return CentralResult(values.get("accuracy"), float(loss), weights, values.get(features.task.primary.name))


def central_ceiling(
    model: tff.learning.models.FunctionalModel,
    features: FederatedDataset,
    *,
    rate_factor: float = 1.0,
    seed: int = 0,
) -> CentralResult:
    """Trains the model on all examples in one place, long enough and at a rate that suits their kind and number.

    Of few examples more passes are made; tables and texts, of fewer features, take larger steps. A number is brought
    to mean 0 and spread 1 for the training, since Adam's steps have one size whatever that of the target, and is
    measured in its own unit.

    Args:
        model: The same model that is trained federated.
        features: Extracted features of all clients.
        rate_factor: By which the features bear a larger learning rate than usual.
        seed: Of the shuffles.

    Returns:
        Its `value` is for `History.central_accuracy`; the weights of a number predict it at mean 0 and spread 1.
    """
    targets, scale = features.pooled("train")[1], 1.0
    if features.task.kind == "regression":
        mean, scale = float(targets.mean(dtype=float)), float(targets.std(dtype=float)) or 1.0
        features = dataclasses.replace(features, labels=(features.targets - mean) / scale)
    result = train_centrally(
        model,
        features,
        num_epochs=max(_EPOCHS, -(-_FEWEST_STEPS // -(-len(targets) // BATCH_SIZE))),
        learning_rate=rate_factor * _RATES[features.modality],
        seed=seed,
    )
    if scale == 1 or result.value is None:
        return result
    return dataclasses.replace(result, value=scale * result.value, loss=scale**2 * result.loss)
