"""The environment is the one of requirements.txt, and what is known to break in others works in it."""

import importlib.metadata
import re
import sysconfig
import tomllib

import tensorflow as tf
import tensorflow_federated as tff
from packaging.markers import Marker
from packaging.utils import canonicalize_name
from shared import REPOSITORY

REQUIREMENTS = (REPOSITORY / "requirements.txt").read_text()


def locked() -> dict[str, str]:
    """Name and version of every line of requirements.txt that applies here."""
    versions = {}
    for name, version, marker in re.findall(r"^([A-Za-z0-9._-]+)==([^\s;\\]+)(?: ; ([^\\\n]+))?", REQUIREMENTS, re.M):
        if not marker or Marker(marker.strip()).evaluate():
            versions[canonicalize_name(name)] = version
    return versions


def test_the_environment_is_the_lock():
    versions = locked()
    assert len(versions) > 100
    # this folder only: setuptools puts the copies that it carries of some packages on the path
    found = importlib.metadata.distributions(path=[sysconfig.get_path("purelib")])
    installed = {canonicalize_name(d.metadata["Name"]): d.version for d in found}
    different = {name: (version, installed.get(name)) for name, version in versions.items()}
    different = {name: pair for name, pair in different.items() if pair[0] != pair[1]}
    assert not different, "locked and installed versions"
    unlocked = set(installed) - set(versions) - {"fedlearn-edu", "pip", "uv"}
    assert not unlocked, "installed but not locked"


def test_every_line_is_hash_pinned():
    lines = [line for line in REQUIREMENTS.splitlines() if re.match(r"^[A-Za-z0-9]", line)]
    assert all(re.match(r"^[A-Za-z0-9._-]+==", line) for line in lines)
    blocks = re.split(r"\n(?=[A-Za-z0-9])", REQUIREMENTS)
    assert all("--hash=sha256:" in block for block in blocks if re.match(r"^[A-Za-z0-9]", block))
    assert "://" not in REQUIREMENTS


def test_pyproject_fixes_the_same_versions():
    """`uv` resolves from pyproject.toml, `pip` reads requirements.txt: both must say the same."""
    settings = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["tool"]["uv"]
    fixed = dict(line.split("==") for line in settings["constraint-dependencies"])
    for name, version in locked().items():
        assert fixed[name] == version


def test_checkpoints_keep_dictionaries(tmp_path):
    """Fails with typing-extensions from 4.6 on."""
    import asyncio

    manager = tff.program.FileProgramStateManager(tmp_path)
    asyncio.run(manager.save({"a": tf.constant(1)}, version=1))
    assert asyncio.run(manager.load(1, {"a": 0}))["a"] == 1
