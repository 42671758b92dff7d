"""Pre-trains a MobileNetV2 on public images and publishes it as a TF-Hub feature vector that clients can start from.

Two methods. *Supervised*: cross-entropy on the classes of the images. *Distillation*: the feature vector that a teacher
has for each image is the target, predicted through a linear layer under mean squared error; no labels are needed
(Hinton, Vinyals, Dean, "Distilling the Knowledge in a Neural Network", 2015, arXiv:1503.02531; features as targets:
Romero et al., "FitNets", ICLR 2015, arXiv:1412.6550). Either way the last layer is thrown away when the network is
published: what clients get is a feature extractor.
"""

from __future__ import annotations

import dataclasses
import hashlib
import os
import pathlib
import shutil
import sys
from collections.abc import Sequence

import numpy as np
import pandas as pd
import tensorflow as tf

from fedlearn_edu.backbone.model_card import render_card
from fedlearn_edu.backbone.pretraining.images import Source, gather_images
from fedlearn_edu.backbone.pretraining.student import build_student, to_student_size
from fedlearn_edu.backbone.pretraining.teacher import load_teacher, standardise, teacher_features
from fedlearn_edu.backbone.pretraining.training import fit
from fedlearn_edu.backbone.publish import check_output, publish
from fedlearn_edu.checks import check_seed
from fedlearn_edu.errors import UsageError

METHODS = ("supervised", "distil")
_DEFAULT_TEACHER = "mobilenet_v2"
_LARGEST_SIZE = 512  # pixels; a network this size on a laptop is no longer a matter of minutes


@dataclasses.dataclass(frozen=True)
class Recipe:
    """What decides the outcome of a pre-training run, except its images; the arguments of `pretrain`."""

    method: str = "supervised"
    teacher: str | None = None
    teacher_size: int | None = None
    alpha: float = 0.35
    image_size: int = 64
    epochs: int = 20
    batch_size: int = 64
    learning_rate: float = 3e-3
    max_images: int | None = None
    augment: bool = True
    seed: int = 0

    def __post_init__(self):
        if self.method not in METHODS:
            raise UsageError(f"method: expected one of {', '.join(METHODS)}, got {self.method!r}")
        if self.method != "distil" and (self.teacher or self.teacher_size):
            raise UsageError(f"teacher: only for method 'distil', got {self.teacher or self.teacher_size!r}")
        for name in ("image_size", "epochs", "batch_size", "seed", "max_images", "teacher_size"):
            value = getattr(self, name)
            if value is not None and (isinstance(value, bool) or not isinstance(value, int | np.integer)):
                raise UsageError(f"{name}: expected a whole number, got {value!r}")
        if not 32 <= self.image_size <= _LARGEST_SIZE or self.image_size % 32:
            raise UsageError(f"image_size: expected a multiple of 32 up to {_LARGEST_SIZE}, got {self.image_size}")
        if self.teacher_size is not None and not 32 <= self.teacher_size <= _LARGEST_SIZE:
            raise UsageError(f"teacher_size: expected pixels in [32, {_LARGEST_SIZE}], got {self.teacher_size}")
        if not 0.1 <= self.alpha <= 1.4:
            raise UsageError(f"alpha: expected a width in [0.1, 1.4], got {self.alpha}")
        if self.epochs < 1:
            raise UsageError(f"epochs: expected at least 1, got {self.epochs}")
        if self.batch_size < 8 or self.batch_size % 2:
            raise UsageError(f"batch_size: expected an even number, at least 8, got {self.batch_size}")
        if not 0 < self.learning_rate <= 1:
            raise UsageError(f"learning_rate: expected a number in (0, 1], got {self.learning_rate}")
        if self.max_images is not None and self.max_images < 20:
            raise UsageError(f"max_images: expected at least 20, got {self.max_images}")
        check_seed(self.seed)


@dataclasses.dataclass(frozen=True)
class PretrainingResult:
    """What `pretrain` made.

    Attributes:
        directory: The published folder, for `load_backbone`, `--backbone` and `hub.KerasLayer`.
        curve: One row an epoch: `epoch`, `loss`, `held_out_loss`, with classes `held_out_accuracy`, and `seconds`.
        num_images: How many images it was trained on.
        num_held_out: How many images it was measured on.
        class_names: The classes it learned to tell apart; empty for distillation.
    """

    directory: pathlib.Path
    curve: pd.DataFrame = dataclasses.field(repr=False)
    num_images: int
    num_held_out: int
    class_names: tuple[str, ...] = dataclasses.field(repr=False)


