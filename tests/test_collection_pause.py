"""What TensorFlow and TFF load is not searched for garbage again; what little is loaded else is."""

import subprocess
import sys

import pytest

FROZEN = "import gc, fedlearn_edu as fl; {}; print(gc.get_freeze_count())"


@pytest.mark.parametrize(("use", "least", "most"), [("fl.linear_head", 500_000, 10_000_000), ("fl.IID", 0, 0)])
def test_what_large_libraries_load_is_frozen(use, least, most):
    done = subprocess.run([sys.executable, "-c", FROZEN.format(use)], capture_output=True, text=True, check=True)
    assert least <= int(done.stdout) <= most
