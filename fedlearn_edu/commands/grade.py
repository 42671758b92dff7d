"""`fedlearn-edu grade`."""

from __future__ import annotations

import dataclasses
import pathlib
import sys

import click

from fedlearn_edu.terminal import our_command

_FILE = click.Path(path_type=pathlib.Path)


@click.command()
@click.argument("submissions", type=_FILE)
@click.option(
    "--output",
    type=_FILE,
    default=pathlib.Path("grades.csv"),
    show_default=True,
    help="One row a student and exercise; totals and what an LMS takes are written beside it. Yours alone to read.",
)
@click.option("--feedback", type=_FILE, metavar="DIR", help="An HTML page per student.")
@click.option(
    "--resume",
    is_flag=True,
    help='Take over marks and settings of the earlier run for all that is the same; --deadline "" and such drop one.',
)
@click.option("--fresh", is_flag=True, help="Lose the marks of the earlier run.")
@click.option(
    "--overrides",
    type=_FILE,
    multiple=True,
    metavar="FILE",
    help="Your own marks (.csv: student, exercise, points, reason); may be repeated: all these tables count, and stand "
    "above all other marks, in later runs too.",
)
@click.option(
    "--partial",
    type=click.Choice(["cases", "half", "none"]),
    help="What an answer earns that is not all right: up to a quarter for its cases, half for half, or nothing.  "
    "[default: cases]",
)
@click.option(
    "--anonymous/--no-anonymous", default=None, help="Numbers in place of names; the key is in grades_names.csv."
)
@click.option("--lesson", "lessons", multiple=True, metavar="NN", help="Grade this lesson; may be repeated.")
@click.option("--timeout", type=float, metavar="S", help="Seconds per exercise.  [default: 30]")
@click.option("--memory", "memory_gb", type=float, metavar="GB", help="Per exercise.  [default: 4]")
@click.option("--jobs", type=int, metavar="N", help="Exercises at a time.  [default: processor cores]")
@click.option("--seed-file", type=click.Path(), metavar="FILE", help="Keeps the hidden cases' seed; made if missing.")
@click.option(
    "--isolation",
    default="auto",
    show_default=True,
    metavar="LEVEL",
    help="Walls around learner code: namespaces, user+landlock, landlock or limits; auto = the strongest here.",
)
@click.option("--roster", type=_FILE, metavar="CSV", help="Who takes part: columns name, number, email. A row for all.")
@click.option("--moodle-worksheet", type=_FILE, metavar="CSV", help="Moodle's grading worksheet, to be filled in.")
@click.option("--moodle-feedback-zip", is_flag=True, help="Pack the feedback as Moodle takes it for all at once.")
@click.option("--canvas-gradebook", type=_FILE, metavar="CSV", help="Canvas's exported gradebook, to be filled in.")
@click.option("--canvas-column", metavar="NAME", help='Which column of it: "FL exercises (1234)".')
@click.option("--out-of", type=float, metavar="N", help="Points in the LMS.  [default: what its table allows]")
@click.option("--deadline", metavar="TIME", help='"2026-11-30 23:59 Europe/Berlin"; who is later is marked late.')
@click.option("--handed-in", type=_FILE, metavar="CSV", help="Columns student and time; they go before Moodle's times.")
@click.option("--late-penalty", metavar="N%[/day]", help="Share of all points taken off, once or per day begun.")
def grade(submissions, lessons, overrides, **options):
    """Grade a folder (or LMS zip) of notebooks without trusting a line of them.

    Learner code runs in its own guarded process per exercise, on hidden variants of the checks.

    \b
    Examples:
      fedlearn-edu grade submissions/ --output grades.csv --feedback feedback/
      fedlearn-edu grade submissions/ --output grades.csv --resume   (after late work, a mended check, or Ctrl-C)
      fedlearn-edu grade submissions/ --output grades.csv --resume --overrides own.csv --overrides grades_answers.csv
      fedlearn-edu grade export.zip --lesson 4 --lesson 12 --partial half
      fedlearn-edu grade submissions/ --isolation limits   (in a virtual machine that you throw away)
      fedlearn-edu grade export.zip --moodle-worksheet Grades-FL101.csv --moodle-feedback-zip
      fedlearn-edu grade export.zip --canvas-gradebook Grades.csv --canvas-column "FL exercises (1234)"
    """
    from fedlearn_edu.course.grading import Term, run_grading

    command = [*our_command().split(), *sys.argv[1:]]
    term = Term(**{field.name: options.pop(field.name) for field in dataclasses.fields(Term)})
    several = {"lessons": lessons or None, "overrides": overrides or None}
    sys.exit(run_grading(submissions, command=command, term=term, **several, **options))
