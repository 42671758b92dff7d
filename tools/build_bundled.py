"""Trains and publishes the backbone that comes with the package.

    python tools/build_bundled.py --fashion-train train-images-idx3-ubyte.gz --icons icons \\
        --teacher URL_OR_DIR --output DIR

1. Public, unlabelled images: Fashion-MNIST's training images, and pictures drawn from the icons of `build_icons`.
2. The student starts as the teacher, compressed to its width in closed form (`compress`).
3. Distillation: through a linear layer that is thrown away afterwards, the student's features predict the teacher's,
   standardised within each of the two groups of images, under mean squared error.

The student is published in TF-Hub's format. Interrupted, it goes on after its last whole epoch.
"""

from __future__ import annotations

import argparse
import dataclasses
import hashlib
import json
import pathlib
import shutil
import time

import numpy as np
import tensorflow as tf
from compress import compress
from icon_scenes import draw_icon_scenes, read_icons
from idx_images import read_idx_images

from fedlearn_edu.backbone.model_card import render_bundled_card
from fedlearn_edu.backbone.pretraining.student import build_student, to_student_size
from fedlearn_edu.backbone.pretraining.teacher import load_teacher, standardise, teacher_features
from fedlearn_edu.backbone.pretraining.training import fit
from fedlearn_edu.backbone.publish import publish
from fedlearn_edu.errors import FedlearnError, UsageError


@dataclasses.dataclass(frozen=True)
class BundledRecipe:
    """What decides the bundled backbone, except the files it is made from.

    Attributes:
        num_fashion: Unlabelled Fashion-MNIST training images, drawn at random.
        num_icons: Pictures drawn from the icons.
        num_compress: Images, both kinds alike, on which the teacher is compressed.
        teacher_size: Teacher input in pixels when it gives the targets.
        image_size: Student input in pixels, a multiple of 32.
        alpha: Student width as a share of MobileNetV2 1.0.
        epochs: Passes over the images.
        batch_size: Images a step, worked on as two halves side by side.
        learning_rate: Start of Adam's cosine decay.
        seed: Of the image choice, the pictures and the order.
    """

    num_fashion: int = 60_000
    num_icons: int = 60_000
    num_compress: int = 1_500
    teacher_size: int = 96
    image_size: int = 64
    alpha: float = 0.45
    epochs: int = 12
    batch_size: int = 128
    learning_rate: float = 1e-3
    seed: int = 0


def build(recipe: BundledRecipe, *, fashion_train: str, icons: str, teacher: str, teacher_note: str, output: str):
    """Runs the whole recipe and publishes the student in `output`, which must not exist yet."""
    directory = pathlib.Path(output)
    if directory.exists():
        raise UsageError(f"output: expected a folder that does not exist yet, got {output!r}")
    sources = json.loads((pathlib.Path(icons) / "sources.json").read_text(encoding="utf-8"))
    groups = [
        _choose(read_idx_images(fashion_train), recipe.num_fashion, recipe.seed),
        draw_icon_scenes(read_icons(icons), recipe.num_icons, size=recipe.teacher_size, seed=recipe.seed),
    ]
    features = teacher_features(groups, load_teacher(teacher, image_size=recipe.teacher_size))
    targets = np.concatenate([standardise(group) for group in features])
    images = to_student_size(groups, recipe.image_size)
    del groups, features

    started = time.monotonic()
    tf.keras.utils.set_random_seed(recipe.seed)
    student = build_student(image_size=recipe.image_size, alpha=recipe.alpha)
    key = hashlib.sha256(repr((recipe, fashion_train, sources, teacher)).encode()).hexdigest()[:12]
    checkpoint_dir = directory.with_name(f"{directory.name}.checkpoint-{key}")
    if not checkpoint_dir.exists():
        sample = _choose(images, recipe.num_compress, recipe.seed)
        compress(load_teacher(teacher, image_size=recipe.image_size).layer, student, sample)
    # The compressed student's features are the teacher's, nearly: no projection is the place to start from.
    projection = tf.keras.layers.Dense(targets.shape[1], kernel_initializer="identity", name="projection")
    projection.build(student.output_shape)
    curve = fit(
        (student, projection),
        images,
        targets,
        epochs=recipe.epochs,
        batch_size=recipe.batch_size,
        learning_rate=recipe.learning_rate,
        seed=recipe.seed,
        checkpoint_dir=checkpoint_dir,
    )
    errors = curve["loss"].tolist()
    seconds = time.monotonic() - started
    student.save_weights(directory.with_name(directory.name + ".weights.h5"))
    publish(student, directory, card=render_bundled_card(recipe, sources, errors, teacher_note, seconds))
    shutil.rmtree(checkpoint_dir)
    return errors


def _choose(images: np.ndarray, count: int, seed: int) -> np.ndarray:
    """Returns `count` of the images, drawn at random, in their own order."""
    if count > len(images):
        raise UsageError(f"expected at most {len(images)} images, got {count}")
    return images[np.sort(np.random.default_rng(seed).permutation(len(images))[:count])]


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("--fashion-train", required=True, help="train-images-idx3-ubyte.gz of Fashion-MNIST")
    parser.add_argument("--icons", required=True, help="folder that build_icons wrote")
    parser.add_argument("--teacher", required=True, help="URL or folder of MobileNetV2 1.0 in TF-Hub's format")
    parser.add_argument("--teacher-note", default="Not described.", help="what the teacher is and its licence")
    parser.add_argument("--output", required=True, help="folder to create")
    for field in dataclasses.fields(BundledRecipe):
        parser.add_argument(f"--{field.name.replace('_', '-')}", type=type(field.default), default=field.default)
    options = vars(parser.parse_args(arguments))
    files = {name: options.pop(name) for name in ("fashion_train", "icons", "teacher", "teacher_note", "output")}
    try:
        errors = build(BundledRecipe(**options), **files)
    except FedlearnError as error:
        parser.exit(error.exit_code, f"error: {error}\n")
    print(f"published {files['output']}: mse {errors[0]:.3f} -> {errors[-1]:.3f}")


if __name__ == "__main__":
    main()
