"""`fedlearn-edu pretrain`."""

from __future__ import annotations

import pathlib
import signal
import sys

import click

import fedlearn_edu as fl
from fedlearn_edu.terminal import our_command

_EPOCHS, _FEW_EPOCHS = 20, 10


@click.command()
@click.option(
    "--dataset",
    "datasets",
    multiple=True,
    required=True,
    metavar="NAME|DIR",
    help="Public images: a name, a folder DIR/<class>/*, or to distil any folder of images; may be repeated.",
)
@click.option(
    "--output", required=True, type=click.Path(path_type=pathlib.Path), metavar="DIR", help="The folder to create."
)
@click.option(
    "--method",
    type=click.Choice(["supervised", "distil"]),
    default="supervised",
    show_default=True,
    help="Learn the images' classes, or (distil, without labels) a teacher's features.",
)
@click.option(
    "--teacher",
    metavar="bundled|mobilenet_v2|URL|DIR",
    help="Whose features to learn, in TF-Hub format.  [default for distil: mobilenet_v2]",
)
@click.option("--teacher-size", type=int, metavar="PX", help="Its input size.  [default: its own]")
@click.option("--alpha", type=float, default=0.35, show_default=True, help="Width as a share of MobileNetV2 1.0.")
@click.option("--image-size", type=int, default=64, show_default=True, metavar="PX", help="A multiple of 32.")
@click.option("--epochs", type=int, default=_EPOCHS, show_default=True, help="Passes over the images.")
@click.option("--batch-size", type=int, default=64, show_default=True, help="Images per step.")
@click.option("--learning-rate", type=float, default=3e-3, show_default=True, help="Of Adam, falling along a cosine.")
@click.option("--max-images", type=int, metavar="N", help="Draw so many images at most from each data set.")
@click.option("--augment/--no-augment", default=True, show_default=True, help="Mirror and shift (supervised only).")
@click.option("--seed", type=int, default=0, show_default=True, help="Of images, weights, order, augmentation.")
@click.option("--overwrite", is_flag=True, help="Replace a published backbone, once the new one is complete.")
def pretrain(datasets, **options):
    """Pre-train a MobileNetV2 on public images and publish it for clients.

    Supervised on the images' classes, or distilled from a teacher without any label. Interrupted, the same command
    goes on after the last whole epoch.

    \b
    Writes into --output:
      saved_model.pb, variables/   for --backbone DIR, load_backbone and hub.KerasLayer
      MODEL_CARD.md                data, method, figures, limits
      curve.csv, curve.png         loss and held-out accuracy of every epoch

    \b
    Examples:
      fedlearn-edu pretrain --dataset emoji --output my_backbone
      fedlearn-edu demo --backbone my_backbone
      fedlearn-edu pretrain --dataset photos/ --output wide --alpha 1.0 --image-size 96 --epochs 40
      fedlearn-edu pretrain --dataset scans/ --output student --method distil --teacher mobilenet_v2
    """
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    sys.exit(_run(list(datasets), **options))


def _run(datasets: list[str], *, output: pathlib.Path, **options) -> int:
    """Runs `fedlearn_edu.pretrain`, draws its curve into the published folder, and returns the exit code.

    Args:
        datasets: Names or folders of public images.
        output: Folder to create.
        options: As for `fedlearn_edu.pretrain`.
    """
    click.echo(
        f"pre-training on {', '.join(map(str, datasets))}: reading images and building the network takes "
        "a minute before the first bar ..."
    )
    try:
        result = fl.pretrain(datasets, output=output, **options)
    except KeyboardInterrupt:
        click.echo("stopped; the same command goes on after the last whole epoch", err=True)
        return 130
    fl.plot_pretraining_curve(result.curve).savefig(result.directory / "curve.png", dpi=110)
    last = result.curve.iloc[-1]
    if result.class_names:
        measured = f"held-out accuracy {last['held_out_accuracy']:.1%} on {len(result.class_names)} classes"
    else:
        measured = f"held-out mean squared error {last['held_out_loss']:.3f} (1.0 = predicting the mean)"
    click.echo(f"published {result.directory}: {result.num_images:,} images, {measured}")
    if options.get("epochs", _EPOCHS) < _FEW_EPOCHS:
        epochs = "1 epoch is" if options["epochs"] == 1 else f"{options['epochs']} epochs are"
        click.echo(f"{epochs} few: expect weak features; the default is {_EPOCHS}")
    click.echo(f"next: {our_command()} demo --backbone {result.directory}")
    return 0
