"""Downloads go into tensorflow-hub's cache, once, and a dead network fails in one line instead of hanging."""

import http.server
import io
import socket
import tarfile
import threading
import time

import pytest

import fedlearn_edu as fl
from fedlearn_edu.backbone import resolve


@pytest.fixture(autouse=True)
def empty_cache(monkeypatch, tmp_path):
    monkeypatch.setenv("TFHUB_CACHE_DIR", str(tmp_path / "hub"))
    for variable in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(variable, raising=False)


@pytest.fixture
def server(tiny_folder):
    """Serves the tiny module as `/module.tar.gz`, and a web page as `/page`; counts what it served."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        archive.add(tiny_folder, arcname=".")

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            bodies = {"/module.tar.gz": buffer.getvalue(), "/page": b"<html>no module</html>" * 100}
            body = bodies.get(self.path.split("?")[0])
            self.server.paths.append(self.path)
            self.send_response(200 if body else 404)
            self.end_headers()
            self.wfile.write(body or b"")

        def log_message(self, *args):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.paths = []
    server.url = f"http://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def test_a_url_is_downloaded_once(server, tiny):
    first = fl.load_backbone(f"{server.url}/module.tar.gz")
    again = fl.load_backbone(f"{server.url}/module.tar.gz")
    assert first.fingerprint == again.fingerprint == tiny.fingerprint
    assert first.source == f"{server.url}/module.tar.gz"
    assert len(server.paths) == 1


@pytest.mark.parametrize(("path", "reason"), [("/none", "404"), ("/page", "does not appear to be a valid module")])
def test_what_is_no_module_fails_in_one_line(server, tmp_path, path, reason):
    with pytest.raises(fl.RunError) as caught:
        fl.load_backbone(server.url + path)
    assert reason in str(caught.value)
    assert "--backbone bundled works offline" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not [f for f in (tmp_path / "hub").iterdir() if f.is_dir()]


def test_no_network_fails_quickly():
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}/module"
        with pytest.raises(fl.RunError, match=r"Connection refused.*tried the network"):
            fl.load_backbone(url)


def test_a_silent_server_does_not_hang():
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        start = time.monotonic()
        with pytest.raises(fl.RunError, match=r"timed out|nothing received"):
            resolve.resolve_module(f"http://127.0.0.1:{silent.getsockname()[1]}/m", name="m", stall_seconds=0.5)
        assert time.monotonic() - start < 5
    assert socket.getdefaulttimeout() is None


def test_a_name_lookup_that_never_ends_does_not_hang(monkeypatch):
    import tensorflow_hub

    monkeypatch.setattr(tensorflow_hub, "resolve", lambda url: time.sleep(30))
    with pytest.raises(fl.RunError, match=r"nothing received for 0\.3 s"):
        resolve.resolve_module("https://example.org/module", name="module", stall_seconds=0.3)


def test_a_lock_left_by_a_killed_download_is_named(tmp_path):
    url = "http://127.0.0.1:9/module"
    lock = resolve._cache_folder(url).with_suffix(".lock")
    lock.parent.mkdir()
    lock.write_text("another.process.0")
    with pytest.raises(fl.RunError, match=r"if no other download is running, delete .*\.lock"):
        resolve.resolve_module(url, name=url, stall_seconds=0.5)
    lock.unlink()  # lets tensorflow-hub's waiting thread go


def test_a_damaged_cached_copy_is_named(server):
    url = f"{server.url}/module.tar.gz"
    fl.load_backbone(url)
    (resolve._cache_folder(url) / "saved_model.pb").unlink()
    with pytest.raises(fl.RunError, match=r"cached copy .* is damaged.*delete that folder"):
        fl.load_backbone(url)
