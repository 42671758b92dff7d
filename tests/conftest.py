"""Fixtures of all tests."""

import pytest
from shared import make_features


@pytest.fixture(scope="session")
def features():
    return make_features()
