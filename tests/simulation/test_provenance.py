"""Where a run's examples came from is part of its settings, and a resumed run must agree in all of it."""

import dataclasses
import json

import numpy as np
import pytest

import fedlearn_edu as fl
from fedlearn_edu.simulation.settings_changes import describe_changes

RUN = fl.RunConfig(num_rounds=1, clients_per_round=2, seed=3)


def make_dataset(seed=0):
    rng = np.random.default_rng(seed)
    images = rng.integers(0, 256, [60, 8, 8, 3], np.uint8)
    return fl.ImageDataset("noise", images, np.arange(60) % 3, ("a", "b", "c"))


class FakeBackbone:
    """As much of a backbone as extraction asks for; its features are mean colours."""

    name, fingerprint, image_size, feature_dim, modality = "mean colour", "ab" * 32, 8, 3, "image"

    def __init__(self, **changes):
        vars(self).update(changes)

    def key(self):
        return f"{self.fingerprint}-{self.image_size}px"

    def features(self, images, *, batch_size, on_batch):
        on_batch(len(images))
        return images.mean(axis=(1, 2), dtype=np.float32) / 255


def make_features(cache, *, dataset=None, scheme=None, backbone=None, **partition):
    scheme = scheme or fl.Dirichlet(0.3)
    arguments = {"num_clients": 4, "seed": 0, **partition}
    clients = fl.partition(dataset or make_dataset(), scheme, **arguments)
    return fl.extract_features(clients, backbone or FakeBackbone(), cache_dir=cache, progress=False)


def test_partition_and_extraction_say_what_they_did(tmp_path):
    provenance = make_features(tmp_path).provenance
    assert provenance == {
        "dataset": {"name": "noise", "fingerprint": make_dataset().fingerprint},
        "partition": {
            "scheme": {"name": "dirichlet", "concentration": 0.3},
            "num_clients": 4,
            "seed": 0,
            "test_fraction": 0.2,
            "min_size": 5,
        },
        "backbone": {
            "name": "mean colour",
            "fingerprint": "ab" * 32,
            "image_size": 8,
            "preprocessing_version": provenance["backbone"]["preprocessing_version"],
        },
    }


def test_the_fingerprint_of_a_data_set_is_that_of_its_content():
    first = make_dataset()
    assert len(first.fingerprint) == 16
    assert first.fingerprint == make_dataset().fingerprint
    labels = first.labels.copy()
    labels[7] = 0
    changes = [
        {"images": make_dataset(seed=1).images},
        {"labels": labels},
        {"class_names": ("a", "b", "d")},
        {"natural_client_ids": ["x"] * 60},
        {"natural_client_ids": ["x"] * 59 + ["y"]},
        {"is_test": np.arange(60) < 9},
    ]
    others = [dataclasses.replace(first, **change).fingerprint for change in changes]
    assert len({first.fingerprint, *others}) == 1 + len(changes)


def test_what_json_cannot_hold_is_no_provenance(features):
    for wrong in ({"x": {1, 2}}, {"f": len}, "fashion", None):
        with pytest.raises(fl.UsageError, match=r"^provenance: expected a dictionary"):
            dataclasses.replace(features, provenance=wrong)
    assert dataclasses.replace(features, provenance={"sites": (1, 2)}).provenance == {"sites": [1, 2]}


@pytest.fixture(scope="module")
def begun(tmp_path_factory):
    """A checkpoint at round 0; tests are refused at it and change nothing."""
    folder = tmp_path_factory.mktemp("begun")
    features = make_features(folder / "cache")
    rounds = fl.iter_rounds(build(features), features, config=RUN, checkpoint_dir=folder / "run")
    next(rounds)
    rounds.close()
    return folder


def build(features):
    return fl.build_unweighted_fed_avg(fl.linear_head(features))


