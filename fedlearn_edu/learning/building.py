"""A process built for a run whose shape is known: every builder is given what it takes of it."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

from fedlearn_edu.errors import UsageError


def build_for_run(
    build: Callable[..., Any],
    model: Any,
    *,
    num_clients: int,
    clients_per_round: int,
    optional: Mapping[str, Any],
) -> Any:
    """Calls a builder with the model and what it asks for by the names of its arguments.

    So `build_scaffold` is told the number of clients and `build_dp_fed_avg` the population and the cohort; FedSGD,
    whose clients take no steps, is given no `client_lr`.

    Args:
        build: A `build_*` function, a `functools.partial` of one, or any function of a model.
        model: What is trained.
        num_clients: Clients in all; also what is called `population`.
        clients_per_round: Size of the cohort.
        optional: Further arguments by name, e.g. learning rates; those that the builder does not take are left out.

    Returns:
        What `build` returns.

    Raises:
        UsageError: The builder cannot do without an argument that nobody here knows.

    Example:
        >>> def build(model, num_clients):
        ...     return model, num_clients
        >>> build_for_run(build, "head", num_clients=6, clients_per_round=2, optional={"client_lr": 0.1})
        ('head', 6)
    """
    known = {"num_clients": num_clients, "population": num_clients, "clients_per_round": clients_per_round, **optional}
    signature = inspect.signature(build)
    takes_all = any(p.kind is p.VAR_KEYWORD for p in signature.parameters.values())
    preset = getattr(build, "keywords", {})  # of a functools.partial: what its maker chose, stands
    wanted = {name for name, p in signature.parameters.items() if p.kind is not p.POSITIONAL_ONLY}
    wanted |= optional.keys() if takes_all else set()
    arguments = {name: value for name, value in known.items() if name in wanted - preset.keys()}
    try:
        signature.bind(model, **arguments)
    except TypeError as error:
        name = getattr(getattr(build, "func", build), "__name__", type(build).__name__)
        raise UsageError(
            f"build_process: {name} cannot be built from a model, learning rates and the numbers of clients alone "
            f"({error}); give functools.partial({name}, ...) with what is missing"
        ) from None
    return build(model, **arguments)
