"""Gradient inversion: an input whose gradient on a small network equals the one that a client sent."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
from tqdm.std import tqdm

from fedlearn_edu.bars import progress_bar
from fedlearn_edu.checks import check_count, check_not_negative, check_seed
from fedlearn_edu.errors import RunError, UsageError
from fedlearn_edu.privacy.attacks.image_reconstruction import score_image
from fedlearn_edu.privacy.attacks.result import AttackResult

MATCHES = ("l2", "cosine")


@dataclasses.dataclass(frozen=True)
class InvertedGradient:
    """What an inversion found.

    Attributes:
        inputs: float32 in [0, 1], `[num_examples, *input_shape]`.
        labels: The classes used, int64 `[num_examples]`.
        matching_loss: How far the found gradient is from the given one; 0 = equal.
        losses: The matching loss after every step of the optimiser.
    """

    inputs: np.ndarray
    labels: np.ndarray
    matching_loss: float
    losses: np.ndarray = dataclasses.field(repr=False)


def small_network(input_shape: Sequence[int] = (28, 28, 1), num_classes: int = 10, *, seed: int = 0) -> Any:
    """Builds the kind of network that gradient inversion was first shown on: three convolutions and a dense layer.

    Sigmoids, because the attack differentiates the gradient and ReLU's second derivative is zero; wide random
    weights, because the usual small ones make the gradients of the first layers too faint. This network is
    an attacker's favourite and is not trained; the lesson says what makes the attack harder.

    Args:
        input_shape: `(height, width, channels)`.
        num_classes: At least 2.
        seed: Of the weights, uniform in [-0.5, 0.5].

    Returns:
        A `tf.keras.Model` from inputs to logits.

    References:
        Zhu, Liu, Han, Deep leakage from gradients, NeurIPS 2019, arXiv:1906.08935.
    """
    import tensorflow as tf

    seeds = iter(np.random.default_rng(check_seed(seed)).integers(2**31, size=8).tolist())

    def weights():
        return tf.keras.initializers.RandomUniform(-0.5, 0.5, seed=next(seeds))

    def convolution(strides):
        return tf.keras.layers.Conv2D(
            12, 5, strides, "same", activation="sigmoid", kernel_initializer=weights(), bias_initializer=weights()
        )

    layers = [convolution(2), convolution(2), convolution(1), tf.keras.layers.Flatten()]
    layers.append(tf.keras.layers.Dense(num_classes, kernel_initializer=weights(), bias_initializer=weights()))
    return tf.keras.Sequential([tf.keras.Input(tuple(input_shape)), *layers])


def gradients_of(network: Any, inputs: np.ndarray, labels: np.ndarray) -> list[np.ndarray]:
    """Returns the gradient of the mean cross-entropy in a network's weights: what FedSGD sends.

    Args:
        network: A Keras model from inputs to logits.
        inputs: float in [0, 1], `[num_examples, *input_shape]`.
        labels: int `[num_examples]`.

    Returns:
        One array per trainable variable of the network.
    """
    import tensorflow as tf

    with tf.GradientTape() as tape:
        loss = _loss(network, tf.convert_to_tensor(inputs, tf.float32), tf.convert_to_tensor(labels, tf.int64))
    return [gradient.numpy() for gradient in tape.gradient(loss, network.trainable_variables)]


def label_from_gradients(gradients: Sequence[np.ndarray]) -> int:
    """Reads the class of a single example: the one entry of the last bias' gradient that is below zero.

    It is belief - 1 for the true class and belief for every other one. Exact for one example and any network that ends
    in a dense layer with bias.

    References:
        Zhao, Mopuri, Bilen, iDLG: Improved deep leakage from gradients, 2020, arXiv:2001.02610.
    """
    bias = np.asarray(gradients[-1])
    if bias.ndim != 1:
        raise UsageError(f"gradients: expected the last layer's bias [num_classes] at the end, got shape {bias.shape}")
    return int(bias.argmin())


def invert_gradients(
    gradients: Sequence[np.ndarray],
    network: Any,
    *,
    labels: Sequence[int] | None = None,
    match: str = "cosine",
    total_variation: float = 1e-4,
    num_steps: int = 200,
    num_starts: int = 1,
    seed: int = 0,
    progress: bool = True,
) -> InvertedGradient:
    """Looks for inputs whose gradient on a network is the one received.

    It starts from noise and minimises the distance of the two gradients in the inputs, which takes second derivatives
    (a gradient through a gradient), with L-BFGS-B within [0, 1].

    - `match="l2"`: the squared distance, summed over layers and divided by the squared length of the gradient received
      (Deep Leakage from Gradients). Needs the gradient's true scale.
    - `match="cosine"`: 1 - cosine similarity (Inverting Gradients; they use signed Adam). Blind to scale, so that a
      model delta of one step, or a clipped one, serves as well as a gradient. Both can be given total variation.

    Args:
        gradients: One array per trainable variable of `network`.
        network: The Keras model (inputs -> logits) with the weights that the gradient was taken at.
        labels: Classes of the inputs, as many as are looked for; the server may have them from the bias (see
            `label_counts_from_delta`). None reads one class from the last bias.
        match: `"l2"` or `"cosine"`.
        total_variation: Weight of smoothness (neighbouring pixels alike), at least 0; for inputs
            `[height, width, channels]` only.
        num_steps: Iterations of L-BFGS-B at most, at least 1.
        num_starts: Starts from other noise, at least 1; the best match is kept.
        seed: Of the noise.
        progress: Show a progress bar.

    Returns:
        Inputs, labels, and how well the gradients match.

    Raises:
        UsageError: The gradients do not fit the network, or an argument is out of range.
        RunError: The gradients are all zero.

    References:
        Zhu, Liu, Han, Deep leakage from gradients, NeurIPS 2019, arXiv:1906.08935.
        Geiping, Bauermeister, Dröge, Moeller, Inverting gradients: how easy is it to break privacy in federated
        learning?, NeurIPS 2020, arXiv:2003.14053.
    """
    received, labels = _check(gradients, network, labels, match)
    check_not_negative("total_variation", total_variation)
    for name, value in [("num_steps", num_steps), ("num_starts", num_starts)]:
        check_count(name, value)
    shape = (len(labels), *network.input_shape[1:])
    search = _Search(_objective(received, network, labels, shape, match, total_variation), shape)
    rng = np.random.default_rng(check_seed(seed))
    best = None
    with progress_bar(total=num_steps * num_starts, desc="inverting", unit="step", disable=not progress) as bar:
        for start in range(num_starts):
            found = search.run(rng.uniform(0.3, 0.7, search.size), num_steps, bar)
            bar.update((start + 1) * num_steps - bar.n)  # it may stop early
            best = found if best is None or found.matching_loss < best.matching_loss else best
    return dataclasses.replace(best, labels=labels)


def score_inversion(found: np.ndarray, true_inputs: np.ndarray, public_images: np.ndarray) -> AttackResult:
    """Says how close inverted images are to the true ones, in whichever order they came back.

    Args:
        found: `[num_examples, height, width, channels]` in [0, 1], or uint8.
        true_inputs: The client's images, of the same shape.
        public_images: For the guess, which is their mean image, `[num_public, height, width, channels]`.

    Returns:
        Success and baseline are mean peak signal-to-noise ratios in dB, each true image paired with one found image so
        that the sum is largest. Details: `worst` and `best` image's, `correlation` (mean).

    Raises:
        UsageError: The shapes differ.
    """
    import scipy.optimize

    if np.shape(found) != np.shape(true_inputs) or np.ndim(found) != 4:
        raise UsageError(
            f"found, true_inputs: expected images [num_examples, height, width, channels] of one shape, got "
            f"{np.shape(found)} and {np.shape(true_inputs)}"
        )
    pairs = [[score_image(one, truth, public_images) for one in found] for truth in true_inputs]
    table = np.array([[result.success for result in row] for row in pairs])
    rows, columns = scipy.optimize.linear_sum_assignment(-table)
    chosen = [pairs[i][j] for i, j in zip(rows, columns, strict=True)]
    return AttackResult(
        attack="gradient inversion",
        success=np.mean([result.success for result in chosen]),
        baseline=np.mean([result.baseline for result in chosen]),
        metric="PSNR in dB",
        details={
            "worst": min(result.success for result in chosen),
            "best": max(result.success for result in chosen),
            "correlation": float(np.mean([result.details["correlation"] for result in chosen])),
            "batch_size": len(true_inputs),
        },
    )


class _Search:
    """L-BFGS-B on an objective of inputs in [0, 1], remembering the matching loss of every step."""

    def __init__(self, objective, shape):
        self.objective, self.shape, self.size = objective, shape, int(np.prod(shape))
        self.matching_loss = np.inf

    def run(self, start: np.ndarray, num_steps: int, bar: tqdm) -> InvertedGradient:
        import scipy.optimize

        losses: list[float] = []

        def note(_):
            losses.append(self.matching_loss)
            bar.update()
            bar.set_postfix(match=f"{self.matching_loss:.2e}", refresh=False)

        options = {"maxiter": num_steps, "maxfun": 3 * num_steps, "maxcor": 30, "ftol": 0.0, "gtol": 0.0}
        bounds = scipy.optimize.Bounds(np.zeros(self.size), np.ones(self.size))
        found = scipy.optimize.minimize(
            self._evaluate, start, jac=True, method="L-BFGS-B", bounds=bounds, callback=note, options=options
        )
        self._evaluate(found.x)  # its last try need not be its best
        inputs = found.x.reshape(self.shape).astype(np.float32)
        return InvertedGradient(inputs, np.zeros(0, np.int64), self.matching_loss, np.array(losses))

    def _evaluate(self, flat: np.ndarray) -> tuple[float, np.ndarray]:
        matching, loss, gradient = (part.numpy() for part in self.objective(flat.reshape(self.shape)))
        self.matching_loss = float(matching)
        return float(loss), gradient.ravel().astype(np.float64)


def _objective(received, network, labels, shape, match, total_variation):
    """A function of the inputs that returns the match, the whole loss, and its gradient in the inputs."""
    import tensorflow as tf

    received = [tf.constant(g, tf.float32) for g in received]
    length = tf.sqrt(sum(tf.reduce_sum(g**2) for g in received))
    labels = tf.constant(labels)

    @tf.function(input_signature=[tf.TensorSpec(shape, tf.float32)])
    def objective(inputs):
        with tf.GradientTape() as outer:
            outer.watch(inputs)
            with tf.GradientTape() as inner:
                loss = _loss(network, inputs, labels)
            own = inner.gradient(loss, network.trainable_variables)
            if match == "l2":
                matching = sum(tf.reduce_sum((a - b) ** 2) for a, b in zip(own, received, strict=True)) / length**2
            else:
                # Half the squared distance of the directions is 1 - cosine, without its cancellation near 0.
                own_length = tf.sqrt(sum(tf.reduce_sum(a**2) for a in own) + 1e-20)
                pairs = zip(own, received, strict=True)
                matching = sum(tf.reduce_sum((a / own_length - b / length) ** 2) for a, b in pairs) / 2
            whole = matching
            if total_variation and len(shape) == 4:
                whole += total_variation * tf.reduce_mean(tf.abs(inputs[:, 1:] - inputs[:, :-1]))
                whole += total_variation * tf.reduce_mean(tf.abs(inputs[:, :, 1:] - inputs[:, :, :-1]))
        return matching, whole, outer.gradient(whole, inputs)

    return lambda inputs: objective(tf.constant(inputs, tf.float32))


def _loss(network, inputs, labels):
    import tensorflow as tf

    logits = network(inputs, training=False)
    return tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(labels=labels, logits=logits))


def _check(gradients, network, labels, match):
    if match not in MATCHES:
        raise UsageError(f"match: expected one of {', '.join(MATCHES)}, got {match!r}")
    shapes = [tuple(v.shape) for v in network.trainable_variables]
    received = [np.asarray(g, np.float64) for g in gradients]
    if [g.shape for g in received] != shapes:
        raise UsageError(f"gradients: expected arrays of shapes {shapes}, got {[g.shape for g in received]}")
    if not all(np.isfinite(g).all() for g in received):
        raise UsageError("gradients: expected finite numbers, got NaN or infinity")
    if not any(np.any(g) for g in received):
        raise RunError("gradients: all are zero, so that there is nothing to match")
    labels = np.array([label_from_gradients(received)] if labels is None else labels)
    num_classes = network.output_shape[-1]
    if labels.ndim != 1 or not len(labels) or labels.dtype.kind not in "iu":
        raise UsageError(f"labels: expected at least one whole number, got {labels.tolist()}")
    if not 0 <= labels.min() <= labels.max() < num_classes:
        raise UsageError(f"labels: expected classes in [0, {num_classes}), got {labels.tolist()}")
    return received, labels.astype(np.int64)
