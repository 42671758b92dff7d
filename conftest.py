"""What the Examples in docstrings find in their namespace: `fl`, `np`, and a small federation, `features`."""

import numpy as np
import pytest
from shared import make_features

import fedlearn_edu as fl


@pytest.fixture(scope="session", autouse=True)
def toy_federation(doctest_namespace):
    """Four clients with 12 to 21 training examples each: 8 numbers, one of 3 classes."""
    doctest_namespace.update(fl=fl, np=np, features=make_features(num_clients=4))
