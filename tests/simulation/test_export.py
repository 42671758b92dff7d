"""export_model replaces only what it made itself."""

import pytest

import fedlearn_edu as fl

NOTHING = {"backbone": None, "model": None, "model_weights": [], "class_names": []}


def test_a_saved_model_of_another_kind_is_kept(tmp_path):
    """A published backbone, for one: days of training."""
    (tmp_path / "saved_model.pb").write_text("mine")
    with pytest.raises(fl.UsageError, match=r"directory: .* holds something that is no exported model"):
        fl.export_model(tmp_path, **NOTHING)
    assert (tmp_path / "saved_model.pb").read_text() == "mine"


def test_a_file_is_no_folder(tmp_path):
    (tmp_path / "model").write_text("mine")
    with pytest.raises(fl.UsageError, match=r"directory: .* holds something that is no exported model"):
        fl.export_model(tmp_path / "model", **NOTHING)
