"""The command line: demo, pretrain, lab, doctor, exercises, grade."""

from __future__ import annotations

import os
import pathlib
import signal
import sys
import warnings

import click
from click.core import ParameterSource

import fedlearn_edu
from fedlearn_edu.demo import DemoOptions, run_demo
from fedlearn_edu.errors import FedlearnError
from fedlearn_edu.lessons import find_lessons
from fedlearn_edu.terminal import draw_plainly

_FOR_UNLIKE_CLIENTS = ["fed_prox", "mime_lite", "fed_nova", "scaffold", "fed_dyn", "q_fed_avg"]
_SERVER_OPTIMIZERS = ["fed_adam", "fed_yogi", "fed_adagrad"]
# Each has a function `build_<name>` in the package.
ALGORITHMS = ["unweighted_fed_avg", "weighted_fed_avg", "fed_sgd", *_SERVER_OPTIMIZERS, *_FOR_UNLIKE_CLIENTS]
_DEFAULTS = DemoOptions()


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(fedlearn_edu.__version__, prog_name="fedlearn-edu")
def cli():
    """Learn how pre-trained models and federated learning work together.

    \b
    Start here:
      fedlearn-edu demo      federate a pre-trained model and watch every client
      fedlearn-edu lab       open the lessons in JupyterLab
      fedlearn-edu doctor    find out what is wrong with an installation
      fedlearn-edu pretrain  make a backbone of your own from public images

    \b
    For teachers:
      fedlearn-edu exercises build exercises from solutions, or check that they agree
      fedlearn-edu grade     a folder or zip of submissions -> marks
    """


@cli.command()
@click.option(
    "--dataset",
    default=_DEFAULTS.dataset,
    show_default=True,
    metavar="NAME|DIR",
    help="Whose images: a name or a folder DIR/<class>/* or DIR/<client>/<class>/*.",
)
@click.option(
    "--backbone",
    default=_DEFAULTS.backbone,
    show_default=True,
    metavar="bundled|mobilenet_v2|URL|DIR",
    help="The pre-trained network, in TF-Hub format. It is a program: one that touches files is refused, unless "
    "FEDLEARN_EDU_ALLOW_UNSAFE=1 is set; append #sha256=... to demand a fingerprint.",
)
@click.option(
    "--partition",
    default=_DEFAULTS.partition,
    show_default=True,
    metavar="SCHEME",
    help="iid, dirichlet:C, shards:N, quantity:S, minority:N, natural or natural_dirichlet:C.",
)
@click.option("--num-clients", type=int, help="How many clients share the images.  [default: 50; natural: all]")
@click.option("--clients-per-round", type=int, help="Size of the cohort.  [default: 20, or all if there are fewer]")
@click.option(
    "--rounds", "num_rounds", type=int, default=_DEFAULTS.num_rounds, show_default=True, help="Federated rounds."
)
@click.option(
    "--algorithm",
    type=click.Choice(ALGORITHMS),
    default=_DEFAULTS.algorithm,
    show_default=True,
    metavar="NAME",
    help=f"{', '.join(ALGORITHMS)}; settings of its own are the defaults.",
)
@click.option(
    "--client-lr",
    type=float,
    default=_DEFAULTS.client_lr,
    show_default=True,
    help="Learning rate of local SGD (fed_sgd: of the server's step).",
)
@click.option(
    "--num-epochs",
    type=int,
    default=_DEFAULTS.num_epochs,
    show_default=True,
    help="Local passes over a client's images per round.",
)
@click.option("--batch-size", type=int, default=_DEFAULTS.batch_size, show_default=True, help="Images per local step.")
@click.option("--seed", type=int, default=_DEFAULTS.seed, show_default=True, help="Of partition, cohorts and shuffles.")
@click.option(
    "--output",
    type=click.Path(path_type=pathlib.Path),
    metavar="DIR",
    help="Where results go.  [default: fedlearn-edu-run/<number>]",
)
@click.option("--resume", is_flag=True, help="Go on with your own run in --output (default: newest); it is a program.")
@click.pass_context
def demo(context, **options):
    """Federate a pre-trained MobileNetV2 and show every client.

    Splits a dataset over clients, computes frozen features once, trains a linear head by federated learning, and
    compares it with the same head trained on everyone's data in one place (the central ceiling).

    \b
    Writes into --output:
      history.csv    round_num, client_id ("global" for the whole), metric, value
      summary.json   global and central accuracy, rounds, seconds, bytes
      accuracy.png   the curve, and the accuracy of every client in every round
      model/         the trained classifier as a TensorFlow SavedModel

    \b
    Examples:
      fedlearn-edu demo
      fedlearn-edu demo --partition iid --rounds 10
      fedlearn-edu demo --dataset photos/ --partition natural --backbone mobilenet_v2
      fedlearn-edu demo --algorithm scaffold --partition dirichlet:0.1
      fedlearn-edu demo --output run1 --rounds 100      (Ctrl-C, then:)
      fedlearn-edu demo --output run1 --rounds 100 --resume
    """
    # A polite end (SIGTERM) unwinds like any exit, so that temporary files go and the worker stops.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    given = {name for name in options if context.get_parameter_source(name) is not ParameterSource.DEFAULT}
    sys.exit(run_demo(DemoOptions(**options, explicit=frozenset(given))))


