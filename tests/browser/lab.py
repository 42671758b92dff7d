"""A JupyterLab server with a home of its own, and the few things a test does with a page of it."""

import contextlib
import hashlib
import json
import os
import pathlib
import secrets
import shutil
import socket
import subprocess
import sys
import time
import urllib.request

import psutil

from fedlearn_edu.cache_folder import CACHE_VARIABLE, cache_root

CHROMIUM_FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
# Keeps every cell in the page, also those that are scrolled away, so that a test can reach them.
ALL_CELLS = {"@jupyterlab/notebook-extension/tracker.jupyterlab-settings": {"windowingMode": "none"}}
_NO_NEWS = {
    "@jupyterlab/apputils-extension/notification.jupyterlab-settings": {"fetchNews": "false", "checkForUpdates": False}
}
_START_S = 60
_IDLE = "Python 3 (ipykernel) | Idle"


def write_settings(folder: pathlib.Path, settings: dict[str, dict]) -> None:
    """Writes JupyterLab's settings of a user."""
    for name, content in settings.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(content))


@contextlib.contextmanager
def lab_server(notebooks: list[pathlib.Path], home: pathlib.Path):
    """Serves copies of `notebooks` on a free port; yields their URLs. Ends the server and all it started."""
    root, settings = home / "work", home / "settings"
    root.mkdir(parents=True)
    for notebook in notebooks:
        shutil.copy(notebook, root)
    write_settings(settings, ALL_CELLS | _NO_NEWS)
    port, token = free_port(), secrets.token_hex(16)
    command = [sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", "--ip=127.0.0.1", f"--port={port}"]
    command += [
        "--ServerApp.port_retries=0",
        f"--ServerApp.root_dir={root}",
        f"--IdentityProvider.token={token}",
        "--LabApp.news_url=None",
        "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate",
    ]
    with running(command, home, f"http://127.0.0.1:{port}/api?token={token}", cwd=root):
        yield [f"http://127.0.0.1:{port}/lab/tree/{notebook.name}?token={token}&reset" for notebook in notebooks]


def free_port() -> int:
    """A port of this machine that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextlib.contextmanager
def running(command: list[str], home: pathlib.Path, url: str, *, cwd: pathlib.Path):
    """Runs a server with a home of its own until the block ends; `url` answers by then. Ends all that it started."""
    scratch = {name: str(home / name.lower()) for name in ("JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR")}
    environment = {
        **os.environ,
        **scratch,
        "HOME": str(home),
        "JUPYTER_RUNTIME_DIR": str(home / "runtime"),
        "JUPYTERLAB_SETTINGS_DIR": str(home / "settings"),
        CACHE_VARIABLE: str(cache_root()),  # features that were extracted before serve here too
        "no_proxy": "127.0.0.1,localhost",
    }
    with open(home / "lab.log", "wb") as log:
        server = subprocess.Popen(command, cwd=cwd, env=environment, stdout=log, stderr=log, start_new_session=True)
    started = []
    try:
        _await_answer(url, server, home / "lab.log")
        yield
        started = psutil.Process(server.pid).children(recursive=True)
    finally:
        server.terminate()
        try:
            server.wait(20)
        except subprocess.TimeoutExpired:
            server.kill()
        _, left = psutil.wait_procs(started, timeout=10)
        for process in left:
            process.kill()
    assert not left, f"still running after Lab had ended: {left}"


def _await_answer(url: str, server: subprocess.Popen, log: pathlib.Path) -> None:
    deadline = time.monotonic() + _START_S
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # never through a proxy
    while True:
        try:
            opener.open(url, timeout=2).close()
            return
        except OSError:
            ended = server.poll() is not None
            assert not ended, f"JupyterLab ended: {log.read_text()[-2000:]}"
            assert time.monotonic() < deadline, f"JupyterLab did not answer: {log.read_text()[-2000:]}"
            time.sleep(0.2)


def run_all_cells(page, url: str, *, timeout_s: float) -> None:
    """Opens a notebook, runs all cells, waits until the last one is done."""
    page.goto(url)
    page.wait_for_selector(".jp-Notebook", timeout=60_000)
    # The notebook's own mark says "idle" even before there is a kernel; the status bar names the kernel too.
    page.wait_for_function(
        "text => document.querySelector('#jp-main-statusbar')?.innerText.includes(text)", arg=_IDLE, timeout=60_000
    )
    page.click(".jp-Notebook .jp-Cell >> nth=0")
    page.click(".lm-MenuBar-itemLabel:text-is('Run')")
    page.click(".lm-Menu-itemLabel:text-is('Run All Cells')")
    page.wait_for_function(
        """() => {
            const prompts = [...document.querySelectorAll('.jp-CodeCell .jp-InputPrompt')].map(p => p.innerText.trim());
            const failed = document.querySelector('[data-mime-type="application/vnd.jupyter.error"]');
            return failed || (prompts.length > 0 && prompts.every(p => /\\[\\d+\\]/.test(p)));
        }""",
        timeout=timeout_s * 1000,
    )


def settled_picture(locator, *, other_than: str | None = None, quiet_s: float = 1.0, timeout_s: float = 60.0) -> str:
    """Returns a digest of a picture's content once it has not been redrawn for a while.

    While a control moves the picture is redrawn several times: comparing earlier would compare a half-way frame. Where
    a control has been moved, say what it was before: a busy machine may take a while to begin.
    """
    deadline = time.monotonic() + timeout_s
    content, since = None, time.monotonic()
    while content == other_than or time.monotonic() - since < quiet_s:
        assert time.monotonic() < deadline, "the picture did not come to rest, or did not change"
        now = hashlib.sha256(locator.evaluate("picture => picture.outerHTML").encode()).hexdigest()
        if now != content or _IDLE not in locator.page.inner_text("#jp-main-statusbar"):  # the kernel is drawing
            content, since = now, time.monotonic()
        time.sleep(0.2)
    return content
