"""Publishing in TF-Hub's format is all or nothing, and replaces only what it has to."""

import pytest
import tensorflow as tf

import fedlearn_edu as fl


def network(value=1.0):
    layers = [tf.keras.layers.GlobalAveragePooling2D(), tf.keras.layers.Dense(2, kernel_initializer="ones")]
    model = tf.keras.Sequential([tf.keras.Input([8, 8, 3]), *layers])
    model.set_weights([value * weight for weight in model.get_weights()])
    return model


def test_publishing_is_all_or_nothing(tmp_path):
    with pytest.raises(fl.UsageError, match="directory: expected a folder that does not exist yet"):
        fl.publish(network(), tmp_path)
    with pytest.raises(TypeError):
        fl.publish(network(), tmp_path / "module", card=None)
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(fl.UsageError, match="parent folder"):
        fl.publish(network(), tmp_path / "nowhere" / "module")
    flat = tf.keras.Sequential([tf.keras.Input([8]), tf.keras.layers.Dense(2)])
    with pytest.raises(fl.UsageError, match="model: expected images"):
        fl.publish(flat, tmp_path / "flat")


def test_overwriting_keeps_the_old_one_until_the_new_one_is_whole(tmp_path):
    folder = tmp_path / "module"
    fl.publish(network(), folder, card="First.", files={"notes.txt": "Some."})
    assert (folder / "notes.txt").read_text() == "Some."
    with pytest.raises(TypeError):
        fl.publish(network(2.0), folder, card=None, overwrite=True)
    assert fl.load_backbone(folder).model_card == "First."
    fl.publish(network(2.0), folder, card="Second.", overwrite=True)
    backbone = fl.load_backbone(folder)
    assert backbone.model_card == "Second."
    assert backbone.layer(tf.ones([1, 8, 8, 3])).numpy().tolist() == [[6.0, 6.0]]
    assert not (folder / "notes.txt").exists()
    assert list(tmp_path.iterdir()) == [folder]


def test_a_folder_that_is_no_backbone_is_never_overwritten(tmp_path):
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter.tex").write_text("dear")
    with pytest.raises(fl.UsageError, match=r"directory: only a published backbone is overwritten, .*saved_model\.pb"):
        fl.publish(network(), tmp_path / "thesis", overwrite=True)
    assert (tmp_path / "thesis" / "chapter.tex").read_text() == "dear"
