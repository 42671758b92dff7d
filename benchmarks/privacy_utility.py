"""What a guarantee costs and what it buys: accuracy and measured attack success against epsilon.

    python benchmarks/privacy_utility.py frontier    # docs/privacy_utility.csv and .png: epsilon x pre-training x seeds
    python benchmarks/privacy_utility.py explorer    # the runs that PrivacyExplorer shows, shipped with the package
    python benchmarks/privacy_utility.py attacks     # docs/privacy_attacks.csv: attacks before and after

The 10,000 bundled images go to 500 clients of 20 (Dirichlet, concentration 1). For each seed 250 of them, drawn anew,
are the population. The attacker trains a reference head without any noise on 125 others, and guesses for the 250 and
for the last 125, whom neither head has seen, whether they took part. Central DP-FedAvg with Poisson sampling, delta =
250 ** -1.1. "Without pre-training" means the pixels themselves. Clip norm and learning rate were chosen once per kind
of features, by accuracy, with other seeds; that choice is not paid for in epsilon (as in most of the literature).
"""

from __future__ import annotations

import math
import pathlib

import click
import numpy as np
import pandas as pd
from tqdm import tqdm

import fedlearn_edu as fl
from fedlearn_edu.plotting.privacy_utility import plot_frontier
from fedlearn_edu.privacy.accounting import largest_attack_accuracy

REPOSITORY = pathlib.Path(__file__).parent.parent
DOCS, ASSETS = REPOSITORY / "docs", REPOSITORY / "fedlearn_edu" / "simulation" / "assets"
NUM_CLIENTS, POPULATION, NUM_OWN = 500, 250, 125
DELTA = fl.default_delta(POPULATION)
EPSILONS = [0.5, 1.0, 2.0, 4.0, 8.0, math.inf]
# (clip norm, client learning rate) by accuracy at epsilon 2.
CHOSEN = {"pre-trained features": (0.1, 0.02), "pixels": (0.5, 0.2)}
ROUNDS, COHORT, EPOCHS = 40, 50, 5
GRID = {
    "noise_multiplier": [0.0, 0.25, 0.5, 1.0, 2.0, 4.0],
    "clip_norm": [0.03, 0.1, 0.5],
    "clients_per_round": [25, 100],
}
GRID_ROUNDS, GRID_EVERY = 60, 5
NOISE_OF_CLIENT = [0.01, 0.1, 1.0]  # of local DP: noise / clip norm


class Federation:
    """500 clients with one kind of features; for a seed, who is asked and who is not."""

    def __init__(self, kind: str):
        dataset = fl.load_dataset("fashion")
        clients = fl.partition(dataset, fl.Dirichlet(concentration=1.0), num_clients=NUM_CLIENTS, seed=0)
        if kind == "pixels":
            self.features = clients.with_examples(
                dataset.images[..., 0].reshape(len(dataset.labels), -1) / np.float32(255)
            )
        else:
            self.features = fl.extract_features(clients, fl.load_backbone("bundled"))
        self.clip_norm, self.client_lr = CHOSEN[kind]
        self.model = fl.linear_head(self.features)

    def split(self, seed: int):
        """Returns the population, the attacker's own clients, and all whose membership is guessed."""
        ids = np.random.default_rng([seed, POPULATION]).permutation(self.features.client_ids)
        population, own, others = np.split(ids, [POPULATION, POPULATION + NUM_OWN])
        select = self.features.select_clients
        return select(population), select(own), select(np.concatenate([population, others]))

    def train(self, population, *, noise_multiplier=0.0, clip_norm=None, cohort=COHORT, rounds=ROUNDS, seed=0):
        """Yields (round number, weights); without noise it is plain federated averaging with the same clipping."""
        clip_norm = clip_norm or self.clip_norm
        if noise_multiplier:
            options = dict(
                noise_multiplier=noise_multiplier, clients_per_round=cohort, population=POPULATION, seed=seed
            )
            process = fl.build_dp_fed_avg(
                self.model, clip_norm=clip_norm, client_lr=self.client_lr, delta=DELTA, **options
            )
        else:
            process = fl.build_unweighted_fed_avg(
                self.model, client_lr=self.client_lr, model_aggregator=clipped_mean(clip_norm)
            )
        options = dict(num_rounds=rounds, clients_per_round=cohort, num_epochs=EPOCHS, seed=seed, evaluate_every=rounds)
        for history in fl.iter_rounds(process, population, **options):
            yield history.num_rounds, history.model_weights

    def measure(self, weights, reference, guessed, member_ids) -> dict:
        """Accuracy on the test examples of all 500 clients, and the attack's success."""
        x, y = self.features.pooled("test")
        attack = fl.client_membership(weights, reference, guessed, member_ids)
        return {
            "accuracy": float(np.mean(np.argmax(x @ weights[0] + weights[1], axis=1) == y)),
            "attack_auc": attack.success,
            "attack_accuracy": attack.details["balanced_accuracy"],
        }


