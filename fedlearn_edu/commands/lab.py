"""`fedlearn-edu lab`."""

from __future__ import annotations

import os
import pathlib
import sys

import click

from fedlearn_edu.lessons import find_lessons


@click.command(context_settings={"ignore_unknown_options": True})
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
