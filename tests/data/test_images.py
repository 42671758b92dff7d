import numpy as np
import pytest

from fedlearn_edu.data import images
from fedlearn_edu.data.images import ImageDataset
from fedlearn_edu.errors import RunError, UsageError


def test_memory_is_checked_before_it_is_taken():
    with pytest.raises(RunError, match=r"image_size: 1,000,000,000 images of 224 x 224 pixels need 150528\.0 GB"):
        images.allocate_images(10**9, image_size=224)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"images": np.zeros((3, 4, 4), np.uint8)}, "images: expected uint8"),
        ({"images": np.zeros((3, 4, 4, 3), np.float32)}, "got float32"),
        ({"images": np.zeros((0, 4, 4, 3), np.uint8)}, "at least one image"),
        ({"labels": np.zeros(2, np.int32)}, "labels: expected 3 whole numbers"),
        ({"labels": np.zeros(3, np.float32)}, "labels: expected 3 whole numbers"),
        ({"labels": np.array([0, 1, 2], np.int32)}, r"labels: expected values in \[0, 2\)"),
        ({"natural_client_ids": np.array(["a"])}, "natural_client_ids: expected one owner per image"),
    ],
)
def test_arrays_that_do_not_fit_together(change, message):
    arguments = {"images": np.zeros((3, 4, 4, 3), np.uint8), "labels": np.zeros(3, np.int32)} | change
    with pytest.raises(UsageError, match=message):
        ImageDataset("toy", class_names=("a", "b"), **arguments)
