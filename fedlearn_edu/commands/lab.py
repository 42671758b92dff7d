"""`fedlearn-edu lab`."""

from __future__ import annotations

import os
import pathlib
import sys

import click


@click.command(context_settings={"ignore_unknown_options": True})
@click.option(
    "--directory",
    type=click.Path(path_type=pathlib.Path, file_okay=False),
    help="Folder for your copies of lessons and exercises.  "
    "[default: ./fedlearn-edu-lessons, or the copies or the hand-out in which you are]",
)
@click.argument("jupyter_args", nargs=-1, type=click.UNPROCESSED)
def lab(directory, jupyter_args):
    """Open JupyterLab on the first lesson, with all lessons and exercises.

    You work in copies of your own; what you have edited is never overwritten. Further arguments go to JupyterLab.

    \b
    Examples:
      fedlearn-edu lab
      fedlearn-edu lab --directory ~/my-lessons
      fedlearn-edu lab --no-browser --port 8899
      fedlearn-edu lab --ip 0.0.0.0 --no-browser     (in a container whose port 8888 is published)
    """
    from fedlearn_edu.lessons import prepare_lessons  # --help does not wait for what it imports

    lessons = prepare_lessons(directory)
    click.echo(f"Your lessons and exercises: {lessons.root}")
    for note in lessons.notes:
        click.echo(f"  {note}")
    sys.stdout.flush()
    command = [sys.executable, "-m", "fedlearn_edu.lab_app", str(lessons.root), lessons.first, *jupyter_args]
    os.execv(sys.executable, command)
