"""The text of a published backbone's MODEL_CARD.md, and the table of measured figures inside it."""

from __future__ import annotations

import os
import pathlib

from fedlearn_edu.backbone.cache import write_atomically

_TABLE_START = "<!-- probe table: written by `python -m fedlearn_edu.backbone.probe --card` -->"
_TABLE_END = "<!-- end of probe table -->"

_CARD = """\
# Model card: a small MobileNetV2 for lessons on federated learning

An image feature vector in TF-Hub's TF2 format: float32 images `[batch, {image_size}, {image_size}, 3]` in [0, 1] ->
float32 features `[batch, 1280]`. MobileNetV2 (arXiv:1801.04381) of width {alpha}, its ReLU6 features pooled and
standardised per dimension. It is meant for classrooms: small, quick on a CPU, usable with no network.

## Data
Only unlabelled, public images that this package does not use as private data:
- {num_fashion:,} images drawn (seed {seed}) from Fashion-MNIST's *training* images. None of its labels was read,
  and none of its 10,000 *test* images, which the package bundles as the clients' private data, was seen in training.
  Features made for Fashion's training images suit its test images: a result on the bundled
  data is therefore better than on a domain the network has never met.
- {num_emoji:,} scenes drawn at random (seed {seed}) from the emoji of the font Noto Color Emoji.

## Teacher
{teacher_note}

The teacher itself is not part of this package.

## Method
Distillation without labels: from the student's 1280 features a linear layer, thrown away afterwards, predicts the
teacher's feature vector (inference mode, {teacher_size} x {teacher_size} pixels) under mean squared error.
Two stages: {epochs} epochs of {num_images:,} images in batches of {batch_size}, targets standardised per dimension,
Adam with cosine decay from {learning_rate:g}; then {refine_epochs} epochs in batches half as large, targets
standardised within clothing and within emoji, from {refine_learning_rate:g}. BatchNorm momentum 0.9 (with Keras'
0.999 the moving statistics are still wrong at the end). Mean squared error per epoch (1.0 = predicting the mean):
{losses}.
Seed {seed}; training took {student_seconds:,.0f} s on 2 CPU cores. Command:

    python -m fedlearn_edu.backbone.pretrain --fashion-train train-images-idx3-ubyte.gz \\
        --emoji-font NotoColorEmoji.ttf --teacher URL_OR_DIR --output DIR --seed {seed}

The images, the initial weights and their order repeat with the seed; the last digits of the weights do not, since sums
on several threads are added in a varying order.

## Measured
{table}

## Limits
- {image_size} x {image_size} pixels: fine detail of photographs is lost.
- What it knows of photographs it has at second hand, from a teacher shown clothes and emoji; expect less than from
  `mobilenet_v2` on photographs of anything else.
- Biases of ImageNet, on which the teacher was trained, may have been carried over. Not for decisions about people.

## Licences
- These weights and this card: MIT, as the package.
- Fashion-MNIST (c) 2017 Zalando SE, MIT. Noto Color Emoji (c) Google Inc., SIL Open Font License 1.1 (pictures made
  with a font are not covered by it). Neither is contained here.
- The network's definition: Keras Applications, Apache 2.0.
- The teacher: see above. Its ImageNet weights were trained on images whose owners allow research and education.
"""


def render_card(recipe, losses: list[float], teacher_note: str, student_seconds: float) -> str:
    """Returns the card of one pre-training run; its figures still have to be measured.

    Args:
        recipe: The `Recipe` that was run.
        losses: Mean squared error of each epoch.
        teacher_note: What the teacher is, where it comes from, its licence.
        student_seconds: Time for training the student.
    """
    return _CARD.format(
        **vars(recipe),
        num_images=recipe.num_fashion + recipe.num_emoji,
        losses=", ".join(f"{loss:.3f}" for loss in losses),
        teacher_note=teacher_note,
        student_seconds=student_seconds,
        table=f"{_TABLE_START}\nNot measured yet.\n{_TABLE_END}",
    )


def write_table(card: str | os.PathLike, table: str) -> None:
    """Puts a Markdown table into a card in place of the one it has, atomically.

    Raises:
        ValueError: The card has no place for a table.
    """
    card = pathlib.Path(card)
    before, start, rest = card.read_text(encoding="utf-8").partition(_TABLE_START)
    _, end, after = rest.partition(_TABLE_END)
    if not start or not end:
        raise ValueError(f"{card} has no probe table")
    text = f"{before}{start}\n{table}\n{end}{after}"
    write_atomically(card, lambda stream: stream.write(text.encode()))


