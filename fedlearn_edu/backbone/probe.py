"""Measures a backbone: accuracy of a linear probe on the bundled images, beside raw pixels, and speed.

python -m fedlearn_edu.backbone.probe --backbone bundled
python -m fedlearn_edu.backbone.probe --backbone bundled --card fedlearn_edu/backbone/assets/bundled/MODEL_CARD.md
"""

from __future__ import annotations

import time

import click
import numpy as np

from fedlearn_edu.backbone.hub import load_backbone
from fedlearn_edu.backbone.model_card import write_table
from fedlearn_edu.data.datasets import load_dataset
from fedlearn_edu.errors import FedlearnError

NUM_TRAIN, NUM_TEST = 6_000, 2_000
_STRENGTHS = (1e-4, 1e-3, 1e-2, 1e-1)


def linear_probe(features: np.ndarray, labels: np.ndarray, *, seed: int) -> float:
    """Returns the accuracy of logistic regression: 6,000 examples train it, 2,000 others test it.

    Features are standardised by the training examples. The L2 strength is chosen on a sixth of the training
    examples, never on the test examples.

    Args:
        features: float `[num_examples, dim]`, at least 8,000 examples.
        labels: int `[num_examples]`.
        seed: Of the split.
    """
    # TFF brings scikit-learn along.
    from sklearn.linear_model import LogisticRegression

    order = np.random.default_rng(seed).permutation(len(features))
    train, test = order[:NUM_TRAIN], order[NUM_TRAIN : NUM_TRAIN + NUM_TEST]
    mean, deviation = features[train].mean(axis=0), features[train].std(axis=0)
    scaled = ((features - mean) / np.maximum(deviation, 1e-6)).astype(np.float32)

    def accuracy(strength, fit_on, score_on):
        model = LogisticRegression(C=strength, max_iter=500, tol=1e-3).fit(scaled[fit_on], labels[fit_on])
        return model.score(scaled[score_on], labels[score_on])

    fit_on, choose_on = train[: NUM_TRAIN * 5 // 6], train[NUM_TRAIN * 5 // 6 :]
    best = max(_STRENGTHS, key=lambda strength: accuracy(strength, fit_on, choose_on))
    return accuracy(best, train, test)


def probe_table(names: list[str], *, num_splits: int = 3, seed: int = 0) -> str:
    """Measures each backbone, and raw pixels, on Fashion-MNIST's test images; returns a Markdown table."""
    dataset = load_dataset("fashion")
    images, labels = dataset.images, dataset.labels
    rows = [("raw pixels", images[..., 0].reshape(len(images), -1) / np.float32(255), None)]
    for name in names:
        backbone = load_backbone(name)
        backbone.features(images[:256])  # traces the graph
        start = time.monotonic()
        features = backbone.features(images[: NUM_TRAIN + NUM_TEST])
        speed = len(features) / (time.monotonic() - start)
        rows.append((f"{name}, {backbone.image_size} px, {backbone.num_parameters:,} parameters", features, speed))
    lines = [
        f"Linear probe (logistic regression) on {NUM_TRAIN:,} of Fashion-MNIST's test images, tested on {NUM_TEST:,} "
        f"others; mean and range over {num_splits} random splits, seeds {seed} to {seed + num_splits - 1}.",
        "",
        "| features | dim | accuracy | range | images/s |",
        "|---|---|---|---|---|",
    ]
    for name, features, speed in rows:
        # The rows that were not extracted are not drawn either: every split permutes the first 8,000.
        count = NUM_TRAIN + NUM_TEST
        scores = [linear_probe(features[:count], labels[:count], seed=seed + i) for i in range(num_splits)]
        rate = "" if speed is None else f"{speed:,.0f}"
        lines.append(
            f"| {name} | {features.shape[1]} | {np.mean(scores):.3f} | {min(scores):.3f}-{max(scores):.3f} | {rate} |"
        )
    return "\n".join(lines)


@click.command(help=__doc__.split("\n\n")[0])
@click.option("--backbone", "names", multiple=True, default=["bundled"], show_default=True, help="May be repeated.")
@click.option("--card", type=click.Path(dir_okay=False), help="MODEL_CARD.md to write the table into.")
@click.option("--num-splits", default=3, show_default=True, type=click.IntRange(1))
@click.option("--seed", default=0, show_default=True)
def main(names, card, num_splits, seed):
    try:
        table = probe_table(list(names), num_splits=num_splits, seed=seed)
    except FedlearnError as error:
        click.echo(f"error: {error}", err=True)
        raise SystemExit(error.exit_code) from None
    click.echo(table)
    if card:
        write_table(card, table)


if __name__ == "__main__":
    main()
