"""What learners get: enough to start from an empty folder, nothing that tells answers, links that lead somewhere."""

import base64
import csv
import hashlib
import importlib.metadata
import io
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile

import nbformat
import pytest
from click.testing import CliRunner
from packaging.metadata import Metadata
from shared import REPOSITORY

from fedlearn_edu.cli import cli
from fedlearn_edu.course import own_wheel
from fedlearn_edu.course.handout import make_handout
from fedlearn_edu.course.relative_links import links_in
from fedlearn_edu.errors import UsageError
from fedlearn_edu.terminal import HANDOUT_MARK


@pytest.fixture(scope="module")
def zipped(tmp_path_factory):
    path = tmp_path_factory.mktemp("handout") / "handout.zip"
    make_handout(REPOSITORY, path, lessons=["00", "4"])
    return path


@pytest.fixture(scope="module")
def unpacked(zipped):
    folder = zipped.parent / "unpacked"
    zipfile.ZipFile(zipped).extractall(folder)
    return folder


@pytest.fixture(scope="module")
def installed(unpacked):
    """What the wheel puts into an environment."""
    (wheel,) = unpacked.glob("*.whl")
    folder = unpacked.parent / "installed"
    zipfile.ZipFile(wheel).extractall(folder)
    return folder


@pytest.fixture
def small_course(tmp_path):
    """Three lessons of the course, to spoil."""
    for part in ("notebooks", "exercises"):
        (tmp_path / "course" / part).mkdir(parents=True)
        for path in sorted((REPOSITORY / part).glob("0[0-2]_*.ipynb")):
            shutil.copy(path, tmp_path / "course" / part)
    return tmp_path / "course"


def test_it_holds_what_it_takes_and_no_solutions(zipped):
    names = sorted(zipfile.ZipFile(zipped).namelist())
    wheel = next(name for name in names if name.endswith(".whl"))
    assert names == sorted(
        [
            HANDOUT_MARK,
            "START_HERE.md",
            "pyproject.toml",
            wheel,
            "exercises/00_welcome.ipynb",
            "exercises/04_fedavg_from_the_formula.ipynb",
            "notebooks/00_welcome.ipynb",
            "notebooks/04_fedavg_from_the_formula.ipynb",
        ]
    )
    inside = zipfile.ZipFile(io.BytesIO(zipfile.ZipFile(zipped).read(wheel))).namelist()
    assert not [name for name in inside if "solutions/" in name or "__pycache__" in name or "/tests/" in name]
    assert len([name for name in inside if re.fullmatch(r"fedlearn_edu/exercises/\d\d_\w+\.ipynb", name)]) == 16


def test_start_here_tells_a_learner_how_to_start_and_what_to_hand_in(unpacked):
    text = (unpacked / "START_HERE.md").read_text()
    for part in ("uv run fedlearn-edu lab", "wsl --install", "docker run", "-p 127.0.0.1:8888:8888", "--ip 0.0.0.0"):
        assert part in text
    assert "Upload the `.ipynb` from `exercises/`" in text
    assert "Rename neither the file nor the functions" in text
    assert "- `notebooks/00_welcome.ipynb`, then `exercises/00_welcome.ipynb`" in text
    assert "01_federate" not in text
    assert "{" not in text, "a place that was not filled in"


def test_links_to_what_was_not_handed_out_are_plain_text(unpacked):
    for path in unpacked.glob("*/*.ipynb"):
        notebook = nbformat.read(path, as_version=4)
        links = [link for c in notebook.cells if c.cell_type == "markdown" for link in links_in(c.source)]
        assert links
        assert all((path.parent / link).resolve().is_file() for link in links)
    assert "lesson 01: Federate a pre-trained model" in (unpacked / "notebooks" / "00_welcome.ipynb").read_text()


def test_learners_get_the_versions_that_were_tested(unpacked):
    own = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())
    given = tomllib.loads((unpacked / "pyproject.toml").read_text())
    for key in ("environments", "override-dependencies", "constraint-dependencies"):
        assert given["tool"]["uv"][key] == own["tool"]["uv"][key]
    assert given["project"]["requires-python"] == own["project"]["requires-python"]
    assert given["dependency-groups"] == {"cpu": own["dependency-groups"]["cpu"]}
    assert given["tool"]["uv"]["default-groups"] == ["cpu"]
    source = given["tool"]["uv"]["sources"][given["project"]["dependencies"][0]]
    assert (unpacked / source["path"]).is_file()


