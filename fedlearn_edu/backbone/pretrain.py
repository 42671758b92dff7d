"""Pre-trains the bundled backbone: distils a teacher's features into a small MobileNetV2, without any label.

    python -m fedlearn_edu.backbone.pretrain --fashion-train train-images-idx3-ubyte.gz \\
        --emoji-font NotoColorEmoji.ttf --teacher URL_OR_DIR --output DIR

The method. The teacher's feature vector of every public image is computed once and standardised per dimension.
The student, a MobileNetV2 of width 0.35 at 64 x 64 pixels, learns to predict it through a linear layer that is thrown
away afterwards (mean squared error). Unlabelled images are enough; what the teacher knows comes along (Hinton,
Vinyals, Dean, "Distilling the Knowledge in a Neural Network", 2015, arXiv:1503.02531; features as targets: Romero et
al., "FitNets", ICLR 2015, arXiv:1412.6550).
"""

from __future__ import annotations

import dataclasses
import hashlib
import pathlib
import shutil
import time

import click
import numpy as np
import tensorflow as tf
from tqdm.auto import tqdm

from fedlearn_edu.backbone import public_images
from fedlearn_edu.backbone.model_card import render_card
from fedlearn_edu.backbone.publish import publish
from fedlearn_edu.backbone.teacher import load_teacher, standardise, teacher_features
from fedlearn_edu.errors import FedlearnError, UsageError

# Keras builds MobileNetV2 with momentum 0.999: after a few thousand steps the moving statistics that inference
# uses still remember the initial values. 0.9 forgets them within a few dozen steps.
_BATCH_NORM_MOMENTUM = 0.9


@dataclasses.dataclass(frozen=True)
class Recipe:
    """Everything that decides the outcome of a pre-training run, except the files it reads.

    Attributes:
        num_fashion: Unlabelled Fashion-MNIST training images, drawn at random.
        num_emoji: Scenes drawn from the emoji font.
        teacher_size: Teacher input in pixels, at least 32.
        image_size: Student input in pixels, a multiple of 32.
        alpha: Student width, one of the widths MobileNetV2 is defined for.
        epochs: Passes over the images in the first stage, at least 1.
        batch_size: Images a step, a multiple of 8. A step works on two half-batches side by side, so that two cores
            are busy; BatchNorm sees half-batches.
        learning_rate: Start of Adam's cosine decay.
        refine_epochs: Passes in the second stage, 0 for none: batches of half the size, and targets standardised
            within each group of images. Across groups, most of the variance is whether an image is clothing or emoji;
            within, it is what tells one piece of clothing from another.
        refine_learning_rate: Start of Adam's cosine decay in the second stage.
        seed: Of the image choice, the scenes, the initial weights and the order.
    """

    num_fashion: int = 20_000
    num_emoji: int = 15_000
    teacher_size: int = 96
    image_size: int = 64
    alpha: float = 0.35
    epochs: int = 6
    batch_size: int = 128
    learning_rate: float = 3e-3
    refine_epochs: int = 4
    refine_learning_rate: float = 2e-3
    seed: int = 0

    def __post_init__(self):
        minima = {"num_fashion": 0, "num_emoji": 0, "teacher_size": 32, "epochs": 1, "refine_epochs": 0}
        for name, minimum in minima.items():
            if getattr(self, name) < minimum:
                raise UsageError(f"{name}: expected at least {minimum}, got {getattr(self, name)}")
        if self.batch_size < 8 or self.batch_size % 8:
            raise UsageError(f"batch_size: expected a multiple of 8, got {self.batch_size}")
        if self.num_fashion + self.num_emoji < self.batch_size:
            raise UsageError(
                f"batch_size: {self.batch_size} is more than the {self.num_fashion + self.num_emoji} images"
            )
        if self.image_size < 32 or self.image_size % 32:
            raise UsageError(f"image_size: expected a multiple of 32, got {self.image_size}")
        for name in ("learning_rate", "refine_learning_rate"):
            if not 0 < getattr(self, name) <= 1:
                raise UsageError(f"{name}: expected a number in (0, 1], got {getattr(self, name)}")


