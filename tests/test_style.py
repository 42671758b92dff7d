"""Lint and format, by ruff's settings in pyproject.toml."""

import subprocess
import sys

import pytest
from shared import REPOSITORY


@pytest.mark.parametrize("arguments", [["check", "."], ["format", "--check", "."]], ids=["lint", "format"])
def test_ruff(arguments):
    result = subprocess.run([sys.executable, "-m", "ruff", *arguments], cwd=REPOSITORY, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout + result.stderr
