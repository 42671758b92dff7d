"""The text of a published backbone's MODEL_CARD.md, and the table of measured figures inside it."""

from __future__ import annotations

import os
import pathlib

from fedlearn_edu.files import write_whole

_TABLE_START = "<!-- probe table: written by `python tools/probe.py --card` -->"
_TABLE_END = "<!-- end of probe table -->"

_CARD = """\
# Model card: {name}

An image feature vector in TF-Hub's TF2 format: float32 images `[batch, {image_size}, {image_size}, 3]` in [0, 1] ->
float32 features `[batch, 1280]`. MobileNetV2 (arXiv:1801.04381) of width {alpha}, its ReLU6 features pooled and
standardised per dimension. Load it with `fedlearn_edu.load_backbone`, `--backbone` or `hub.KerasLayer`.

## Data
{num_images:,} images to train on, {num_held_out:,} held out.

| source | images | of them held out | licence |
|---|---|---|---|
{sources}

## Method
{method}
{epochs} epochs in batches of {batch_size}, Adam with cosine decay from {learning_rate:g}, seed {seed}, {augmented}.
The images, the initial weights and their order repeat with the seed; the last digits of the weights do not, since sums
on several threads are added in a varying order. Training took {seconds:,.0f} s.

## Measured
{measured}
Every epoch is in `curve.csv`. The held-out images come from the same sources as the others: on images of another kind
expect less. Measure the features on data of your own before you rely on them.

## Limits
- {image_size} x {image_size} pixels: fine detail of photographs is lost.
- Whatever is one-sided in the sources is one-sided here. Not for decisions about people.
- The sources are assumed to be public. Nothing was done to hide them: weights can give away training images.
"""


def render_card(recipe, public, curve, *, teacher=None) -> str:
    """Returns the card of one run of `pretrain`.

    Args:
        recipe: The `Recipe` that was run.
        public: The `PublicImages`.
        curve: One row an epoch.
        teacher: The `Backbone` whose features were the targets, if there was one.
    """
    last, start, rows = curve.iloc[-1], 0, []
    for name, images, licence in zip(public.names, public.groups, public.licences, strict=True):
        held_out = public.held_out[start : start + len(images)].sum()
        start += len(images)
        rows.append(f"| {name} | {len(images):,} | {held_out:,} | {licence} |")
    if teacher is None:
        method = (
            f"Supervised: cross-entropy on {len(public.class_names)} classes; the classifier was thrown away.\n"
            f"Classes: {', '.join(public.class_names)}."
        )
        measured = f"Held-out accuracy {last['held_out_accuracy']:.1%}, cross-entropy {last['held_out_loss']:.3f}"
    else:
        method = (
            f"Distilled without labels from {teacher.name!r} (fingerprint {teacher.fingerprint[:16]}) at "
            f"{teacher.image_size} x {teacher.image_size} pixels:\nfrom the 1280 features a linear layer, thrown away "
            "afterwards, predicts the teacher's, standardised\nwithin each source, under mean squared error."
        )
        measured = f"Mean squared error on held-out images {last['held_out_loss']:.3f} (1.0 = predicting the mean)"
    return _CARD.format(
        **vars(recipe) | {"method": method},
        name="a MobileNetV2 pre-trained on " + " and ".join(public.names),
        num_images=int((~public.held_out).sum()),
        num_held_out=int(public.held_out.sum()),
        sources="\n".join(rows),
        augmented="images mirrored and shifted at random" if recipe.augment else "no augmentation",
        measured=f"{measured}, training loss {last['loss']:.3f}, after the last epoch.",
        seconds=curve["seconds"].sum(),
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
    write_whole(card, lambda stream: stream.write(text.encode()))


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
   squares for every 1 x 1 convolution (`tools/compress.py`).
2. Distillation without labels: from the student's 1280 features a linear layer, thrown away afterwards, predicts the
   teacher's feature vector (inference mode, {teacher_size} x {teacher_size} pixels), standardised within clothing and
   within icons, under mean squared error: {epochs} epochs in batches of {batch_size}, Adam with cosine decay from
   {learning_rate:g}. BatchNorm momentum 0.9 (with Keras' 0.999 the moving statistics are still wrong at the end).

Mean squared error per epoch (1.0 = predicting the mean): {errors}.
Seed {seed}; steps 1 and 2 took {seconds:,.0f} s on 2 CPU cores. Command:

    python tools/build_bundled.py --fashion-train train-images-idx3-ubyte.gz \\
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
