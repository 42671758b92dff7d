"""The rooms: imports point up the list, never back; some libraries stay in one room."""

import ast
import pathlib

import pytest

PACKAGE = pathlib.Path(__file__).parent.parent / "fedlearn_edu"
# A module may import from its own room and from those before it.
ROOMS = ["data", "backbone", "learning", "simulation", "privacy", "plotting", "widgets", "course"]
# Above all rooms: what a user starts. Below them: what any room may use.
DEMO = {"demo", "demo_folder", "demo_options", "demo_output", "demo_results", "demo_setup"}
TOP = {"__init__", "cli", "commands", *DEMO, "doctor", "lab_app", "lessons", "pretraining"}
BASE = {"bars", "checks", "collection_pause", "errors", "folder_lock", "folders", "quiet", "terminal"}
ONLY_IN = {
    "tensorflow_hub": {"backbone"},
    "ipywidgets": {"widgets"},
    "matplotlib": {"plotting", "widgets"},
}
MODULES = sorted(PACKAGE.rglob("*.py"))


def room_of(path: pathlib.Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imports(path: pathlib.Path) -> set[str]:
    """Full names of all modules imported anywhere in a file, functions included."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_imports_point_up(path):
    room = room_of(path)
    assert room in TOP | BASE or room in ROOMS, f"{room} is no room; see ROOMS"
    for name in imports(path):
        if name == "fedlearn_edu" or name.startswith("fedlearn_edu."):
            imported = (name.split(".") + ["__init__"])[1]
            if room in TOP or imported in BASE:
                continue
            assert room not in BASE, f"{path.name} is used by every room and may import none ({name})"
            assert imported in ROOMS, f"{path.name} imports {name}; name the module it comes from"
            assert ROOMS.index(imported) <= ROOMS.index(room), f"{room} may not import {name}"


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_libraries_stay_in_their_rooms(path):
    for name in imports(path):
        library = name.split(".")[0]
        if library in ONLY_IN:
            assert room_of(path) in ONLY_IN[library], f"{path.name} imports {library}"


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_modules_say_their_job_and_stay_short(path):
    source = path.read_text()
    assert ast.get_docstring(ast.parse(source)), "the first line says the module's job"
    assert len(source.splitlines()) <= 300, "about 250 lines is where to ask whether it is two modules"


def test_public_names_exist_and_are_documented():
    import fedlearn_edu as fl

    for name in fl.__all__:
        assert getattr(fl, name).__doc__, name
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = fl.nothing
