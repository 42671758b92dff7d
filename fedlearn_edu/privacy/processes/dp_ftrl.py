"""DP-FTRL: differential privacy without the luck of sampling, with noise shared between rounds by a tree."""

from __future__ import annotations

import tensorflow_federated as tff

from fedlearn_edu.learning.aggregators.tree_mean import tree_mean_factory
from fedlearn_edu.learning.process import FederatedProcess
from fedlearn_edu.privacy.accounting import TreeAccountant, default_delta
from fedlearn_edu.privacy.processes.common import private_fed_avg


def build_dp_ftrl(
    model: tff.learning.models.FunctionalModel,
    *,
    noise_multiplier: float,
    clients_per_round: int,
    population: int,
    clip_norm: float = 1.0,
    restart_every: int | None = None,
    delta: float | None = None,
    client_lr: float = 0.1,
    server_lr: float = 1.0,
    seed: int = 0,
) -> FederatedProcess:
    """Federated averaging with client-level differential privacy by tree aggregation (DP-FTRL).

    Broadcast, clipping and averaging are those of `build_dp_fed_avg`. The noise differs: after t rounds, the global
    model is the initial one minus `server_lr` times the sum of t averages, and it is this SUM that is noised, from at
    most log2(t) + 1 nodes of a binary tree, instead of t times afresh. So the noise in the model hardly grows with
    the number of rounds, and the guarantee needs no secret, random cohorts, which real devices cannot promise.

    Instead, it assumes how often a client takes part: the clients come in one fixed cyclic order, `clients_per_round`
    of them a round, so that a client's turns are population / clients_per_round rounds apart. `run_rounds` draws
    cohorts that way. One turn in one tree is the best case; every further turn costs. With `restart_every` a new tree
    begins after so many rounds; the noise of the old one stays in the model.

    The server must be trusted with each client's delta, and metrics of a simulation are outside of the guarantee. A
    delta that is not finite counts as zero.

    Args:
        model: What is trained.
        noise_multiplier: Noise on a NODE's sum in units of the clip norm, above 0.
        clients_per_round: Size of every cohort, at most `population`; the sum is divided by it.
        population: Clients in the cyclic order.
        clip_norm: Largest L2 norm of a client's delta, over kernel and bias together.
        restart_every: Rounds after which a new tree begins, at least 1; None: one tree for the whole run.
        delta: Probability with which the guarantee may fail; default `population ** -1.1`.
        client_lr: Learning rate of the clients' SGD.
        server_lr: Learning rate of the server's SGD. (Plain SGD: the sum of averages is what is private.)
        seed: Of the noise, so that runs repeat. A seeded noise protects nobody from someone who knows the seed.

    Returns:
        A learning process whose `.privacy` is a `TreeAccountant`; its aggregator reports `clip_norm` and
        `noise_stddev` (of one node's noise, on every coordinate of the average).

    Shapes:
        Broadcast and delta both have the shapes of `model.initial_weights`.

    Raises:
        UsageError: An argument is out of its range.

    Example:
        >>> cohorts = {"clients_per_round": 2, "population": 4}
        >>> process = fl.build_dp_ftrl(fl.linear_head(features), noise_multiplier=2.0, restart_every=8, **cohorts)
        >>> process.privacy.sampling
        'cyclic'

    References:
        Kairouz et al., Practical and private (deep) learning without sampling or shuffling, ICML 2021,
        arXiv:2103.00039.
    """
    delta = default_delta(population) if delta is None else delta
    accountant = TreeAccountant(noise_multiplier, population, clients_per_round, delta, restart_every=restart_every)
    aggregator = tree_mean_factory(
        noise_multiplier=noise_multiplier,
        clients_per_round=clients_per_round,
        clip_norm=clip_norm,
        restart_every=restart_every,
        seed=seed,
    )
    return private_fed_avg(
        model,
        algorithm="dp_ftrl",
        model_aggregator=aggregator,
        client_lr=client_lr,
        server_lr=server_lr,
        privacy=accountant,
        hyperparameters={
            "clip_norm": float(clip_norm),
            "restart_every": restart_every,
            "noise_seed": int(seed),
        },
    )
