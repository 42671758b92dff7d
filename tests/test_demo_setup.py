"""Who holds the images of a demo run, and how many clients there are, where nobody said it."""

import numpy as np
import pytest

import fedlearn_edu as fl
from fedlearn_edu.demo_options import DemoOptions
from fedlearn_edu.demo_setup import _deal_out


def photos(sizes):
    """Images of two classes, so many of each owner; nobody's if there is one number."""
    owners = np.repeat([f"owner_{number}" for number in range(len(sizes))], sizes)
    images = np.zeros([len(owners), 8, 8, 3], np.uint8)
    labels = (np.arange(len(owners)) % 2).astype(np.int32)
    return fl.ImageDataset("photos", images, labels, ("a", "b"), owners if len(sizes) > 1 else None)


@pytest.mark.parametrize(
    ("sizes", "given", "partition", "num_clients"),
    [
        ([30, 30, 30], {}, "natural", 3),
        ([30, 4], {}, "dirichlet:0.3", 3),  # a second owner with too few images to be a client is none
        ([30, 30, 4], {}, "natural", 2),
        ([30, 30, 30], {"num_clients": 2}, "natural", 2),
        ([30, 30, 30], {"partition": "iid"}, "iid", 9),
        ([6] * 30, {"partition": "natural_dirichlet:1"}, "natural_dirichlet:1", 30),  # no fewer clients than owners
        ([700], {}, "dirichlet:0.3", 50),
        ([94], {}, "dirichlet:0.3", 9),
    ],
)
def test_owners_of_a_folder_are_clients_and_few_images_make_few(tmp_path, sizes, given, partition, num_clients):
    options, clients = _deal_out(DemoOptions(dataset=str(tmp_path), **given), photos(sizes))
    assert (options.partition, clients.num_clients) == (partition, num_clients)
