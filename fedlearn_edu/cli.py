"""The command line: demo, lab, doctor, list, pretrain, exercises, grade."""

from __future__ import annotations

import os
import sys
import warnings

import click

import fedlearn_edu
from fedlearn_edu.commands.demo import demo
from fedlearn_edu.commands.doctor import doctor
from fedlearn_edu.commands.exercises import exercises
from fedlearn_edu.commands.grade import grade
from fedlearn_edu.commands.lab import lab
from fedlearn_edu.commands.list_ import list_
from fedlearn_edu.commands.pretrain import pretrain
from fedlearn_edu.errors import FedlearnError
from fedlearn_edu.terminal import draw_plainly

_SECTIONS = {
    "Start here": {
        demo: "federate a pre-trained model and watch every client",
        lab: "open the lessons in JupyterLab",
        doctor: "find out what is wrong with an installation",
        list_: "what there is: algorithms, aggregators, attacks, data sets, schemes, lessons",
        pretrain: "make a backbone of your own from public images",
    },
    "For teachers": {
        exercises: "hand out lessons; build exercises from solutions, for nbgrader too",
        grade: "a folder or zip of submissions -> marks",
    },
}


class _Commands(click.Group):
    """Lists each command once, under what it is for, with its whole line."""

    def format_commands(self, ctx, formatter):
        for section, commands in _SECTIONS.items():
            with formatter.section(section):
                formatter.write_dl([(command.name, line) for command, line in commands.items()])


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(fedlearn_edu.__version__, prog_name="fedlearn-edu")
def cli():
    """Learn how pre-trained models and federated learning work together.

    \b
    Examples:
      fedlearn-edu demo
      fedlearn-edu lab
      fedlearn-edu COMMAND --help      what a command can do, with examples
    """


for commands in _SECTIONS.values():
    for command in commands:
        cli.add_command(command)


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
