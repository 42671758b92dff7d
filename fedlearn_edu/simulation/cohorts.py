"""Who trains in a round: cohorts drawn from a seed and the round number, as plain or private training demands."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import tensorflow_federated as tff

from fedlearn_edu.errors import UsageError

# Apart from the local shuffles, which are drawn from (seed, round_num).
_POISSON_STREAM, _CYCLIC_STREAM = 1, 2


def build_cohort_fn(
    client_ids: Sequence[str], *, clients_per_round: int, seed: int, sampling: str = "fixed_size"
) -> Callable[[int], list[str]]:
    """Returns a function from a round number to the sorted client ids of its cohort, a function of nothing else.

    - `"fixed_size"` and `"all"`: exactly `clients_per_round` clients, uniformly without replacement (TFF's sampling).
      For `"all"` the accounting claims nothing about the draw, so that any would do.
    - `"poisson"`: each client joins by a coin of its own with probability clients_per_round / number of clients. The
      size varies, with this mean; a cohort may be empty.
    - `"cyclic"`: the clients stand in one random order; each cohort is the next `clients_per_round` of them, and after
      the last comes the first again.

    Args:
        client_ids: All clients.
        clients_per_round: Size, or expected size, from 1 to the number of clients.
        seed: Of the draws.
        sampling: `"fixed_size"`, `"all"`, `"poisson"` or `"cyclic"`.

    Example:
        >>> cohort = build_cohort_fn(["a", "b", "c"], clients_per_round=2, seed=0, sampling="cyclic")
        >>> sorted(cohort(1) + cohort(2) + cohort(3))
        ['a', 'a', 'b', 'b', 'c', 'c']

    Raises:
        UsageError: `sampling` is none of these.
    """
    num_clients = len(client_ids)

    if sampling in ("fixed_size", "all"):
        sample = tff.simulation.build_uniform_sampling_fn(client_ids, random_seed=seed)
        return lambda round_num: sorted(sample(round_num, clients_per_round))

    if sampling == "poisson":

        def poisson(round_num):
            coins = np.random.default_rng([seed, round_num, _POISSON_STREAM]).random(num_clients)
            return sorted(np.asarray(client_ids)[coins < clients_per_round / num_clients].tolist())

        return poisson

    if sampling == "cyclic":
        order = np.random.default_rng([seed, _CYCLIC_STREAM]).permutation(num_clients)

        def cyclic(round_num):
            first = (round_num - 1) * clients_per_round
            return sorted(client_ids[order[i % num_clients]] for i in range(first, first + clients_per_round))

        return cyclic

    raise UsageError(
        f'sampling: expected "fixed_size", "all", "poisson" or "cyclic", got {sampling!r}; '
        "correct the process's accountant"
    )