def pretrain(
    images: Source | Sequence[Source],
    *,
    output: str | os.PathLike,
    method: str = "supervised",
    teacher: str | None = None,
    teacher_size: int | None = None,
    alpha: float = 0.35,
    image_size: int = 64,
    epochs: int = 20,
    batch_size: int = 64,
    learning_rate: float = 3e-3,
    max_images: int | None = None,
    augment: bool = True,
    seed: int = 0,
    overwrite: bool = False,
    progress: bool = True,
) -> PretrainingResult:
    """Pre-trains a MobileNetV2 on public images and publishes it in TF-Hub's feature-vector format.

    A tenth of the images is held out for the curve; of a data set with a test split of its own, that split. The last
    layer (classifier or projection) is thrown away. The state after each epoch is kept beside `output` until the end:
    the same call goes on after an interruption, and gives what it would have given without (up to the order in which
    threads add numbers).

    Args:
        images: What to pre-train on, or a list of such: a name or folder as for `load_dataset`, an `ImageDataset`, or,
            to distil, also a folder of images in any order or a uint8 array `[num_images, height, width, 3]`. The
            classes of several data sets stand side by side.
        output: Folder to create.
        method: `"supervised"` or `"distil"`.
        teacher: To distil: name, URL or folder of the teacher, in TF-Hub's format; None for `mobilenet_v2`.
        teacher_size: Input of the teacher in pixels; None for its own. A MobileNetV2 1.0 can be run at another.
        alpha: Width as a share of MobileNetV2 1.0, in [0.1, 1.4].
        image_size: Input in pixels, a multiple of 32.
        epochs: Passes over the images, at least 1.
        batch_size: Images a step, even, at least 8.
        learning_rate: Start of Adam's cosine decay, in (0, 1].
        max_images: Draw so many images at most from each source, at least 20; None for all.
        augment: Supervised: mirror half of the images, shift batches by up to an eighth. A teacher has seen each image
            as it is; distillation does not augment.
        seed: Of the images drawn and held out, the initial weights, the order and the augmentation.
        overwrite: Replace a published backbone in `output`, once the new one is complete.
        progress: Show progress bars.

    Returns:
        The folder and the curve; the folder also holds `MODEL_CARD.md` and `curve.csv`.

    Raises:
        UsageError: An argument is out of its range, `output` exists, there are too few images or only one class.
        RunError: A data set or the teacher cannot be downloaded.

    Example:
        ```python
        result = fl.pretrain("emoji", output="my_backbone", epochs=30)
        backbone = fl.load_backbone(result.directory)
        ```

    References:
        Sandler et al., "MobileNetV2", CVPR 2018, arXiv:1801.04381. Distillation: arXiv:1503.02531, arXiv:1412.6550.
    """
    if method == "distil":
        teacher, augment = teacher or _DEFAULT_TEACHER, False
    recipe = Recipe(
        method=method,
        teacher=teacher,
        teacher_size=teacher_size,
        alpha=alpha,
        image_size=image_size,
        epochs=epochs,
        batch_size=batch_size,
        learning_rate=learning_rate,
        max_images=max_images,
        augment=augment,
        seed=seed,
    )
    directory = pathlib.Path(output).expanduser()
    check_output(directory, overwrite=overwrite)
    loaded_teacher = None if teacher is None else load_teacher(teacher, image_size=teacher_size)
    public = gather_images(
        images,
        with_labels=method == "supervised",
        size=image_size if loaded_teacher is None else loaded_teacher.image_size,
        max_images=max_images,
        seed=seed,
    )
    if loaded_teacher is None:
        targets, num_outputs = public.labels, len(public.class_names)
    else:
        features = teacher_features(public.groups, loaded_teacher, progress=progress)
        targets = np.concatenate([standardise(group) for group in features])
        num_outputs = loaded_teacher.feature_dim
    small = to_student_size(public.groups, image_size)
    chosen = ~public.held_out
    if batch_size > chosen.sum():
        raise UsageError(f"batch_size: expected at most the {chosen.sum()} images to train on, got {batch_size}")

    tf.keras.utils.set_random_seed(seed)
    student = build_student(image_size=image_size, alpha=alpha)
    last_layer = tf.keras.layers.Dense(num_outputs, name="thrown_away")
    last_layer.build(student.output_shape)
    checkpoint_dir = directory.with_name(f".{directory.name}.pretraining-{_key(recipe, small, targets)}")
    curve = fit(
        (student, last_layer),
        small[chosen],
        targets[chosen],
        held_out=(small[public.held_out], targets[public.held_out]),
        epochs=epochs,
        batch_size=batch_size,
        learning_rate=learning_rate,
        seed=seed,
        checkpoint_dir=checkpoint_dir,
        augment=augment,
        progress=progress,
    )
    if progress:
        print(f"publishing {directory} ...", file=sys.stderr)
    card = render_card(recipe, public, curve, teacher=loaded_teacher)
    files = {"curve.csv": curve.to_csv(index=False, float_format="%.6g", lineterminator="\n")}
    publish(student, directory, card=card, files=files, overwrite=overwrite)
    shutil.rmtree(checkpoint_dir, ignore_errors=True)
    return PretrainingResult(
        directory=directory,
        curve=curve,
        num_images=int(chosen.sum()),
        num_held_out=int(public.held_out.sum()),
        class_names=public.class_names,
    )


def _key(recipe: Recipe, images: np.ndarray, targets: np.ndarray) -> str:
    """Returns what names the state of a run: another recipe, or other images, does not go on from it."""
    digest = hashlib.sha256(repr(recipe).encode())
    # Features of two runs of one teacher may differ in their last digits.
    digest.update(images.tobytes() + np.round(targets, 2).astype(np.float16).tobytes())
    return digest.hexdigest()[:12]
