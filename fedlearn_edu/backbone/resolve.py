"""Where a backbone's files are: a folder, or a cache of TF-Hub modules filled by a download that cannot hang."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import pathlib
import shutil
import socket
import ssl
import tempfile
import threading
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator

from fedlearn_edu.backbone.contract import check_is_saved_model
from fedlearn_edu.backbone.sources import is_url
from fedlearn_edu.bars import progress_bar
from fedlearn_edu.cache_folder import cache_root
from fedlearn_edu.errors import RunError
from fedlearn_edu.folders import check_private, everything_below, make_private, take_over

HUB_CACHE_VARIABLE = "TFHUB_CACHE_DIR"
# A download that brings no byte for this long is given up; so is a connection that does not open.
STALL_SECONDS = 15.0
_POLL_SECONDS = 0.1
_LOCK_SECONDS = 600.0
_MODULE_FILES = ("saved_model.pb", "tfhub_module.pb", "fingerprint.pb", "MODEL_CARD.md", "variables", "assets")
_ADVICE = f"chmod go-w it, delete it, or set {HUB_CACHE_VARIABLE} to a folder of your own"


@contextlib.contextmanager
def open_module(source: str, *, name: str) -> Iterator[pathlib.Path]:
    """Gives the local folder of a module, which nobody else can change while it is open.

    A URL's is in the cache, downloaded if needed; a folder that other users could change is copied to a private place.

    Args:
        source: URL or folder.
        name: What the user typed, for messages.

    Raises:
        UsageError: There is no SavedModel in the folder.
        RunError: As `resolve_module`; a file cannot be read or copied.
    """
    folder = pathlib.Path(resolve_module(source, name=name))
    try:
        check_is_saved_model(folder)
        if _is_private(folder):
            yield folder
            return
        with tempfile.TemporaryDirectory(prefix="fedlearn-edu-") as copy:
            _copy_files(folder, pathlib.Path(copy))
            yield pathlib.Path(copy)
    except OSError as error:
        raise RunError(f"backbone: cannot read {str(folder)!r}: {error.strerror or error}") from None


def _is_private(folder: pathlib.Path) -> bool:
    try:
        check_private(folder, what="backbone", advice="it is copied", contents=True)
    except RunError:
        return False
    return True


def _copy_files(source: pathlib.Path, target: pathlib.Path) -> None:
    """Copies a module's regular files; what is neither file nor folder, such as a pipe, is left out."""
    for entry in _MODULE_FILES:
        for file in (source / entry, *everything_below(source / entry)):
            if file.is_file():
                copy = target / file.relative_to(source)
                copy.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(file, copy)


def resolve_module(source: str, *, name: str, stall_seconds: float = STALL_SECONDS) -> str:
    """Returns the local folder of a module, downloading it into the cache if needed.

    Args:
        source: URL or folder.
        name: What the user typed, for messages.
        stall_seconds: Give up when no byte has come for so long.

    Returns:
        Path of a folder.

    Raises:
        RunError: The module cannot be fetched: offline, no such URL, no module there, cache not writable; or other
            users could change the cache.
    """
    if not is_url(source):
        return source
    try:
        folder = make_private(_hub_cache(), what=HUB_CACHE_VARIABLE, advice=_ADVICE) / _folder_name(source)
    except OSError as error:
        raise _download_error(name, source, _hub_cache() / _folder_name(source), error) from None
    outcome: dict[str, BaseException] = {}
    download = _Download(source, folder, stall_seconds)

    def fetch():
        try:
            download.run()
        except BaseException as error:  # it is re-raised, as one line, in the caller's thread
            outcome["error"] = error

    # The limit on the connection does not hold for a name look-up, which knows none at all: hence the watched thread.
    thread = threading.Thread(target=fetch, name="tfhub-download", daemon=True)
    thread.start()
    if not _watch(thread, download, stall_seconds):
        outcome["error"] = TimeoutError(f"nothing received for {stall_seconds:g} s")
    if "error" in outcome:
        raise _download_error(name, source, folder, outcome["error"]) from None
    check_private(folder, what=f"cached copy of {name!r}", advice=_ADVICE, contents=True)
    if not (folder / "saved_model.pb").is_file():
        raise RunError(
            f"backbone: the cached copy of {name!r} is damaged, it has no saved_model.pb; delete that folder: {folder}"
        )
    return str(folder)