def test_the_wheel_is_one(installed):
    """Its record holds for every file, and its metadata for what this package needs."""
    (info,) = installed.glob("*.dist-info")
    with open(info / "RECORD", newline="") as file:
        rows = list(csv.reader(file))
    files = {str(path.relative_to(installed)) for path in installed.rglob("*") if path.is_file()}
    assert {name for name, _, _ in rows} == files
    for name, digest, size in rows:
        if name != f"{info.name}/RECORD":
            content = (installed / name).read_bytes()
            assert len(content) == int(size)
            expected = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).decode().rstrip("=")
            assert digest == f"sha256={expected}"
    metadata = Metadata.from_email((info / "METADATA").read_bytes(), validate=True)
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    assert len(metadata.requires_dist) == len(project["dependencies"]) > 20
    (found,) = importlib.metadata.distributions(path=[str(installed)])
    assert found.name == "fedlearn-edu"
    (script,) = found.entry_points
    assert (script.name, script.value) == ("fedlearn-edu", project["scripts"]["fedlearn-edu"])


def test_a_wheel_of_other_content_is_another_version_and_holds_only_the_package(tmp_path, monkeypatch):
    """Else an installer that has seen last week's hand-out would install nothing."""
    package = tmp_path / "fedlearn_edu"
    monkeypatch.setattr(own_wheel, "_PACKAGE", package)
    for name in (
        "a.py",
        "b/c.json",
        ".git/x",
        "b/.ipynb_checkpoints/c.py",
        "b/__pycache__/c.pyc",
        "exercises/old.ipynb",
    ):
        (package / name).parent.mkdir(parents=True, exist_ok=True)
        (package / name).write_text("1")
    shutil.copy(REPOSITORY / "pyproject.toml", tmp_path)
    lessons = {"exercises/00.ipynb": b"1"}
    (first, content), (again, same) = own_wheel.make_wheel(lessons), own_wheel.make_wheel(lessons)
    assert (first, content) == (again, same)
    inside = zipfile.ZipFile(io.BytesIO(content)).namelist()
    assert [name for name in inside if "dist-info" not in name] == [
        "fedlearn_edu/a.py", "fedlearn_edu/b/c.json", "fedlearn_edu/exercises/00.ipynb", "fedlearn_edu/pyproject.toml",
    ]  # fmt: skip
    (package / "a.py").write_text("2")
    second, _ = own_wheel.make_wheel(lessons)
    third, _ = own_wheel.make_wheel({"exercises/00.ipynb": b"2"})
    assert len({first, second, third}) == 3
    assert all(re.fullmatch(r"fedlearn_edu-[\d.]+\+handout\.\w{8}-py3-none-any\.whl", name) for name in (first, third))


