"""Does pre-training help, and whom? From scratch, frozen backbone, last block, whole backbone, on label-skewed clients.

    python benchmarks/pretraining_matters.py run      # docs/pretraining_matters.csv and .png; all runs
    python benchmarks/pretraining_matters.py table    # the tables again, from the runs on disk
    python benchmarks/pretraining_matters.py tune     # how the learning rates below were chosen

The setting: 2,000 images of each bundled data set (1,200 to train on, 800 to test), 10 clients of Fashion (Dirichlet)
and 12 of emoji (three for each vendor, Dirichlet within a vendor), half of them in each of 20 rounds, one local epoch
in batches of 20. A seed decides the images, the clients, the cohorts and, from scratch, the initial weights. Accuracy
is that of the global model on the test images of all clients.

"From scratch" is the same network with random weights. Batch normalisation keeps frozen statistics at every depth, here
too; from scratch they are measured once, with the random weights, on the images of the other data set, as public ones.

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
from tqdm import tqdm

import fedlearn_edu as fl
from fedlearn_edu.backbone.pretrain import Recipe, build_student
from fedlearn_edu.plotting.pretraining import plot_pretraining_matters
from fedlearn_edu.simulation.client_data import ClientFiles
from fedlearn_edu.simulation.cohorts import build_cohort_fn
from fedlearn_edu.simulation.evaluation import FederatedEvaluation

REPOSITORY = pathlib.Path(__file__).parent.parent
DOCS = REPOSITORY / "docs"
RUNS = REPOSITORY / "fedlearn_edu" / "simulation" / "assets" / "pretraining_runs.csv"

DATASETS = ["fashion", "emoji"]
DEPTHS = ["scratch", "head", "last_block", "all"]
CONCENTRATIONS = [100.0, 1.0, 0.3, 0.1]
NUM_TRAIN, NUM_TEST = 1_200, 800
NUM_CLIENTS = {"fashion": 10, "emoji": 12}
ROUNDS, RECORDED = 20, (0, 1, 2, 4, 8, 12, 16, 20)
BATCH_SIZE = 20
# The spread across server optimizers is measured where it should be widest.
SKEWED = 0.1
# Learning rates by accuracy after the last round on Fashion at concentration 1 with a seed of its own (`tune`).
CLIENT_LR = {"scratch": 0.05, "head": 0.02, "last_block": 0.02, "all": 0.01}
SERVER_LR = {
    "momentum": {"scratch": 0.3, "head": 0.3, "last_block": 0.3},
    "adam": {"scratch": 0.003, "head": 0.003, "last_block": 0.003},
}
TUNING_SEED = 100
CLIENT_LR_GRID = {
    "scratch": [0.01, 0.03, 0.1],
    "head": [0.005, 0.02, 0.05],
    "last_block": [0.005, 0.02, 0.05],
    "all": [0.003, 0.01, 0.03],
}
SERVER_LR_GRID = {"momentum": [0.1, 0.3, 1.0], "adam": [0.001, 0.003, 0.01]}
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


def random_backbone(directory: pathlib.Path, *, public: np.ndarray, seed: int):
    """Publishes the bundled backbone's architecture with random weights, its statistics measured on public images."""
    recipe = Recipe(image_size=64, alpha=0.45)
    tf.keras.utils.set_random_seed(seed)
    network = build_student(recipe)
    order = np.random.default_rng(seed).permutation(len(public))
    # The moving averages have momentum 0.9: after 60 batches the start counts 0.9 ** 60 = 0.2 %.
    for rows in np.array_split(order[: 60 * 64], 60):
        images = tf.image.resize(public[rows].astype(np.float32) / 255, [64, 64], antialias=True)
        network(images, training=True)
    fl.publish(network, directory, card="Random weights; nothing was learned.")
    return fl.load_backbone(directory)


