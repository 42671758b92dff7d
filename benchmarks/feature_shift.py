"""Clients whose images look different: does a batch normalisation of one's own (FedBN) help?

    python benchmarks/feature_shift.py run      # all runs; prints the table

The setting: 1,600 images of Fashion over 8 clients, labels IID; every client takes its pictures in a way of its own
(SHIFTS), training and test images alike. The bundled backbone; all clients in each of 10 rounds of one local epoch in
batches of 20, learning rate 0.05. "Head": the backbone is frozen. "Batch norm": the scale and offset of every batch
normalisation are trained with the head; all are averaged (FedAvg), or each client keeps its own (FedBN). Batch
statistics are the stored ones throughout. Nothing was tuned.
"""

from __future__ import annotations

import dataclasses

import click
import numpy as np
import pandas as pd
from PIL import Image, ImageFilter
from tqdm import tqdm

import fedlearn_edu as fl

NUM_IMAGES, ROUNDS, BATCH_SIZE, LEARNING_RATE = 1_600, 10, 20, 0.05


def _filtered(kind):
    def apply(images, rng):
        return np.stack([np.asarray(Image.fromarray(image).filter(kind)) for image in images])

    return apply


SHIFTS = {
    "as it is": lambda images, rng: images,
    "dark": lambda images, rng: images * 0.25,
    "bright": lambda images, rng: 255 - (255 - images) * 0.4,
    "low contrast": lambda images, rng: 96 + images * 0.25,
    "negative": lambda images, rng: 255 - images,
    "noisy": lambda images, rng: images + rng.normal(0, 40, images.shape),
    "blurred": _filtered(ImageFilter.GaussianBlur(1.5)),
    "reddish": lambda images, rng: images * np.array([1.0, 0.4, 0.4]),
}


def make_clients(seed: int) -> fl.FederatedDataset:
    """Returns one client per shift, named after it."""
    dataset, rng = fl.load_dataset("fashion"), np.random.default_rng(seed)
    rows = np.sort(rng.choice(len(dataset.labels), NUM_IMAGES, replace=False))
    dataset = dataclasses.replace(dataset, images=dataset.images[rows], labels=dataset.labels[rows])
    clients = fl.partition(dataset, fl.IID(), num_clients=len(SHIFTS), seed=seed)
    examples = clients.examples.copy()
    for shift, split in zip(SHIFTS.values(), clients.clients.values(), strict=True):
        shifted = shift(examples[split.all], rng)
        examples[split.all] = np.clip(np.rint(shifted), 0, 255)
    named = dict(zip(SHIFTS, clients.clients.values(), strict=True))
    return dataclasses.replace(clients, examples=examples, clients=named)


def run_seed(seed: int):
    """Yields `(method, accuracies by client)`."""
    clients, backbone = make_clients(seed), fl.load_backbone("bundled")
    for depth in ("head", "batch_norm"):
        split = fl.split_backbone(backbone, depth)
        features = fl.extract_features(clients, split, progress=False)
        model = fl.fine_tuned_backbone(features, split)
        builders = {f"{depth}, FedAvg": fl.build_weighted_fed_avg(model, client_lr=LEARNING_RATE)}
        if depth == "batch_norm":
            builders["batch_norm, FedBN"] = fl.build_fed_bn(model, split, client_lr=LEARNING_RATE)
        for method, process in builders.items():
            history = fl.run_rounds(
                process,
                features,
                num_rounds=ROUNDS,
                clients_per_round=len(SHIFTS),
                batch_size=BATCH_SIZE,
                evaluate_every=ROUNDS,
                seed=seed,
                progress=False,
            )
            yield method, fl.before_and_after(history)["after"]


@click.group(help=__doc__.split("\n\n")[0])
def main():
    pass


@main.command("run")
@click.option("--seeds", default=3, show_default=True, type=click.IntRange(2))
def run(seeds):
    """All runs and their table: accuracy in % by client, mean and standard deviation over seeds."""
    rows = [
        (method, client_id, accuracy)
        for seed in tqdm(range(1, seeds + 1), unit="seed")
        for method, accuracies in run_seed(seed)
        for client_id, accuracy in [*accuracies.items(), ("mean of clients", accuracies.mean())]
    ]
    cells = pd.DataFrame(rows, columns=["method", "client", "accuracy"]).groupby(["client", "method"])["accuracy"]
    text = cells.agg(lambda values: f"{100 * values.mean():.1f} ± {100 * values.std():.1f}").unstack()
    print(text.reindex(index=[*SHIFTS, "mean of clients"], columns=list(dict.fromkeys(row[0] for row in rows))))


if __name__ == "__main__":
    main()
