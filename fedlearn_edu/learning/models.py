"""Heads on frozen features, and backbones fine-tuned with a head, as TFF functional models."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import numpy as np
import tensorflow as tf
import tensorflow_federated as tff

from fedlearn_edu.backbone.split import SplitBackbone
from fedlearn_edu.checks import check_seed
from fedlearn_edu.data.federated import FederatedDataset
from fedlearn_edu.errors import BatchNormWarning, UsageError
from fedlearn_edu.learning.tasks import example_losses, metrics_fns


def linear_head(
    features: FederatedDataset, *, initial_weights: Sequence[np.ndarray] | None = None
) -> tff.learning.models.FunctionalModel:
    """One dense layer from features to the task's outputs: softmax, logistic or linear regression, a linear probe.

    It starts at zero, so that round 0 predicts every class alike and no seed is needed; the problem is convex,
    so the start decides nothing but how many rounds it takes.

    Args:
        features: What it will be trained on; only `feature_dim` and `task` are read.
        initial_weights: `(kernel, bias)` to start at instead, e.g. those of a head computed in one round.

    Returns:
        A `tff.learning.models.FunctionalModel` with trainable weights `(kernel, bias)`, the loss and the metrics of
        the task (see `tasks`), and `num_examples`. For classes that is cross-entropy from logits (nats) and `accuracy`
        (0 to 1).

    Shapes:
        kernel `[feature_dim, num_outputs]`, bias `[num_outputs]`, both float32, with an output per class or item, and
        one for a number or for yes or no; a batch is `(float32 [batch, feature_dim], int32 [batch])`, of numbers
        `float32 [batch]`; outputs `[batch, num_outputs]`.

    Raises:
        UsageError: `features` still holds images, or `initial_weights` have other shapes or are not finite.
    """
    weights = (
        np.zeros([features.feature_dim, features.task.num_outputs], np.float32),
        np.zeros([features.task.num_outputs], np.float32),
    )
    if initial_weights is not None:
        given = tuple(np.asarray(w, np.float32) for w in initial_weights)
        shapes = [w.shape for w in given]
        if shapes != [w.shape for w in weights] or not all(np.isfinite(w).all() for w in given):
            raise UsageError(
                f"initial_weights: expected finite (kernel, bias) of shapes {[w.shape for w in weights]}, got {shapes}"
            )
        weights = given

    def logits(weights, x, training):
        del training
        kernel, bias = weights
        return tf.matmul(x, kernel) + bias

    return _model_of(weights, logits, features)


def mlp_head(
    features: FederatedDataset, *, hidden_units: int = 64, seed: int = 0
) -> tff.learning.models.FunctionalModel:
    """A hidden layer with ReLU between features and the task's outputs.

    Args:
        features: What it will be trained on; only `feature_dim` and `task` are read.
        hidden_units: Width of the hidden layer, at least 1.
        seed: Of the Glorot-uniform initial weights.

    Returns:
        A `tff.learning.models.FunctionalModel` as `linear_head` returns, with trainable weights
        `(hidden_kernel, hidden_bias, kernel, bias)`.

    Shapes:
        hidden_kernel `[feature_dim, hidden_units]`, kernel `[hidden_units, num_outputs]`.

    Raises:
        UsageError: `hidden_units` is below 1, or `features` still holds images.

    References:
        Glorot and Bengio, Understanding the difficulty of training deep feedforward neural networks,
        AISTATS 2010.
    """
    if hidden_units < 1:
        raise UsageError(f"hidden_units: expected at least 1, got {hidden_units}")
    rng = np.random.default_rng(check_seed(seed))

    def glorot(fan_in, fan_out):
        limit = np.sqrt(6 / (fan_in + fan_out))
        return rng.uniform(-limit, limit, [fan_in, fan_out]).astype(np.float32)

    weights = (
        glorot(features.feature_dim, hidden_units),
        np.zeros([hidden_units], np.float32),
        glorot(hidden_units, features.task.num_outputs),
        np.zeros([features.task.num_outputs], np.float32),
    )

    def logits(weights, x, training):
        del training
        hidden_kernel, hidden_bias, kernel, bias = weights
        return tf.matmul(tf.nn.relu(tf.matmul(x, hidden_kernel) + hidden_bias), kernel) + bias

    return _model_of(weights, logits, features)


def fine_tuned_backbone(
    features: FederatedDataset, split: SplitBackbone, *, batch_norm_statistics: str = "frozen"
) -> tff.learning.models.FunctionalModel:
    """The part of a backbone behind the cut, and a linear head on its features, trained together.

    The head starts at zero as in `linear_head`, the backbone at its pre-trained values. With depth `"head"` it is
    `linear_head`.

    Args:
        features: `extract_features(clients, split)`.
        split: From `split_backbone`.
        batch_norm_statistics: `"frozen"`: batch normalisation uses the mean and variance stored in the module, in
            training as in evaluation. `"live"`: in training those of the batch, in evaluation the stored ones, which
            nobody updates; it is here so that the harm can be measured, and warns.

    Returns:
        A `tff.learning.models.FunctionalModel` as `linear_head` returns, with trainable weights
        `(*split.initial_values, kernel, bias)`; nothing else is broadcast or uploaded.

    Raises:
        UsageError: `features` were extracted with another backbone or cut, or `batch_norm_statistics` is unknown.

    References:
        Hsieh et al., "The Non-IID Data Quagmire of Decentralized Machine Learning", ICML 2020, arXiv:1910.00189.
    """
    if batch_norm_statistics not in ("frozen", "live"):
        raise UsageError(f"batch_norm_statistics: expected 'frozen' or 'live', got {batch_norm_statistics!r}")
    if features.feature_dim != split.feature_dim:
        raise UsageError(
            f"features: expected extract_features(clients, split) with {split.feature_dim} numbers an example, "
            f"got {features.feature_dim}"
        )
    live = batch_norm_statistics == "live"
    if live:
        warnings.warn(
            "batch_norm_statistics='live': clients train with the statistics of their own batches, and are evaluated "
            "with stored ones that nobody updates; use 'frozen'",
            BatchNormWarning,
            stacklevel=2,
        )
    dim = split.backbone.feature_dim
    kernel = np.zeros([dim, features.task.num_outputs], np.float32)
    bias = np.zeros([features.task.num_outputs], np.float32)

    def logits(weights, x, training):
        *values, kernel, bias = weights
        return tf.matmul(split.forward(values, x, live_batch_norm=live and training), kernel) + bias

    return _model_of((*split.initial_values, kernel, bias), logits, features)


def _model_of(initial_weights, outputs_fn, features: FederatedDataset):
    """Wraps `outputs_fn(weights, x, training)` into a TFF functional model with the loss and metrics of the task."""
    losses_of = example_losses(features.task)

    @tf.function(autograph=False)
    def predict_on_batch(model_weights, x, training):
        trainable, _ = model_weights
        return outputs_fn(trainable, x, training)

    def loss(output, label, sample_weight=None):
        losses = losses_of(output, label)
        return tf.reduce_mean(losses if sample_weight is None else losses * sample_weight)

    return tff.learning.models.FunctionalModel(
        initial_weights=(initial_weights, ()),
        predict_on_batch_fn=predict_on_batch,
        loss_fn=loss,
        metrics_fns=metrics_fns(features.task),
        input_spec=(
            tf.TensorSpec([None, features.feature_dim], tf.float32),
            tf.TensorSpec([None], features.task.target_dtype),
        ),
    )
