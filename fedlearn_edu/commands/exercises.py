"""`fedlearn-edu exercises`: build, check, handout."""

from __future__ import annotations

import pathlib
import sys

import click

_FOLDER = click.Path(path_type=pathlib.Path)
_SOURCE = click.option(
    "--source", type=_FOLDER, help="Folder of solutions.  [default: ./solutions, or that of this checkout]"
)
_LESSON = click.option("--lesson", "lessons", multiple=True, metavar="NN", help="This lesson; may be repeated.")


@click.group()
def exercises():
    """Make exercises from solutions, check that they agree, pack them for learners."""


@exercises.command()
@_SOURCE
@click.option(
    "--target",
    type=_FOLDER,
    help="Where to.  [default: ./exercises, or that of this checkout; with --nbgrader: ./course]",
)
@click.option("--force", is_flag=True, help="Replace what holds answers or is graded by; the old one is kept.")
@click.option("--nbgrader", is_flag=True, help="Make nbgrader's assignments instead: one a lesson, with hidden tests.")
@_LESSON
@click.option("--seed", type=int, metavar="N", help="Of nbgrader's hidden tests.  [default: a random one]")
@click.option(
    "--written-points",
    type=click.IntRange(min=0),
    metavar="N",
    help="Points that a person gives for a written answer in nbgrader.  [default: 2]",
)
def build(source, target, force, nbgrader, lessons, seed, written_points):
    """Build exercise notebooks from solutions.

    A notebook that holds answers is not replaced, unless you say so; then the old one is kept as ..._old.ipynb.

    \b
    Examples:
      fedlearn-edu exercises build
      fedlearn-edu exercises build --nbgrader --target course                    (course/source/<lesson>/ for each)
      fedlearn-edu exercises build --nbgrader --lesson 04 --target course/source/04_fedavg
    """
    if nbgrader:
        from fedlearn_edu.course.nbgrader_assignments import run_assignments
        from fedlearn_edu.lessons import solutions_folder

        options = dict(lessons=lessons, seed=seed, force=force)
        options |= {} if written_points is None else {"written_points": written_points}
        sys.exit(run_assignments(source or solutions_folder(), target or pathlib.Path("course"), **options))
    if lessons or seed is not None or written_points is not None:
        raise click.UsageError(
            "--lesson, --seed and --written-points go with --nbgrader; without it all exercises are built"
        )
    from fedlearn_edu.course.authoring import run_exercises

    sys.exit(run_exercises(*_source_and_target(source, target), force=force))


def _source_and_target(source: pathlib.Path | None, target: pathlib.Path | None) -> tuple[pathlib.Path, pathlib.Path]:
    """What was named; what was not is in the current folder, or both are in this checkout."""
    from fedlearn_edu.lessons import solutions_folder

    beside = pathlib.Path() if source else (source := solutions_folder()).parent
    return source, target or beside / "exercises"


@exercises.command()
@_SOURCE
@click.option("--target", type=_FOLDER, help="Folder of exercises.  [default: ./exercises, or that of this checkout]")
def check(source, target):
    """Check that the exercises are what their solutions would build.

    Exit code 1 if one is not, and nothing is written.

    \b
    Example:
      fedlearn-edu exercises check
    """
    from fedlearn_edu.course.authoring import run_exercises

    sys.exit(run_exercises(*_source_and_target(source, target), check=True))


@exercises.command()
@_LESSON
@click.option(
    "--output", "-o", type=_FOLDER, default=pathlib.Path("handout.zip"), show_default=True, help="The zip to write."
)
@click.option(
    "--source",
    type=_FOLDER,
    help="Folder with notebooks/ and exercises/.  [default: this checkout, or what is installed]",
)
@click.option("--force", is_flag=True, help="Replace an existing zip.")
def handout(lessons, output, source, force):
    """Pack a zip that learners can start by themselves.

    It holds lessons, exercises, START_HERE.md (how to install, start, hand in), this package as a wheel, the versions
    that it needs, and no solutions. Without --lesson it holds all lessons.

    \b
    Examples:
      fedlearn-edu exercises handout --lesson 00 --lesson 01 --output handout.zip
      fedlearn-edu exercises handout --output whole_course.zip
    """
    from fedlearn_edu.course.handout import run_handout
    from fedlearn_edu.lessons import course_folder

    sys.exit(run_handout(source or course_folder(), output, lessons=lessons, force=force))
