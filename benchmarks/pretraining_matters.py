"""Does pre-training help, and whom? From scratch, frozen backbone, one-shot, last block, on skewed clients.

    python benchmarks/pretraining_matters.py run      # docs/pretraining_matters.csv and .png; all runs
    python benchmarks/pretraining_matters.py table    # the tables again, from the runs on disk
    python benchmarks/pretraining_matters.py tune     # how the learning rates below were chosen

The setting: 2,000 images of each bundled data set (1,200 to train on, 800 to test), 10 clients of Fashion (Dirichlet)
and 12 of emoji (three for each vendor, Dirichlet within a vendor), half of them in each of 20 rounds, one local epoch
in batches of 20. A seed decides the images, the clients, the cohorts and, from scratch, the initial weights. Accuracy
is that of the global model on the test images of all clients.

Batch normalisation keeps its frozen statistics at every depth. "From scratch" is the same network with random weights,
and group normalisation in its place: stored statistics mean nothing for weights that are still to be found. "One-shot"
is a ridge regression on the frozen features (Fed3R): one round in which every client takes part, nothing is trained.

Interrupted, `run` goes on with the runs that are missing.
"""

from __future__ import annotations

import dataclasses
import pathlib
import tempfile

import click
import numpy as np
import pandas as pd
import tensorflow as tf
import tensorflow_federated as tff
from paired import describe_differences
from stored_runs import StoredRuns, named_apart
from tqdm import tqdm

import fedlearn_edu as fl
from fedlearn_edu.plotting.pretraining_runs import plot_pretraining_matters
from fedlearn_edu.simulation.stored_runs import runs_at_round

REPOSITORY = pathlib.Path(__file__).parent.parent
DOCS = REPOSITORY / "docs"
RUNS = REPOSITORY / "fedlearn_edu" / "simulation" / "assets" / "pretraining_runs.csv"

DATASETS = ["fashion", "emoji"]
DEPTHS = ["scratch", "head", "one_shot", "last_block"]
CONCENTRATIONS = [100.0, 1.0, 0.3, 0.1]
NUM_TRAIN, NUM_TEST = 1_200, 800
NUM_CLIENTS = {"fashion": 10, "emoji": 12}
ROUNDS, RECORDED = 20, (0, 1, 2, 4, 8, 12, 16, 20)
BATCH_SIZE = 20
# The server's SGD and Adam (FedAvg and FedAdam) are compared where it should matter most.
SKEWED = 0.1
# Learning rates by accuracy after the last round on Fashion at concentration 1 with a seed of its own (`tune`).
CLIENT_LR = {"scratch": 0.03, "head": 0.02, "last_block": 0.02}
ADAM_LR = {"scratch": 0.003, "head": 0.003, "last_block": 0.001}
TUNING_SEED = 100
CLIENT_LR_GRID = {
    "scratch": [0.01, 0.03, 0.1],
    "head": [0.005, 0.02, 0.05],
    "last_block": [0.005, 0.02, 0.05],
}
ADAM_LR_GRID = [0.001, 0.003]
KEYS = ["dataset", "depth", "server_optimizer", "concentration", "seed"]


def choose_images(name: str, seed: int):
    """Returns 2,000 images of a data set; where it has a test split of its own, some of each side."""
    dataset = fl.load_dataset(name)
    rng = np.random.default_rng([seed, 0])
    if dataset.is_test is None:
        chosen = rng.permutation(len(dataset.labels))[: NUM_TRAIN + NUM_TEST]
        is_test = None
    else:
        sides = (np.flatnonzero(~dataset.is_test), NUM_TRAIN), (np.flatnonzero(dataset.is_test), NUM_TEST)
        chosen = np.concatenate([rng.permutation(rows)[:count] for rows, count in sides])
        is_test = dataset.is_test[chosen]
    owners = None if dataset.natural_client_ids is None else dataset.natural_client_ids[chosen]
    return dataclasses.replace(
        dataset,
        images=dataset.images[chosen],
        labels=dataset.labels[chosen],
        natural_client_ids=owners,
        is_test=is_test,
    )


def make_clients(name: str, concentration: float, seed: int):
    dataset = choose_images(name, seed)
    scheme = fl.Dirichlet if dataset.natural_client_ids is None else fl.NaturalDirichlet
    return fl.partition(
        dataset,
        scheme(concentration),
        num_clients=NUM_CLIENTS[name],
        seed=seed,
        test_fraction=NUM_TEST / (NUM_TRAIN + NUM_TEST),
    )


