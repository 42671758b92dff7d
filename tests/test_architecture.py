"""The rooms: imports point up the list, never back; some libraries stay in one room."""

import ast
import graphlib
import pathlib

import pytest

PACKAGE = pathlib.Path(__file__).parent.parent / "fedlearn_edu"
# A module may import from its own room and from those before it.
ROOMS = ["engine", "data", "backbone", "learning", "simulation", "privacy", "plotting", "widgets", "course"]
# Above all rooms: what a user starts. Below them: what any room may use.
DEMO = {f"demo{part}" for part in ("", "_data", "_folder", "_options", "_output", "_results", "_setup", "_values")}
TOP = {"__init__", "cli", "commands", *DEMO, "doctor", "lab_app", "lessons"}
BASE = {
    "bars",
    "cache_folder",
    "checks",
    "collection_pause",
    "errors",
    "files",
    "folder_lock",
    "folders",
    "later",
    "quiet",
    "terminal",
}
ONLY_IN = {
    "tensorflow_hub": {"backbone"},
    "ipywidgets": {"widgets"},
    "matplotlib": {"plotting", "widgets"},
}
# Who imports by names that are computed: lessons' checks by number, a learner's imports in his guarded process, rows.
DYNAMIC = {("course", "registry"), ("course", "runner"), ("learning", "catalogue")}
MODULES = sorted(PACKAGE.rglob("*.py"))


def room_of(path: pathlib.Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imports(path: pathlib.Path) -> set[str]:
    """Full names of all modules imported anywhere in a file: in functions, and by `import_module` with a constant."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call) and getattr(node.func, "attr", getattr(node.func, "id", "")) == "import_module":
            if isinstance(node.args[0], ast.Constant):
                names.add(node.args[0].value)
            else:
                assert (room_of(path), path.stem) in DYNAMIC, f"{path}: import_module of a name that is computed"
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


def test_no_files_import_each_other_in_a_circle():
    modules = {".".join(["fedlearn_edu", *p.relative_to(PACKAGE).with_suffix("").parts]): p for p in MODULES}
    needs = {}
    for name, path in modules.items():
        # `from package import name` names a module or something in one.
        found = {n if n in modules else n.rpartition(".")[0] for n in imports(path)}
        needs[name] = found & modules.keys() - {name}
    graphlib.TopologicalSorter(needs).prepare()  # raises CycleError, which names the circle


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