OTHER = "abcd" * 16


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            {"scheme": fl.Dirichlet(0.5)},
            r"data\.provenance\.partition\.scheme\.concentration was 0\.3, is now 0\.5",
        ),
        ({"scheme": fl.IID()}, r"data\.provenance\.partition\.scheme\.name was 'dirichlet', is now 'iid'"),
        ({"seed": 1}, r"data\.provenance\.partition\.seed was 0, is now 1"),
        ({"test_fraction": 0.4}, r"data\.provenance\.partition\.test_fraction was 0\.2, is now 0\.4"),
        ({"min_size": 6}, r"data\.provenance\.partition\.min_size was 5, is now 6"),
        (
            {"backbone": FakeBackbone(name="median", fingerprint=OTHER)},
            r"data\.provenance\.backbone\.name was 'mean colour', is now 'median'",
        ),
        ({"backbone": FakeBackbone(fingerprint=OTHER)}, r"the backbone's files have changed"),
        ({"backbone": FakeBackbone(image_size=9)}, r"data\.provenance\.backbone\.image_size was 8, is now 9"),
        ({"dataset": make_dataset(seed=1)}, r"the data set has changed"),
    ],
    ids=["concentration", "scheme", "seed", "test part", "least size", "backbone", "its files", "its size", "dataset"],
)
def test_resuming_on_other_data_is_refused_by_name(begun, tmp_path, change, words):
    features = make_features(tmp_path, **change)
    settings = (begun / "run" / "settings.json").read_bytes()
    with pytest.raises(fl.UsageError, match=rf"holds the checkpoint of another run \({words}"):
        fl.iter_rounds(build(features), features, config=RUN, checkpoint_dir=begun / "run", resume=True)
    assert (begun / "run" / "settings.json").read_bytes() == settings


def test_a_backbone_that_was_moved_is_the_same(begun, tmp_path):
    features = make_features(tmp_path, backbone=FakeBackbone(name="/elsewhere/mean"))
    rounds = fl.iter_rounds(build(features), features, config=RUN, checkpoint_dir=begun / "run", resume=True)
    rounds.close()


def test_settings_are_nested_and_complete(features):
    process = fl.build_unweighted_fed_avg(fl.linear_head(features), client_lr=0.25)
    settings = fl.run_rounds(process, features, config=RUN, progress=False).settings
    assert settings == json.loads(json.dumps(settings))
    assert set(settings) == {"fedlearn_edu_version", "process", "run", "data", "task"}
    assert settings["process"]["algorithm"] == "unweighted_fed_avg"
    assert settings["process"]["hyperparameters"]["client_lr"] == 0.25
    assert settings["process"]["model"]["weights"] == ["float32[8, 3]", "float32[3]"]
    assert settings["data"]["num_clients"] == 6
    assert settings["task"] == {
        "kind": "classification",
        "class_names": ["class_0", "class_1", "class_2"],
        "unit": "",
    }


@pytest.mark.parametrize(
    ("then", "now", "words"),
    [
        ({"a": 1}, {"a": 1}, None),
        ({"a": 1}, {}, "a was 1, is now not given"),
        ({}, {"a": {"b": 2}}, "a was not given, is now {'b': 2}"),
        ({"a": [1, 2]}, {"a": [1, 3]}, "a[1] was 2, is now 3"),
        ({"a": [1]}, {"a": [1, 2]}, "a was [1], is now [1, 2]"),
        ({"o": {"name": "Adam", "learning_rate": 0.1}}, {"o": None}, "o was Adam(learning_rate=0.1), is now None"),
        ({"a": 1, "b": 1, "c": 1, "d": 1}, {}, "a was 1, is now not given; b was 1, is now not given; "
         "c was 1, is now not given; and 1 more"),
        ({"data": {"fingerprint": "x"}, "run": {"seed": 1}}, {"data": {"fingerprint": "y"}, "run": {"seed": 2}},
         "run.seed was 1, is now 2"),
    ],
)  # fmt: skip
def test_changes_in_words(then, now, words):
    assert describe_changes(then, now) == words
