"""doctor: each cause is found and comes with its fix; it never hangs."""

import importlib.metadata
import os
import platform
import shutil
import sys
import tempfile
import time
import types
import webbrowser

import pytest
from click.testing import CliRunner

from fedlearn_edu import cli, doctor
from fedlearn_edu.engine import worker
from fedlearn_edu.engine.worker_access import Unavailable, WorkerAccess
from fedlearn_edu.terminal import HANDOUT_MARK

PROXIES = ["http_proxy", "https_proxy", "grpc_proxy", "all_proxy", "no_proxy", "no_grpc_proxy"]


@pytest.fixture
def no_proxies(monkeypatch):
    for name in PROXIES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


def with_version(monkeypatch, package, version):
    original = importlib.metadata.version

    def fake(name):
        if name == package:
            if version is None:
                raise importlib.metadata.PackageNotFoundError(name)
            return version
        return original(name)

    monkeypatch.setattr(importlib.metadata, "version", fake)


def test_this_environment_passes(no_proxies):
    result = CliRunner().invoke(cli.cli, ["doctor"])
    assert result.exit_code == 0, result.output
    assert "Worker: reached by a Unix socket in a folder that only you can enter" in result.output
    assert "First computation: a federated sum over three clients came back right" in result.output
    assert "fix:" not in result.output
    assert all(f"✓ {name}: " in result.output for name in ("JupyterLab", "Browser", "Disk", "Memory"))
    assert result.output.splitlines()[-1] in (
        "Everything works. Next: fedlearn-edu lab",
        "Everything works. Next: uv run fedlearn-edu lab",
    )


@pytest.mark.parametrize(("version", "cause"), [(None, "the lessons cannot be opened"), ("3.6.1", "tested with 4")])
def test_lab_is_no_part_of_the_engine_but_the_lessons_need_it(monkeypatch, version, cause):
    with_version(monkeypatch, "jupyterlab", version)
    finding = doctor.check_jupyterlab()
    assert (finding.status, cause in finding.detail, bool(finding.fix)) == ("warning", True, True)


def test_no_browser_is_no_fault(monkeypatch):
    def none():
        raise webbrowser.Error("could not locate runnable browser")

    monkeypatch.setattr(webbrowser, "get", none)
    finding = doctor.check_browser()
    assert finding.status == "ok"
    assert "open the address" in finding.detail


@pytest.mark.parametrize("variable", ["FEDLEARN_EDU_CACHE", "TMPDIR"])
def test_a_full_disk_is_named_with_the_variable_that_moves_the_folder(monkeypatch, tmp_path, variable):
    full = tmp_path / "full"
    full.mkdir()
    monkeypatch.setenv(variable, str(full / "not made yet") if variable == "FEDLEARN_EDU_CACHE" else str(full))
    monkeypatch.setattr(tempfile, "tempdir", None)  # so that it looks for its folder again
    usage = shutil.disk_usage
    monkeypatch.setattr(shutil, "disk_usage", lambda p: usage(p)._replace(free=3e8 if "full" in str(p) else 9e9))
    finding = doctor.check_disk()
    assert finding.status == "warning"
    assert f"0.3 GB free in {full}" in finding.detail
    assert f"set {variable} to a folder on another disk" in finding.fix


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_cache_that_cannot_be_written_is_named(monkeypatch, tmp_path):
    (tmp_path / "locked").mkdir(mode=0o500)
    monkeypatch.setenv("FEDLEARN_EDU_CACHE", str(tmp_path / "locked" / "cache"))
    finding = doctor.check_disk()
    assert (finding.status, "locked cannot be written" in finding.detail) == ("warning", True)


def test_a_folder_that_was_deleted_under_the_user_is_named(monkeypatch, tmp_path):
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    finding = doctor.check_disk()
    assert (finding.status, finding.detail, "cd" in finding.fix) == ("failed", "this folder was deleted", True)


def test_little_memory_and_a_small_container_are_named(monkeypatch):
    import psutil

    def memory(available):
        monkeypatch.setattr(psutil, "virtual_memory", lambda: types.SimpleNamespace(available=available))

    monkeypatch.setattr(doctor, "_container_limit", lambda: None)
    memory(8e9)
    assert doctor.check_memory() == doctor.Finding("ok", "8.0 GB free")
    memory(0.5e9)
    assert doctor.check_memory().detail.startswith("0.5 GB free; the demo takes about")
    memory(8e9)
    monkeypatch.setattr(doctor, "_container_limit", lambda: int(1e9))
    finding = doctor.check_memory()
    assert finding.status == "warning"
    assert "1.0 GB is this container's limit" in finding.detail
    assert "docker run --memory" in finding.fix