def _hub_cache() -> pathlib.Path:
    given = os.environ.get(HUB_CACHE_VARIABLE)
    return pathlib.Path(given).expanduser() if given else cache_root() / "tfhub"


def _folder_name(url: str) -> str:
    return hashlib.sha1(url.encode()).hexdigest()  # tensorflow-hub's own name, so that its caches can be used


class _HttpsOnly(urllib.request.HTTPRedirectHandler):
    """Follows a redirection to https alone."""

    def redirect_request(self, req, fp, code, msg, headers, newurl):
        if not is_url(newurl):
            raise OSError(f"redirected to {newurl[:80]}, which is not https")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


class _Download:
    """Fetches and unpacks a module unless it is there, as `tensorflow_hub.resolve` does, but over https alone."""

    def __init__(self, url: str, folder: pathlib.Path, stall_seconds: float):
        self.url, self.folder = url, folder
        self._stall_seconds, self._received, self._response = stall_seconds, 0, None

    def run(self) -> None:
        """Downloads, or waits for another process that does."""
        from tensorflow_hub import resolver

        resolver.atomic_download(self.url, self._fetch, str(self.folder), _LOCK_SECONDS)

    @property
    def received(self) -> int:
        """Bytes that have come, those of another process as far as it has unpacked them."""
        unpacked = self.folder.parent.glob(self.folder.name + ".*.tmp")  # tensorflow-hub's name, in any process
        return self._received or sum(_size(file) for part in unpacked for file in part.rglob("*"))

    def _fetch(self, url: str, scratch: str) -> None:
        from tensorflow_hub import resolver

        parts = urllib.parse.urlsplit(url)
        query = urllib.parse.urlencode([*urllib.parse.parse_qsl(parts.query), ("tf-hub-format", "compressed")])
        tls = urllib.request.HTTPSHandler(context=ssl.create_default_context())
        opener = urllib.request.build_opener(tls, _HttpsOnly)
        with opener.open(parts._replace(query=query).geturl(), timeout=self._stall_seconds) as self._response:
            resolver.DownloadManager(url).download_and_uncompress(self, scratch)
        take_over(pathlib.Path(scratch))

    def read(self, size: int) -> bytes:
        """Reads on, counting: unpacked files grow by megabytes at a time, which on a slow line takes minutes."""
        block = self._response.read(size)
        self._received += len(block)
        return block


def _watch(thread: threading.Thread, download: _Download, stall_seconds: float) -> bool:
    """Shows progress until the thread ends; False when the bytes stopped coming."""
    received, last_change, bar = 0, time.monotonic(), None
    try:
        while True:
            thread.join(_POLL_SECONDS)
            if not thread.is_alive():
                return True
            size = download.received
            if size > received:
                if bar is None:  # a bar of unknown length has no truth value
                    bar = progress_bar(desc="download backbone", unit="B", unit_scale=True, leave=False)
                bar.update(size - received)
                received, last_change = size, time.monotonic()
            if time.monotonic() - last_change > stall_seconds:
                return False
    finally:
        if bar is not None:
            bar.close()


def _size(file: pathlib.Path) -> int:
    try:
        return file.stat().st_size if file.is_file() else 0
    except OSError:  # renamed into place meanwhile
        return 0


def _download_error(name: str, url: str, folder: pathlib.Path, error: BaseException) -> RunError:
    reason = " ".join(str(error).split())[:160] or type(error).__name__
    lock = f"{folder}.lock"
    if isinstance(error, TimeoutError) and os.path.exists(lock):
        reason += f" (if no other download is running, delete {lock})"
    what = "the module" if name == url else repr(name)
    return RunError(
        f"backbone: {_kind_of(error)}cannot get {what} ({reason}); --backbone bundled works offline; looked "
        f"in the cache {folder.parent} ({HUB_CACHE_VARIABLE}) and tried the network: {url}"
    )


def _kind_of(error: BaseException) -> str:
    """Returns what is wrong in a word where it is no fault of the module's: no way to another machine, or no answer."""
    reason = getattr(error, "reason", error)  # of a URLError
    unreachable = (errno.ENETUNREACH, errno.EHOSTUNREACH, errno.ENETDOWN)
    if isinstance(reason, socket.gaierror) or getattr(reason, "errno", None) in unreachable:
        return "no network: "
    return "no answer: " if isinstance(reason, TimeoutError) else ""
