"""What hostile clients do to a federation, behind each defence, and whom the defence takes for one of them.

    python benchmarks/robust_aggregation.py run      # all runs, docs/robust_aggregation.png, what AttackExplorer shows
    python benchmarks/robust_aggregation.py table    # table and picture again, from the runs on disk

The setting: a linear head on the bundled backbone's features; 5,000 images of Fashion over 20 clients, all of them in
each of 10 rounds, one local epoch in batches of 20, learning rate 0.05. 0 to 8 clients are hostile in every round. Two
federations: label skew (Dirichlet, concentration 1), and a minority: two clients that alone hold the last class and
nothing else, and are honest. A seed decides the images, the clients and the order of the examples.

Every defence is built for 4 attackers, whatever comes. Norm bounding needs to know how long an honest delta is: its
bound, 1, is about the median length in the first round of a seed of its own. The backdoor's attackers train on half of
their images with a trigger under another label, and scale their delta by the number of clients.

Interrupted, `run` goes on with the runs that are missing.
"""

from __future__ import annotations

import dataclasses
import pathlib

import click
import numpy as np
import pandas as pd
from stored_runs import StoredRuns, named_apart
from tqdm import tqdm

import fedlearn_edu as fl
from fedlearn_edu.learning.catalogue import by_name
from fedlearn_edu.plotting.attack_runs import plot_attack_runs
from fedlearn_edu.simulation.fairness import worst_decile
from fedlearn_edu.simulation.stored_runs import ASSUMED_ATTACKERS as ASSUMED
from fedlearn_edu.simulation.stored_runs import describe_run, with_labels

REPOSITORY = pathlib.Path(__file__).parent.parent
ASSETS = REPOSITORY / "fedlearn_edu" / "simulation" / "assets"
RUNS, SELECTIONS = ASSETS / "attack_runs.csv", ASSETS / "attack_selections.csv"

NUM_IMAGES, NUM_CLIENTS, ROUNDS, BATCH_SIZE, CLIENT_LR = 5_000, 20, 10, 20, 0.05
PARTITIONS = {"dirichlet:1": fl.Dirichlet(1.0), "minority:1": fl.Minority(1)}
NUM_ATTACKERS = [2, 4, 6, 8]
MAX_NORM = 1.0
TRIGGER, TARGET_CLASS = fl.FeatureDirection(strength=10.0), 0
ALL = {"clients_per_round": NUM_CLIENTS}
AGGREGATORS = {
    row.label: (row, arguments)
    for row, arguments in (
        (by_name(name, "aggregator"), arguments)
        for name, arguments in [
            ("mean", {}),
            ("norm_bounding", {"max_norm": MAX_NORM}),
            ("coordinate_median", ALL),
            ("trimmed_mean", ALL | {"num_trimmed": ASSUMED}),
            ("geometric_median", ALL),
            ("krum", ALL | {"num_attackers": ASSUMED}),
            ("multi_krum", ALL | {"num_attackers": ASSUMED}),
        ]
    )
}
# By label: name and parameter's value in the tables, and what the attackers send (None: an honest delta, of what they
# trained on).
ATTACKS = {
    describe_run("attack", name, value): (name, value, sent)
    for name, value, sent in [
        ("none", None, None),
        ("flip_labels", None, None),
        ("sign_flip", 1.0, fl.SignFlip(1.0)),
        ("sign_flip", 5.0, fl.SignFlip(5.0)),
        ("gaussian_update", 1.0, fl.GaussianUpdate(1.0)),
        ("inner_product", 0.5, fl.InnerProduct(0.5)),
        ("add_backdoor", 0.5, fl.ScaledUpdate(float(NUM_CLIENTS))),
    ]
}
KEYS = ["attack", "aggregator", "partition", "num_attackers", "seed"]
ON_DISK = [f"{subject}_{part}" for subject in KEYS[:2] for part in ("name", "parameter", "value")] + KEYS[2:]
COLUMNS = [*ON_DISK, "accuracy", "minority_accuracy", "backdoor_success"]
SELECTION_COLUMNS = [*ON_DISK, "client_id", "hostile", "minority", "rounds_kept", "num_rounds"]


