"""A learner's copies of the course: complete, theirs, and served by a Lab that opens on the first lesson."""

import json
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import urllib.error
import urllib.request

import pytest
from click.testing import CliRunner
from shared import REPOSITORY

from fedlearn_edu import cli, lessons
from fedlearn_edu.errors import UsageError
from fedlearn_edu.lessons import prepare_lessons
from fedlearn_edu.terminal import HANDOUT_MARK


@pytest.fixture
def course(tmp_path, monkeypatch):
    """A course of two small lessons in the place of the package's own."""
    for part in ("notebooks", "exercises"):
        for name in ("00_a.ipynb", "01_b.ipynb"):
            path = tmp_path / "course" / part / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(f"{part} {name}, first edition")
    monkeypatch.setattr(lessons, "course_folder", lambda: tmp_path / "course")
    monkeypatch.chdir(tmp_path)
    return tmp_path / "course"


def contents(folder):
    return {str(path.relative_to(folder)): path.read_text() for path in folder.rglob("*.ipynb")}


def test_the_course_is_copied_whole(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    found = prepare_lessons()
    assert found.root == tmp_path / "fedlearn-edu-lessons"
    assert found.first == "notebooks/00_welcome.ipynb"
    assert found.notes == ()
    for part in ("notebooks", "exercises"):
        own = {path.name: path.read_bytes() for path in (REPOSITORY / part).glob("[0-9]*.ipynb")}
        assert len(own) == 16
        assert {path.name: path.read_bytes() for path in (found.root / part).iterdir()} == own


def test_what_a_learner_or_a_teacher_makes_in_a_checkout_is_ignored_by_git():
    names = ["fedlearn-edu-lessons/exercises/00_welcome.ipynb", "exercises/00_welcome_old.ipynb", "grades.csv"]
    names += ["handout.zip", "submissions/ann/00_welcome.ipynb", "feedback/ann.html", "course/source/04/a.ipynb"]
    names += ["grades_overview.html", "notebooks/fedlearn-edu-lessons/exercises/00_welcome.ipynb"]
    # What a teacher is told to type must not lie open to the next `git add .`, whatever it is called.
    documents = ("README.md", "docs/teaching.md", "fedlearn_edu/commands/grade.py")
    told = "".join((REPOSITORY / name).read_text() for name in documents)
    options = "output|feedback|overrides|roster|handed-in|moodle-worksheet|canvas-gradebook"
    found = set(re.findall(rf"(?:fedlearn-edu grade|--(?:{options})) ([a-zA-Z][\w./-]*\w)", told))
    assert {"submissions.zip", "marks/feedback", "Grades-FL101.csv", "roster.csv"} < found
    names += sorted(name if "." in name else f"{name}/anything" for name in found - set(names))
    ignored = subprocess.run(["git", "check-ignore", *names], cwd=REPOSITORY, capture_output=True, text=True)
    assert ignored.stdout.splitlines() == names
    kept = ["fedlearn_edu/course/stub.py", "exercises/00_welcome.ipynb", "tests/course/test_authoring.py"]
    assert subprocess.run(["git", "check-ignore", "--no-index", *kept], cwd=REPOSITORY).returncode == 1


def test_edited_copies_stay_untouched_ones_are_renewed(course):
    root = prepare_lessons().root
    (root / "exercises" / "00_a.ipynb").write_text("my answer")
    (root / "notebooks" / "01_b.ipynb").unlink()
    for path in course.rglob("*.ipynb"):
        path.write_text(path.read_text().replace("first", "second"))
    found = prepare_lessons()
    assert contents(root) == contents(course) | {"exercises/00_a.ipynb": "my answer"}
    assert found.notes == (
        "renewed, since you had not touched them: notebooks/00_a.ipynb, exercises/01_b.ipynb",
        "newer than your copies, which stay: exercises/00_a.ipynb; rename a copy to get the new one beside it",
    )
    (root / "exercises" / "00_a.ipynb").rename(root / "exercises" / "00_mine.ipynb")
    assert prepare_lessons().notes == ()
    assert contents(root) == contents(course) | {"exercises/00_mine.ipynb": "my answer"}


@pytest.mark.parametrize("manifest", [b"", b"{", b"[]", b'{"files": 3}', b"\xff", b"[" * 100_000])
def test_without_a_record_of_what_was_copied_nothing_is_overwritten(course, manifest):
    root = prepare_lessons().root
    (root / ".fedlearn-edu.json").write_bytes(manifest)
    before = contents(root)
    for path in course.rglob("*.ipynb"):
        path.write_text("second edition")
    prepare_lessons()
    assert contents(root) == before


def test_a_record_that_was_lost_is_made_again_of_copies_that_nobody_edited(course):
    root = prepare_lessons().root
    (root / ".fedlearn-edu.json").unlink()
    (root / "exercises" / "00_a.ipynb").write_text("my answer")
    prepare_lessons()
    for path in course.rglob("*.ipynb"):
        path.write_text("second edition")
    prepare_lessons()
    assert contents(root) == contents(course) | {"exercises/00_a.ipynb": "my answer"}


def test_a_folder_of_an_earlier_version_keeps_its_files_in_sight(course, tmp_path):
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "00_a.ipynb").write_text("worked on")
    found = prepare_lessons(mine)
    assert found.root == mine, "whatever Lab shows begins there"
    assert contents(mine) == contents(course) | {"00_a.ipynb": "worked on"}
    assert found.notes == ("yours from before stay where they are, below the folders in Lab's list: 00_a.ipynb",)