def build_student(recipe: Recipe) -> tf.keras.Model:
    """Returns an untrained student: MobileNetV2 without its classifier, each feature standardised.

    The standardising BatchNorm has no scale and offset of its own: whatever linear head comes next has them.

    Shapes:
        `[batch, image_size, image_size, 3]` in [0, 1] -> `[batch, 1280]`.
    """
    size = recipe.image_size
    images = tf.keras.Input([size, size, 3], name="inputs")
    network = tf.keras.applications.MobileNetV2(
        input_shape=(size, size, 3), alpha=recipe.alpha, include_top=False, weights=None, pooling="avg"
    )
    # MobileNetV2 is defined on [-1, 1], a TF-Hub image module on [0, 1].
    centred = tf.keras.layers.Rescaling(2.0, offset=-1.0)(images)
    features = tf.keras.layers.BatchNormalization(center=False, scale=False, name="standardise")(network(centred))
    model = tf.keras.Model(images, features)
    for layer in [*network.layers, *model.layers]:
        if isinstance(layer, tf.keras.layers.BatchNormalization):
            layer.momentum = _BATCH_NORM_MOMENTUM
    return model


def draw_public_images(recipe: Recipe, *, fashion_train: str, emoji_font: str) -> list[np.ndarray]:
    """Returns the two groups of unlabelled images, each uint8 `[num_images, height, width, 3]`."""
    fashion = public_images.read_idx_images(fashion_train)
    if len(fashion) < recipe.num_fashion:
        raise UsageError(
            f"num_fashion: expected at most {len(fashion)} (all images of the file), got {recipe.num_fashion}"
        )
    chosen = np.sort(np.random.default_rng(recipe.seed).permutation(len(fashion))[: recipe.num_fashion])
    emoji = public_images.read_emoji(emoji_font)
    return [fashion[chosen], public_images.draw_emoji_scenes(emoji, recipe.num_emoji, seed=recipe.seed)]


def to_student_size(groups: list[np.ndarray], size: int) -> np.ndarray:
    """Returns all images at `size` as one uint8 array (float32 would need four times the memory)."""
    resized = np.empty([sum(map(len, groups)), size, size, 3], np.uint8)
    row = 0
    for images in groups:
        for start in range(0, len(images), 1024):
            block = images[start : start + 1024].astype(np.float32)
            block = tf.image.resize(block, [size, size], antialias=True).numpy()
            resized[row : row + len(block)] = np.clip(np.rint(block), 0, 255)
            row += len(block)
    return resized


