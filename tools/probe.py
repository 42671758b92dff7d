"""Measures a backbone: accuracy of a linear probe on the bundled images, beside raw pixels, and speed.

python tools/probe.py --backbone bundled
python tools/probe.py --backbone bundled --card fedlearn_edu/backbone/assets/bundled/MODEL_CARD.md
"""

from __future__ import annotations

import time

import click
import numpy as np

from fedlearn_edu.backbone.hub import load_backbone
from fedlearn_edu.backbone.model_card import write_table
from fedlearn_edu.data.datasets import load_dataset
from fedlearn_edu.data.images import ImageDataset
from fedlearn_edu.errors import FedlearnError

NUM_TRAIN, NUM_TEST = 6_000, 2_000
_STRENGTHS = (1e-4, 1e-3, 1e-2, 1e-1)
_VENDORS = ("noto", "twemoji")


def linear_probe(features: np.ndarray, labels: np.ndarray, *, seed: int) -> float:
    """Returns the accuracy of logistic regression: 6,000 examples train it, 2,000 others test it.

    Features are standardised by the training examples. The L2 strength is chosen on a sixth of the training
    examples, never on the test examples.

    Args:
        features: float `[num_examples, dim]`, at least 8,000 examples.
        labels: int `[num_examples]`.
        seed: Of the split.
    """
    order = np.random.default_rng(seed).permutation(len(features))
    return fit_and_score(features, labels, order[:NUM_TRAIN], order[NUM_TRAIN : NUM_TRAIN + NUM_TEST])


def emoji_probe(
    features: np.ndarray, dataset: ImageDataset, *, train_on: str | None = None, test_on: str | None = None
):
    """Returns the accuracy of logistic regression on the bundled emoji, for emoji it has not been trained on.

    Args:
        features: float `[num_images, dim]`, one row per image of `dataset`.
        dataset: `load_dataset("emoji")`; its fixed split keeps the drawings of one emoji on one side.
        train_on: Only this vendor's drawings train it; all vendors' when not given.
        test_on: Only this vendor's drawings test it.
    """
    vendors = np.asarray(dataset.natural_client_ids)
    train = np.flatnonzero(~dataset.is_test & ((vendors == train_on) | (train_on is None)))
    test = np.flatnonzero(dataset.is_test & ((vendors == test_on) | (test_on is None)))
    # Ordered by emoji, so that the L2 strength, too, is chosen on emoji that no drawing of is trained on.
    emoji = np.unique(dataset.report["emoji"].to_numpy(str), return_inverse=True)[1]
    place = np.random.default_rng(0).permutation(emoji.max() + 1)[emoji]
    return fit_and_score(features, dataset.labels, train[np.argsort(place[train], kind="stable")], test)


def fit_and_score(features: np.ndarray, labels: np.ndarray, train: np.ndarray, test: np.ndarray) -> float:
    """Fits on the rows `train`, the L2 strength chosen on their last sixth, and scores on the rows `test`."""
    # TFF brings scikit-learn along.
    from sklearn.linear_model import LogisticRegression

    mean, deviation = features[train].mean(axis=0), features[train].std(axis=0)
    # What is constant in training tells nothing; divided by a deviation of nearly 0, one test image would be millions.
    varies = deviation > 1e-3 * deviation.max()
    scaled = ((features[:, varies] - mean[varies]) / deviation[varies]).astype(np.float32)

    def accuracy(strength, fit_on, score_on):
        model = LogisticRegression(C=strength, max_iter=500, tol=1e-3).fit(scaled[fit_on], labels[fit_on])
        return model.score(scaled[score_on], labels[score_on])

    fit_on, choose_on = np.split(train, [len(train) * 5 // 6])
    best = max(_STRENGTHS, key=lambda strength: accuracy(strength, fit_on, choose_on))
    return accuracy(best, train, test)


def probe_table(names: list[str], *, num_splits: int = 3, seed: int = 0) -> str:
    """Measures each backbone, and raw pixels, on the two bundled data sets; returns a Markdown table."""
    fashion, emoji = load_dataset("fashion"), load_dataset("emoji")
    # Rows that no split draws are not extracted either: every split permutes the first 8,000.
    images, labels = (part[: NUM_TRAIN + NUM_TEST] for part in (fashion.images, fashion.labels))
    rows = [("raw pixels", _pixels(images[..., :1]), _pixels(emoji.images[:, ::2, ::2]), "")]
    for name in names:
        backbone = load_backbone(name)
        backbone.features(images[:256])  # traces the graph
        start = time.monotonic()
        features = backbone.features(images)
        speed = f"{len(features) / (time.monotonic() - start):,.0f}"
        label = f"{name}, {backbone.image_size} px, {backbone.num_parameters:,} parameters"
        rows.append((label, features, backbone.features(emoji.images), speed))
    most_frequent = np.bincount(emoji.labels[emoji.is_test]).max() / emoji.is_test.sum()
    lines = [
        f"Linear probe (logistic regression). Fashion: {NUM_TRAIN:,} of Fashion-MNIST's test images train it, "
        f"{NUM_TEST:,} others test it; mean and range over {num_splits} random splits, seeds {seed} to "
        f"{seed + num_splits - 1}. Emoji: the data set's own split, {int((~emoji.is_test).sum()):,} drawings train it, "
        f"{int(emoji.is_test.sum()):,} drawings of other emoji test it (the most frequent group makes "
        f"{most_frequent:.3f}); {_VENDORS[0]} to {_VENDORS[1]} trains on one vendor's drawings and tests on another's.",
        "",
        f"| features | fashion | range | emoji | {_VENDORS[0]} to {_VENDORS[1]} | images/s |",
        "|---|---|---|---|---|---|",
    ]
    for name, on_fashion, on_emoji, speed in rows:
        scores = [linear_probe(on_fashion, labels, seed=seed + i) for i in range(num_splits)]
        pooled = emoji_probe(on_emoji, emoji)
        across = emoji_probe(on_emoji, emoji, train_on=_VENDORS[0], test_on=_VENDORS[1])
        lines.append(
            f"| {name} | {np.mean(scores):.3f} | {min(scores):.3f}-{max(scores):.3f} | {pooled:.3f} | {across:.3f} "
            f"| {speed} |"
        )
    return "\n".join(lines)


def _pixels(images: np.ndarray) -> np.ndarray:
    return images.reshape(len(images), -1) / np.float32(255)


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