def test_a_hand_out_is_opened_as_it_is(course, tmp_path, monkeypatch):
    handout = tmp_path / "unpacked"
    (handout / "notebooks").mkdir(parents=True)
    (handout / "notebooks" / "01_b.ipynb").write_text("the teacher's own edition")
    (handout / HANDOUT_MARK).touch()
    monkeypatch.chdir(handout)
    found = prepare_lessons()
    assert (found.root, found.first) == (handout, "notebooks/01_b.ipynb")
    assert contents(handout) == {"notebooks/01_b.ipynb": "the teacher's own edition"}


@pytest.mark.parametrize("name", ["course", "course/notebooks", "course/exercises"])
def test_a_checkout_that_is_named_is_served_as_it_is(course, name):
    assert prepare_lessons(pathlib.Path(name)).root == course
    assert sorted(path.name for path in course.iterdir()) == ["exercises", "notebooks"]


def test_a_part_of_copies_means_all_of_them(course, tmp_path):
    root = prepare_lessons(tmp_path / "mine").root
    assert prepare_lessons(root / "exercises").root == root
    assert sorted(path.name for path in root.iterdir()) == [".fedlearn-edu.json", "exercises", "notebooks"]


@pytest.mark.parametrize("here", ["", "notebooks", "exercises"])
@pytest.mark.parametrize("what", ["copies", "hand-out"])
def test_who_is_in_a_folder_of_lessons_gets_these_and_no_second_copy(course, tmp_path, monkeypatch, what, here):
    root = prepare_lessons(tmp_path / "mine").root
    if what == "hand-out":
        (root / ".fedlearn-edu.json").rename(root / HANDOUT_MARK)
    (root / "exercises" / "00_a.ipynb").write_text("my answer")
    before = sorted(root.rglob("*"))
    monkeypatch.chdir(root / here)
    assert prepare_lessons().root == prepare_lessons(pathlib.Path(".")).root == root
    assert sorted(root.rglob("*")) == before


def test_a_folder_that_cannot_be_written(course, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match=r"^--directory: .*file/below cannot be written \(Not a directory\)$"):
        prepare_lessons(tmp_path / "file" / "below")


def test_the_command_passes_on_what_it_does_not_know(course, monkeypatch):
    commands = []
    monkeypatch.setattr(os, "execv", lambda path, command: commands.append(command))
    result = CliRunner().invoke(cli.cli, ["lab", "--directory", "mine", "--no-browser", "--port", "8899"])
    assert result.exit_code == 0, result.output
    root = pathlib.Path("mine").absolute()
    assert commands[0][3:] == [str(root), "notebooks/00_a.ipynb", "--no-browser", "--port", "8899"]
    assert str(root) in result.output


# --- the server, really started ------------------------------------------------------------------------------------