def random_backbone(directory: pathlib.Path, *, seed: int):
    """Publishes the bundled backbone's architecture with random weights and group in place of batch normalisation."""
    tf.keras.utils.set_random_seed(seed)
    network = tf.keras.applications.MobileNetV2(
        input_shape=(64, 64, 3), alpha=0.45, include_top=False, weights=None, pooling="avg"
    )
    network = tf.keras.models.clone_model(network, clone_function=_with_group_norm)
    images = tf.keras.Input([64, 64, 3], name="inputs")
    centred = tf.keras.layers.Rescaling(2.0, offset=-1.0)(images)
    fl.publish(tf.keras.Model(images, network(centred)), directory, card="Random weights; nothing was learned.")
    return fl.load_backbone(directory)


def _with_group_norm(layer):
    if not isinstance(layer, tf.keras.layers.BatchNormalization):
        return layer.__class__.from_config(layer.get_config())
    channels = layer.input_shape[-1]
    groups = max(number for number in range(1, 9) if channels % number == 0)
    return tf.keras.layers.GroupNormalization(groups, name=layer.name)


class OneShot:
    """The same interface for a head that is computed in one round."""

    def __init__(self, name: str, seed: int):
        self.name, self.seed = name, seed

    def run(self, concentration: float) -> list[tuple[int, float]]:
        features = fl.extract_features(make_clients(self.name, concentration, self.seed), fl.load_backbone("bundled"))
        # Before the round a linear head scores all classes alike, and the first one is taken.
        before = float(np.mean(features.pooled("test")[1] == 0))
        return [(0, before), (1, fl.run_one_shot(fl.one_shot_ridge(features), features).accuracy)]


class Training:
    """One model on the clients of all concentrations, so that TFF compiles it once for all runs."""

    def __init__(self, name: str, depth: str, seed: int, *, server="sgd", client_lr=None, adam_lr=None):
        self.name, self.depth, self.seed = name, depth, seed
        if depth == "scratch":
            with tempfile.TemporaryDirectory() as folder:
                split = fl.split_backbone(random_backbone(pathlib.Path(folder, "random"), seed=seed), "all")
        else:
            split = fl.split_backbone(fl.load_backbone("bundled"), depth)
        self.clients = {c: make_clients(name, c, seed) for c in CONCENTRATIONS}
        any_clients = self.clients[CONCENTRATIONS[0]]  # the images are the same at every concentration
        features = fl.extract_features(any_clients, split)
        model = fl.fine_tuned_backbone(features, split)
        adam = tff.learning.optimizers.build_adam(adam_lr or ADAM_LR[depth])
        process = fl.build_weighted_fed_avg(
            model,
            client_lr=client_lr or CLIENT_LR[depth],
            server_optimizer=adam if server == "adam" else None,
        )
        self._features, self._process = features, process

    def run(self, concentration: float) -> list[tuple[int, float]]:
        """Returns the accuracy after each recorded round."""
        clients = self.clients[concentration]
        history = fl.run_rounds(
            self._process,
            named_apart(dataclasses.replace(self._features, clients=clients.clients), concentration),
            num_rounds=ROUNDS,
            clients_per_round=clients.num_clients // 2,
            batch_size=BATCH_SIZE,
            seed=self.seed,
            progress=False,
        )
        accuracy = history.global_metrics()["accuracy"]
        return [(round_num, accuracy[round_num]) for round_num in RECORDED]


def wanted_runs(depths: list[str], seeds: int) -> pd.DataFrame:
    rows = [
        (name, depth, "sgd", concentration, seed)
        for depth in depths
        for name in DATASETS
        for seed in range(1, seeds + 1)
        for concentration in CONCENTRATIONS
    ]
    rows += [
        (name, depth, "adam", SKEWED, seed)
        for depth in depths
        if depth in ADAM_LR
        for name in DATASETS
        for seed in range(1, seeds + 1)
    ]
    return pd.DataFrame(rows, columns=KEYS)


