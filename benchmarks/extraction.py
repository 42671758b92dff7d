"""Feature extraction with an empty cache (hashing, resizing, writing included) against bare Keras predict.

    python benchmarks/extraction.py
    python benchmarks/extraction.py --backbone mobilenet_v2 --num-images 256

Bare Keras is a `tf.keras` model around the same hub layer, given the images already resized to [0, 1]; of the batch
sizes 32 (Keras' default) and ours the quicker one counts. All run in turns in one process; the ratio printed
is median Keras seconds / median seconds of ours: 1.0 is Keras' speed, more is quicker.
"""

from __future__ import annotations

import statistics
import tempfile
import time

import click
import numpy as np
import tensorflow as tf

import fedlearn_edu as fl
from fedlearn_edu.backbone.hub import default_batch_size

GOAL = 0.95


def seconds(run) -> float:
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def measure(name: str, num_images: int, repeats: int) -> tuple[float, float]:
    """Prints every turn; returns Keras' time divided by ours, by the clock and in CPU seconds."""
    dataset = fl.load_dataset("fashion")
    clients = one_client(dataset, num_images)
    backbone = fl.load_backbone(name)
    preprocessed = np.concatenate(
        [backbone.preprocess(clients.examples[i : i + 256]) for i in range(0, num_images, 256)]
    )
    size = backbone.image_size
    keras_model = tf.keras.Sequential([tf.keras.Input([size, size, 3]), backbone.layer])
    batch_sizes = sorted({32, default_batch_size(size)})

    def ours():
        with tempfile.TemporaryDirectory() as empty:
            fl.extract_features(clients, backbone, cache_dir=empty, progress=False)

    def keras(batch_size):
        keras_model.predict(preprocessed, batch_size=batch_size, verbose=0)

    for run in [ours, *[lambda b=b: keras(b) for b in batch_sizes]]:
        run()  # traces the graphs
    print(f"{name}: {num_images} images at {size} px, batch size {default_batch_size(size)}")
    runs = {"ours": ours} | {f"Keras (batch {b})": lambda b=b: keras(b) for b in batch_sizes}
    wall, cpu = {key: [] for key in runs}, {key: [] for key in runs}
    for turn in range(1, repeats + 1):
        for key, run in runs.items():
            before = time.process_time()
            wall[key].append(seconds(run))
            cpu[key].append(time.process_time() - before)
        print(f"  turn {turn}, images/s: " + ", ".join(f"{k} {num_images / t[-1]:,.0f}" for k, t in wall.items()))
    # Medians first, then the quicker Keras: the best of several noisy turns would flatter it.
    return tuple(
        min(statistics.median(t) for key, t in times.items() if key != "ours") / statistics.median(times["ours"])
        for times in (wall, cpu)
    )


def one_client(dataset: fl.ImageDataset, num_images: int) -> fl.FederatedDataset:
    """Returns one client with the first images: extraction does not care who holds them."""
    images, labels = dataset.images[:num_images], dataset.labels[:num_images]
    split = fl.ClientSplit(train=np.arange(num_images), test=np.arange(0))
    return fl.FederatedDataset(dataset.name, images, labels, dataset.class_names, {"all": split})


@click.command(help=__doc__.split("\n\n")[0])
@click.option("--backbone", "names", multiple=True, default=["bundled", "mobilenet_v2"], show_default=True)
@click.option("--num-images", type=int, help="[default: 4096 at up to 64 px, 256 above]")
@click.option("--repeats", default=5, show_default=True, type=click.IntRange(1))
def main(names, num_images, repeats):
    for name in names:
        try:
            image_size = fl.load_backbone(name).image_size
        except fl.RunError as error:
            print(f"{name}: skipped, {error}")
            continue
        count = num_images or (4096 if image_size <= 64 else 256)
        ratio, cpu_ratio = measure(name, count, repeats)
        print(f"{name}: extraction / bare Keras predict = {ratio:.2f} (medians of {repeats} turns; goal {GOAL})")
        print(f"{name}: in CPU seconds, which a busy machine disturbs less: {cpu_ratio:.2f}")


if __name__ == "__main__":
    main()