def test_a_warning_is_told_with_its_fix_and_is_no_failure(monkeypatch):
    monkeypatch.setattr(doctor, "CHECKS", {"Odd": lambda: doctor.Finding("warning", "cause", "fix it")})
    result = CliRunner().invoke(cli.cli, ["doctor"])
    assert result.output.splitlines()[:2] == ["  ! Odd: cause", "      fix: fix it"]
    assert result.output.splitlines()[-1].startswith("Everything works. Next: ")
    assert result.exit_code == 0


def test_a_problem_has_a_next_step_too(monkeypatch):
    monkeypatch.setattr(doctor, "CHECKS", {"Bad": lambda: doctor.Finding("failed", "cause", "fix it")})
    monkeypatch.setenv("UV", "/usr/bin/uv")
    result = CliRunner().invoke(cli.cli, ["doctor"])
    assert result.output.splitlines()[-1] == "1 problem found. Next: mend the first, then uv run fedlearn-edu doctor"
    assert result.exit_code == 1


@pytest.mark.parametrize(
    ("version", "cause"),
    [
        ("0.1.0", "plain pip"),
        ("0.61.0", "without our overrides"),
        ("0.86.0", "not the version"),
        (None, "not installed"),
    ],
)
def test_wrong_tff(monkeypatch, version, cause):
    with_version(monkeypatch, "tensorflow-federated", version)
    finding = doctor.check_tff()
    assert finding.status == "failed"
    assert cause in finding.detail
    assert "requirements.txt" in finding.fix
    result = CliRunner().invoke(cli.cli, ["doctor"])
    assert result.exit_code == 1
    assert "First computation: not tried" in result.output


def test_wrong_python(monkeypatch):
    monkeypatch.setattr(sys, "version_info", (3, 12, 1))
    monkeypatch.setattr(platform, "python_version", lambda: "3.12.1")
    finding = doctor.check_python()
    assert (finding.status, "3.12.1" in finding.detail, "3.11" in finding.fix) == ("failed", True, True)


@pytest.mark.parametrize(("system", "machine"), [("Darwin", "arm64"), ("Windows", "AMD64"), ("Linux", "aarch64")])
def test_wrong_platform(monkeypatch, system, machine):
    monkeypatch.setattr(platform, "system", lambda: system)
    monkeypatch.setattr(platform, "machine", lambda: machine)
    finding = doctor.check_platform()
    assert finding.status == "failed"
    assert "WSL2" in finding.fix


def test_old_glibc(monkeypatch):
    monkeypatch.setattr(platform, "libc_ver", lambda: ("glibc", "2.28"))
    assert "glibc 2.31" in doctor.check_platform().detail


def test_wrong_typing_extensions(monkeypatch):
    with_version(monkeypatch, "typing-extensions", "4.12.0")
    found = doctor.check_typing_extensions()
    assert "4.5.0" in found.fix
    assert found.status == "warning"  # nothing of ours needs it


@pytest.mark.parametrize(
    ("environment", "status"),
    [
        ({}, "ok"),
        ({"http_proxy": "http://proxy:3128"}, "warning"),
        ({"HTTPS_PROXY": "http://proxy:3128", "no_proxy": "example.org"}, "warning"),
        ({"https_proxy": "http://proxy:3128", "no_proxy": "127.0.0.1, localhost"}, "ok"),
        ({"https_proxy": "http://proxy:3128", "NO_PROXY": "*"}, "ok"),
    ],
)
def test_proxy(monkeypatch, no_proxies, environment, status):
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    finding = doctor.check_proxy()
    assert finding.status == status
    assert status == "ok" or "no_proxy=localhost" in finding.fix


def test_our_runtime_works_behind_a_dead_proxy(monkeypatch, no_proxies):
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    monkeypatch.setenv("grpc_proxy", "http://127.0.0.1:9")
    assert doctor.check_hello().status == "ok"