def summarise(runs: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Returns accuracy after the last round by concentration (SGD on the server), and by server optimizer."""
    last = runs_at_round(runs, ROUNDS)
    plain = last[last["server_optimizer"] == "sgd"]
    skewed = last[(last["concentration"] == SKEWED) & last["depth"].isin(ADAM_LR)]

    def spread(table, column, order):
        cells = table.groupby(["dataset", "depth", column])["accuracy"].agg(["mean", "std"])
        text = cells.apply(lambda cell: f"{100 * cell['mean']:.1f} ± {100 * cell['std']:.1f}", axis=1)
        rows = [(name, depth) for name in DATASETS for depth in DEPTHS if (name, depth) in text.index.droplevel(2)]
        return [part.unstack(column).reindex(index=rows, columns=order) for part in (text, 100 * cells["mean"])]

    by_concentration, means = spread(plain, "concentration", CONCENTRATIONS)
    by_concentration["lost"] = (means[max(CONCENTRATIONS)] - means[min(CONCENTRATIONS)]).round(1)
    by_server, means = spread(skewed, "server_optimizer", ["sgd", "adam"])
    by_server["difference"] = (means["adam"] - means["sgd"]).round(1)
    return by_concentration, by_server


def report(runs: pd.DataFrame) -> None:
    by_concentration, by_server = summarise(runs)
    print(f"Accuracy in % after {ROUNDS} rounds, mean ± standard deviation over seeds, by concentration")
    print(by_concentration.to_string())
    print(f"\nThe same at concentration {SKEWED:g}, by server optimizer")
    print(by_server.to_string())
    print("\nLast block less head on the same seed, in points, mean over the concentrations")
    last = runs_at_round(runs, ROUNDS)
    for (name, server), group in last[last["depth"].isin(ADAM_LR)].groupby(["dataset", "server_optimizer"]):
        scores = group.pivot_table(index="seed", columns="depth", values="accuracy").mul(100)
        print(f"{name}, {server} on the server: {describe_differences(scores['last_block'] - scores['head'])}")
    runs_at_round(runs, ROUNDS).to_csv(DOCS / "pretraining_matters.csv", index=False, float_format="%.4f")
    plot_pretraining_matters(runs).savefig(DOCS / "pretraining_matters.png", dpi=110)


@click.group(help=__doc__.split("\n\n")[0])
def main():
    pass


@main.command("run")
@click.option("--seeds", default=3, show_default=True, type=click.IntRange(2))
@click.option("--depth", "depths", multiple=True, type=click.Choice(DEPTHS), help="May be repeated; default: all.")
@click.option("--anew", is_flag=True, help="Forget the runs on disk.")
def run(seeds, depths, anew):
    """All runs; those that are on disk are not made again."""
    done = StoredRuns(RUNS, [*KEYS, "round_num", "accuracy"], [*KEYS, "round_num"], anew=anew)
    wanted = wanted_runs(list(depths) or DEPTHS, seeds)
    known = done.made(*KEYS)
    missing = wanted[[row not in known for row in wanted.itertuples(index=False, name=None)]]
    with tqdm(total=len(missing), unit="run") as bar:
        for (name, depth, server, seed), group in missing.groupby(
            [k for k in KEYS if k != "concentration"], sort=False
        ):
            training = OneShot(name, seed) if depth == "one_shot" else Training(name, depth, seed, server=server)
            for concentration in group["concentration"]:
                rows = [
                    (name, depth, server, concentration, seed, round_num, accuracy)
                    for round_num, accuracy in training.run(concentration)
                ]
                done.add(rows)
                bar.update()
    report(done.table)


@main.command("table")
def table():
    """Tables and figure from the runs on disk."""
    report(pd.read_csv(RUNS))


@main.command("tune")
@click.option("--depth", "depths", multiple=True, type=click.Choice(list(CLIENT_LR)))
@click.option("--dataset", "name", default="fashion", show_default=True, type=click.Choice(DATASETS))
def tune(depths, name):
    """Accuracy by learning rate, at concentration 1 and with a seed that `run` does not use."""
    for depth in depths or CLIENT_LR:
        best = {}
        for client_lr in CLIENT_LR_GRID[depth]:
            best[client_lr] = _tuning_run(name, depth, "sgd", client_lr, None)
        client_lr = max(best, key=best.get)
        for adam_lr in ADAM_LR_GRID:
            _tuning_run(name, depth, "adam", client_lr, adam_lr)


def _tuning_run(name, depth, server, client_lr, adam_lr) -> float:
    training = Training(name, depth, TUNING_SEED, server=server, client_lr=client_lr, adam_lr=adam_lr)
    accuracy = training.run(1.0)[-1][1]
    rates = f"client_lr {client_lr:g}" + (f", adam_lr {adam_lr:g}" if adam_lr else "")
    print(f"{name} {depth} {server}: {rates}: {accuracy:.3f}", flush=True)
    return accuracy


if __name__ == "__main__":
    main()
