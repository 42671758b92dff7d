"""Where a backbone's files are: a folder, or tensorflow-hub's cache filled by a download that cannot hang."""

from __future__ import annotations

import hashlib
import os
import pathlib
import socket
import threading
import time

from tqdm.auto import tqdm

from fedlearn_edu.backbone.hub import import_hub, is_url
from fedlearn_edu.errors import RunError

# A download that brings no byte for this long is given up; so is a connection that does not open.
STALL_SECONDS = 15.0
_POLL_SECONDS = 0.1


def resolve_module(source: str, *, name: str, stall_seconds: float = STALL_SECONDS) -> str:
    """Returns the local folder of a module, downloading it into tensorflow-hub's cache if needed.

    Args:
        source: URL or folder.
        name: What the user typed, for messages.
        stall_seconds: Give up when no byte has come for so long.

    Returns:
        Path of a folder.

    Raises:
        RunError: The module cannot be fetched: offline, no such URL, no module there, cache not writable.
    """
    if not is_url(source):
        return source
    _, hub = import_hub()
    outcome: dict[str, object] = {}

    def fetch():
        try:
            outcome["folder"] = hub.resolve(source)
        except BaseException as error:  # it is re-raised, as one line, in the caller's thread
            outcome["error"] = error

    # tensorflow-hub opens its URL with no time limit, and a name look-up knows none at all: the limit on
    # sockets bounds the first, the watched thread everything else.
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(stall_seconds)
    try:
        thread = threading.Thread(target=fetch, name="tfhub-download", daemon=True)
        thread.start()
        if not _watch(thread, _cache_folder(source), stall_seconds):
            outcome["error"] = TimeoutError(f"nothing received for {stall_seconds:g} s")
    finally:
        socket.setdefaulttimeout(before)
    if "error" in outcome:
        raise _download_error(name, source, outcome["error"]) from None
    folder = pathlib.Path(str(outcome["folder"]))
    if not (folder / "saved_model.pb").is_file():
        raise RunError(
            f"backbone: the cached copy of {name!r} is damaged, it has no saved_model.pb; delete that folder: {folder}"
        )
    return str(folder)


def _cache_folder(url: str) -> pathlib.Path:
    from tensorflow_hub import resolver

    digest = hashlib.sha1(url.encode("utf8")).hexdigest()
    return pathlib.Path(resolver.tfhub_cache_dir(use_temp=True)) / digest


def _watch(thread: threading.Thread, folder: pathlib.Path, stall_seconds: float) -> bool:
    """Shows progress until the thread ends; False when the bytes stopped coming."""
    received, last_change, bar = 0, time.monotonic(), None
    try:
        while True:
            thread.join(_POLL_SECONDS)
            if not thread.is_alive():
                return True
            # tensorflow-hub unpacks into <folder>.<id>.tmp, whichever process is doing the download.
            size = sum(_size(f) for part in folder.parent.glob(folder.name + ".*.tmp") for f in part.rglob("*"))
            if size > received:
                bar = bar or tqdm(desc="download backbone", unit="B", unit_scale=True, leave=False)
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


def _download_error(name: str, url: str, error: BaseException) -> RunError:
    reason = " ".join(str(error).split())[:160] or type(error).__name__
    tried = url if name == url else f"{name!r} = {url}"
    folder = _cache_folder(url)
    lock = f"{folder}.lock"
    if isinstance(error, TimeoutError) and os.path.exists(lock):
        reason += f" (if no other download is running, delete {lock})"
    return RunError(
        f"backbone: cannot get {tried}: {reason}; looked in the cache {folder.parent} (TFHUB_CACHE_DIR) and "
        "tried the network; --backbone bundled works offline"
    )
