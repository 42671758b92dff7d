"""The loop of pre-training: a student and the layer that is thrown away, epoch by epoch, interrupted or not."""

from __future__ import annotations

import pathlib
import sys
import time

import numpy as np
import pandas as pd
import tensorflow as tf

from fedlearn_edu.bars import progress_bar, start_clock

_EVALUATION_BATCH = 128


def fit(
    networks: tuple[tf.keras.Model, tf.keras.layers.Layer],
    images: np.ndarray,
    targets: np.ndarray,
    *,
    epochs: int,
    batch_size: int,
    learning_rate: float,
    seed: int,
    checkpoint_dir: pathlib.Path,
    held_out: tuple[np.ndarray, np.ndarray] | None = None,
    augment: bool = False,
    progress: bool = True,
) -> pd.DataFrame:
    """Trains a student and its last layer for some epochs, or goes on where a checkpoint left them.

    Integer targets are class numbers, under cross-entropy; others are vectors, under mean squared error. Adam, its
    learning rate falling to 0 along a cosine.

    Args:
        networks: The student and the layer on its features; both are changed.
        images: uint8 `[num_images, size, size, 3]`.
        targets: int `[num_images]` or float32 `[num_images, dim]`.
        epochs: Passes over the images, at least 1.
        batch_size: Images a step, a multiple of 2. A step works on two half-batches side by side, so that two cores
            are busy; BatchNorm sees half-batches.
        learning_rate: At the first step.
        seed: Of the order and the augmentation.
        checkpoint_dir: Where the state after each epoch is kept; a run that was interrupted goes on from there.
        held_out: Images and targets on which each epoch is measured.
        augment: Mirror half of the images of a batch and shift the batch by up to an eighth of its size.
        progress: Show a progress bar.

    Returns:
        One row an epoch: `epoch` (from 1), `loss`, with `held_out` also `held_out_loss` and for classes
        `held_out_accuracy`, and `seconds` (of the epoch).
    """
    student, last_layer = networks
    variables = student.trainable_variables + last_layer.trainable_variables
    steps = len(images) // batch_size
    optimizer = tf.keras.optimizers.Adam(tf.keras.optimizers.schedules.CosineDecay(learning_rate, steps * epochs))
    optimizer.build(variables)
    has_classes = np.issubdtype(targets.dtype, np.integer)

    def forward(batch, target, *, training):
        outputs = last_layer(student(tf.cast(batch, tf.float32) / 255.0, training=training))
        if not has_classes:
            return tf.reduce_mean(tf.square(outputs - target)), outputs
        return tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(target, outputs)), outputs

    @tf.function
    def train_step(batch, target):
        with tf.GradientTape() as tape:
            halves = zip(tf.split(batch, 2), tf.split(target, 2), strict=True)
            loss = sum(forward(*half, training=True)[0] for half in halves) / 2
        optimizer.apply_gradients(zip(tape.gradient(loss, variables), variables, strict=True))
        return loss

    @tf.function(reduce_retracing=True)
    def measure(batch, target):
        loss, outputs = forward(batch, target, training=False)
        if not has_classes:
            return [loss]
        right = tf.argmax(outputs, axis=-1, output_type=target.dtype) == target
        return [loss, tf.reduce_mean(tf.cast(right, tf.float32))]

    columns = ["loss"]
    if held_out is not None:
        columns += ["held_out_loss", "held_out_accuracy"] if has_classes else ["held_out_loss"]
    columns.append("seconds")
    curve = tf.Variable(tf.zeros([epochs, len(columns)]))
    done = tf.Variable(0)
    state = tf.train.Checkpoint(student=student, projection=last_layer, optimizer=optimizer, curve=curve, done=done)
    manager = tf.train.CheckpointManager(state, str(checkpoint_dir), max_to_keep=1)
    manager.restore_or_initialize()
    rng = np.random.default_rng(seed)
    before, total_images = (number * steps * batch_size for number in (int(done), epochs))
    with progress_bar(total=total_images, initial=before, desc="pre-train", unit="image", disable=not progress) as bar:
        is_first = True
        for epoch in range(epochs):
            order, total, started = rng.permutation(len(images)), 0.0, time.monotonic()
            if epoch < int(done):
                continue
            for step in range(steps):
                rows = order[step * batch_size : (step + 1) * batch_size]
                batch = images[rows]
                if augment:
                    batch = _augmented(batch, np.random.default_rng([seed, epoch, step]))
                total += float(train_step(batch, targets[rows]))
                if is_first:  # it built the graph
                    start_clock(bar, (epoch * steps + 1) * batch_size)
                    is_first = False
                else:
                    bar.update(len(rows))
                bar.set_postfix(epoch=f"{epoch + 1}/{epochs}", loss=f"{total / (step + 1):.4f}", refresh=False)
            measured = [total / steps]
            if epoch + 1 == epochs and held_out is not None and progress:
                bar.close()
                print("measuring the last epoch ...", file=sys.stderr)
            if held_out is not None:
                measured += _mean_over_batches(measure, *held_out)
            row = [*measured, time.monotonic() - started]
            curve.assign(tf.tensor_scatter_nd_update(curve, [[epoch]], [row]))
            done.assign(epoch + 1)
            manager.save()
    table = pd.DataFrame(curve.numpy().astype(float), columns=columns)
    table.insert(0, "epoch", range(1, epochs + 1))
    return table


def _mean_over_batches(measure, images: np.ndarray, targets: np.ndarray) -> list[float]:
    sums = 0.0
    for start in range(0, len(images), _EVALUATION_BATCH):
        batch = images[start : start + _EVALUATION_BATCH]
        sums += len(batch) * np.array(measure(batch, targets[start : start + _EVALUATION_BATCH]))
    return list(sums / len(images))


def _augmented(batch: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Returns the batch with half of the images mirrored, all shifted alike, the edge repeated."""
    mirrored = rng.random(len(batch)) < 0.5
    batch = np.where(mirrored[:, None, None, None], batch[:, :, ::-1], batch)
    size = batch.shape[1]
    reach = size // 8
    rows, columns = (np.clip(np.arange(size) + shift, 0, size - 1) for shift in rng.integers(-reach, reach + 1, 2))
    return batch[:, rows][:, :, columns]
