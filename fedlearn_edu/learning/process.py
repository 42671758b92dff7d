"""FederatedProcess: a TFF learning process that remembers what it trains and how it was built."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Protocol

import tensorflow_federated as tff

from fedlearn_edu.errors import UsageError

_LARGEST_LEARNING_RATE = 100.0


class PrivacyAccountant(Protocol):
    """What `run_rounds` asks of a private process: how to draw cohorts, whether the run fits, what is spent.

    The accountants themselves live in `fedlearn_edu.privacy.accounting`.

    Attributes:
        sampling: How cohorts must be drawn for epsilon to hold: `"poisson"`, `"fixed_size"`, `"cyclic"` or `"all"`
            (nothing is assumed about them); see `fedlearn_edu.simulation.cohorts`.
        delta: The probability with which the guarantee may fail, above 0 and below 1.
    """

    sampling: str
    delta: float

    def check_run(self, *, num_clients: int, clients_per_round: int) -> None:
        """Raises `UsageError` if a run of this shape is not the one that is accounted for."""

    def epsilon(self, num_rounds: int) -> float:
        """Returns what is spent after `num_rounds` rounds (0 after none); `math.inf` without a guarantee."""

    def describe(self) -> dict[str, Any]:
        """Returns the setting and its assumptions, fit for JSON; kept in `History.settings["privacy"]`."""


class FederatedProcess(tff.learning.templates.LearningProcess):
    """A `tff.learning.templates.LearningProcess`, usable wherever TFF takes one, with four more facts.

    Attributes:
        model: The `tff.learning.models.FunctionalModel` that is trained; evaluation and export need it.
        algorithm: Name of the algorithm, e.g. `"unweighted_fed_avg"`.
        hyperparameters: What the builder was called with; a checkpoint of one setting refuses another.
        privacy: Accounts for epsilon if the process is differentially private, else None; `run_rounds` draws cohorts
            as it demands and records what is spent.
    """

    def __init__(
        self,
        process: tff.learning.templates.LearningProcess,
        *,
        model: tff.learning.models.FunctionalModel,
        algorithm: str,
        hyperparameters: Mapping[str, Any],
        privacy: PrivacyAccountant | None = None,
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
        self.privacy = privacy


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
