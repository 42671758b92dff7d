"""Federated averaging in which some clients are hostile."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Mapping

import numpy as np
import tensorflow as tf
import tensorflow_federated as tff

from fedlearn_edu.checks import check_learning_rate, check_seed
from fedlearn_edu.errors import UsageError
from fedlearn_edu.learning.aggregators.finite_only import AggregationFactory
from fedlearn_edu.learning.client_weighting import (
    ClientWeighting,
    aggregator_for,
    check_client_weighting,
    create_aggregation,
    weight_of,
    with_weights,
)
from fedlearn_edu.learning.local_training import subtract, train_locally
from fedlearn_edu.learning.poisoning.collusion import ColludingFactory
from fedlearn_edu.learning.poisoning.update_attacks import ColludingAttack, UpdateAttack
from fedlearn_edu.learning.process import StatefulFederatedProcess
from fedlearn_edu.learning.requirements import Requirements
from fedlearn_edu.learning.stateful import ClientOutput, compose_stateful_process, discard_if_not_finite, server_step


def build_attacked_fed_avg(
    model: tff.learning.models.FunctionalModel,
    *,
    attackers: Mapping[str, UpdateAttack | ColludingAttack],
    client_lr: float = 0.1,
    server_lr: float = 1.0,
    client_optimizer: tff.learning.optimizers.Optimizer | None = None,
    server_optimizer: tff.learning.optimizers.Optimizer | None = None,
    client_weighting: ClientWeighting = "uniform",
    model_aggregator: AggregationFactory | None = None,
    seed: int = 0,
) -> StatefulFederatedProcess:
    """Federated averaging in which the clients named in `attackers` are hostile whenever they are in the cohort.

    The server broadcasts the global model and every client trains on its examples, as in `build_unweighted_fed_avg`.
    An attacker then sends something else than its model delta; what, its attack says. The server does not know who is
    who and aggregates all that comes with `model_aggregator`. Without attackers it is `build_unweighted_fed_avg` (or
    `build_weighted_fed_avg`), bit for bit. Attacks on the data (`flip_labels`, `add_backdoor`) need no builder of their
    own and can be combined with this one.

    What a client is, it knows itself: the attack is part of the state that it keeps (`History.client_states`), so that
    neither the broadcast nor the update carries it. Only with a `ColludingAttack` does the update hold a number that
    says so, since the simulation must know at the server whose values to replace.

    A client that diverges by itself sends zeros with weight 0, as in TFF's own client work; the aggregators of this
    package leave it out and report it like an attacker's NaN.

    Args:
        model: What is trained.
        attackers: Client id -> what this client does; every one else is honest.
        client_lr: Learning rate of the clients' SGD, above 0 and at most 100.
        server_lr: Learning rate of the server's SGD, above 0 and at most 100.
        client_optimizer: A TFF optimizer in place of SGD at `client_lr`.
        server_optimizer: A TFF optimizer in place of SGD at `server_lr`.
        client_weighting: `"uniform"`: all clients count alike; `"num_examples"`: in proportion to their numbers of
            examples (attackers state theirs truly), and `model_aggregator` takes weights.
        model_aggregator: How the server defends itself, e.g. `coordinate_median(clients_per_round=20)`; default the
            plain mean. A `ColludingAttack` needs to know what it computes of all values: the plain mean or an
            aggregator of this package.
        seed: Of random attacks.

    Returns:
        A stateful process for `run_rounds`. Its `hyperparameters["attackers"]` say who does what.

    Shapes:
        Broadcast and delta both have the shapes of `model.initial_weights`.

    Raises:
        UsageError: A learning rate is out of its range, `model_aggregator` would drop the weights, an attack is none,
            or colluding attackers meet an aggregator that does not show all values to the server.

    Example:
        >>> process = fl.build_attacked_fed_avg(fl.linear_head(features), attackers={"client_0": fl.SignFlip()})
        >>> process.hyperparameters["attackers"]
        {'client_0': 'SignFlip(strength=1.0)'}

    References:
        McMahan et al., Communication-efficient learning of deep networks from decentralized data, AISTATS 2017,
        arXiv:1602.05629. Attacks: see their classes.
    """
    attacks = _distinct_attacks(attackers)
    codes = {client_id: 1 + attacks.index(attack) for client_id, attack in attackers.items()}
    client_sgd = tff.learning.optimizers.build_sgdm(check_learning_rate("client_lr", client_lr))
    server_sgd = tff.learning.optimizers.build_sgdm(check_learning_rate("server_lr", server_lr))
    seed = check_seed(seed)
    client_weighting = check_client_weighting(client_weighting)
    factory = with_weights(aggregator_for(client_weighting, model_aggregator))
    colluding = {code: a for code, a in enumerate(attacks, start=1) if isinstance(a, ColludingAttack)}
    if colluding:
        factory = ColludingFactory(model_aggregator, colluding)

    def client_work(weights, batches, client_state):
        trained = train_locally(model, weights, batches, client_optimizer or client_sgd)
        honest = ClientOutput(
            update=subtract(tuple(weights.trainable), trained.trainable),
            update_weight=weight_of(client_weighting, trained.num_examples),
            client_state=client_state,
            metrics=trained.metrics,
        )
        honest = discard_if_not_finite(honest, client_state, model)
        sent = _send(honest.update, attacks, client_state)
        return honest._replace(
            update={"delta": sent, "attack": client_state["attack"]} if colluding else sent,
            client_state={**client_state, "rounds_trained": client_state["rounds_trained"] + 1},
        )

    def initial_client_state(client_id):
        digest = hashlib.sha256(f"{seed} {client_id}".encode()).digest()
        own_seed = np.frombuffer(digest[:4], np.int32)[0]
        return {"attack": np.int32(codes.get(client_id, 0)), "seed": own_seed, "rounds_trained": np.int32(0)}

    return compose_stateful_process(
        model,
        client_work=client_work,
        client_state=initial_client_state(""),
        initial_client_state=initial_client_state,
        aggregator=functools.partial(create_aggregation, factory),
        finalizer=server_step(server_optimizer or server_sgd),
        algorithm="unweighted_fed_avg" if client_weighting == "uniform" else "weighted_fed_avg",
        hyperparameters={
            "client_lr": client_lr,
            "server_lr": server_lr,
            "client_optimizer": client_optimizer,
            "server_optimizer": server_optimizer,
            "client_weighting": client_weighting,
            "model_aggregator": model_aggregator,
            "attackers": {client_id: repr(attackers[client_id]) for client_id in sorted(attackers)},
            "attack_seed": seed,
        },
        requirements=[Requirements("attackers", client_ids=attackers)],
    )


def _send(delta: tuple, attacks: list, client_state) -> tuple:
    """Returns what a client sends: its delta, or what the attack that its state names makes of it."""
    seed = tf.stack([client_state["seed"], client_state["rounds_trained"]])
    branches = [lambda: delta]
    for attack in attacks:
        alone = isinstance(attack, UpdateAttack)
        branches.append((lambda attack=attack: tuple(attack.poison(list(delta), seed))) if alone else branches[0])
    return tf.switch_case(client_state["attack"], branches)


def _distinct_attacks(attackers) -> list:
    if not isinstance(attackers, Mapping):
        raise UsageError(
            f"attackers: expected client_id -> attack, got {attackers!r}; try dict.fromkeys(client_ids, SignFlip())"
        )
    for client_id, attack in attackers.items():
        if not isinstance(attack, UpdateAttack | ColludingAttack):
            raise UsageError(
                f"attackers: expected client_id -> attack such as SignFlip(strength=1.0), got {attack!r} for "
                f"{client_id!r}"
            )
    return list(dict.fromkeys(attackers.values()))