def make_clients(partition: str, seed: int) -> fl.FederatedDataset:
    """Returns the features of honest clients; in a minority federation the last two are the minority."""
    dataset = fl.load_dataset("fashion")
    rows = np.sort(np.random.default_rng(seed).choice(len(dataset.labels), NUM_IMAGES, replace=False))
    dataset = dataclasses.replace(dataset, images=dataset.images[rows], labels=dataset.labels[rows])
    clients = fl.partition(dataset, PARTITIONS[partition], num_clients=NUM_CLIENTS, seed=seed)
    return fl.extract_features(clients, fl.load_backbone("bundled"))


def is_minority(data: fl.FederatedDataset) -> dict[str, bool]:
    """Whether a client's training examples are all of one class."""
    return {client_id: len(np.unique(data.train(client_id)[1])) == 1 for client_id in data.client_ids}


def on_disk(attack: str, aggregator: str) -> tuple:
    """Returns name, parameter and value of an attack and of an aggregator, as the columns of the files have them."""
    name, value, _ = ATTACKS[attack]
    row, arguments = AGGREGATORS[aggregator]
    limit = arguments.get(row.parameter)
    return (
        *(name, None if value is None else by_name(name, "attack").parameter, value),
        *(row.name, None if limit is None else row.parameter, limit),
    )


class Attacked:
    """One attack on all federations: with each number of attackers, seed and partition."""

    def __init__(self, attack: str, honest: dict[tuple[str, int], fl.FederatedDataset]):
        self.attack, self.honest, self.hostile = attack, honest, {}
        self.clients_of, self.settings = {}, {}
        for (partition, seed), data in honest.items():
            for num_attackers in [0] if attack == "none" else NUM_ATTACKERS:
                key = f"{partition}-{seed}-{num_attackers}"
                hostile = data.client_ids[:num_attackers]
                if attack == "label flip":
                    data_of_all = fl.flip_labels(data, hostile)
                elif attack == "backdoor":
                    data_of_all = fl.add_backdoor(data, hostile, TRIGGER, target_class=TARGET_CLASS, seed=seed)
                else:
                    data_of_all = data
                self.clients_of[key] = named_apart(data_of_all, key)
                self.settings[key] = (partition, num_attackers, seed)
                self.hostile[key] = set(hostile)
        self.model = fl.linear_head(next(iter(honest.values())))

    def run(self, aggregator: str):
        """Yields a row of the runs, and rows of the selections, for every federation."""
        _, _, sent = ATTACKS[self.attack]
        row, arguments = AGGREGATORS[aggregator]
        factory = None if row.name == "mean" else row.load()(**arguments)  # None: TFF's own plain mean
        hostile = [f"{key}-{client_id}" for key, ids in self.hostile.items() for client_id in ids]
        attackers = dict.fromkeys(hostile if sent is not None else [], sent)
        process = fl.build_attacked_fed_avg(
            self.model, attackers=attackers, client_lr=CLIENT_LR, model_aggregator=factory
        )
        for key, (partition, num_attackers, seed) in self.settings.items():
            history = fl.run_rounds(
                process,
                self.clients_of[key],
                num_rounds=ROUNDS,
                clients_per_round=NUM_CLIENTS,
                batch_size=BATCH_SIZE,
                seed=seed,
                evaluate_every=ROUNDS,
                progress=False,
            )
            data = self.honest[partition, seed]
            keys = (*on_disk(self.attack, aggregator), partition, num_attackers, seed)
            by_client = history.client_metric("accuracy")[ROUNDS].dropna()
            accuracy = {c: by_client[f"{key}-{c}"] for c in data.client_ids if f"{key}-{c}" in by_client}
            success = self._backdoor_success(history.model_weights, data)
            selections = []
            if row.drops:
                kept = history.client_metric("selected").sum(axis=1)
                selections = [
                    (*keys, c, int(c in self.hostile[key]), int(alone), int(kept.get(f"{key}-{c}", 0)), ROUNDS)
                    for c, alone in is_minority(data).items()
                ]
            overall = history.global_metrics()["accuracy"][ROUNDS]
            yield (*keys, overall, self._of_minority(accuracy, key, data), success), selections

    def _of_minority(self, accuracy: dict, key: str, data) -> float:
        """Mean over the minority; without one, over the worst tenth of the honest clients."""
        minority = [accuracy[client_id] for client_id, alone in is_minority(data).items() if alone]
        honest = [value for client_id, value in accuracy.items() if client_id not in self.hostile[key]]
        return float(np.mean(minority)) if minority else worst_decile(honest)

    def _backdoor_success(self, weights, data) -> float:
        if self.attack not in ("none", "backdoor"):
            return np.nan
        return fl.backdoor_success(self.model, weights, fl.with_trigger(data, TRIGGER), target_class=TARGET_CLASS)


