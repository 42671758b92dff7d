"""TFF with the Hub layer inside the model against a head on cached features, per round.

    python benchmarks/naive_vs_cached.py
    python benchmarks/naive_vs_cached.py --rounds 5 --clients 4 --images 32

Both ways do one round of unweighted FedAvg on the same images (seeded noise at 224 px, 4 clients x 32 images, batch 16,
one local epoch, client_lr 0.1) with the same backbone, frozen, and a linear head on its features. The naive way is the
one tutorials show: `hub.KerasLayer` in a Keras model, in-memory datasets passed to `next`. The cached way computes the
features once, and its rounds run on them; the time of that one extraction is printed beside the ratio, and so are the
two heads' weights after the same rounds, which must agree.

The backbone is the URL of MobileNetV2 in TF-Hub's own cache (TFHUB_CACHE_DIR) or from the network; `--backbone bundled`
is the small one.
"""

import argparse
import statistics
import tempfile
import time

import numpy as np
import tensorflow as tf
import tensorflow_federated as tff
import tensorflow_hub as hub

import fedlearn_edu as fl
from fedlearn_edu.simulation.client_data import ClientFiles, build_train_computation
from fedlearn_edu.simulation.client_states import compose_with_client_files

IMAGE_SIZE, NUM_CLASSES, BATCH_SIZE, CLIENT_LR = 224, 10, 16, 0.1


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--backbone", default="mobilenet_v2")
    parser.add_argument("--clients", type=int, default=4)
    parser.add_argument("--images", type=int, default=32, help="images per client")
    parser.add_argument("--rounds", type=int, default=3, help="timed rounds of each way")
    arguments = parser.parse_args()
    fl.start_runtime()
    backbone = fl.load_backbone(arguments.backbone)
    dataset = make_images(arguments.clients, arguments.images, seed=0)

    started = time.perf_counter()
    with tempfile.TemporaryDirectory() as cache:
        features = fl.extract_features(dataset, backbone, cache_dir=cache, progress=False)
    extraction = time.perf_counter() - started
    cached_seconds, cached_weights = run_cached(features, arguments.rounds)
    naive_seconds, naive_weights = run_naive(dataset, backbone, arguments.rounds)

    ratio = naive_seconds / cached_seconds
    difference = max(np.abs(a - b).max() for a, b in zip(naive_weights, cached_weights, strict=True))
    print(f"{arguments.clients} clients x {arguments.images} images at {IMAGE_SIZE} px, backbone {backbone.source}")
    print(f"naive   {naive_seconds * 1e3:10.1f} ms a round (backbone inside the model)")
    print(f"cached  {cached_seconds * 1e3:10.1f} ms a round, after {extraction:.1f} s of extraction, once")
    print(f"largest difference of the trained heads: {difference:.1e}")
    print(f"ratio {ratio:.0f}x per round")


def make_images(num_clients: int, num_images: int, *, seed: int) -> fl.FederatedDataset:
    """Seeded noise images: what is in them does not change the time."""
    rng = np.random.default_rng(seed)
    total = num_clients * num_images
    images = rng.integers(0, 256, [total, IMAGE_SIZE, IMAGE_SIZE, 3], dtype=np.uint8)
    labels = rng.integers(0, NUM_CLASSES, total).astype(np.int32)
    rows = np.split(np.arange(total), num_clients)
    clients = {f"client_{i}": fl.ClientSplit(r, np.arange(0)) for i, r in enumerate(rows)}
    return fl.FederatedDataset("noise", images, labels, tuple(map(str, range(NUM_CLASSES))), clients)


def time_rounds(process, data, num_rounds: int):
    """Median seconds of a round after one warm-up round, and the trainable weights at the end."""
    state = process.next(process.initialize(), data).state
    seconds = []
    for _ in range(num_rounds):
        started = time.perf_counter()
        state = process.next(state, data).state
        seconds.append(time.perf_counter() - started)
    return statistics.median(seconds), [np.asarray(w) for w in state.global_model_weights.trainable]


def run_cached(features: fl.FederatedDataset, num_rounds: int):
    process = fl.build_unweighted_fed_avg(fl.linear_head(features), client_lr=CLIENT_LR)
    files = ClientFiles(features)
    training = compose_with_client_files(process, features.feature_dim, num_epochs=1, batch_size=BATCH_SIZE)
    return time_rounds(training, files.told(features.client_ids), num_rounds)


def run_naive(dataset: fl.FederatedDataset, backbone: fl.Backbone, num_rounds: int):
    def model_fn():
        # A new Hub layer per call, as model_fn must build everything anew; zeros, as our linear head starts.
        inputs = tf.keras.Input([IMAGE_SIZE, IMAGE_SIZE, 3])
        head = tf.keras.layers.Dense(NUM_CLASSES, kernel_initializer="zeros")
        keras_model = tf.keras.Model(inputs, head(hub.KerasLayer(backbone.source)(inputs)))
        return tff.learning.models.from_keras_model(
            keras_model,
            loss=tf.keras.losses.SparseCategoricalCrossentropy(from_logits=True),
            metrics=[tf.keras.metrics.SparseCategoricalAccuracy()],
            input_spec=(
                tf.TensorSpec([None, IMAGE_SIZE, IMAGE_SIZE, 3], tf.float32),
                tf.TensorSpec([None], tf.int32),
            ),
        )

    process = tff.learning.algorithms.build_unweighted_fed_avg(model_fn, tff.learning.optimizers.build_sgdm(CLIENT_LR))
    files = ClientFiles(order_as_shuffled(dataset))
    order = build_train_computation(2, num_epochs=1, batch_size=BATCH_SIZE)
    data = []
    for client_id in dataset.client_ids:
        batches = order(*files.told([client_id]))
        rows = np.concatenate([np.asarray(x)[:, 0] for x, _ in batches]).astype(int)
        images = backbone.preprocess(tf.constant(dataset.examples[rows]))
        data.append(tf.data.Dataset.from_tensor_slices((images, dataset.labels[rows])).batch(BATCH_SIZE))
    return time_rounds(process, data, num_rounds)


def order_as_shuffled(dataset: fl.FederatedDataset) -> fl.FederatedDataset:
    """The same clients over row numbers, so that both ways see their images in the same order."""
    rows = np.arange(len(dataset.labels), dtype=np.float32)[:, None]
    return dataset.with_examples(np.repeat(rows, 2, axis=1))


if __name__ == "__main__":
    main()
