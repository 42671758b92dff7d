"""Makes a wheel of this very package, so that a hand-out installs what the teacher has and needs no build tools.

Both a checkout and an installed package can make one, without a network, and twice the same: bytes for bytes.
"""

from __future__ import annotations

import base64
import csv
import hashlib
import io
import pathlib
import tomllib
import zipfile
from collections.abc import Mapping

from fedlearn_edu.errors import RunError

_PACKAGE = pathlib.Path(__file__).parent.parent
_OLDEST_DATE = (1980, 1, 1, 0, 0, 0)


def read_pyproject() -> bytes:
    """Returns this package's `pyproject.toml`: a wheel carries it inside, a checkout beside the package.

    Raises:
      RunError: It is not there.
    """
    for folder in (_PACKAGE, _PACKAGE.parent):
        if (folder / "pyproject.toml").is_file():
            return (folder / "pyproject.toml").read_bytes()
    raise RunError(f"hand-out: expected pyproject.toml in {_PACKAGE}, found none; install the package anew")


def make_wheel(notebooks: Mapping[str, bytes]) -> tuple[str, bytes]:
    """Returns the wheel's file name and content.

    Args:
      notebooks: The lessons and exercises that it carries: `notebooks/00_welcome.ipynb` -> content.
    """
    pyproject = read_pyproject()
    files = {
        f"{_PACKAGE.name}/{path.relative_to(_PACKAGE).as_posix()}": path.read_bytes()
        for path in sorted(_PACKAGE.rglob("*"))
        if path.is_file() and _belongs(path.relative_to(_PACKAGE))
    }
    files |= {f"{_PACKAGE.name}/{name}": content for name, content in notebooks.items()}
    files[f"{_PACKAGE.name}/pyproject.toml"] = pyproject
    # Another content is another version: an installer that has seen the one before notices.
    content = hashlib.sha256(repr([(name, hashlib.sha256(files[name]).hexdigest()) for name in sorted(files)]).encode())
    project = tomllib.loads(pyproject.decode())["project"]
    stem = f"{project['name'].replace('-', '_')}-{project['version']}+handout.{content.hexdigest()[:8]}"
    info = f"{stem}.dist-info"
    files[f"{info}/METADATA"] = _metadata(project, stem.partition("-")[2])
    files[f"{info}/WHEEL"] = b"Wheel-Version: 1.0\nGenerator: fedlearn-edu\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    scripts = "".join(f"{name} = {target}\n" for name, target in project.get("scripts", {}).items())
    files[f"{info}/entry_points.txt"] = f"[console_scripts]\n{scripts}".encode()
    record = io.StringIO()
    csv.writer(record, lineterminator="\n").writerows(
        [[name, f"sha256={_digest(content)}", len(content)] for name, content in sorted(files.items())]
        + [[f"{info}/RECORD", "", ""]]
    )
    files[f"{info}/RECORD"] = record.getvalue().encode()
    return f"{stem}-py3-none-any.whl", zipped(files)


def zipped(files: Mapping[str, bytes]) -> bytes:
    """Returns a zip of files, the same bytes whenever it is made: sorted, no dates, no owners.

    Args:
      files: Path in the zip -> content.
    """
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in sorted(files.items()):
            entry = zipfile.ZipInfo(name, _OLDEST_DATE)
            entry.compress_type = zipfile.ZIP_STORED if name.endswith((".whl", ".xz", ".png")) else zipfile.ZIP_DEFLATED
            entry.create_system, entry.external_attr = 3, 0o100644 << 16
            archive.writestr(entry, content)
    return stream.getvalue()


def _belongs(path: pathlib.PurePath) -> bool:
    """Whether a file below the package is part of it; the lessons of an installed one are given by the caller."""
    hidden = any(part.startswith(".") or part == "__pycache__" for part in path.parts)
    return not hidden and path.suffix != ".pyc" and path.parts[0] not in ("notebooks", "exercises", "pyproject.toml")


def _metadata(project: dict, version: str) -> bytes:
    lines = ["Metadata-Version: 2.1", f"Name: {project['name']}", f"Version: {version}"]
    lines += [f"Summary: {project['description']}", f"Requires-Python: {project['requires-python']}"]
    lines += [f"Requires-Dist: {requirement}" for requirement in project["dependencies"]]
    return ("\n".join(lines) + "\n").encode()


def _digest(content: bytes) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(content).digest()).decode().rstrip("=")