def clipped_mean(clip_norm: float):
    import tensorflow_federated as tff

    return tff.aggregators.clipping_factory(clip_norm, tff.aggregators.UnweightedMeanFactory())


def last(rounds):
    for _, weights in rounds:  # noqa: B007
        pass
    return weights


def frontier(seeds: int) -> pd.DataFrame:
    rows = []
    with tqdm(total=len(CHOSEN) * seeds * (len(EPSILONS) + 1), unit="run") as bar:
        for kind in CHOSEN:
            federation = Federation(kind)
            for seed in range(1, seeds + 1):
                population, own, guessed = federation.split(seed)
                reference = last(federation.train(own, seed=seed))
                bar.update()
                for target in EPSILONS:
                    setting = dict(num_rounds=ROUNDS, population=POPULATION, clients_per_round=COHORT, delta=DELTA)
                    noise = 0.0 if math.isinf(target) else fl.noise_multiplier_for(target_epsilon=target, **setting)
                    weights = last(federation.train(population, noise_multiplier=noise, seed=seed))
                    measured = federation.measure(weights, reference, guessed, population.client_ids)
                    bound = largest_attack_accuracy(target, DELTA)
                    settings = {"features": kind, "epsilon": target, "noise_multiplier": noise, "seed": seed}
                    rows.append(settings | measured | {"attack_accuracy_bound": bound})
                    bar.update()
    return pd.DataFrame(rows)


def explorer() -> pd.DataFrame:
    federation = Federation("pre-trained features")
    population, own, guessed = federation.split(0)
    reference = last(federation.train(own, rounds=GRID_ROUNDS))
    rows = []
    combinations = [
        (z, clip, cohort)
        for z in GRID["noise_multiplier"]
        for clip in GRID["clip_norm"]
        for cohort in GRID["clients_per_round"]
    ]
    for noise, clip_norm, cohort in tqdm(combinations, unit="run"):
        options = dict(noise_multiplier=noise, clip_norm=clip_norm, cohort=cohort, rounds=GRID_ROUNDS)
        for round_num, weights in federation.train(population, **options):
            if round_num == 0 or round_num % GRID_EVERY:
                continue
            spent = math.inf
            if noise:
                spent = fl.epsilon(
                    noise_multiplier=noise,
                    num_rounds=round_num,
                    population=POPULATION,
                    clients_per_round=cohort,
                    delta=DELTA,
                )
            settings = {"noise_multiplier": noise, "clip_norm": clip_norm, "clients_per_round": cohort}
            measured = federation.measure(weights, reference, guessed, population.client_ids)
            rows.append(settings | {"round_num": round_num, "epsilon": spent} | measured)
    return pd.DataFrame(rows)


def attacks(num_attacked: int = 30) -> pd.DataFrame:
    """Attacks on one client's message in round 1, by what the server receives; mean over `num_attacked` clients.

    Every client takes one step on all its examples in one batch (for the feature: on one example alone) and the server
    computes its delta from the model before and after a round in which only this client took part, which is what it
    receives without secure aggregation. With secure aggregation it receives the average over 50 clients only.
    """
    federation = Federation("pre-trained features")
    population, own, _ = federation.split(1)
    public, public_labels = own.pooled("train")
    lr = federation.client_lr
    plain = fl.build_unweighted_fed_avg(federation.model, client_lr=lr)
    private = {}
    for noise in NOISE_OF_CLIENT:
        options = dict(noise_multiplier=noise, clip_norm=federation.clip_norm, client_lr=lr)
        private[noise] = fl.build_local_dp_fed_avg(
            federation.model, clients_per_round=1, population=POPULATION, delta=DELTA, **options
        )
    attacked = population.client_ids[:num_attacked]
    cohort = [population.train(client_id) for client_id in population.client_ids[:COHORT]]
    summed = {"all": received(plain, cohort), "one": received(plain, [(x[:1], y[:1]) for x, y in cohort])}
    rows = []
    for client_id in tqdm(attacked, unit="client"):
        x, y = population.train(client_id)
        counts = np.bincount(y, minlength=population.num_classes)
        seen = {"none: the client's delta": (received(plain, [(x, y)]), received(plain, [(x[:1], y[:1])]), 0.0)}
        seen[f"secure aggregation of {COHORT}"] = (summed["all"], summed["one"], 0.0)
        for noise, process in private.items():
            name = f"local DP, epsilon {process.privacy.epsilon(1):.3g} a round"
            deltas = received(process, [(x, y)]), received(process, [(x[:1], y[:1])])
            seen[name] = (*deltas, noise * federation.clip_norm)
        for defence, (delta, of_one, noise) in seen.items():
            if noise:  # the better attack where deltas are clipped and noised: it needs no scale
                shares = fl.label_shares_by_matching(
                    delta, public_features=public, public_labels=public_labels, noise_stddev=noise
                )
            else:
                shares = fl.label_shares_from_delta(delta, client_lr=lr)
            feature = fl.feature_from_delta(of_one)
            for result in (fl.score_label_counts(shares, counts), fl.score_features(feature, x[:1], public)):
                rows.append({"defence": defence, **result.to_frame().iloc[0].to_dict()})
    columns = ["attack", "defence", "metric"]
    return pd.DataFrame(rows).groupby(columns, sort=False)[["success", "baseline"]].mean().reset_index()