@cli.command()
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
@click.option("--method", type=click.Choice(["supervised", "distil"]), default="supervised", show_default=True)
@click.option(
    "--teacher",
    metavar="bundled|mobilenet_v2|URL|DIR",
    help="Whose features to learn, in TF-Hub format.  [default for distil: mobilenet_v2]",
)
@click.option("--teacher-size", type=int, metavar="PX", help="Its input size.  [default: its own]")
@click.option("--alpha", type=float, default=0.35, show_default=True, help="Width as a share of MobileNetV2 1.0.")
@click.option("--image-size", type=int, default=64, show_default=True, metavar="PX", help="A multiple of 32.")
@click.option("--epochs", type=int, default=20, show_default=True, help="Passes over the images.")
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
    from fedlearn_edu.pretraining import run_pretraining

    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    sys.exit(run_pretraining(list(datasets), **options))


@cli.command()
def doctor():
    """Check Python, platform, TensorFlow Federated, proxy, ports, and run a first computation.

    Every problem comes with its cause and a one-line fix. Exit code 0 if the engine works.
    """
    from fedlearn_edu.doctor import run_checks

    sys.exit(run_checks())


@cli.command(context_settings={"ignore_unknown_options": True})
@click.option(
    "--directory",
    type=click.Path(path_type=pathlib.Path, file_okay=False),
    help="Folder for your copies of the lessons.  [default: the lessons of this checkout, else ./fedlearn-edu-lessons]",
)
@click.argument("jupyter_args", nargs=-1, type=click.UNPROCESSED)
def lab(directory, jupyter_args):
    """Open JupyterLab on the first lesson.

    Further arguments go to JupyterLab. Your copies of lessons are never overwritten.

    \b
    Examples:
      fedlearn-edu lab
      fedlearn-edu lab --directory ~/my-lessons
      fedlearn-edu lab --no-browser --port 8899
    """
    lesson = find_lessons(directory)
    command = [sys.executable, "-m", "jupyterlab", str(lesson), *jupyter_args]
    os.execv(sys.executable, command)


@cli.command()
@click.argument("action", type=click.Choice(["build", "check"]))
@click.option("--source", type=click.Path(path_type=pathlib.Path), default=pathlib.Path("solutions"), show_default=True)
@click.option("--target", type=click.Path(path_type=pathlib.Path), default=pathlib.Path("exercises"), show_default=True)
@click.option("--nbgrader", is_flag=True, help="Make nbgrader's source notebooks instead.")
def exercises(action, source, target, nbgrader):
    """Build exercise notebooks from solutions, or check that they agree.

    \b
    Examples:
      fedlearn-edu exercises build
      fedlearn-edu exercises check             (exit code 1 if one solution was edited and not rebuilt)
      fedlearn-edu exercises build --nbgrader --target course/source/01
    """
    from fedlearn_edu.course.authoring import run_exercises

    sys.exit(run_exercises(source, target, check=action == "check", nbgrader=nbgrader))


@cli.command()
@click.argument("submissions", type=click.Path(path_type=pathlib.Path))
@click.option(
    "--output",
    type=click.Path(path_type=pathlib.Path),
    default=pathlib.Path("grades.csv"),
    show_default=True,
    help="One row a student and exercise; totals and an LMS-ready table are written beside it. Yours alone to read.",
)
@click.option("--feedback", type=click.Path(path_type=pathlib.Path), metavar="DIR", help="An HTML page per student.")
@click.option("--timeout", type=float, default=30.0, show_default=True, metavar="S", help="Seconds per exercise.")
@click.option("--memory", "memory_gb", type=float, default=4.0, show_default=True, metavar="GB", help="Per exercise.")
@click.option("--jobs", type=int, metavar="N", help="Exercises at a time.  [default: processor cores]")
@click.option("--seed-file", type=click.Path(), metavar="FILE", help="Keeps the hidden cases' seed; made if missing.")
@click.option("--lesson", "lessons", multiple=True, metavar="NN", help="Grade this lesson; may be repeated.")
@click.option(
    "--isolation",
    default="auto",
    show_default=True,
    metavar="LEVEL",
    help="Walls around learner code: namespaces, user+landlock, landlock or limits; auto = the strongest here.",
)
@click.option("--resume", is_flag=True, help="Take over the marks of an earlier run for all that has not changed.")
def grade(submissions, lessons, **options):
    """Grade a folder (or LMS zip) of notebooks without trusting a line of them.

    Learner code runs in its own guarded process per exercise, on hidden variants of the checks.

    \b
    Examples:
      fedlearn-edu grade submissions/ --output grades.csv --feedback feedback/
      fedlearn-edu grade export.zip --timeout 10 --jobs 4
      fedlearn-edu grade submissions/ --resume
      fedlearn-edu grade submissions/ --isolation limits   (in a virtual machine that you throw away)
    """
    from fedlearn_edu.course.grading import run_grading

    sys.exit(run_grading(submissions, lessons=lessons or None, **options))


def main() -> None:
    """Runs a command; whatever goes wrong is one line on stderr, exit code 2 for usage and 1 for the run."""
    draw_plainly(sys.stdout, sys.stderr)
    warnings.showwarning = lambda message, *_: click.echo(f"Warning: {message}", err=True)
    try:
        cli()
    except FedlearnError as error:
        click.echo(f"Error: {error}", err=True)
        sys.exit(error.exit_code)
    except Exception as error:
        if os.environ.get("FEDLEARN_EDU_DEBUG"):
            raise
        first_line = (str(error).strip().splitlines() or [""])[0]
        hint = "(set FEDLEARN_EDU_DEBUG=1 for the traceback)"
        click.echo(f"Error: unexpected {type(error).__name__}: {first_line} {hint}", err=True)
        sys.exit(1)


if __name__ == "__main__":
    main()
