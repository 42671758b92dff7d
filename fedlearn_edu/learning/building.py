"""A process built for a run whose shape is known: every builder is given what it takes of it."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from fedlearn_edu.errors import UsageError, nearest_names

# What a run is, whatever is trained in it: who has no use for it does without.
_OF_ANY_RUN = ("num_clients", "population", "clients_per_round", "client_lr", "server_lr")
_COUNTS = _OF_ANY_RUN[:3]


def build_for_run(build: Callable[..., Any], model: Any, **known: Any) -> Any:
    """Calls a builder with the model and what it asks for by the names of its arguments.

    So `build_scaffold` is told the number of clients and `build_dp_fed_avg` the population and the cohort. FedSGD,
    whose clients take no steps, is given no `client_lr`; if that is the only rate that is known, it is the server's.

    Args:
        build: A `build_*` function, a `functools.partial` of one, or any function of a model.
        model: What is trained.
        **known: Facts of the run (`num_clients`, which is also the `population`, `clients_per_round`, `client_lr`,
            `server_lr`), which are left out where a builder does not take them, and any other of its arguments.

    Returns:
        What `build` returns.

    Raises:
        UsageError: The builder does not take an argument, lacks one, or refuses a value.

    Example:
        >>> def build(model, num_clients):
        ...     return model, num_clients
        >>> build_for_run(build, "head", num_clients=6, clients_per_round=2, client_lr=0.1)
        ('head', 6)
    """
    signature = inspect.signature(build)
    name = getattr(getattr(build, "func", build), "__name__", type(build).__name__)
    takes = {each for each, p in signature.parameters.items() if p.kind is not p.POSITIONAL_ONLY}
    if any(p.kind is p.VAR_KEYWORD for p in signature.parameters.values()):  # rates and all else, but no counts
        takes |= known.keys() - set(_COUNTS)
    for argument in known:
        if argument not in takes and argument not in _OF_ANY_RUN:
            raise UsageError(f"{argument}: {name} takes no such argument; {nearest_names(argument, sorted(takes))}")
    if "num_clients" in known:
        known.setdefault("population", known["num_clients"])
    if "client_lr" in known and "client_lr" not in takes:
        known.setdefault("server_lr", known["client_lr"])
    preset = getattr(build, "keywords", {})  # of a functools.partial: what its maker chose, stands
    arguments = {each: value for each, value in known.items() if each in takes - preset.keys()}
    try:
        signature.bind(model, **arguments)
    except TypeError as error:
        raise UsageError(
            f"{name}: {error}, which is not known from the model, learning rates and numbers of clients; give it, or "
            f"functools.partial({name}, ...) with it"
        ) from None
    return build(model, **arguments)
