"""A warning that a line of this package raises fails the test that met it; those of others do not."""

import warnings

import pytest

CATEGORIES = [DeprecationWarning, PendingDeprecationWarning, FutureWarning, RuntimeWarning, SyntaxWarning, UserWarning]


def warn_from(module, category):
    exec("import warnings\nwarnings.warn('toy', category)", {"__name__": module, "category": category})


@pytest.mark.parametrize("category", CATEGORIES)
def test_a_warning_of_ours_is_an_error(category):
    with pytest.raises(category, match="toy"):
        warn_from("fedlearn_edu.learning.toy", category)


@pytest.mark.parametrize("module", ["tensorflow.toy", "tensorflow_federated.toy", "numpy.toy", "test_toy"])
def test_those_of_others_pass(module):
    for category in CATEGORIES:
        with warnings.catch_warnings(record=True):
            warn_from(module, category)


def test_what_a_test_expects_passes():
    with pytest.warns(UserWarning, match="toy"):
        warn_from("fedlearn_edu.toy", UserWarning)