def test_a_hanging_engine_is_given_up(monkeypatch):
    monkeypatch.setattr(doctor, "_HELLO", "import time; time.sleep(60)")
    started = time.monotonic()
    finding = doctor.check_hello(deadline_s=1.0)
    assert time.monotonic() - started < 10
    assert finding.status == "failed"
    assert "within 1 s: this machine is very slow just now, or something is stuck" in finding.detail
    assert finding.fix == "close other programs and try again", "a slow machine is no reason to reinstall"


@pytest.fixture
def handout(monkeypatch, tmp_path):
    """Makes a folder within a hand-out the current one, as for a lesson's kernel."""
    (tmp_path / HANDOUT_MARK).touch()
    (tmp_path / "notebooks").mkdir()
    monkeypatch.chdir(tmp_path / "notebooks")


@pytest.mark.parametrize(
    ("package", "check"),
    [
        ("tensorflow-federated", doctor.check_tff),
        ("tensorflow", doctor.check_tensorflow),
        ("typing-extensions", doctor.check_typing_extensions),
        ("jupyterlab", doctor.check_jupyterlab),
    ],
)
def test_in_a_handout_a_reinstall_is_one_that_works_there(monkeypatch, handout, package, check):
    with_version(monkeypatch, package, "99.0")
    monkeypatch.setattr(shutil, "which", lambda name: f"/usr/bin/{name}")
    assert check().fix.startswith("uv sync --reinstall")
    monkeypatch.setattr(shutil, "which", lambda name: None)
    monkeypatch.setenv("UV", "/home/a b/.fedlearn-uv/bin/uv")
    assert check().fix.startswith("'/home/a b/.fedlearn-uv/bin/uv' sync --reinstall")


def test_in_a_handout_a_broken_engine_and_a_broken_check_name_no_checkout(monkeypatch, handout):
    def broken():
        raise RuntimeError("boom")

    monkeypatch.setattr(doctor, "_HELLO", "raise ImportError('libfoo.so is missing')")
    monkeypatch.setattr(doctor, "CHECKS", {"Engine": doctor.check_hello, "Broken": broken})
    output = CliRunner().invoke(cli.cli, ["doctor"]).output
    assert output.count("sync --reinstall") == 2
    assert "requirements.txt" not in output


def test_a_broken_engine_says_why(monkeypatch):
    monkeypatch.setattr(doctor, "_HELLO", "raise ImportError('libfoo.so is missing')")
    assert "libfoo.so is missing" in doctor.check_hello().detail


def test_a_check_that_breaks_does_not_hide_the_others(monkeypatch):
    def broken():
        raise RuntimeError("boom")

    monkeypatch.setattr(doctor, "CHECKS", {"Broken": broken, "Sound": doctor.check_python})
    result = CliRunner().invoke(cli.cli, ["doctor"])
    assert "RuntimeError: boom" in result.output
    assert "Sound: 3.11" in result.output
    assert result.exit_code == 1


class Unreachable(WorkerAccess):
    name = "a way"

    def __init__(self, worker):
        raise Unavailable("not here")


def test_what_takes_long_is_announced_before_it_begins(monkeypatch, capfd):
    seen = []

    def slow():
        seen.append(capfd.readouterr().out)  # what has reached the file by now
        return doctor.Finding("ok", "at last")

    monkeypatch.setattr(doctor, "_SLOW", {slow: "takes long"})
    monkeypatch.setattr(doctor, "CHECKS", {"First": lambda: doctor.Finding("ok", "there"), "Second": slow})
    assert doctor.run_checks() == 0
    assert seen == ["  ✓ First: there\n  … Second: takes long\n"]
    assert capfd.readouterr().out.startswith("  ✓ Second: at last\n")


def test_a_worker_that_nothing_closes_is_a_failure_and_an_open_one_a_warning(monkeypatch):
    monkeypatch.setattr(worker, "CLOSED_WAYS", (Unreachable,))
    finding = doctor.check_worker()
    assert finding.status == "failed"
    assert "keeps others out of it (a way: not here;" in finding.detail
    assert "FEDLEARN_EDU_OPEN_WORKER=1" in finding.detail
    monkeypatch.setenv("FEDLEARN_EDU_OPEN_WORKER", "1")
    with pytest.warns(RuntimeWarning, match="OPEN: TCP port"):
        finding = doctor.check_worker()
    assert finding.status == "warning"
    assert "reached by OPEN: TCP port" in finding.detail
    assert "unset FEDLEARN_EDU_OPEN_WORKER" in finding.fix
