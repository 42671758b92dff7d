"""What a hostile client sends in place of its honest model delta."""

from __future__ import annotations

import dataclasses
import math

import tensorflow as tf

from fedlearn_edu.checks import check_positive
from fedlearn_edu.errors import UsageError


class UpdateAttack:
    """A client's behaviour: it trains as honest clients do, then sends something else.

    It knows the global model, its own examples and its own honest delta, and follows the protocol in everything else.
    What it sends passes through the aggregator as every client's delta does, clipping and noise included.
    """

    def poison(self, delta: list[tf.Tensor], seed: tf.Tensor) -> list[tf.Tensor]:
        """Returns what is sent.

        Args:
            delta: The honest model delta (initial - trained), tensors of the model's trainable weights.
            seed: int32 `[2]`, another one for every client and round, for stateless random numbers.

        Returns:
            Tensors of the same shapes.
        """
        raise NotImplementedError


class ColludingAttack:
    """A behaviour of clients that know everybody's values of the round; the strongest adversary of the literature.

    The simulation lets them act where all values meet, at the server, before anything is aggregated.
    """

    def poison_together(self, honest_values: tf.Tensor, own_values: tf.Tensor) -> tf.Tensor:
        """Returns what the attackers send.

        Args:
            honest_values: float32 `[num_honest, dim]`, the finite values of all honest clients of the cohort; may have
                no row.
            own_values: float32 `[num_attackers, dim]`, what the attackers would have sent if they were honest.

        Returns:
            float32 `[num_attackers, dim]`.
        """
        raise NotImplementedError


@dataclasses.dataclass(frozen=True)
class SignFlip(UpdateAttack):
    """Sends `-strength` times the honest delta, so that the server climbs where the client would descend.

    Args:
        strength: Above 0; 1 keeps the norm, which no bound on norms can tell from an honest delta's.

    Example:
        >>> SignFlip(strength=2.0).poison([tf.constant([1.0, -3.0])], seed=None)[0].numpy().tolist()
        [-2.0, 6.0]

    References:
        Among the attacks of Li et al., RSA: Byzantine-robust stochastic aggregation methods, AAAI 2019,
        arXiv:1811.03761.
    """

    strength: float = 1.0

    def __post_init__(self):
        check_positive("strength", self.strength)

    def poison(self, delta, seed):
        del seed
        return [-self.strength * part for part in delta]


@dataclasses.dataclass(frozen=True)
class ScaledUpdate(UpdateAttack):
    """Sends `factor` times the delta it trained: model replacement.

    With the plain mean over k clients and a server learning rate of eta, `factor = k / eta` makes up for the others: if
    their deltas are small, the global model becomes the attacker's own. It is meant for a client whose training data
    are poisoned (see `add_backdoor`); a client with honest data only learns too fast.

    Args:
        factor: Above 0.

    Example:
        >>> ScaledUpdate(factor=10.0).poison([tf.constant([1.0, -3.0])], seed=None)[0].numpy().tolist()
        [10.0, -30.0]

    References:
        Bagdasaryan et al., How to backdoor federated learning, AISTATS 2020, arXiv:1807.00459.
    """

    factor: float

    def __post_init__(self):
        check_positive("factor", self.factor, hint="try the cohort's size / the server's learning rate")

    def poison(self, delta, seed):
        del seed
        return [self.factor * part for part in delta]


@dataclasses.dataclass(frozen=True)
class GaussianUpdate(UpdateAttack):
    """Sends noise and nothing else: every coordinate is drawn from a normal distribution with mean 0.

    Args:
        stddev: Standard deviation, above 0, in units of the model's weights; the noise differs between clients and
            rounds and repeats with the run's seed of the builder.

    Example:
        >>> sent = GaussianUpdate(stddev=2.0).poison([tf.zeros([10_000])], seed=tf.constant([0, 1]))[0]
        >>> round(float(tf.math.reduce_std(sent)), 1)
        2.0

    References:
        The Gaussian attack of Blanchard et al., Machine learning with adversaries, NeurIPS 2017, arXiv:1703.02757.
    """

    stddev: float = 1.0

    def __post_init__(self):
        check_positive("stddev", self.stddev)

    def poison(self, delta, seed):
        return [
            self.stddev
            * tf.random.stateless_normal(
                tf.shape(part), tf.random.experimental.stateless_fold_in(seed, i), dtype=part.dtype, alg="philox"
            )
            for i, part in enumerate(delta)
        ]


@dataclasses.dataclass(frozen=True)
class ConstantUpdate(UpdateAttack):
    """Sends one number in all coordinates; by default NaN, which makes any mean NaN.

    Args:
        value: Any number, also `math.nan` and `math.inf`.

    Example:
        >>> ConstantUpdate().poison([tf.zeros([2])], seed=None)[0].numpy().tolist()
        [nan, nan]
    """

    value: float = math.nan

    def __post_init__(self):
        if isinstance(self.value, bool) or not isinstance(self.value, int | float):
            raise UsageError(f"value: expected a number (math.nan and math.inf are numbers), got {self.value!r}")

    def poison(self, delta, seed):
        del seed
        return [tf.fill(tf.shape(part), tf.cast(self.value, part.dtype)) for part in delta]


@dataclasses.dataclass(frozen=True)
class InnerProduct(ColludingAttack):
    """All attackers send `-strength` times the mean of the honest clients' deltas: inner-product manipulation.

    Their values are alike, small and in the middle of nowhere: for a small strength they lie closer to honest deltas
    than those lie to one another, so that medians and Krum take them, and the aggregate has a negative inner product
    with the honest mean: the model moves away from where all honest clients want it to go.

    What is assumed: attackers know the exact deltas of all honest clients of their round before they send their own.
    A cohort without honest clients gets zeros.

    Args:
        strength: The paper's epsilon, above 0. Of a cohort of k with f attackers the plain mean is turned around if
            `strength > (k - f) / f`; robust aggregators are beaten by far less, often 0.1 to 1.

    Example:
        >>> honest = tf.constant([[1.0, 2.0], [3.0, 4.0]])
        >>> InnerProduct(strength=0.5).poison_together(honest, own_values=tf.zeros([1, 2])).numpy().tolist()
        [[-1.0, -1.5]]

    References:
        Xie, Koyejo and Gupta, Fall of empires: breaking Byzantine-tolerant SGD by inner product manipulation,
        UAI 2019, arXiv:1903.03936.
    """

    strength: float = 0.5

    def __post_init__(self):
        check_positive("strength", self.strength)

    def poison_together(self, honest_values, own_values):
        num_honest = tf.cast(tf.shape(honest_values)[0], honest_values.dtype)
        mean = tf.math.divide_no_nan(tf.reduce_sum(honest_values, axis=0), num_honest)
        return tf.zeros_like(own_values) - self.strength * mean
