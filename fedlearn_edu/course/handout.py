"""Packs what learners get: some lessons, their exercises, and all that it takes to start them from an empty folder."""

from __future__ import annotations

import json
import pathlib
import tomllib
from collections.abc import Sequence

from fedlearn_edu.course.answers import answers_in
from fedlearn_edu.course.own_wheel import make_wheel, read_pyproject, zipped
from fedlearn_edu.course.relative_links import without_dead_links
from fedlearn_edu.course.selection import choose_lessons
from fedlearn_edu.course.syllabus import in_order
from fedlearn_edu.errors import RunError, UsageError
from fedlearn_edu.files import write_whole
from fedlearn_edu.terminal import HANDOUT_MARK, our_command

_START_HERE = pathlib.Path(__file__).parent / "start_here.md"
PARTS = ("notebooks", "exercises")  # beside each other, so that their links to each other hold


def make_handout(
    course: pathlib.Path, output: str | pathlib.Path, *, lessons: Sequence[str] = (), force: bool = False
) -> list[str]:
    """Writes a zip with lessons, exercises, `START_HERE.md`, this package as a wheel, and the versions that it needs.

    Args:
      course: The folder with `notebooks/` and `exercises/`.
      output: The zip. The same input gives the same bytes.
      lessons: Such as "04"; none = all.
      force: Replace an existing `output`.

    Returns:
      The files in it, sorted.

    Raises:
      UsageError: A lesson is unknown or no notebook, an exercise holds answers or is missing, `output` exists, or
        its folder does not.
      RunError: A file cannot be read or written.
    """
    output = pathlib.Path(output)
    if output.exists() and (output.is_dir() or not force):
        what = "is a folder" if output.is_dir() else "is there already; --force replaces it"
        raise UsageError(f"output: {output} {what}")
    if not output.parent.is_dir():
        raise UsageError(f"output: there is no folder {output.parent} to write {output.name} into; make it first")
    try:
        known = in_order((course / PARTS[0]).glob("[0-9][0-9]_*.ipynb"))
        if not known:
            raise UsageError(f"lessons: expected NN_*.ipynb in {course / PARTS[0]}, found none")
        chosen = [path.name for path in choose_lessons(known, lessons)]
        everything = {f"{part}/{path.name}": _fresh(course / part / path.name) for path in known for part in PARTS}
        files = {f"{part}/{name}": everything[f"{part}/{name}"] for name in chosen for part in PARTS}
        files = {name: _with_living_links(name, content, files) for name, content in files.items()}
        wheel, content = make_wheel(everything)
        files |= {
            wheel: content,
            "pyproject.toml": _pyproject(tomllib.loads(read_pyproject().decode()), wheel).encode(),
            "START_HERE.md": _START_HERE.read_text().replace("{lessons}", _listed(chosen)).encode(),
            HANDOUT_MARK: b"What your teacher handed out; `fedlearn-edu lab` in this folder opens it.\n",
        }
        write_whole(output, lambda file: file.write(zipped(files)))
    except OSError as error:
        raise RunError(f"hand-out: {error.filename or output}: {error.strerror}") from error
    return sorted(files)


def run_handout(course: pathlib.Path, output: pathlib.Path, **options) -> int:
    """What `fedlearn-edu exercises handout` runs: see `make_handout`; says what is in it.

    Returns:
      Exit code 0.
    """
    print(f"packing lessons, exercises and this package into {output} ...", flush=True)
    names = make_handout(course, output, **options)
    size = output.stat().st_size / 1e6
    for name in names:
        print(f"  {name}")
    print(f"{output}: {size:.0f} MB; learners begin with START_HERE.md, and hand in notebooks from exercises/")
    return 0


def _fresh(path: pathlib.Path) -> bytes:
    """The notebook, if nobody has worked in it; what running a lesson has left in it is taken out."""
    if not path.is_file():
        raise UsageError(
            f"exercises: expected {path}, found none; run: {our_command()} exercises build (or is it a lesson's copy? "
            "Then move the lesson away)"
        )
    if path.parent.name == "exercises" and (found := answers_in(path)):
        raise UsageError(f"exercises: {path} holds answers ({', '.join(found)}); build it anew before you hand it out")
    # Here, not above: they take seconds to import, for which nobody waits who named a lesson that is not there.
    from fedlearn_edu.course.authoring import serialised
    from fedlearn_edu.course.solution_cells import read_notebook

    notebook = read_notebook(path)
    notebook.metadata.pop("widgets", None)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    return serialised(notebook)


def _with_living_links(name: str, content: bytes, files: dict) -> bytes:
    import nbformat

    from fedlearn_edu.course.authoring import serialised

    notebook = nbformat.reads(content.decode(), as_version=4)
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            cell.source = without_dead_links(cell.source, files.__contains__, folder=name.partition("/")[0])
    return serialised(notebook)


def _pyproject(own: dict, wheel: str) -> str:
    """What `uv` needs to build the same environment as the teacher's, for this platform and with these versions."""
    uv = own["tool"]["uv"]
    return _PYPROJECT.format(
        python=json.dumps(own["project"]["requires-python"]),
        name=own["project"]["name"],
        wheel=wheel,
        cpu=json.dumps(own["dependency-groups"]["cpu"]),
        **{
            key: "[\n" + "".join(f"  {json.dumps(line)},\n" for line in uv[f"{key}"]) + "]"
            for key in ("environments", "override-dependencies", "constraint-dependencies")
        },
    )


def _listed(names: list[str]) -> str:
    return "\n".join(f"- `notebooks/{name}`, then `exercises/{name}`" for name in names)


_PYPROJECT = """\
# What `uv run fedlearn-edu lab` installs; see START_HERE.md.
[project]
name = "fedlearn-edu-handout"
version = "1"
requires-python = {python}
dependencies = ["{name}"]

[dependency-groups]
cpu = {cpu}

[tool.uv]
package = false
default-groups = ["cpu"]
environments = {environments}
override-dependencies = {override-dependencies}
constraint-dependencies = {constraint-dependencies}

[tool.uv.sources]
{name} = {{ path = "{wheel}" }}
"""
