import dataclasses

import numpy as np
import pytest

from fedlearn_edu.data.dataset import Dataset
from fedlearn_edu.data.images import ImageDataset
from fedlearn_edu.data.task import Task
from fedlearn_edu.errors import UsageError

TABLE = np.array([(1.5, "x"), (np.nan, "y"), (0.0, "x")], [("age", np.float64), ("town", "U1")])


def test_columns_of_a_table_keep_their_dtype():
    data = Dataset("t", TABLE, [1, 2, 3], Task.regression(unit="EUR"), modality="table")
    assert data.inputs.dtype == TABLE.dtype
    assert data.targets.dtype == np.float32
    assert data.class_names == ()


@pytest.mark.parametrize(
    ("inputs", "modality", "message"),
    [
        ([b"a"], "text", "inputs: expected one text per example, got b'a' for row 0"),
        (["a", None], "text", "got None for row 1"),
        (np.zeros((2, 3)), "table", "a named field per column, got float64"),
        (np.zeros(2), "ids", "expected whole numbers as ids"),
        (np.array([], "U1"), "text", "at least one example"),
        (["a"], "sound", "modality: expected one of image, text, table, ids, got 'sound'"),
        (["a"], "image", "images: expected uint8"),
    ],
)
def test_inputs_of_another_kind_are_refused(inputs, modality, message):
    with pytest.raises(UsageError, match=message):
        Dataset("d", inputs, np.zeros(len(inputs), int), Task.binary("yes"), modality=modality)


@pytest.mark.parametrize(
    ("task", "targets", "message"),
    [
        (Task.regression(), [1.0, np.inf, 2.0], "targets: expected finite numbers .* got inf for example 1"),
        (Task.regression(), [1.0], "targets: expected 3 numbers"),
        (Task.binary("yes"), [0, 1, 2], r"labels: expected values in \[0, 2\)"),
        (Task.classification(["a"]), [0.5, 0, 0], "labels: expected 3 whole numbers"),
        ("binary", [0, 1, 1], "task: expected one such as"),
    ],
)
def test_targets_that_do_not_suit_the_task_are_refused(task, targets, message):
    with pytest.raises(UsageError, match=message):
        Dataset("t", TABLE, targets, task, modality="table")


def test_class_names_that_contradict_the_task_are_refused():
    with pytest.raises(UsageError, match="class_names: expected those of the task"):
        Dataset("t", TABLE, [0, 1, 1], Task.binary("b", negative="a"), modality="table", class_names=("b", "a"))


def test_an_image_dataset_is_a_dataset_and_can_be_replaced_by_either_name():
    images = np.arange(2 * 3 * 4 * 3, dtype=np.uint8).reshape(2, 3, 4, 3)
    data = ImageDataset("toy", images, [0, 1], ("a", "b"), natural_client_ids=["x", "y"])
    assert isinstance(data, Dataset)
    assert data.modality == "image"
    assert data.task.kind == "classification"
    fewer = dataclasses.replace(data, images=images[:1], labels=data.labels[:1], natural_client_ids=None)
    assert fewer.images.shape == (1, 3, 4, 3)
    assert fewer.labels.tolist() == [0]
    assert fewer.class_names == ("a", "b")
    assert dataclasses.replace(data, inputs=images[::-1]).images[0, 0, 0, 0] == 36
