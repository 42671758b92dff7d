"""A fingerprint is that of what TensorFlow reads, and a fingerprint that is asked for is insisted on."""

import os
import shutil

import pytest

import fedlearn_edu as fl
from fedlearn_edu.backbone.pins import module_fingerprint

# Computed before litter was left out: features that were cached then are still found.
BUNDLED = "6205b73bb1e91a22ea4061905d9045b43d4476f86905fe9ecdf5acec03944b6b"


@pytest.fixture
def copy(tiny_folder, tmp_path):
    return shutil.copytree(tiny_folder, tmp_path / "copy")


def test_the_bundled_module_has_kept_its_fingerprint(bundled):
    assert bundled.fingerprint == BUNDLED
    assert fl.load_backbone(f"bundled#sha256={BUNDLED.upper()}").fingerprint == BUNDLED


def test_fingerprint_follows_content_not_time_or_card(copy, tiny_folder):
    before = module_fingerprint(copy)
    os.utime(copy / "saved_model.pb", (1, 1))
    (copy / "MODEL_CARD.md").write_text("text")
    assert module_fingerprint(copy) == before == module_fingerprint(tiny_folder)
    data = copy / "variables" / "variables.data-00000-of-00001"
    data.write_bytes(bytes([data.read_bytes()[0] ^ 1]) + data.read_bytes()[1:])
    assert module_fingerprint(copy) != before


@pytest.mark.parametrize(
    "litter",
    [
        ".DS_Store",
        "._variables.index",
        "Thumbs.db",
        "desktop.ini",
        ".nfs0000000000001",
        "variables.index~",
        ".variables.index.swp",
        "__MACOSX/._x",
        "@eaDir/x",
    ],
)
def test_what_desktops_leave_behind_changes_nothing(copy, tiny, litter):
    for folder in (copy, copy / "variables", copy / "assets"):
        (folder / litter).parent.mkdir(exist_ok=True, parents=True)
        (folder / litter).write_bytes(b"left behind")
    assert fl.load_backbone(copy).fingerprint == tiny.fingerprint


def test_a_vocabulary_counts(copy, tiny):
    (copy / "assets" / "en").mkdir(parents=True)
    (copy / "assets" / "en" / "vocabulary.txt").write_text("a b c")
    assert module_fingerprint(copy) != tiny.fingerprint


def test_variables_behind_a_link_count(copy, tiny, tmp_path):
    (copy / "variables").rename(tmp_path / "weights")
    (copy / "variables").symlink_to(tmp_path / "weights")
    assert module_fingerprint(copy) == tiny.fingerprint
    data = tmp_path / "weights" / "variables.data-00000-of-00001"
    data.write_bytes(data.read_bytes()[:-1] + b"?")
    assert module_fingerprint(copy) != tiny.fingerprint


@pytest.mark.parametrize("wrong", ["", "00", "g" * 64, "0" * 63, "0" * 65, "../" * 30])
def test_what_is_no_fingerprint_is_refused(wrong):
    with pytest.raises(fl.UsageError, match="expected 64 hexadecimal digits after #sha256=, got "):
        fl.load_backbone(f"bundled#sha256={wrong}")


def test_another_module_than_the_one_asked_for_is_refused(tiny_folder, tiny):
    with pytest.raises(fl.RunError, match=f"has the fingerprint {tiny.fingerprint}, expected {BUNDLED}"):
        fl.load_backbone(f"{tiny_folder}#sha256={BUNDLED}")
