"""A user's own folder of text files: what lies where, what can be read, and a report of everything met on the way."""

from __future__ import annotations

import collections
import os
import unicodedata

import numpy as np
import pandas as pd

from fedlearn_edu.bars import progress_bar
from fedlearn_edu.data.dataset import Dataset
from fedlearn_edu.data.folder_tree import IMAGES, TEXTS, Parts, Tree, joined, layout, scan
from fedlearn_edu.data.names import SPLITS, alike, one_line, quoted, same_name, shown
from fedlearn_edu.data.tables import warn_once
from fedlearn_edu.data.task import Task
from fedlearn_edu.errors import UsageError

MAX_BYTES = 10_000_000  # of one text
_TOP = "."  # the report's row for files that lie in DIR itself


def holds_texts(folder: str | os.PathLike) -> bool:
    """Whether a folder has text files and no images, somewhere below it."""
    found = False
    for here, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        if any(IMAGES.accepts(name) for name in names):
            return False
        found = found or (here != os.fspath(folder) and any(TEXTS.accepts(name) for name in names))
    return found


def load_texts(folder: str | os.PathLike, *, encoding: str | None = None) -> Dataset:
    """Reads a folder of `.txt` files whose sub-folders are classes, or clients that hold classes.

    `DIR/<class>/*.txt` has no clients of its own; in `DIR/<client>/<class>/*.txt` the outer folders are the natural
    clients. What is said of folders, links and names in `load_folder` holds here, too. Texts are kept in Unicode's
    composed form (NFC); empty ones are left out and counted.

    Args:
        folder: The folder `DIR`.
        encoding: As Python calls it; None for UTF-8, with or without a byte order mark.

    Returns:
        Its `inputs` are an array of str, `[num_texts]`. Its `report` has one row per client (index `client_id`) or
        class folder (index `class_name`), and a row `"."` if files in DIR itself were ignored, with the columns
        `num_texts`, `num_classes`, `empty`, `ignored` (counts), `warnings` (text) and `ignored_files` (tuples of text,
        each with its reason).

    Raises:
        UsageError: No such folder, no text in it, mixed layouts, a file that is not in that encoding or is larger than
            10 MB, fewer than two classes, or a name that a class or client cannot have.
    """
    try:
        folder = os.path.expanduser(os.fsdecode(folder))
        "".encode(encoding or "utf-8")
    except TypeError as error:
        raise UsageError(f"folder: expected a path, got {quoted(folder)}") from error
    except LookupError:
        raise UsageError(
            f"encoding: expected one that Python knows, such as 'cp1252', got {quoted(encoding)}"
        ) from None
    tree = scan(folder, TEXTS)
    has_clients = layout(folder, tree, TEXTS) == 3
    name = shown(same_name(os.path.basename(os.path.realpath(folder)))).strip() or "folder"
    texts, read, empty = _read(folder, name, tree.images, encoding)
    class_names = sorted({same_name(parts[-2]) for parts in read})
    if len(class_names) < 2:
        found = f"only {quoted(class_names[0])}" if class_names else "no text that is not empty"
        raise UsageError(f"folder: expected at least two classes in {quoted(folder)}, got {found}; {TEXTS.layouts}")
    report = _report(tree, read, empty, has_clients)
    number_of = {class_name: number for number, class_name in enumerate(class_names)}
    dataset = Dataset(
        name=name,
        inputs=np.array([*texts, None], object)[:-1],  # NumPy would make a text of a list of one
        targets=np.array([number_of[same_name(parts[-2])] for parts in read], np.int32),
        task=Task.classification(class_names),
        modality="text",
        natural_client_ids=np.array([same_name(parts[0]) for parts in read]) if has_clients else None,
        report=report,
    )
    warn_once(name, _remarks(report, class_names, empty, has_clients), what="folder")
    return dataset


