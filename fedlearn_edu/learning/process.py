"""FederatedProcess: a TFF learning process that remembers what it trains and how it was built."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import tensorflow_federated as tff

from fedlearn_edu.errors import UsageError

_LARGEST_LEARNING_RATE = 100.0


class FederatedProcess(tff.learning.templates.LearningProcess):
    """A `tff.learning.templates.LearningProcess`, usable wherever TFF takes one, with three more facts.

    Attributes:
        model: The `tff.learning.models.FunctionalModel` that is trained; evaluation and export need it.
        algorithm: Name of the algorithm, e.g. `"unweighted_fed_avg"`.
        hyperparameters: What the builder was called with; a checkpoint of one setting refuses another.
    """

    def __init__(
        self,
        process: tff.learning.templates.LearningProcess,
        *,
        model: tff.learning.models.FunctionalModel,
        algorithm: str,
        hyperparameters: Mapping[str, Any],
    ):
        super().__init__(
            process.initialize,
            process.next,
            process.get_model_weights,
            process.set_model_weights,
            get_hparams_fn=process.get_hparams,
            set_hparams_fn=process.set_hparams,
        )
        self.model = model
        self.algorithm = algorithm
        self.hyperparameters = dict(hyperparameters)


def check_learning_rate(name: str, value: float) -> float:
    """Returns `value` if it is a learning rate that can be meant.

    Example:
        >>> check_learning_rate("client_lr", 0.05)
        0.05

    Raises:
        UsageError: It is not a finite number above 0 and at most 100.
    """
    if not (isinstance(value, int | float) and math.isfinite(value) and 0 < value <= _LARGEST_LEARNING_RATE):
        raise UsageError(
            f"{name}: expected a number above 0 and at most {_LARGEST_LEARNING_RATE:g} (try 0.1), got {value!r}"
        )
    return float(value)


def describe_optimizer(optimizer: tff.learning.optimizers.Optimizer | None) -> str | None:
    """Returns a name for an optimizer that a caller passed in, for `hyperparameters`."""
    return None if optimizer is None else type(optimizer).__name__
