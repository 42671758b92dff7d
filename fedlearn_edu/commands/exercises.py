"""`fedlearn-edu exercises`."""

from __future__ import annotations

import pathlib
import sys

import click


@click.command()
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