def read_text(path: str, *, encoding: str | None = None) -> str:
    """Returns a file's text in Unicode's composed form.

    Raises:
        UsageError: It cannot be read, is too large or is not in that encoding; the message begins with why.
    """
    try:
        if (size := os.path.getsize(path)) > MAX_BYTES:
            raise UsageError(f"is larger than {MAX_BYTES / 1e6:.0f} MB ({size / 1e6:.0f} MB); cut it into several")
        with open(path, "rb") as file:
            text = file.read().decode(encoding or "utf-8-sig")
    except OSError as error:
        raise UsageError(f"cannot be read ({error.strerror}); repair or remove it") from None
    except UnicodeError as error:
        at = f" (byte {error.start})" if isinstance(error, UnicodeDecodeError) else ""
        advice = "if it comes from Windows say encoding='cp1252', else name its encoding, or save it as UTF-8"
        raise UsageError(f"is no {encoding or 'UTF-8'}{at}; {advice if encoding is None else 'try another'}") from None
    if "\0" in text:
        raise UsageError("holds zero bytes and is no text; remove it")
    return unicodedata.normalize("NFC", text).strip()


def _read(folder: str, name: str, files: list[Parts], encoding: str | None):
    """Returns the texts that are not empty, where each lies, and where the empty ones lie."""
    texts, read, empty, wrong = [], [], [], []
    for parts in progress_bar(files, desc=f"reading {one_line(name)}", unit="text", delay=1):
        try:
            text = read_text(os.path.join(folder, *parts), encoding=encoding)
        except UsageError as error:
            wrong.append(f"{joined(parts)} {error}")
            continue
        if text:
            texts.append(text)
            read.append(parts)
        else:
            empty.append(parts)
    if wrong:
        raise UsageError(
            f"folder: {len(wrong)} of {len(files)} texts in {quoted(folder)} cannot be used, first {wrong[0]}"
        )
    return texts, read, empty


def _report(tree: Tree, read: list[Parts], empty: list[Parts], has_clients: bool) -> pd.DataFrame:
    tops = {same_name(parts[0]): None for parts in tree.folders if len(parts) == 1}
    ignored = collections.defaultdict(list)
    for parts, why in tree.ignored:
        ignored[same_name(parts[0]) if len(parts) > 1 else _TOP].append(f"{shown(os.path.join(*parts))} ({why})")
    classes = collections.defaultdict(set)
    for parts in read:
        classes[same_name(parts[0])].add(same_name(parts[-2]))
    num_texts = collections.Counter(same_name(parts[0]) for parts in read)
    num_empty = collections.Counter(same_name(parts[0]) for parts in empty)
    rows = {}
    for top in [*tops, *([_TOP] if _TOP in ignored else [])]:
        lacks = "no text" if top != _TOP and not num_texts[top] else ""
        rows[top] = {
            "num_texts": num_texts[top],
            "num_classes": len(classes[top]),
            "empty": num_empty[top],
            "ignored": len(ignored[top]),
            "warnings": "one class only" if has_clients and len(classes[top]) == 1 else lacks,
            "ignored_files": tuple(ignored[top]),
        }
    return pd.DataFrame(list(rows.values()), index=pd.Index(rows, name="client_id" if has_clients else "class_name"))


def _remarks(report: pd.DataFrame, class_names: list[str], empty: list[Parts], has_clients: bool) -> list[str]:
    tops = [top for top, count in report["num_texts"].items() if count]
    remarks = [f"{len(empty)} empty texts left out, first {joined(empty[0])}"] if empty else []
    if has_clients and len(tops) == 1:
        remarks.append(f"only one client, {quoted(tops[0])}; if it only wraps the classes, load that folder itself")
    for kind, names in {"clients": tops if has_clients else [], "classes": class_names}.items():
        for group in alike(names):
            listed = ", ".join(map(quoted, group[:5]))
            remarks.append(f"{kind} that differ only in case, spaces or the form of letters: {listed}")
        splits = [name for name in names if name.casefold() in SPLITS]
        if len(splits) > 1 or (splits and names == tops):
            remarks.append(f"{', '.join(map(quoted, splits))} taken as {kind}; partition splits by itself")
    what = "client" if has_clients else "class"
    return remarks + [f"{what} {quoted(top)}: {text}" for top, text in report["warnings"].items() if text]