class Training:
    """One model on the clients of all concentrations, so that TFF compiles it once for all runs."""

    def __init__(self, name: str, depth: str, seed: int, *, server="sgd", client_lr=None, server_lr=None):
        self.name, self.depth, self.seed = name, depth, seed
        if depth == "scratch":
            (other,) = set(DATASETS) - {name}
            with tempfile.TemporaryDirectory() as folder:
                backbone = random_backbone(
                    pathlib.Path(folder, "random"), public=fl.load_dataset(other).images, seed=seed
                )
                split = fl.split_backbone(backbone, "all")
        else:
            split = fl.split_backbone(fl.load_backbone("bundled"), depth)
        self.clients = {c: make_clients(name, c, seed) for c in CONCENTRATIONS}
        any_clients = self.clients[CONCENTRATIONS[0]]  # the images are the same at every concentration
        features = _side_by_side(fl.extract_features(any_clients, split), self.clients)
        model = fl.fine_tuned_backbone(features, split)
        self.process = fl.build_weighted_fed_avg(
            model,
            client_lr=client_lr or CLIENT_LR[depth],
            server_optimizer=None if server == "sgd" else _server_optimizer(server, server_lr, depth),
        )
        self._files = ClientFiles(features)
        self._next = tff.simulation.compose_dataset_computation_with_learning_process(
            self._files.train_computation(num_epochs=1, batch_size=BATCH_SIZE), self.process
        ).next
        self._evaluate = FederatedEvaluation(self.process, self._files.test_computation())

    def run(self, concentration: float) -> list[tuple[int, float]]:
        """Returns the accuracy after each recorded round."""
        ids = [_merged_id(concentration, client_id) for client_id in self.clients[concentration].client_ids]
        draw_cohort = build_cohort_fn(ids, clients_per_round=len(ids) // 2, seed=self.seed)
        state, accuracies = self.process.initialize(), []
        for round_num in range(ROUNDS + 1):
            if round_num:
                shuffle_seed = int(np.random.default_rng([self.seed, round_num]).integers(2**31))
                cohort = [{"client_id": c, "shuffle_seed": shuffle_seed} for c in draw_cohort(round_num)]
                state = self._next(state, cohort).state
            if round_num in RECORDED:
                overall, _ = self._evaluate(self.process.get_model_weights(state), ids)
                accuracies.append((round_num, overall.accuracy))
        return accuracies


def _side_by_side(features, clients_of: dict):
    """Returns one federation with the clients of every concentration, each with a copy of the examples."""
    count, merged = len(features.labels), {}
    for number, (concentration, clients) in enumerate(clients_of.items()):
        for client_id, rows in clients.clients.items():
            shifted = fl.ClientSplit(train=rows.train + number * count, test=rows.test + number * count)
            merged[_merged_id(concentration, client_id)] = shifted
    return dataclasses.replace(
        features,
        examples=np.tile(features.examples, (len(clients_of), 1)),
        labels=np.tile(features.labels, len(clients_of)),
        clients=merged,
    )


def _merged_id(concentration: float, client_id: str) -> str:
    return f"{concentration:g}-{client_id}"


def _server_optimizer(server: str, server_lr: float | None, depth: str):
    server_lr = server_lr or SERVER_LR[server][depth]
    if server == "momentum":
        return tff.learning.optimizers.build_sgdm(server_lr, momentum=0.9)
    return tff.learning.optimizers.build_adam(server_lr)


def wanted_runs(depths: list[str], seeds: int) -> pd.DataFrame:
    rows = [
        (name, depth, "sgd", concentration, seed)
        for depth in depths
        for name in DATASETS
        for seed in range(1, seeds + 1)
        for concentration in CONCENTRATIONS
    ]
    rows += [
        (name, depth, server, SKEWED, seed)
        for depth in depths
        for name in DATASETS
        for seed in range(1, seeds + 1)
        for server in SERVER_LR
        if depth in SERVER_LR[server]
    ]
    return pd.DataFrame(rows, columns=KEYS)


def summarise(runs: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Returns accuracy after the last round by concentration (SGD on the server), and by server optimizer."""
    last = runs[runs["round_num"] == ROUNDS]
    plain = last[last["server_optimizer"] == "sgd"]
    skewed = last[(last["concentration"] == SKEWED) & last["depth"].isin(SERVER_LR["adam"])]

    def spread(table, column):
        cells = table.groupby(["dataset", "depth", column], sort=False)["accuracy"].agg(["mean", "std"])
        text = cells.apply(lambda cell: f"{100 * cell['mean']:.1f} ± {100 * cell['std']:.1f}", axis=1)
        return text.unstack(column, sort=False), cells["mean"].unstack(column, sort=False)

    by_concentration, means = spread(plain, "concentration")
    by_concentration["lost"] = 100 * (means[max(CONCENTRATIONS)] - means[min(CONCENTRATIONS)]).round(3)
    by_server, means = spread(skewed, "server_optimizer")
    by_server["best - worst"] = 100 * (means.max(axis=1) - means.min(axis=1)).round(3)
    return by_concentration, by_server


def report(runs: pd.DataFrame) -> None:
    by_concentration, by_server = summarise(runs)
    print(f"Accuracy in % after {ROUNDS} rounds, mean ± standard deviation over seeds, by concentration")
    print(by_concentration.to_string())
    print(f"\nThe same at concentration {SKEWED:g}, by server optimizer")
    print(by_server.to_string())
    runs[runs["round_num"] == ROUNDS].to_csv(DOCS / "pretraining_matters.csv", index=False, float_format="%.4f")
    plot_pretraining_matters(runs).savefig(DOCS / "pretraining_matters.png", dpi=110)


@click.group(help=__doc__.split("\n\n")[0])
def main():
    pass


@main.command("run")
@click.option("--seeds", default=3, show_default=True, type=click.IntRange(2))
@click.option("--depth", "depths", multiple=True, type=click.Choice(DEPTHS), help="May be repeated; default: all four.")
@click.option("--anew", is_flag=True, help="Forget the runs on disk.")
def run(seeds, depths, anew):
    """All runs; those that are on disk are not made again."""
    RUNS.parent.mkdir(exist_ok=True)
    done = pd.DataFrame(columns=[*KEYS, "round_num", "accuracy"])
    if RUNS.exists() and not anew:
        done = pd.read_csv(RUNS)
    wanted = wanted_runs(list(depths) or DEPTHS, seeds)
    known = set(done[KEYS].itertuples(index=False, name=None))
    missing = wanted[[row not in known for row in wanted.itertuples(index=False, name=None)]]
    with tqdm(total=len(missing), unit="run") as bar:
        for (name, depth, server, seed), group in missing.groupby(
            [k for k in KEYS if k != "concentration"], sort=False
        ):
            training = Training(name, depth, seed, server=server)
            for concentration in group["concentration"]:
                rows = [
                    (name, depth, server, concentration, seed, round_num, accuracy)
                    for round_num, accuracy in training.run(concentration)
                ]
                rows = pd.DataFrame(rows, columns=done.columns)
                done = pd.concat([done, rows], ignore_index=True) if len(done) else rows
                done.to_csv(RUNS, index=False, float_format="%.4f")
                bar.update()
    report(done)


@main.command("table")
def table():
    """Tables and figure from the runs on disk."""
    report(pd.read_csv(RUNS))


@main.command("tune")
@click.option("--depth", "depths", multiple=True, type=click.Choice(DEPTHS))
@click.option("--dataset", "name", default="fashion", show_default=True, type=click.Choice(DATASETS))
def tune(depths, name):
    """Accuracy by learning rate, at concentration 1 and with a seed that `run` does not use."""
    for depth in depths or DEPTHS:
        best = {}
        for client_lr in CLIENT_LR_GRID[depth]:
            best[client_lr] = _tuning_run(name, depth, "sgd", client_lr, None)
        client_lr = max(best, key=best.get)
        for server, grid in SERVER_LR_GRID.items():
            if depth in SERVER_LR[server]:
                for server_lr in grid:
                    _tuning_run(name, depth, server, client_lr, server_lr)


def _tuning_run(name, depth, server, client_lr, server_lr) -> float:
    training = Training(name, depth, TUNING_SEED, server=server, client_lr=client_lr, server_lr=server_lr)
    accuracy = training.run(1.0)[-1][1]
    print(f"{name} {depth} {server}: client_lr {client_lr:g}, server_lr {server_lr or 1:g}: {accuracy:.3f}", flush=True)
    return accuracy


if __name__ == "__main__":
    main()