_BUNDLED_CARD = """\
# Model card: a small MobileNetV2 for lessons on federated learning

An image feature vector in TF-Hub's TF2 format: float32 images `[batch, {image_size}, {image_size}, 3]` in [0, 1] ->
float32 features `[batch, 1280]`. MobileNetV2 (arXiv:1801.04381) of width {alpha}, its ReLU6 features pooled and
standardised per dimension. It is meant for classrooms: small, quick on a CPU, usable with no network.

## Data
Only unlabelled, public images that this package does not use as private data:
- {num_fashion:,} images (seed {seed}) of Fashion-MNIST's *training* images. None of its labels was read, and none of
  its 10,000 *test* images, which the package bundles as the clients' private data, was seen in training. Features made
  for Fashion's training images suit its test images: a result on the bundled data is therefore better than on a domain
  the network has never met.
- {num_icons:,} pictures drawn at random (seed {seed}) from the icons of these sets. None of them is one of the vendors
  of the bundled data set `emoji`; pictures that nearly equal one of its pictures were left out. Some sets do hold emoji
  in another hand, so the same caution applies.

| package | version | licence | icons used | left out as private |
|---|---|---|---|---|
{sources}

## Teacher
{teacher_note}

The teacher itself is not part of this package.

## Method
1. The student starts as the teacher compressed to its width in closed form, on {num_compress:,} of the images at
   {image_size} pixels: principal components of the linear bottlenecks, the most important channels between them, least
   squares for every 1 x 1 convolution (`fedlearn_edu.backbone.compress`).
2. Distillation without labels: from the student's 1280 features a linear layer, thrown away afterwards, predicts the
   teacher's feature vector (inference mode, {teacher_size} x {teacher_size} pixels), standardised within clothing and
   within icons, under mean squared error: {epochs} epochs in batches of {batch_size}, Adam with cosine decay from
   {learning_rate:g}. BatchNorm momentum 0.9 (with Keras' 0.999 the moving statistics are still wrong at the end).

Mean squared error per epoch (1.0 = predicting the mean): {errors}.
Seed {seed}; steps 1 and 2 took {seconds:,.0f} s on 2 CPU cores. Command:

    python -m fedlearn_edu.backbone.build_bundled --fashion-train train-images-idx3-ubyte.gz \\
        --icons DIR --teacher URL_OR_DIR --output DIR --seed {seed}

The images and their order repeat with the seed; the last digits of the weights do not, since sums on several threads
are added in a varying order.

## Measured
{table}

## Limits
- {image_size} x {image_size} pixels: fine detail of photographs is lost.
- What it knows of photographs it has at second hand, from a teacher shown clothes and icons; expect less than from
  `mobilenet_v2` on photographs of anything else.
- Biases of ImageNet, on which the teacher was trained, may have been carried over. Not for decisions about people.

## Licences
- These weights and this card: MIT, as the package.
- Fashion-MNIST (c) 2017 Zalando SE, MIT. The icons: as in the table. Neither is contained here.
- The network's definition: Keras Applications, Apache 2.0.
- The teacher: see above. Its ImageNet weights were trained on images whose owners allow research and education.
"""


def render_bundled_card(recipe, sources: dict, errors: list[float], teacher_note: str, seconds: float) -> str:
    """Returns the card of a bundled backbone; its figures still have to be measured.

    Args:
        recipe: The `BundledRecipe` that was run.
        sources: What `build_icons` wrote about each set of icons.
        errors: Mean squared error of each epoch.
        teacher_note: What the teacher is, where it comes from, its licence.
        seconds: Time for compressing and distilling.
    """
    columns = ("package", "version", "licence", "num_icons", "left_out_as_private")
    rows = ["| " + " | ".join(str(source[column]) for column in columns) + " |" for source in sources.values()]
    return _BUNDLED_CARD.format(
        **vars(recipe),
        sources="\n".join(rows),
        errors=", ".join(f"{error:.3f}" for error in errors),
        teacher_note=teacher_note,
        seconds=seconds,
        table=f"{_TABLE_START}\nNot measured yet.\n{_TABLE_END}",
    )
