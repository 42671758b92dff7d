"""Central differential privacy: a trusted server clips every client's model delta, averages, and adds noise."""

from __future__ import annotations

import tensorflow_federated as tff

from fedlearn_edu.learning.aggregators.gaussian_mean import gaussian_mean_factory
from fedlearn_edu.learning.process import FederatedProcess
from fedlearn_edu.privacy.accounting import GaussianAccountant, default_delta
from fedlearn_edu.privacy.processes.common import private_fed_avg


def build_dp_fed_avg(
    model: tff.learning.models.FunctionalModel,
    *,
    noise_multiplier: float,
    clients_per_round: int,
    population: int,
    clip_norm: float = 1.0,
    adaptive_clipping: bool = False,
    target_unclipped_quantile: float = 0.5,
    delta: float | None = None,
    sampling: str = "poisson",
    client_lr: float = 0.1,
    server_lr: float = 1.0,
    seed: int = 0,
) -> FederatedProcess:
    """Federated averaging with client-level differential privacy (DP-FedAvg).

    The server broadcasts the global model; each client trains a copy and returns its model delta. Each delta is
    scaled down to an L2 norm of at most `clip_norm`, the clipped deltas are summed with equal weights, noise of
    standard deviation `noise_multiplier * clip_norm` is added to every coordinate of the sum, and the result is
    divided by `clients_per_round`: the EXPECTED size of the cohort, since the true one is private when every client
    joins by a coin of its own. So one client can move the average by at most `clip_norm / clients_per_round`.

    What is protected: whether a client took part at all, with all its examples, against everyone who sees the global
    models. What is not: the server sees each delta before it clips it and must be trusted; and the training and
    evaluation metrics that a simulation reports are exact, not noised, and outside of the guarantee.

    A delta that is not finite counts as zero. No count of such clients is reported: it would need noise of its own.

    Args:
        model: What is trained.
        noise_multiplier: Noise on the sum in units of the clip norm, above 0; 1 and more for a guarantee worth it.
        clients_per_round: Expected size of the cohort, at most `population`.
        population: Number of clients that may take part.
        clip_norm: Largest L2 norm of a client's delta, over kernel and bias together.
        adaptive_clipping: Let the clip norm follow `target_unclipped_quantile` of the clients' norms, from
            `clip_norm`. What is spent on this is paid for by more noise on the deltas.
        target_unclipped_quantile: Fraction of clients that shall stay unclipped, above 0 and below 1.
        delta: Probability with which the guarantee may fail; default `population ** -1.1`.
        sampling: How cohorts are drawn: `"poisson"`, `"fixed_size"` or `"all"` (see `GaussianAccountant`).
        client_lr: Learning rate of the clients' SGD.
        server_lr: Learning rate of the server's SGD.
        seed: Of the noise, which depends on it and on the round number only, so that runs repeat. A seeded noise
            protects nobody from someone who knows the seed: this is a simulation.

    Returns:
        A learning process whose `.privacy` counts epsilon; its aggregator reports `clip_norm` and `noise_stddev`
        (of every coordinate of the average) of each round.

    Shapes:
        Broadcast and delta both have the shapes of `model.initial_weights`.

    Raises:
        UsageError: An argument is out of its range.

    Example:
        >>> cohorts = {"clients_per_round": 100, "population": 1_000}
        >>> process = fl.build_dp_fed_avg(fl.linear_head(features), noise_multiplier=1.0, **cohorts)
        >>> process.privacy.epsilon(10) < process.privacy.epsilon(100)
        True

    References:
        McMahan et al., Learning differentially private recurrent language models, ICLR 2018, arXiv:1710.06963.
        Andrew et al., Differentially private learning with adaptive clipping, NeurIPS 2021, arXiv:1905.03871.
    """
    delta = default_delta(population) if delta is None else delta
    # Adaptive clipping is accounted for by the same number: the noise is split so that both releases compose to it.
    accountant = GaussianAccountant(noise_multiplier, population, clients_per_round, delta, sampling)
    aggregator = gaussian_mean_factory(
        noise_multiplier=noise_multiplier,
        clients_per_round=clients_per_round,
        clip_norm=clip_norm,
        adaptive_clipping=adaptive_clipping,
        target_unclipped_quantile=target_unclipped_quantile,
        seed=seed,
    )
    return private_fed_avg(
        model,
        algorithm="dp_fed_avg",
        model_aggregator=aggregator,
        client_lr=client_lr,
        server_lr=server_lr,
        privacy=accountant,
        hyperparameters={
            "clip_norm": float(clip_norm),
            "adaptive_clipping": bool(adaptive_clipping),
            "target_unclipped_quantile": float(target_unclipped_quantile),
            "noise_seed": int(seed),
        },
    )