def summarise(runs: pd.DataFrame) -> pd.DataFrame:
    """Returns a row per federation and aggregator: accuracy under as many attackers as was assumed, in %."""
    keys = ["partition", "aggregator", "attack", "num_attackers"]
    cells = runs.groupby(keys)[["accuracy", "minority_accuracy", "backdoor_success"]].agg(["mean", "std"]).mul(100)
    table = {}
    for partition in PARTITIONS:
        for aggregator in AGGREGATORS:
            at = {a: cells.loc[partition, aggregator, a, ASSUMED if a != "none" else 0] for a in ATTACKS}
            row = {attack: _spread(cell["accuracy"]) for attack, cell in at.items()}
            row["backdoor succeeds"] = _spread(at["backdoor"]["backdoor_success"])
            row["minority, none"] = _spread(at["none"]["minority_accuracy"])
            table[partition, aggregator] = row
    return pd.DataFrame(table).T


def _spread(cell: pd.Series) -> str:
    return f"{cell['mean']:.1f} ± {cell['std']:.1f}"


def report(runs: pd.DataFrame, selections: pd.DataFrame) -> None:
    print(f"Accuracy in % after {ROUNDS} rounds by attack, mean ± standard deviation over seeds; {ASSUMED} of")
    print(f"{NUM_CLIENTS} clients are hostile, as the defences assume. Last column: the minority's own images (in the")
    print("federation without one the worst tenth of the clients), without an attack")
    print(summarise(runs).to_string())
    choice = {"attack": "label flip", "aggregator": "Multi-Krum", "partition": "minority:1", "num_attackers": ASSUMED}
    figure = plot_attack_runs(runs, selections, **choice, built_for=ASSUMED)
    figure.savefig(REPOSITORY / "docs" / "robust_aggregation.png", dpi=100)


@click.group(help=__doc__.split("\n\n")[0])
def main():
    pass


@main.command("run")
@click.option("--seeds", default=3, show_default=True, type=click.IntRange(1))
@click.option("--anew", is_flag=True, help="Forget the runs on disk.")
def run(seeds, anew):
    """All runs; those that are on disk are not made again."""
    runs = StoredRuns(RUNS, COLUMNS, ON_DISK, anew=anew)
    selections = StoredRuns(SELECTIONS, SELECTION_COLUMNS, [*ON_DISK, "client_id"], anew=anew)
    done = runs.made(*ON_DISK[:6], "seed")
    wanted = [
        (s, t, a) for s in range(1, seeds + 1) for t in ATTACKS for a in AGGREGATORS if (*on_disk(t, a), s) not in done
    ]
    attacked = honest = None
    for seed, attack, aggregator in tqdm(wanted, unit="setting"):
        if attacked is None or (attacked.attack, {s for _, s in honest}) != (attack, {seed}):
            honest = {(partition, seed): make_clients(partition, seed) for partition in PARTITIONS}
            attacked = Attacked(attack, honest)
        found = list(attacked.run(aggregator))
        selections.add([row for _, rows in found for row in rows])
        runs.add([row for row, _ in found])
    report(with_labels(runs.table), with_labels(selections.table))


@main.command("table")
def table():
    """Table and figure from the runs on disk."""
    report(with_labels(pd.read_csv(RUNS)), with_labels(pd.read_csv(SELECTIONS)))


if __name__ == "__main__":
    main()
