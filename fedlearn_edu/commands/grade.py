"""`fedlearn-edu grade`."""

from __future__ import annotations

import pathlib
import sys

import click


@click.command()
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