def distil(
    recipe: Recipe, images: np.ndarray, features: list[np.ndarray], *, checkpoint_dir: pathlib.Path
) -> tuple[tf.keras.Model, list[float]]:
    """Trains a student whose features predict the teacher's linearly, in two stages.

    Args:
        recipe: What to build and how long to train it.
        images: uint8 `[num_images, image_size, image_size, 3]`, all groups one after the other.
        features: The teacher's, float32 `[num_group_images, teacher_dim]` per group.
        checkpoint_dir: Where the state after each epoch is kept; a run that was interrupted goes on from there.

    Returns:
        The trained student, and the mean squared error of each epoch (1.0 is what the mean alone reaches).
    """
    tf.keras.utils.set_random_seed(recipe.seed)
    student = build_student(recipe)
    # It takes over the linear part of the task (four times the student's size) and is not published.
    projection = tf.keras.layers.Dense(features[0].shape[1], name="projection")
    projection.build(student.output_shape)
    across = standardise(np.concatenate(features))
    stages = [(recipe.epochs, recipe.batch_size, recipe.learning_rate, across)]
    if recipe.refine_epochs:
        within = np.concatenate([standardise(group) for group in features])
        stages.append((recipe.refine_epochs, recipe.batch_size // 2, recipe.refine_learning_rate, within))
    losses = []
    for number, (epochs, batch_size, learning_rate, targets) in enumerate(stages):
        losses += train_stage(
            (student, projection),
            images,
            targets,
            epochs=epochs,
            batch_size=batch_size,
            learning_rate=learning_rate,
            seed=recipe.seed + number,
            checkpoint_dir=checkpoint_dir / f"stage_{number + 1}",
        )
    return student, losses


def train_stage(networks, images, targets, *, epochs, batch_size, learning_rate, seed, checkpoint_dir) -> list[float]:
    """Trains student and projection for some epochs, or goes on where a checkpoint left them; returns the errors."""
    student, projection = networks
    variables = student.trainable_variables + projection.trainable_variables
    steps = len(images) // batch_size
    optimizer = tf.keras.optimizers.Adam(tf.keras.optimizers.schedules.CosineDecay(learning_rate, steps * epochs))
    optimizer.build(variables)

    def error(batch, target):
        predicted = projection(student(tf.cast(batch, tf.float32) / 255.0, training=True))
        return tf.reduce_mean(tf.square(predicted - target))

    @tf.function
    def train_step(batch, target):
        with tf.GradientTape() as tape:
            halves = zip(tf.split(batch, 2), tf.split(target, 2), strict=True)
            loss = sum(error(*half) for half in halves) / 2
        optimizer.apply_gradients(zip(tape.gradient(loss, variables), variables, strict=True))
        return loss

    losses = tf.Variable(tf.zeros([epochs]))
    done = tf.Variable(0)
    state = tf.train.Checkpoint(student=student, projection=projection, optimizer=optimizer, losses=losses, done=done)
    manager = tf.train.CheckpointManager(state, str(checkpoint_dir), max_to_keep=1)
    manager.restore_or_initialize()
    rng = np.random.default_rng(seed)
    with tqdm(total=steps * epochs * batch_size, desc="distil", unit="image") as bar:
        for epoch in range(epochs):
            order, total = rng.permutation(len(images)), 0.0
            if epoch < int(done):
                bar.update(steps * batch_size)
                continue
            for step in range(steps):
                rows = order[step * batch_size : (step + 1) * batch_size]
                total += float(train_step(images[rows], targets[rows]))
                bar.update(len(rows))
                bar.set_postfix(mse=f"{total / (step + 1):.4f}", refresh=False)
            losses.assign(tf.tensor_scatter_nd_update(losses, [[epoch]], [total / steps]))
            done.assign(epoch + 1)
            manager.save()
    return losses.numpy().tolist()


@click.command(help=__doc__.split("\n\n")[0])
@click.option("--fashion-train", required=True, metavar="FILE", help="train-images-idx3-ubyte.gz of Fashion-MNIST.")
@click.option("--emoji-font", required=True, metavar="FILE", help="NotoColorEmoji.ttf with colour bitmaps (CBDT).")
@click.option("--teacher", required=True, metavar="URL|DIR", help="A TF-Hub image feature vector.")
@click.option("--teacher-note", default="not described", help="What the teacher is and its licence, for the card.")
@click.option("--output", required=True, metavar="DIR", help="Where to publish the module; must not exist yet.")
@click.option("--seed", default=0, show_default=True)
@click.option("--epochs", default=6, show_default=True)
@click.option("--num-fashion", default=20_000, show_default=True)
@click.option("--num-emoji", default=15_000, show_default=True)
@click.option("--teacher-size", default=96, show_default=True, help="Teacher input in pixels.")
@click.option("--image-size", default=64, show_default=True, help="Student input in pixels.")
@click.option("--alpha", default=0.35, show_default=True, help="Student width.")
@click.option("--batch-size", default=128, show_default=True)
@click.option("--learning-rate", default=3e-3, show_default=True)
@click.option("--refine-epochs", default=4, show_default=True, help="Second stage, on targets within each group.")
@click.option("--refine-learning-rate", default=2e-3, show_default=True)
def main(fashion_train, emoji_font, teacher, teacher_note, output, **recipe):
    try:
        pretrain(Recipe(**recipe), fashion_train, emoji_font, teacher, output, teacher_note=teacher_note)
    except FedlearnError as error:
        click.echo(f"error: {error}", err=True)
        raise SystemExit(error.exit_code) from None


def pretrain(
    recipe: Recipe, fashion_train: str, emoji_font: str, teacher: str, output: str, *, teacher_note: str
) -> None:
    """Runs the whole recipe and publishes the student in `output`; its weights are also kept beside it."""
    directory = pathlib.Path(output)
    if directory.exists():
        raise UsageError(f"output: expected a folder that does not exist yet, got {output!r}")
    directory.parent.mkdir(parents=True, exist_ok=True)
    start = time.monotonic()
    groups = draw_public_images(recipe, fashion_train=fashion_train, emoji_font=emoji_font)
    features = teacher_features(groups, load_teacher(teacher, image_size=recipe.teacher_size))
    key = hashlib.sha256(repr((recipe, fashion_train, emoji_font, teacher)).encode()).hexdigest()[:12]
    checkpoint_dir = directory.with_name(f"{directory.name}.checkpoint-{key}")
    images = to_student_size(groups, recipe.image_size)
    training_started = time.monotonic()
    student, losses = distil(recipe, images, features, checkpoint_dir=checkpoint_dir)
    student_seconds = time.monotonic() - training_started
    # Minutes of work: on disk before anything else can fail. build_student().load_weights() reads them back.
    student.save_weights(directory.with_name(directory.name + ".weights.h5"))
    card = render_card(recipe, losses, teacher_note, student_seconds)
    publish(student, directory, card=card)
    shutil.rmtree(checkpoint_dir)
    click.echo(f"published {directory}: mse {losses[0]:.3f} -> {losses[-1]:.3f} in {time.monotonic() - start:.0f} s")


if __name__ == "__main__":
    main()
