"""Downloads come over https into a cache of this user's, once; a dead network fails in one line instead of hanging."""

import datetime
import errno
import http.server
import io
import ipaddress
import os
import pathlib
import shutil
import socket
import ssl
import tarfile
import threading
import time
import urllib.error

import pytest

import fedlearn_edu as fl
from fedlearn_edu.backbone import contract, pins, resolve, sources


@pytest.fixture(autouse=True)
def empty_cache(monkeypatch, tmp_path):
    monkeypatch.setenv("TFHUB_CACHE_DIR", str(tmp_path / "hub"))
    monkeypatch.setenv("FEDLEARN_EDU_CACHE", str(tmp_path / "cache"))
    for variable in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(variable, raising=False)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    """A certificate for 127.0.0.1 with its key, in one file."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import NameOID

    key, name = ec.generate_private_key(ec.SECP256R1()), x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test")])
    now, address = datetime.datetime.now(datetime.UTC), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
    certificate = (
        x509.CertificateBuilder(issuer_name=name, subject_name=name, public_key=key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([address]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem, plain = serialization.Encoding.PEM, serialization.NoEncryption()
    file = tmp_path_factory.mktemp("tls") / "certificate.pem"
    private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, plain)
    file.write_bytes(private + certificate.public_bytes(pem))
    return file


def packed(folder) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        archive.add(folder, arcname=".")
    return buffer.getvalue()


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        path = self.path.split("?")[0]
        self.server.paths.append(self.path)
        self.send_response(302 if path in self.server.away else 200 if path in self.server.bodies else 404)
        if path in self.server.away:
            self.send_header("Location", self.server.away[path])
        self.end_headers()
        body, pieces = self.server.bodies.get(path, b""), self.server.pieces
        for number in range(pieces):
            self.wfile.write(body[len(body) * number // pieces : len(body) * (number + 1) // pieces])
            time.sleep(0.2 if pieces > 1 else 0)

    def log_message(self, *args):
        pass


@pytest.fixture
def serve(tiny_folder, certificate, monkeypatch):
    """Starts servers of the tiny module as `/module.tar.gz` and a web page as `/page`, which note what they served."""
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    servers = []

    def start(scheme="https"):
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        if scheme == "https":
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate)
            server.socket = context.wrap_socket(server.socket, server_side=True)
        server.paths, server.away, server.pieces = [], {}, 1
        server.bodies = {"/module.tar.gz": packed(tiny_folder), "/page": b"<html>no module</html>" * 100}
        server.url = f"{scheme}://127.0.0.1:{server.server_port}"
        threading.Thread(target=server.serve_forever, daemon=True).start()
        servers.append(server)
        return server

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.fixture
def server(serve):
    return serve()


def cached(tmp_path, url) -> pathlib.Path:
    return tmp_path / "hub" / resolve._folder_name(url)


def test_a_url_is_downloaded_once(server, tiny):
    first = fl.load_backbone(f"{server.url}/module.tar.gz")
    again = fl.load_backbone(f"{server.url}/module.tar.gz")
    assert first.fingerprint == again.fingerprint == tiny.fingerprint
    assert first.source == f"{server.url}/module.tar.gz"
    assert server.paths == ["/module.tar.gz?tf-hub-format=compressed"]


def test_a_slow_download_shows_that_it_goes_on(server, capfd):
    server.bodies["/module.tar.gz"], server.pieces = packed(sources.BUNDLED_DIR), 8
    folder = resolve.resolve_module(f"{server.url}/module.tar.gz", name="m", stall_seconds=1.0)
    assert pins.module_fingerprint(folder) == pins.module_fingerprint(sources.BUNDLED_DIR)
    assert "download backbone" in capfd.readouterr().err


def test_the_cache_is_the_packages_own_and_its_owners_alone(server, tmp_path, monkeypatch):
    monkeypatch.delenv("TFHUB_CACHE_DIR")
    before = os.umask(0)
    try:
        fl.load_backbone(f"{server.url}/module.tar.gz")
    finally:
        os.umask(before)
    assert {path.name: path.stat().st_mode & 0o777 for path in (tmp_path / "cache").iterdir()} == {
        "tfhub": 0o700,
        "first_seen": 0o700,
    }


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:9/module", "HTTP://127.0.0.1/m", "ftp://127.0.0.1/m", "gs://m/m.tgz"]
)
def test_what_is_not_https_is_refused_before_anything_is_asked(url):
    with pytest.raises(fl.UsageError, match=r"expected a URL that begins with https://, got .*://"):
        fl.load_backbone(url)


def test_a_redirection_to_https_is_followed_and_one_to_http_is_not(serve):
    server, plain, other = serve(), serve("http"), serve()
    server.away = {"/moved": f"{other.url}/module.tar.gz", "/down": f"{plain.url}/module.tar.gz"}
    assert fl.load_backbone(f"{server.url}/moved").feature_dim == 5
    with pytest.raises(fl.RunError, match=r"cannot get .*\(redirected to http://.*, which is not https"):
        fl.load_backbone(f"{server.url}/down")
    assert plain.paths == []


def test_a_server_that_cannot_prove_its_name_is_refused(server, monkeypatch):
    monkeypatch.delenv("SSL_CERT_FILE")
    monkeypatch.setenv("TFHUB_DISABLE_CERT_VALIDATION", "true")
    with pytest.raises(fl.RunError, match="CERTIFICATE_VERIFY_FAILED"):
        fl.load_backbone(f"{server.url}/module.tar.gz")


def test_a_cache_that_others_can_write_is_refused_and_nothing_in_it_is_read(server, tmp_path, monkeypatch, tiny_folder):
    url = f"{server.url}/module.tar.gz"
    shutil.copytree(tiny_folder, cached(tmp_path, url))
    (tmp_path / "hub").chmod(0o777)
    with pytest.raises(fl.RunError, match=r"TFHUB_CACHE_DIR: .*hub can be written by every user; chmod go-w it"):
        fl.load_backbone(url)
    (tmp_path / "hub").chmod(0o755)
    (cached(tmp_path, url) / "saved_model.pb").chmod(0o666)
    with pytest.raises(fl.RunError, match=r"cached copy of .*saved_model.pb can be written by every user"):
        fl.load_backbone(url)
    (cached(tmp_path, url) / "saved_model.pb").chmod(0o644)
    assert fl.load_backbone(url).feature_dim == 5
    assert server.paths == []


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make a folder of another user")
def test_a_cache_that_another_user_made_first_is_refused(server, tmp_path, tiny_folder):
    url = f"{server.url}/module.tar.gz"
    shutil.copytree(tiny_folder, cached(tmp_path, url))
    os.chown(tmp_path / "hub", 65534, 65534)
    with pytest.raises(fl.RunError, match=r"TFHUB_CACHE_DIR: .*hub belongs to "):
        fl.load_backbone(url)


def test_a_folder_that_others_can_change_is_used_as_it_was_when_it_was_checked(
    tmp_path, tiny, tiny_folder, monkeypatch
):
    shared = shutil.copytree(tiny_folder, tmp_path / "shared")
    shared.chmod(0o777)
    find_danger = contract.find_danger

    def exchange_afterwards(folder):
        found = find_danger(folder)
        (shared / "saved_model.pb").write_bytes(b"another program")
        return found

    monkeypatch.setattr(contract, "find_danger", exchange_afterwards)
    assert fl.load_backbone(shared).fingerprint == tiny.fingerprint


def test_a_url_that_gives_something_else_later_is_refused_until_the_user_agrees(server, tmp_path, tiny):
    url = f"{server.url}/module.tar.gz"
    fl.load_backbone(url)
    shutil.rmtree(cached(tmp_path, url))
    server.bodies["/module.tar.gz"] = packed(sources.BUNDLED_DIR)
    with pytest.raises(
        fl.RunError, match=r"is not what this machine first got from there .* delete .*first_seen"
    ) as caught:
        fl.load_backbone(url)
    bundled = pins.module_fingerprint(sources.BUNDLED_DIR)
    assert tiny.fingerprint in str(caught.value)
    assert f"append #sha256={bundled} to the URL" in str(caught.value)
    assert fl.load_backbone(f"{url}#sha256={bundled}").feature_dim == 1280


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
        url = f"https://127.0.0.1:{unused.getsockname()[1]}/module"
        with pytest.raises(fl.RunError, match=r"Connection refused.*tried the network"):
            fl.load_backbone(url)


@pytest.mark.parametrize(
    "error",
    [socket.gaierror(-3, "Temporary failure in name resolution"), OSError(errno.ENETUNREACH, "Network is unreachable")],
    ids=["no name", "no route"],
)
def test_no_network_is_said_first_and_the_url_last(monkeypatch, error):
    def fail(self):
        raise urllib.error.URLError(error)

    monkeypatch.setattr(resolve._Download, "run", fail)
    with pytest.raises(fl.RunError) as caught:
        fl.load_backbone("mobilenet_v2")
    message = str(caught.value)
    assert message.startswith("backbone: no network: cannot get 'mobilenet_v2' (")
    assert error.strerror in message
    assert message.endswith(f"tried the network: {sources.BACKBONES['mobilenet_v2']}")


def test_a_silent_server_does_not_hang():
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        start = time.monotonic()
        with pytest.raises(fl.RunError, match=r"timed out|nothing received"):
            resolve.resolve_module(f"https://127.0.0.1:{silent.getsockname()[1]}/m", name="m", stall_seconds=0.5)
        assert time.monotonic() - start < 5
    assert socket.getdefaulttimeout() is None


def test_a_name_lookup_that_never_ends_does_not_hang(monkeypatch):
    monkeypatch.setattr(resolve._Download, "run", lambda self: time.sleep(30))
    with pytest.raises(fl.RunError, match=r"nothing received for 0\.3 s"):
        resolve.resolve_module("https://example.org/module", name="module", stall_seconds=0.3)


def test_a_lock_left_by_a_killed_download_is_named(tmp_path):
    url = "https://127.0.0.1:9/module"
    lock = cached(tmp_path, url).with_suffix(".lock")
    lock.parent.mkdir()
    lock.write_text("another.process.0")
    with pytest.raises(fl.RunError, match=r"if no other download is running, delete .*\.lock"):
        resolve.resolve_module(url, name=url, stall_seconds=0.5)
    lock.unlink()  # lets tensorflow-hub's waiting thread go


def test_a_damaged_cached_copy_is_named(server, tmp_path):
    url = f"{server.url}/module.tar.gz"
    fl.load_backbone(url)
    (cached(tmp_path, url) / "saved_model.pb").unlink()
    with pytest.raises(fl.RunError, match=r"cached copy .* is damaged.*delete that folder"):
        fl.load_backbone(url)
