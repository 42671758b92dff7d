"""FederatedProcess: a TFF learning process that remembers what it trains and how it was built."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping
from typing import Any, NamedTuple, Protocol, TypeVar

import tensorflow_federated as tff

from fedlearn_edu.engine.runtime import start_runtime
from fedlearn_edu.errors import UsageError
from fedlearn_edu.learning.description import describe, requirements_of
from fedlearn_edu.learning.requirements import Requirements

_LARGEST_LEARNING_RATE = 100.0
T = TypeVar("T")


class PrivacyAccountant(Protocol):
    """What `run_rounds` asks of a private process: which run it accounts for, and what is spent.

    The accountants themselves live in `fedlearn_edu.privacy.accounting`.

    Attributes:
        sampling: How cohorts must be drawn for epsilon to hold: `"poisson"`, `"fixed_size"`, `"cyclic"` or `"all"`
            (nothing is assumed about them); see `fedlearn_edu.simulation.cohorts`.
        delta: The probability with which the guarantee may fail, above 0 and below 1.
        requirements: The run that is accounted for: clients, cohort, and how it is drawn.
    """

    sampling: str
    delta: float
    requirements: Requirements

    def epsilon(self, num_rounds: int) -> float:
        """Returns what is spent after `num_rounds` rounds (0 after none); `math.inf` without a guarantee."""

    def describe(self) -> dict[str, Any]:
        """Returns the setting and its assumptions, fit for JSON; kept in `History.settings["privacy"]`."""


def compile_once(process, key: Hashable, make: Callable[[], T]) -> T:
    """Returns what `make()` returned when this process was first asked for `key`, so that runs share what they compile.

    TFF compiles each object that stands for a computation once. Whoever runs a process keeps what was composed of it
    with the process, and it is forgotten with the process.

    Args:
        process: Anything with an attribute `compiled`.
        key: What it is, and all it depends on besides the process.
        make: Called if it is not there yet.
    """
    if key not in process.compiled:
        process.compiled[key] = make()
    return process.compiled[key]


class FederatedProcess(tff.learning.templates.LearningProcess):
    """A `tff.learning.templates.LearningProcess`, usable wherever TFF takes one, with some more facts.

    Attributes:
        model: The `tff.learning.models.FunctionalModel` that is trained; evaluation and export need it.
        algorithm: Name of the algorithm, e.g. `"unweighted_fed_avg"`.
        hyperparameters: What the builder was called with, fit for JSON: of an optimizer or an aggregation factory all
            of its own arguments, see `describe`. A checkpoint of one setting refuses another.
        requirements: What the process, its parts and its accountant need of a run.
        privacy: Accounts for epsilon if the process is differentially private, else None; `run_rounds` draws cohorts
            as it demands and records what is spent.
        next_on_batches: The same round as `next`, on `{fedlearn_edu.learning.local_training.Batches}@CLIENTS` in place
            of datasets, which is faster; None if there is none.
        compiled: What all runs of it have in common; see `compile_once`.
    """

    def __init__(
        self,
        process: tff.learning.templates.LearningProcess,
        *,
        model: tff.learning.models.FunctionalModel,
        algorithm: str,
        hyperparameters: Mapping[str, Any],
        requirements: Iterable[Requirements] = (),
        privacy: PrivacyAccountant | None = None,
        next_on_batches: tff.Computation | None = None,
    ):
        start_runtime()  # whoever runs it by hand runs it in our worker, too
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
        self.hyperparameters = describe(hyperparameters)
        self.requirements = requirements_of([process, *requirements, *hyperparameters.values(), privacy])
        self.privacy = privacy
        self.next_on_batches = next_on_batches or getattr(process, "next_on_batches", None)
        self.compiled: dict[Hashable, Any] = {}


class StatefulOutput(NamedTuple):
    """What a round of a `StatefulFederatedProcess` returns."""

    state: Any
    metrics: Any
    client_states: Any


class StatefulFederatedProcess(tff.templates.IterativeProcess):
    """A learning process whose clients each keep a value of their own from round to round.

    It has everything a `FederatedProcess` has, but its round takes and returns one thing more, so that it cannot be a
    `tff.learning.templates.LearningProcess`. `next` has the type `(<state@SERVER, {<data=<x, y>*, client_state=S>}
    @CLIENTS> -> <state=state@SERVER, metrics=M@SERVER, client_states={S}@CLIENTS>)`. Whoever calls it keeps the
    clients' states and hands each its own again; `run_rounds` does so by client id. A client's state never travels.

    Args:
        initialize: `( -> state@SERVER)`.
        next_fn: A round, of the type above; it returns a `StatefulOutput`. `S` is any structure of numbers and arrays.
        get_model_weights: `(state -> model weights)`.
        set_model_weights: `(<state, model weights> -> state)`.
        initial_client_state: What a client holds before it first trains: a structure of NumPy arrays and numbers like
            `S`, the same for all, or a function from the client id to one.
        personal_weights: If clients train models of their own: TensorFlow code `(model weights, client state) ->
            tff.learning.models.ModelWeights`, the model that a client uses itself. `run_rounds` evaluates it.
        model, algorithm, hyperparameters, requirements, privacy, next_on_batches: As for `FederatedProcess`.

    Raises:
        UsageError: `next_fn` has another type.
    """

    def __init__(
        self,
        initialize: tff.Computation,
        next_fn: tff.Computation,
        get_model_weights: tff.Computation,
        set_model_weights: tff.Computation,
        *,
        initial_client_state: Any | Callable[[str], Any],
        model: tff.learning.models.FunctionalModel,
        algorithm: str,
        hyperparameters: Mapping[str, Any],
        requirements: Iterable[Requirements] = (),
        personal_weights: Callable[[Any, Any], tff.learning.models.ModelWeights] | None = None,
        privacy: PrivacyAccountant | None = None,
        next_on_batches: tff.Computation | None = None,
    ):
        start_runtime()
        super().__init__(initialize, next_fn)
        self.next_on_batches = next_on_batches
        self.client_state_type = _client_state_type(next_fn.type_signature)
        self.get_model_weights = get_model_weights
        self.set_model_weights = set_model_weights
        self.initial_client_state = (
            initial_client_state if callable(initial_client_state) else lambda client_id: initial_client_state
        )
        self.personal_weights = personal_weights
        self.model = model
        self.algorithm = algorithm
        self.hyperparameters = describe(hyperparameters)
        self.requirements = requirements_of([*requirements, *hyperparameters.values(), privacy])
        self.privacy = privacy
        self.compiled: dict[Hashable, Any] = {}


def _client_state_type(signature: tff.FunctionType) -> tff.Type:
    """Returns `S` of a stateful round's type."""
    try:
        taken = signature.parameter[1].member.client_state
        returned = signature.result.client_states
        fits = returned.placement is tff.CLIENTS and taken.is_assignable_from(returned.member)
    except (AttributeError, IndexError, TypeError):
        fits = False
    if not fits:
        raise UsageError(
            "next_fn: expected (<state@SERVER, {<data=D, client_state=S>}@CLIENTS> -> <state=state@SERVER, "
            "metrics=M@SERVER, client_states={S}@CLIENTS>), "
            f"got {signature.compact_representation()}; return a StatefulOutput"
        )
    return taken
