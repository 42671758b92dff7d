"""The script behind the bundled backbone, its inputs, its probes and its card."""

import gzip
import json

import build_bundled
import numpy as np
import probe
import pytest
from idx_images import read_idx_images
from PIL import Image
from test_pretrain import tiny_student

import fedlearn_edu as fl
from fedlearn_edu.backbone import model_card
from fedlearn_edu.backbone.features import cached_features


def write_idx(path, images):
    header = np.array([0x803, *images.shape], ">u4").tobytes()
    path.write_bytes(gzip.compress(header + images.tobytes()))
    return str(path)


def test_idx_images_become_rgb(tmp_path):
    grey = np.arange(24, dtype=np.uint8).reshape(2, 3, 4)
    images = read_idx_images(write_idx(tmp_path / "images.gz", grey))
    np.testing.assert_array_equal(images, np.stack([grey] * 3, axis=-1))


# Names, since gzip's header holds the second in which it was made: two test workers would disagree.
@pytest.mark.parametrize(
    "content", [b"", b"plain text", gzip.compress(b"0123456789abcdef" * 3)], ids=["empty", "text", "no_idx"]
)
def test_what_is_no_idx_file_is_refused(tmp_path, content):
    (tmp_path / "file").write_bytes(content)
    with pytest.raises(fl.UsageError, match="fashion-train: "):
        read_idx_images(tmp_path / "file")


@pytest.fixture(scope="module")
def bundled():
    return fl.load_backbone("bundled")


@pytest.fixture
def icons(tmp_path):
    (tmp_path / "icons" / "set").mkdir(parents=True)
    for name in ("red", "green"):
        Image.new("RGBA", (20, 12), name).save(tmp_path / "icons" / "set" / f"{name}.png")
    source = {"package": "a-set", "version": "1", "licence": "MIT", "num_icons": 2, "left_out_as_private": 0}
    (tmp_path / "icons" / "sources.json").write_text(json.dumps({"set": source}))
    return str(tmp_path / "icons")


def test_the_whole_script_learns_and_publishes(icons, tmp_path, monkeypatch, capsys):
    fashion = np.random.default_rng(0).integers(0, 256, [40, 4, 4], dtype=np.uint8).repeat(7, 1).repeat(7, 2)
    compressed = []
    monkeypatch.setattr(build_bundled, "build_student", tiny_student)
    monkeypatch.setattr(build_bundled, "compress", lambda teacher, student, images: compressed.append(images.shape))
    monkeypatch.setenv("FEDLEARN_EDU_CACHE", str(tmp_path / "cache"))
    arguments = (
        f"--fashion-train {write_idx(tmp_path / 'fashion.gz', fashion)} --icons {icons} --teacher bundled "
        f"--output {tmp_path / 'student'} --num-fashion 32 --num-icons 16 --num-compress 10 --image-size 64 "
        "--teacher-size 64 --batch-size 16 --epochs 8 --learning-rate 0.01"
    ).split()
    build_bundled.main([*arguments, "--teacher-note", "The teacher is a test."])
    assert compressed == [(10, 64, 64, 3)]
    student = fl.load_backbone(tmp_path / "student")
    for text in ("The teacher is a test.", "32 images (seed 0)", "| a-set | 1 | MIT | 2 | 0 |", "Not measured yet."):
        assert text in student.model_card
    errors = student.model_card.split("predicting the mean): ")[1].split(".\nSeed")[0].split(", ")
    assert len(errors) == 8
    assert float(errors[-1]) < 0.9 * float(errors[0])
    rebuilt = tiny_student(image_size=64, alpha=0.45)
    rebuilt.load_weights(tmp_path / "student.weights.h5")
    images = np.random.default_rng(1).random([3, 64, 64, 3], np.float32)
    np.testing.assert_allclose(student.layer(images), rebuilt(images, training=False), atol=1e-5)

    with pytest.raises(SystemExit, match="2"):
        build_bundled.main(arguments)
    assert "error: output: expected a folder that does not exist yet" in capsys.readouterr().err


def test_the_probe_tells_signal_from_noise():
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 4, 8_000)
    noise = rng.normal(size=[8_000, 6]).astype(np.float32)
    signal = noise + 4 * np.eye(6, dtype=np.float32)[labels]
    assert probe.linear_probe(signal, labels, seed=0) > 0.95
    assert abs(probe.linear_probe(noise, labels, seed=0) - 0.25) < 0.05


def test_what_hardly_varies_in_training_does_not_disturb_the_probe():
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, 300)
    features = np.stack([2.0 * labels + rng.normal(size=300), 1e-5 * labels], axis=1).astype(np.float32)
    rows = np.arange(300)
    score = probe.fit_and_score(features[:, :1], labels, rows[:240], rows[240:])
    features[240:, 1] = 1.0  # of the scale of the others, where training saw nothing
    assert probe.fit_and_score(features, labels, rows[:240], rows[240:]) == score > 0.7


def test_the_emoji_probe_chooses_its_strength_on_emoji_it_was_not_trained_on(monkeypatch):
    emoji, seen = fl.load_dataset("emoji"), {}
    monkeypatch.setattr(
        probe, "fit_and_score", lambda features, labels, train, test: seen.update(train=train, test=test)
    )
    probe.emoji_probe(np.zeros([len(emoji.labels), 1], np.float32), emoji)
    names = emoji.report["emoji"].to_numpy(str)
    fit_on, choose_on = np.split(seen["train"], [len(seen["train"]) * 5 // 6])
    assert len(set(names[fit_on]) & set(names[choose_on])) <= 1  # the one at the border
    assert not set(names[seen["train"]]) & set(names[seen["test"]])


def test_the_probe_table_is_replaced_in_the_card(tmp_path):
    card = tmp_path / "MODEL_CARD.md"
    card.write_text(model_card.render_bundled_card(build_bundled.BundledRecipe(), {}, [0.5], "A teacher.", 2))
    model_card.write_table(card, "| first |")
    before = card.read_text()
    model_card.write_table(card, "| second |")
    assert card.read_text() == before.replace("| first |", "| second |")
    card.write_text("no place")
    with pytest.raises(ValueError, match="no probe table"):
        model_card.write_table(card, "| third |")


def test_bundled_backbone_beats_raw_pixels_on_the_bundled_images(bundled):
    dataset = fl.load_dataset("fashion")
    features = cached_features(dataset.images, bundled, progress=False)
    assert probe.linear_probe(features[:8_000], dataset.labels[:8_000], seed=0) >= 0.875
    emoji = fl.load_dataset("emoji")
    assert probe.emoji_probe(cached_features(emoji.images, bundled, progress=False), emoji) >= 0.67
