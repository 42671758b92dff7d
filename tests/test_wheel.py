"""The wheel, installed as README says for those without uv's project: what it holds, and that its commands run."""

import os
import pathlib
import re
import shutil
import subprocess
import sys
import urllib.request
import zipfile

import pytest
from shared import REPOSITORY

UV = shutil.which("uv")
pytestmark = [
    pytest.mark.timeout(600),
    pytest.mark.skipif(UV is None, reason="uv is not on the path: README's first command puts it there"),
]


def _copy_if_new(source, target):
    """A few packages bring their bytecode along, and an installer may link it: then both are one file."""
    if not os.path.exists(target):
        shutil.copyfile(source, target)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    folder = tmp_path_factory.mktemp("dist")
    subprocess.run([UV, "build", "-q", "--wheel", "--out-dir", folder, REPOSITORY], check=True, timeout=200)
    return next(folder.glob("*.whl"))


@pytest.fixture(scope="module")
def run(wheel, tmp_path_factory):
    """Runs a command of an environment that holds the locked packages and the wheel, and nothing of this checkout."""
    home = tmp_path_factory.mktemp("home")
    environment = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "VIRTUAL_ENV")}
    # One worker of a test's own, and this package's own cache: what it computes is its own.
    environment |= {"FEDLEARN_EDU_CACHE": str(home / "cache"), "MPLBACKEND": "Agg"}
    options = {"cwd": home, "env": environment, "check": True, "timeout": 400}
    subprocess.run([UV, "venv", "-q", "--python", "3.11", "env"], **options)
    install = [UV, "pip", "install", "-q", "--python", "env", "--no-deps"]
    subprocess.run([*install, "--require-hashes", "-r", REPOSITORY / "requirements.txt"], **options)
    subprocess.run([*install, wheel], **options)
    # What is compiled already need not be compiled anew: Python takes it for a file of the same time and size only.
    source, target = (pathlib.Path(folder, "lib/python3.11/site-packages") for folder in (sys.prefix, home / "env"))
    for compiled in source.rglob("__pycache__"):
        if (folder := target / compiled.relative_to(source)).parent.is_dir():
            # Another test may be writing there: under a name of its own, until it is whole.
            unfinished = shutil.ignore_patterns("*.pyc.*")
            shutil.copytree(compiled, folder, ignore=unfinished, copy_function=_copy_if_new, dirs_exist_ok=True)

    def run(*arguments, **more):
        program = home / "env" / "bin" / arguments[0]
        return subprocess.run([program, *arguments[1:]], **{**options, **more}, capture_output=True, text=True)

    run.start = lambda *arguments: subprocess.Popen(
        [home / "env" / "bin" / arguments[0], *arguments[1:]],
        cwd=home,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    run.home = home
    return run


def test_it_holds_the_package_and_the_course_and_nothing_that_builds_them(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    for name in ("py.typed", "__init__.pyi", "course/lessons.toml", "notebooks/00_welcome.ipynb", "pyproject.toml"):
        assert f"fedlearn_edu/{name}" in names
    assert {name.split("/")[0] for name in names if ".dist-info/" not in name} == {"fedlearn_edu"}
    assert not [name for name in names if re.search(r"build_|solutions|tests?/|\.pyc$|tools", name)]
    assert sum(file.file_size for file in zipfile.ZipFile(wheel).infolist()) < 25e6


def test_the_demo_runs_from_it(run):
    done = run("fedlearn-edu", "demo", "--rounds", "2", "--num-clients", "5", "--output", "run")
    assert "central ceiling" in done.stdout
    assert (run.home / "run" / "summary.json").is_file()
    module = run("python", "-c", "import fedlearn_edu; print(fedlearn_edu.__file__)").stdout
    assert pathlib.Path(module).is_relative_to(run.home)


def test_doctor_finds_nothing_wrong_with_it(run):
    assert "✗" not in run("fedlearn-edu", "doctor").stdout  # and the exit code is 0


def test_lab_serves_its_lessons(run):
    with run.start("fedlearn-edu", "lab", "--no-browser", "--port", "0") as lab:
        try:
            address = next(found[0] for line in lab.stdout if (found := re.search(r"http://\S+token=\w+", line)))
            contents = address.replace("/lab", "/api/contents", 1)
            contents = re.sub(r"/api/contents[^?]*", "/api/contents/notebooks", contents)
            with urllib.request.urlopen(contents, timeout=60) as answer:
                assert b"00_welcome.ipynb" in answer.read()
        finally:
            lab.terminate()
