"""What the documents type is understood: Python blocks run, commands parse, and editors know every public name."""

import re
import shlex
import subprocess
import sys

import click
import nbformat
import pytest
from shared import REPOSITORY

from fedlearn_edu.cli import cli

README = (REPOSITORY / "README.md").read_text()
DOCUMENTS = [*sorted(REPOSITORY.glob("*.md")), *sorted(REPOSITORY.glob("docs/*.md"))]
PATHS_THAT_MUST_EXIST = re.compile(r"does not exist|is a directory|is a file")


def blocks(text, language):
    """The fenced blocks of one language, continued lines joined."""
    return [body.replace("\\\n", " ") for body in re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)]


def commands():
    for document in DOCUMENTS:
        for line in "\n".join(blocks(document.read_text(), "bash")).splitlines():
            words = shlex.split(line, comments=True)
            if words and "fedlearn-edu " in words[-1]:  # a line for a shell of its own, such as a container's
                words = shlex.split(words[-1])
            if "fedlearn-edu" in words:
                arguments = words[words.index("fedlearn-edu") + 1 :]
                yield pytest.param(arguments, id=f"{document.name}: {' '.join(arguments)[:60]}")


def parse(command, arguments, info):
    """Parses as click would, down to the last subcommand, and runs nothing."""
    with command.make_context(info, list(arguments)) as context:
        if isinstance(command, click.Group):
            name, sub, rest = command.resolve_command(context, [*context._protected_args, *context.args])
            parse(sub, rest, name)


@pytest.mark.parametrize("arguments", commands())
def test_every_command_is_understood(arguments):
    try:
        parse(cli, arguments, "fedlearn-edu")
    except click.exceptions.Exit:  # of --help
        pass
    except click.UsageError as error:
        if not PATHS_THAT_MUST_EXIST.search(error.format_message()):
            raise


def test_a_command_with_a_wrong_option_is_not():
    with pytest.raises(click.NoSuchOption):
        parse(cli, ["grade", "submissions", "--outptu", "grades.csv"], "fedlearn-edu")


def test_the_python_blocks_of_readme_run(tmp_path):
    code = "\n".join(["def weighted_mean(values, weights): return None", *blocks(README, "python")])
    assert code.count("fl.") > 10
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=250)
    assert done.returncode == 0, done.stderr[-800:]


def check_types(folder):
    """Returns what the type checker finds in a folder's files, a line each."""
    python = ["--python", sys.prefix, "--output-format", "concise"]
    found = subprocess.run(
        [f"{sys.prefix}/bin/ty", "check", *python, folder], capture_output=True, text=True, timeout=100
    )
    return [line for line in found.stdout.splitlines() if "error[" in line]


def test_a_type_checker_knows_the_face(tmp_path):
    face = blocks(README, "python")[0].replace(
        "fl.TrainingDashboard(history)", "dashboard = fl.TrainingDashboard(history)"
    )
    expected = {
        "clients": "FederatedDataset",
        "backbone": "Backbone",
        "features": "FederatedDataset",
        "process": "FederatedProcess",
        "history": "History",
        "dashboard": "TrainingDashboard",
    }
    claims = [f"assert_type({name}, fl.{kind})" for name, kind in expected.items() if kind != "FederatedProcess"]
    claims += ["from fedlearn_edu.learning.process import FederatedProcess", "assert_type(process, FederatedProcess)"]
    (tmp_path / "face.py").write_text("\n".join(["from typing import assert_type", face, *claims]))
    assert check_types(tmp_path) == []
    (tmp_path / "face.py").write_text(face + "\nfl.run_rounds(process, features, num_round=3)\nfl.nothing\n")
    wrong = check_types(tmp_path)
    assert any("num_round" in line for line in wrong)
    assert any("nothing" in line for line in wrong)


def test_lessons_call_what_is_there(tmp_path):
    """No lesson, exercise or block of a document names an argument or a public name that does not exist."""
    for folder in ("notebooks", "solutions"):
        for path in REPOSITORY.glob(f"{folder}/*.ipynb"):
            cells = nbformat.read(path, as_version=4).cells
            code = "\n".join(cell.source for cell in cells if cell.cell_type == "code")
            (tmp_path / f"{folder}_{path.stem}.py").write_text(re.sub(r"(?m)^%.*$", "", code))
    of_ours = re.compile(r"\[(unknown-argument|missing-argument|too-many-positional-arguments)\]|fedlearn_edu")
    assert [line for line in check_types(tmp_path) if of_ours.search(line)] == []