def test_what_it_installs_opens_the_hand_out_and_makes_the_same_one_again(installed, unpacked, zipped, tmp_path):
    """As a teacher who installed the package, without a checkout; -I: nothing of this checkout is on the path."""
    source = f"""
import sys
sys.path.insert(0, {str(installed)!r})
import pathlib
import fedlearn_edu as fl
from fedlearn_edu.course.handout import make_handout
from fedlearn_edu.lessons import course_folder, prepare_lessons
assert course_folder() == pathlib.Path({str(installed)!r}) / "fedlearn_edu", course_folder()
found = prepare_lessons()
print(found.root, found.first)
make_handout(course_folder(), {str(tmp_path / "again.zip")!r}, lessons=["00", "04"])
print(fl.check("00.model_delta", lambda received, trained: [a - b for a, b in zip(received, trained)]).status)
"""
    result = subprocess.run([sys.executable, "-I", "-c", source], cwd=unpacked, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    assert result.stdout.splitlines() == [f"{unpacked} notebooks/00_welcome.ipynb", "passed"]
    assert (tmp_path / "again.zip").read_bytes() == zipped.read_bytes()


def test_an_existing_zip_is_kept_unless_told(small_course, tmp_path):
    output = tmp_path / "handout.zip"
    output.write_text("last year's")
    with pytest.raises(UsageError, match=r"^output: .*handout\.zip is there already; --force replaces it$"):
        make_handout(small_course, output)
    assert output.read_text() == "last year's"
    make_handout(small_course, output, force=True)
    assert zipfile.is_zipfile(output)


@pytest.mark.parametrize("name", ["00_welcome.ipynb", "02_what_a_pretrained_model_knows.ipynb"])
def test_an_exercise_that_somebody_worked_in_is_not_handed_out(small_course, tmp_path, name):
    """Neither beside the wheel nor in it: lesson 02 was not even asked for."""
    path = small_course / "exercises" / name
    notebook = nbformat.read(path, as_version=4)
    cell = next(cell for cell in notebook.cells if "solution" in cell.metadata.get("tags", []))
    cell.source = "the answer"
    nbformat.write(notebook, path)
    message = r"^exercises: .* holds answers \((model_delta|cosine_similarity)\); build it anew before you hand it out$"
    with pytest.raises(UsageError, match=message):
        make_handout(small_course, tmp_path / "handout.zip", lessons=["00"])
    assert not (tmp_path / "handout.zip").exists()


def test_a_lesson_that_is_not_there_is_not_waited_for():
    slow = "nbformat"  # it builds grammars for seconds when it is imported
    code = f"import sys, fedlearn_edu.course.handout as h; assert {slow!r} not in sys.modules, 'imported too early'"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_what_running_a_lesson_left_in_it_stays_with_the_teacher(small_course, tmp_path):
    path = small_course / "notebooks" / "00_welcome.ipynb"
    make_handout(small_course, tmp_path / "before.zip", lessons=["00"])
    notebook = nbformat.read(path, as_version=4)
    cell = next(cell for cell in notebook.cells if cell.cell_type == "code")
    cell.outputs, cell.execution_count = [nbformat.v4.new_output("stream", text="/home/teacher")], 7
    notebook.metadata["widgets"] = {"state": "/home/teacher"}
    nbformat.write(notebook, path)
    make_handout(small_course, tmp_path / "after.zip", lessons=["00"])
    assert (tmp_path / "after.zip").read_bytes() == (tmp_path / "before.zip").read_bytes()


def test_a_copy_of_a_lesson_or_no_notebook_is_one_line(small_course, tmp_path):
    notebooks = small_course / "notebooks"
    copy = shutil.copy(notebooks / "00_welcome.ipynb", notebooks / "00_welcome-Copy1.ipynb")
    named = (
        r"^lesson: '00' may be 00_welcome-Copy1\.ipynb and 00_welcome\.ipynb in .*notebooks; move away what is a copy$"
    )
    for lessons, message in [
        (["0"], named),
        ([], r"^exercises: expected .*-Copy1\.ipynb, .* \(or is it a lesson's copy\?"),
    ]:
        with pytest.raises(UsageError, match=message):
            make_handout(small_course, tmp_path / "handout.zip", lessons=lessons)
    copy.unlink()
    for content in (b"junk", b"\xff", b"{}"):
        (notebooks / "01_federate_a_pretrained_model.ipynb").write_bytes(content)
        with pytest.raises(UsageError, match=r"^01_federate_a_pretrained_model\.ipynb: (expected a Jupyter|cannot be)"):
            make_handout(small_course, tmp_path / "handout.zip", lessons=["00"])
    assert not (tmp_path / "handout.zip").exists()


def test_what_is_missing_is_one_line(small_course, tmp_path):
    (small_course / "exercises" / "01_federate_a_pretrained_model.ipynb").unlink()
    for lessons, message in [
        (["7"], r"^lesson: there is no '07'; Known: 00, 01, 02$"),
        ([""], r"^lesson: there is no ''; Known: 00, 01, 02$"),  # a variable of a script that is not set
        (
            ["00"],
            r"^exercises: expected .*01_federate_a_pretrained_model\.ipynb, found none; run: .*fedlearn-edu exercises",
        ),
    ]:
        with pytest.raises(UsageError, match=message):
            make_handout(small_course, tmp_path / "handout.zip", lessons=lessons)
    with pytest.raises(UsageError, match=r"^lessons: expected NN_\*\.ipynb in .*, found none$"):
        make_handout(tmp_path / "nowhere", tmp_path / "handout.zip")
    with pytest.raises(UsageError, match=r"^output: .* is a folder$"):
        make_handout(small_course, tmp_path, force=True)
    with pytest.raises(UsageError, match=r"^output: there is no folder .*nowhere to write a\.zip into; make it first$"):
        make_handout(small_course, tmp_path / "nowhere" / "a.zip")


def test_each_command_has_a_page_and_every_option_a_text():
    for command in ("build", "check", "handout"):
        page = CliRunner().invoke(cli, ["exercises", command, "--help"]).output
        assert f"fedlearn-edu exercises {command}" in page
        options = re.findall(r"^  (-.*?)$", page.split("Options:")[1], re.M)
        assert len(options) >= 3
        assert all(re.search(r"[A-Z]+\s{2,}\w|\w\s{2,}\w|^\S+ [A-Z\[\]<>=0-9x, -]+$", line) for line in options), (
            options
        )


def test_options_of_nbgrader_are_refused_without_it():
    for option in ("--lesson", "--seed", "--written-points"):
        result = CliRunner().invoke(cli, ["exercises", "build", option, "04"])
        assert result.exit_code == 2
        assert "--lesson, --seed and --written-points go with --nbgrader" in result.output
