"""Local differential privacy: no server is trusted; every client noises its own model delta before it leaves."""

from __future__ import annotations

import tensorflow_federated as tff

from fedlearn_edu.learning.aggregators.local_noise_mean import local_noise_mean_factory
from fedlearn_edu.learning.process import FederatedProcess
from fedlearn_edu.privacy.accounting import LocalAccountant, default_delta
from fedlearn_edu.privacy.processes.common import private_fed_avg


def build_local_dp_fed_avg(
    model: tff.learning.models.FunctionalModel,
    *,
    noise_multiplier: float,
    clients_per_round: int,
    population: int,
    clip_norm: float = 1.0,
    delta: float | None = None,
    sampling: str = "all",
    client_lr: float = 0.1,
    server_lr: float = 1.0,
    seed: int = 0,
) -> FederatedProcess:
    """Federated averaging in which each client clips and noises its own model delta.

    The server broadcasts the global model; each client trains a copy, scales its delta down to an L2 norm of at most
    `clip_norm`, adds noise of standard deviation `noise_multiplier * clip_norm` to every coordinate, and sends the
    result. The server averages what it gets. It never sees a delta as it was, so that it needs no trust; the price is
    noise of `noise_multiplier * clip_norm / sqrt(clients_per_round)` on the average, sqrt(clients_per_round) times
    that of `build_dp_fed_avg` with the same multiplier, and no help from sampling: the server knows who sent what.

    A delta that is not finite counts as zero. The training metrics of the simulation are outside of the guarantee.

    Args:
        model: What is trained.
        noise_multiplier: Noise of EACH CLIENT in units of the clip norm, above 0.
        clients_per_round: Size of the cohort, at most `population`.
        population: Number of clients that may take part.
        clip_norm: Largest L2 norm of a client's delta before noise.
        delta: Probability with which the guarantee may fail; default `population ** -1.1`.
        sampling: How cohorts are drawn: `"all"`, `"fixed_size"`, `"poisson"` or `"cyclic"` (see `LocalAccountant`).
        client_lr: Learning rate of the clients' SGD.
        server_lr: Learning rate of the server's SGD.
        seed: Of the noise, so that runs repeat. A seeded noise protects nobody from someone who knows the seed.

    Returns:
        A learning process whose `.privacy` is a `LocalAccountant`; its aggregator reports `clip_norm` and
        `noise_stddev` (of every coordinate of the average).

    Shapes:
        Broadcast and delta both have the shapes of `model.initial_weights`.

    Raises:
        UsageError: An argument is out of its range.

    Example:
        >>> cohorts = {"clients_per_round": 4, "population": 4}
        >>> process = fl.build_local_dp_fed_avg(fl.linear_head(features), noise_multiplier=2.0, **cohorts)
        >>> process.privacy.sampling
        'all'

    References:
        Kasiviswanathan et al., What can we learn privately?, SIAM Journal on Computing 2011, arXiv:0803.0924.
    """
    delta = default_delta(population) if delta is None else delta
    accountant = LocalAccountant(noise_multiplier, population, clients_per_round, delta, sampling)
    aggregator = local_noise_mean_factory(
        noise_multiplier=noise_multiplier, clients_per_round=clients_per_round, clip_norm=clip_norm, seed=seed
    )
    return private_fed_avg(
        model,
        algorithm="local_dp_fed_avg",
        model_aggregator=aggregator,
        client_lr=client_lr,
        server_lr=server_lr,
        privacy=accountant,
        hyperparameters={
            "clip_norm": float(clip_norm),
            "noise_seed": int(seed),
        },
    )