@pytest.fixture
def start_lab(tmp_path):
    """A function that starts `fedlearn-edu lab` and returns its output until, and with, the line with the address."""
    started = []

    def start(*arguments):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        command = [sys.executable, "-m", "fedlearn_edu.cli", "lab", "--no-browser", "--port", str(port), *arguments]
        home = {name: str(tmp_path / name.lower()) for name in ("HOME", "JUPYTER_CONFIG_DIR", "JUPYTER_RUNTIME_DIR")}
        process = subprocess.Popen(
            command,
            cwd=tmp_path,
            env=os.environ | home,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        started.append(process)
        threading.Timer(60, process.kill).start()
        lines = []
        for line in process.stdout:
            lines.append(line.rstrip())
            if lines[-2:-1] == ["To end it: Ctrl-C, twice."]:
                return lines, port
        raise AssertionError("\n".join(lines))

    (tmp_path / "home").mkdir()
    yield start
    for process in started:
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) is not None
        process.stdout.close()


def get(url):
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), urllib.request.HTTPCookieProcessor())
    with opener.open(url, timeout=30) as answer:
        return answer.geturl(), answer.read().decode()


def test_lab_says_one_address_and_it_is_that_of_the_first_lesson(start_lab, tmp_path):
    lines, port = start_lab("--directory", "mine")
    wanted = [f"Your lessons and exercises: {tmp_path / 'mine'}"]
    if os.geteuid() == 0:
        wanted.append("Warning: you are root, and so is every notebook here; take another user where you can.")
    assert lines[:-1] == [*wanted, "", "To end it: Ctrl-C, twice."], "nothing else is said"
    match = re.fullmatch(r"Lesson 00: (http://localhost:(\d+)(/\S+)\?token=(\w+))", lines[-1])
    url, said_port, path, token = match.groups()
    assert (int(said_port), path) == (port, "/lab/tree/notebooks/00_welcome.ipynb")
    arrived, page = get(url)
    assert arrived == url
    config = json.loads(
        re.search(r'<script id="jupyter-config-data" type="application/json">(.*?)</script>', page, re.S)[1]
    )
    assert config["news"] == {"disabled": True}
    assert "@jupyterlab/apputils-extension:announcements" in config["disabledExtensions"]
    assert config["treePath"] == "notebooks/00_welcome.ipynb"
    below = json.loads(get(f"http://localhost:{port}/api/contents/exercises?token={token}")[1])["content"]
    assert "00_welcome.ipynb" in [entry["name"] for entry in below], "a lesson's link leads there"
    assert get(f"http://localhost:{port}/?token={token}")[0] == url, "the bare address leads there, too"
    with pytest.raises(urllib.error.HTTPError, match="403"):
        get(f"http://localhost:{port}/api/contents")


def test_each_folder_has_tabs_of_its_own(start_lab):
    def workspaces(folder, content=None):
        _, port = start_lab("--directory", folder, "--IdentityProvider.token=mine")
        url = f"http://localhost:{port}/lab/api/workspaces/default?token=mine"
        if content:
            data = json.dumps(content).encode()
            opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
            opener.open(urllib.request.Request(url, data=data, method="PUT"), timeout=30).close()
        return json.loads(get(url)[1])["data"]

    tabs = {"data": {"notebook:exercises/03.ipynb": {}}, "metadata": {"id": "default"}}
    assert workspaces("mine", tabs) == tabs["data"]
    assert workspaces("another") == {}, "it would open the first one's tabs on its own files of the same names"


def test_jupyters_own_options_win(start_lab, tmp_path):
    shutil.copytree(REPOSITORY / "exercises", tmp_path / "other")
    options = ["--LabApp.default_url=/lab/tree/00_welcome.ipynb", "--IdentityProvider.token=mine", "--log-level=INFO"]
    lines, port = start_lab(f"--ServerApp.root_dir={tmp_path / 'other'}", *options)
    assert lines[-1].startswith(f"JupyterLab: http://localhost:{port}/lab/tree/00_welcome.ipynb?token=...")
    assert any("Serving notebooks from local directory" in line for line in lines)
    names = [
        entry["name"] for entry in json.loads(get(f"http://localhost:{port}/api/contents?token=mine")[1])["content"]
    ]
    assert "00_welcome.ipynb" in names
    assert "notebooks" not in names
