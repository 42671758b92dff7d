"""`fedlearn-edu demo`."""

from __future__ import annotations

import logging
import pathlib
import signal
import sys

import click
from click.core import ParameterSource

from fedlearn_edu.demo_options import DEFAULT_LR, DEFAULT_PARTITION, OF_TABLE, DemoOptions
from fedlearn_edu.errors import nearest_names
from fedlearn_edu.learning.catalogue import trainable_by_demo

ALGORITHMS = trainable_by_demo()
_DEFAULTS = DemoOptions()


class _Algorithm(click.ParamType):
    """A name of `ALGORITHMS`, whatever its case and whether its words are joined by "_", "-" or nothing."""

    name = "name"

    def convert(self, value, param, ctx):
        bare = _bare(value)
        matches = [name for name in ALGORITHMS if _bare(name) == bare]
        if matches:
            return matches[0]
        several = [name for name in ALGORITHMS if bare and bare in _bare(name)]  # "fedavg" is part of three
        hint = f"did you mean {' or '.join(several)}?" if several else nearest_names(value, ALGORITHMS)
        self.fail(f"expected one that --help lists, got {value!r}; {hint}", param, ctx)


def _bare(name: str) -> str:
    return name.lower().replace("_", "").replace("-", "").replace(" ", "")


class _PartitionOption(click.Option):
    """Names all schemes in its help, and reads them, with NumPy and pandas, no earlier."""

    def get_help_record(self, ctx):
        from fedlearn_edu.data.schemes import text_forms

        option, text = super().get_help_record(ctx)
        return option, text.replace("{schemes}", ", ".join(text_forms()))


class _Grouped(click.Command):
    """Shows the options that only a table or texts have in a section of their own."""

    def format_options(self, ctx, formatter):
        theirs = [parameter.name in OF_TABLE for parameter in self.get_params(ctx)]
        for section, wanted in (("Options", False), ("Of your own table (.csv) or texts", True)):
            chosen = [p for p, is_theirs in zip(self.get_params(ctx), theirs, strict=True) if is_theirs == wanted]
            with formatter.section(section):
                formatter.write_dl([p.get_help_record(ctx) for p in chosen])


