"""What a demo run says at its end of results that say little."""

import types

import pytest

import fedlearn_edu as fl
from fedlearn_edu.demo_options import DemoOptions
from fedlearn_edu.demo_output import _oddities


def remarks(accuracies, *, num_test=10, partition="natural"):
    rows = []
    for number, accuracy in enumerate(accuracies):
        rows += [(number, "global", "accuracy", accuracy), (number, "global", "loss", 1.0 - 0.01 * number)]
    history = fl.History({}, rows, status="finished", central_accuracy=1.0)
    experiment = types.SimpleNamespace(modality="image", num_test=num_test)
    return _oddities(DemoOptions(partition=partition, client_lr=0.03), experiment, history)


@pytest.mark.parametrize(
    ("accuracies", "num_test", "expected"),
    [
        ([0.3, 0.7, 0.9, 0.7, 1.0, 0.8, 0.3, 0.7, 0.3, 0.7, 0.9], 10, "fell by up to 50 points"),
        ([0.3, 0.1, 0.5, 0.8, 0.9, 0.9, 0.9], 10, None),  # at the beginning a fall is none to speak of
        ([0.3, 0.4, 0.4, 0.5, 0.4, 0.5, 0.5], 10, "Far below its ceiling: where clients are unlike or have few images"),
        ([0.5, 0.5, 0.5, 0.5, 0.5], 2, "With 2 test images no figure here tells anything"),
        ([0.3, 0.6, 0.9, 0.9, 0.9], 100, None),
    ],
)
def test_the_end_says_what_is_odd(accuracies, num_test, expected):
    said = remarks(accuracies, num_test=num_test)
    assert len(said) == (expected is not None)
    assert not expected or expected in said[0]
