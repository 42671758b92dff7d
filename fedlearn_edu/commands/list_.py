"""`fedlearn-edu list`: what there is to choose from, as a table."""

from __future__ import annotations

import click

import fedlearn_edu

_CATALOGUE = ["algorithms", "aggregators", "attacks"]


@click.command("list")
@click.argument("what", metavar="WHAT", type=click.Choice([*_CATALOGUE, "datasets", "schemes", "lessons"]))
@click.option("--csv", "as_csv", is_flag=True, help="Comma-separated, for other programs.")
def list_(what, as_csv):
    """Print what there is. WHAT: algorithms, aggregators, attacks, datasets, schemes or lessons.

    Learning rates and other numbers are the defaults; an arXiv number leads to https://arxiv.org/abs/<number>.

    \b
    Examples:
      fedlearn-edu list algorithms
      fedlearn-edu list schemes
      fedlearn-edu list aggregators --csv > aggregators.csv
    """
    import pandas as pd  # here: no other command's --help waits for it

    rows = _rows_of_catalogue(what) if what in _CATALOGUE else _ROWS[what]()
    table = pd.DataFrame(rows)
    if as_csv:
        click.echo(table.to_csv(index=False), nl=False)
        return
    table = table.astype(str)
    widths = [max(table[name].str.len().max(), len(name)) for name in table]
    for cells in [list(table), *table.itertuples(index=False, name=None)]:
        click.echo("  ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)).rstrip())


def _rows_of_catalogue(what: str) -> list[dict]:
    from fedlearn_edu.learning import catalogue

    entries = {
        "algorithms": catalogue.ALGORITHMS + catalogue.ONE_SHOT,
        "aggregators": catalogue.AGGREGATORS,
        "attacks": catalogue.ATTACKS,
    }[what]
    rows = []
    for entry in entries:
        row = {"name": entry.name, "label": entry.label, "family": entry.family}
        if what == "algorithms":
            rates = getattr(entry, "rates", {})
            row["learning rates"] = ", ".join(f"{name} {value:g}" for name, value in rates.items())
            weighted = getattr(entry, "weighted", None)
            row["clients count"] = {True: "by examples", False: "alike", None: ""}[weighted]
        if what == "aggregators":
            row["does"] = entry.does
        call = entry.builder if entry.builder in fedlearn_edu.__all__ else "(what is done without one)"
        needs = ", ".join(entry.needs)
        rows.append(row | {"parameter": entry.parameter, "needs": needs, "call": call, "arXiv": entry.paper})
    return rows


def _rows_of_datasets() -> list[dict]:
    from fedlearn_edu.data.datasets import dataset_names

    return dataset_names().drop(columns="origin").reset_index().to_dict("records")


def _rows_of_schemes() -> list[dict]:
    from fedlearn_edu.data.scheme_parameters import parameters_of
    from fedlearn_edu.data.schemes import SCHEMES, text_forms

    rows = []
    for text, scheme in zip(text_forms(), SCHEMES.values(), strict=True):
        numbers = parameters_of(scheme)
        ranges = [f"{p.low:g} or more" if p.high is None else f"{p.low:g} to {p.high:g}" for p in numbers]
        defaults = ", ".join(f"{p.default:g}" for p in numbers)
        row = {"text": text, "label": scheme.label, "number": ", ".join(p.label for p in numbers)}
        rows.append(row | {"default": defaults, "range": ", ".join(ranges), "call": scheme.__name__})
    return rows


def _rows_of_lessons() -> list[dict]:
    from fedlearn_edu.course.syllabus import syllabus

    return [
        {
            "lesson": lesson.number,
            "title": lesson.title,
            "part": lesson.part,
            "minutes": lesson.minutes,
            "needs": " ".join(lesson.needs),
            "question": lesson.question,
        }
        for lesson in syllabus()
    ]


_ROWS = {"datasets": _rows_of_datasets, "schemes": _rows_of_schemes, "lessons": _rows_of_lessons}