@click.command(cls=_Grouped)
@click.option(
    "--dataset",
    default=_DEFAULTS.dataset,
    show_default=True,
    metavar="NAME|DIR|FILE",
    help="Whose images, texts or rows: a name, a folder DIR/<class>/* or DIR/<client>/<class>/* of images or .txt "
    "files, or a table FILE.csv.",
)
@click.option("--target", metavar="COLUMN", help="The column to predict; every table needs it.")
@click.option("--client", metavar="COLUMN", help="The column that names each row's owner, such as a bank.")
@click.option("--text", metavar="COLUMN", help="Learn from the texts in this column, and from no other.")
@click.option(
    "--task",
    type=click.Choice(["classification", "binary", "regression"]),
    help="What the target is: classes (measured by accuracy), yes or no, of which one is looked for and may be rare "
    "(AUC), or a number (RMSE).  [default: what its values say, where they leave no doubt]",
)
@click.option("--positive", metavar="VALUE", help="With --task binary: the value that is looked for.")
@click.option("--unit", metavar="TEXT", help="With --task regression: what the target counts, such as EUR.")
@click.option("--ignore", metavar="COLUMN", multiple=True, help="A column to leave out; may be given several times.")
@click.option(
    "--categories",
    metavar="COLUMN",
    multiple=True,
    help="A column of numbers that are names, such as zip codes; may be given several times.",
)
@click.option("--encoding", metavar="NAME", help="Of the file or files, such as latin-1.  [default: UTF-8]")
@click.option(
    "--backbone",
    metavar="bundled|mobilenet_v2|URL|DIR",
    help="The pre-trained network, in TF-Hub format, for images. It is a program: one that touches files is refused, "
    "unless FEDLEARN_EDU_ALLOW_UNSAFE=1 is set; append #sha256=... to demand a fingerprint.  [default: bundled]",
)
@click.option(
    "--partition",
    metavar="SCHEME",
    cls=_PartitionOption,
    help="Who holds what: {schemes}.  "
    f"[default: {DEFAULT_PARTITION}; of a folder DIR/<client>/<class>/* or with --client: natural; of few images, "
    "texts or rows without clients, and to predict a number: iid]",
)
@click.option(
    "--num-clients",
    type=int,
    help="How many clients share the examples.  [default: 50, fewer of few examples; natural: all]",
)
@click.option("--clients-per-round", type=int, help="Size of the cohort.  [default: 20, or all if there are fewer]")
@click.option(
    "--rounds", "num_rounds", type=int, default=_DEFAULTS.num_rounds, show_default=True, help="Federated rounds."
)
@click.option(
    "--algorithm",
    type=_Algorithm(),
    default=_DEFAULTS.algorithm,
    show_default=True,
    metavar="NAME",
    help=f"{', '.join(ALGORITHMS)}; settings of its own are the defaults.",
)
@click.option(
    "--client-lr",
    type=float,
    help="Learning rate of local SGD (fed_sgd: of the server's step).  "
    f"[default: {DEFAULT_LR:g}, or the next with which these features train steadily]",
)
@click.option(
    "--num-epochs",
    type=int,
    default=_DEFAULTS.num_epochs,
    show_default=True,
    help="Local passes over a client's examples per round.",
)
@click.option(
    "--batch-size", type=int, default=_DEFAULTS.batch_size, show_default=True, help="Examples per local step."
)
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
    """Federate a pre-trained MobileNetV2, or a model of your own table or texts, and show every client.

    Splits a dataset over clients, computes frozen features once, trains a linear head by federated learning, and
    compares it with the same head trained on everyone's data in one place (the central ceiling), and with a model
    that always answers the same. A table's columns are standardised federatedly, by sums of the clients, in one round.

    \b
    Writes into --output:
      history.csv    round_num, client_id ("global" for the whole), metric, value
      summary.json   global and central accuracy (or AUC, or RMSE), rounds, seconds, bytes
      accuracy.png   the curve of the same, and its value for every client in every round
      model/         the trained model as a TensorFlow SavedModel; its README.md says how to use it

    \b
    Examples:
      fedlearn-edu demo
      fedlearn-edu demo --partition iid --rounds 10
      fedlearn-edu demo --dataset photos/               (photos/<client>/<class>/*.jpg, or photos/<class>/*.jpg)
      fedlearn-edu demo --dataset photos/ --backbone mobilenet_v2 --client-lr 0.01
      fedlearn-edu demo --dataset loans.csv --target default --client bank
      fedlearn-edu demo --dataset loans.csv --target default --client bank --task binary --positive yes --ignore id
      fedlearn-edu demo --dataset flats.csv --target rent --task regression --unit EUR --categories zip
      fedlearn-edu demo --dataset reviews.csv --text review --target stars --encoding latin-1
      fedlearn-edu demo --dataset letters/              (letters/<client>/<class>/*.txt, or letters/<class>/*.txt)
      fedlearn-edu demo --algorithm scaffold --partition dirichlet:0.1
      fedlearn-edu demo --output run1 --rounds 100      (Ctrl-C, then:)
      fedlearn-edu demo --output run1 --rounds 100 --resume
    """
    # A polite end (SIGTERM) unwinds like any exit, so that temporary files go and the worker stops.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    # An interrupted run leaves tasks behind that nobody waits for; asyncio would print each below the results.
    logging.getLogger("asyncio").setLevel(logging.CRITICAL)
    from fedlearn_edu.demo import run_demo  # with pandas: no other command's --help waits for it

    given = {name for name in options if context.get_parameter_source(name) is not ParameterSource.DEFAULT}
    sys.exit(run_demo(DemoOptions(**options, explicit=frozenset(given))))
