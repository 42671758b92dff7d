"""Any folder, whatever lies in it and however it is called, is counted to the last file or refused in one line."""

import io
import os
import pathlib
import tempfile
import unicodedata
import warnings

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from fedlearn_edu.data.folder import load_folder
from fedlearn_edu.errors import UsageError


def _png() -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (2, 2), "red").save(buffer, "PNG")
    return buffer.getvalue()


PNG = _png()
# What is written, by the end of its name.
FILES = {
    ".png": PNG,
    ".jpg": PNG,
    ".gif": b"broken",
    ".heic": b"\0\0\0\x18ftypheic",
    ".txt": b"text",
    "": b"\xff\xd8\xff",
}
LIKELY = ["cat", "Cat", "c at", "Äpfel", unicodedata.normalize("NFD", "Äpfel"), "train", ".hidden", "x.png", "Zoë"]


def is_name(name: bytes) -> bool:
    return 0 < len(name) < 200 and name not in (b".", b"..") and not set(name) & set(b"/\0")


LIKELY_NAMES = st.sampled_from(LIKELY).map(str.encode)
ANY_TEXT = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=8).map(str.encode)
ANY_NAME = st.one_of(st.just(b"global"), st.binary(min_size=1, max_size=4))
NAMES = (
    st.one_of(*[LIKELY_NAMES] * 9, *[ANY_TEXT] * 2, ANY_NAME).map(lambda name: name.replace(b"/", b"_")).filter(is_name)
)


@st.composite
def trees(draw):
    """Folders of one layout, or of nearly one: (names that lead to it, what it is) for every file, folder or link."""
    clients = draw(st.lists(NAMES.map(lambda name: (name,)), max_size=2)) or [()]
    folders = [(*clients[0], b"cat"), (*clients[-1], b"dog")]
    folders += [(*draw(st.sampled_from(clients)), name) for name in draw(st.lists(NAMES, max_size=4))]
    entries = [((*parts, b"1.png"), "file") for parts in folders]
    for parts in draw(st.lists(st.sampled_from(folders), max_size=5)):
        ending = draw(st.sampled_from(list(FILES))).encode()
        entries.append(((*parts, draw(NAMES) + ending), draw(st.sampled_from(["file", "file", "link", "folder"]))))
    if draw(st.integers(0, 5)) == 0:
        entries.append((draw(st.tuples(NAMES)), draw(st.sampled_from(["file", "link", "folder"]))))
    return entries


def build(root: bytes, entries) -> None:
    for number, (parts, kind) in enumerate(entries):
        path = os.path.join(root, *parts)
        try:
            os.makedirs(os.path.dirname(path), exist_ok=True)
            if kind == "file":
                with open(path, "xb") as file:
                    file.write(FILES.get(os.fsdecode(os.path.splitext(path)[1]), b"text"))
            elif kind == "folder":
                os.mkdir(path)
            elif not any(part.startswith(b".") for part in entries[number // 2][0]):  # what is hidden is not counted
                target = os.path.join(root, *entries[number // 2][0][:-1])
                os.symlink(os.path.relpath(target, os.path.dirname(path)), path)
        except (FileExistsError, NotADirectoryError):
            continue


def count(root: bytes) -> int:
    """Returns how many files there are, by walking; a hidden folder counts as one, and so does a link to a folder."""
    total = 0
    for here, folders, files in os.walk(root):
        links_or_hidden = [n for n in folders if n.startswith(b".") or os.path.islink(os.path.join(here, n))]
        total += len(files) + len(links_or_hidden)
        folders[:] = [name for name in folders if name not in links_or_hidden]
    return total


def outcome(root: bytes):
    """Returns the report and the warnings of a folder, or the line with which it is refused."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            dataset = load_folder(root, image_size=4, on_broken="skip")
        except UsageError as error:
            return None, [str(error)]
    return dataset, [str(warning.message) for warning in caught]


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(trees())
def test_every_folder_is_counted_or_refused_in_one_line(entries):
    with tempfile.TemporaryDirectory() as folder:
        root = os.path.join(os.fsencode(folder), b"root")
        os.mkdir(root)
        build(root, entries)
        dataset, lines = outcome(root)
        expected = count(root)
        pathlib.Path(folder).joinpath("lines").write_text("\n".join(lines), encoding="utf-8")  # can be encoded
    for line in lines:
        assert len(line.splitlines()) == 1
        assert len(line) < (500 if dataset is None else 2000)
    if dataset is None:
        return
    report = dataset.report
    assert report[["num_images", "broken", "ignored"]].to_numpy().sum() == expected
    assert report.num_images.sum() == len(dataset.images)
    assert [len(files) for files in report.broken_files] == report.broken.tolist()
    assert [len(files) for files in report.ignored_files] == report.ignored.tolist()
    report.to_csv().encode()
    for name in (*dataset.class_names, *(dataset.natural_client_ids if dataset.natural_client_ids is not None else ())):
        assert unicodedata.is_normalized("NFC", name)
        assert name.encode().decode() == name
        assert len(name.splitlines()) == 1