def small_federation(seeds: int) -> pd.DataFrame:
    """Membership where there is something to find: 40 clients, all in each of 20 rounds, nearly known by heart.

    The attacker guesses for them and for 40 others, with a head trained on the remaining 420 clients as reference.
    """
    federation = Federation("pre-trained features")
    features, rounds, size = federation.features, 20, 40
    setting = dict(clients_per_round=size, population=size, delta=fl.default_delta(size), sampling="all")
    rows = []
    for seed in range(1, seeds + 1):
        ids = np.random.default_rng([seed, size]).permutation(features.client_ids)
        members, asked, elsewhere = (
            features.select_clients(some) for some in (ids[:size], ids[: 2 * size], ids[2 * size :])
        )
        reference = fl.train_centrally(federation.model, elsewhere, num_epochs=5, seed=seed).model_weights
        for target in (math.inf, 8.0, 2.0, 0.5):
            if math.isinf(target):
                process = fl.build_unweighted_fed_avg(federation.model, client_lr=0.1)
            else:
                noise = fl.noise_multiplier_for(target_epsilon=target, num_rounds=rounds, **setting)
                process = fl.build_dp_fed_avg(
                    federation.model, noise_multiplier=noise, clip_norm=0.5, client_lr=0.1, seed=seed, **setting
                )
            options = dict(
                num_rounds=rounds, clients_per_round=size, num_epochs=EPOCHS, evaluate_every=rounds, seed=seed
            )
            weights = fl.run_rounds(process, members, progress=False, **options).model_weights
            measured = federation.measure(weights, reference, asked, members.client_ids)
            name = "none" if math.isinf(target) else f"central DP, epsilon {target:g} in all"
            rows.append({"defence": f"{name}: the final model", **measured})
    means = pd.DataFrame(rows).groupby("defence", sort=False).mean()
    print(means.round(3).to_string())
    means = means.rename(columns={"attack_auc": "success"})[["success"]].reset_index()
    return means.assign(attack="client membership", metric="AUC", baseline=0.5)


def received(process, datasets) -> list[np.ndarray]:
    """initial - trained after one round of these clients, each with one batch."""
    import tensorflow as tf

    state = process.initialize()
    data = [tf.data.Dataset.from_tensor_slices((x, y)).batch(len(y)) for x, y in datasets]
    after = process.get_model_weights(process.next(state, data).state).trainable
    before = process.get_model_weights(state).trainable
    return [np.asarray(b) - np.asarray(a) for b, a in zip(before, after, strict=True)]


def summarise(table: pd.DataFrame) -> pd.DataFrame:
    """Mean and spread over seeds, for reading."""
    columns = ["noise_multiplier", "accuracy", "attack_auc", "attack_accuracy", "attack_accuracy_bound"]
    groups = table.groupby(["features", "epsilon"], sort=False)[columns]
    result = groups.mean()
    result.insert(2, "accuracy_std", groups.std()["accuracy"])
    return result


@click.group(help=__doc__.split("\n\n")[0])
def main():
    pass


@main.command("frontier")
@click.option("--seeds", default=3, show_default=True, type=click.IntRange(1))
def run_frontier(seeds):
    """Accuracy and attack success against epsilon, with and without pre-training."""
    table = frontier(seeds)
    table.to_csv(DOCS / "privacy_utility.csv", index=False, float_format="%.5g")
    print(summarise(table).round(3).to_string())
    plot_frontier(table).savefig(DOCS / "privacy_utility.png", dpi=110)


@main.command("explorer")
def run_explorer():
    """The grid of runs behind PrivacyExplorer."""
    table = explorer()
    table.to_csv(ASSETS / "explorer_runs.csv", index=False, float_format="%.5g")
    print(table[table["round_num"] == GRID_ROUNDS].round(3).to_string(index=False))


@main.command("attacks")
@click.option("--seeds", default=3, show_default=True, type=click.IntRange(1), help="Of the membership runs.")
def run_attacks(seeds):
    """Every attack before and after its defence, beside guessing."""
    table = pd.concat([attacks(), small_federation(seeds)], ignore_index=True)
    table.to_csv(DOCS / "privacy_attacks.csv", index=False, float_format="%.4g")
    print(table.round(3).to_string(index=False))


if __name__ == "__main__":
    main()
