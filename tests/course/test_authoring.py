"""Exercises from solutions: what is kept, what is taken out, what is refused, and that nothing drifts unseen."""

import json

import nbformat
import pytest
from toy_exercises import MEAN_SOLUTION, solution_cells, write_solution

from fedlearn_edu.course.authoring import build, run_exercises
from fedlearn_edu.errors import RunError, UsageError

REFERENCE_CELL = 3  # the first solution, 0-based; learners and messages count from 1


@pytest.fixture
def folders(tmp_path):
    write_solution(tmp_path / "solutions")
    return tmp_path / "solutions", tmp_path / "exercises"


def built(folders, **kwargs):
    (path,) = build(*folders, **kwargs)
    return nbformat.read(path, as_version=4)


def sources(notebook):
    return [cell.source for cell in notebook.cells]


# What a learner gets


def test_answers_are_out_and_everything_else_is_in(folders):
    notebook = built(folders)
    text = (folders[1] / "98_toy.ipynb").read_text()
    assert "secret" not in text
    assert "SOLUTION" not in text
    assert len(notebook.cells) == len(solution_cells()) - 1, "all but the hidden check"
    assert sources(notebook)[:3] == [cell.source for cell in solution_cells()[:3]]
    assert sources(notebook)[3] == (
        "def weighted_mean(deltas, sizes):\n"
        '    """Returns the mean of `deltas`, each weighted by its client\'s size."""\n'
        "    # Your code here.\n"
        "    raise NotImplementedError"
    )
    assert sources(notebook)[7].splitlines() == [
        "def upload_bytes(arrays: list, *, scale=1) -> int:",
        '    """Returns how many bytes a client uploads."""',
        "    total = 0",
        "    for array in arrays:",
        "        # Your code here.",
        "        raise NotImplementedError",
        "    return total",
    ]


def test_answer_cells_become_prompts(folders):
    cells = solution_cells()
    cells[10].metadata["fedlearn"] = {"prompt": "Why is it so?"}
    write_solution(folders[0], "98_prompt.ipynb", cells=cells)
    build(*folders)
    plain, prompted = (sources(nbformat.read(path, as_version=4)) for path in sorted(folders[1].iterdir())[::-1])
    assert plain[6] == "my_guess = None  # your answer"
    assert plain[9] == "*Write your answer here.*"
    assert prompted[9] == "Why is it so?"


def test_only_answers_are_open(folders):
    for cell in built(folders).cells:
        is_open = cell.metadata.get("tags") in (["solution"], ["answer"])
        assert cell.metadata.get("editable", True) is is_open
        assert cell.metadata.deletable is False
        grader = cell.metadata.nbgrader
        assert (grader.locked, grader.solution) == (not is_open, is_open)
        assert set(grader) >= {"grade", "grade_id", "locked", "schema_version", "solution", "task"}


def test_exercise_cells_keep_id_and_points(folders):
    ids = [
        (c.metadata.fedlearn.id, c.metadata.fedlearn.get("points"))
        for c in built(folders).cells
        if c.metadata.get("fedlearn")
    ]
    assert ids[0] == ("98.weighted_mean", 5)
    assert ids[1] == ("98.weighted_mean", None)
    assert ("98.upload_bytes", 2) in ids


def test_outputs_counts_and_other_metadata_do_not_get_through(folders):
    cells = solution_cells()
    cells[1].outputs = [nbformat.v4.new_output("stream", text="secret output")]
    cells[1].execution_count = 7
    cells[1].metadata["secret"] = "execution times"
    write_solution(folders[0], cells=cells, secret="widgets", kernelspec={"name": "mine", "display_name": "My secret"})
    notebook = built(folders)
    assert "secret" not in json.dumps(notebook)
    assert notebook.metadata.kernelspec.name == "python3"
    assert notebook.metadata.fedlearn.generated_from == "solutions/98_toy.ipynb"
    assert all(cell.execution_count is None for cell in notebook.cells if cell.cell_type == "code")


def test_pictures_in_markdown_stay(folders):
    cells = solution_cells()
    cells[0]["attachments"] = {"a.png": {"image/png": "iVBORw0KGgo="}}
    write_solution(folders[0], cells=cells)
    assert built(folders).cells[0].attachments == {"a.png": {"image/png": "iVBORw0KGgo="}}


def test_several_regions_and_helpers(folders):
    cells = solution_cells()
    cells[REFERENCE_CELL].source = '''\
import math


def helper(x):
    ### BEGIN SOLUTION
    return x  # secret
    ### END SOLUTION


def weighted_mean(deltas, sizes):
    """Mean."""
    ### BEGIN SOLUTION
    secret = 1
    ### END SOLUTION
    if deltas:
        ### BEGIN SOLUTION
        return secret
        ### END SOLUTION
'''
    write_solution(folders[0], cells=cells)
    stub = sources(built(folders))[3]
    assert "secret" not in stub
    assert stub.count("raise NotImplementedError") == 3
    assert stub.startswith("import math")


# The same every time


def test_deterministic_and_stable(folders, tmp_path):
    build(*folders)
    first = (folders[1] / "98_toy.ipynb").read_bytes()
    # Ids, metadata and the order of keys in the source have no influence.
    cells = solution_cells()
    for cell in cells:
        cell.metadata = dict(reversed(cell.metadata.items()))
    write_solution(tmp_path / "again", cells=cells)
    build(tmp_path / "again", tmp_path / "elsewhere")
    assert (tmp_path / "elsewhere" / "98_toy.ipynb").read_bytes() == first
    assert first.endswith(b"}\n")
    ids = [cell.id for cell in nbformat.reads(first.decode(), as_version=4).cells]
    assert len(set(ids)) == len(ids)


def test_building_twice_writes_nothing(folders):
    (path,) = build(*folders)
    before = path.stat().st_mtime_ns
    assert build(*folders) == []
    assert path.stat().st_mtime_ns == before


def test_an_edit_leaves_the_other_cells_ids(folders):
    before = built(folders)
    cells = solution_cells()
    cells[REFERENCE_CELL].source = cells[REFERENCE_CELL].source.replace("each weighted", "weighted")
    write_solution(folders[0], cells=cells)
    assert [cell.id for cell in built(folders).cells] == [cell.id for cell in before.cells]


# Drift


def test_check_tells_drift_and_writes_nothing(folders, capsys, monkeypatch):
    monkeypatch.setenv("UV", "/usr/bin/uv")
    assert run_exercises(*folders, check=True) == 1
    assert not folders[1].exists()
    assert run_exercises(*folders) == 0
    assert run_exercises(*folders, check=True) == 0
    assert "up to date" in capsys.readouterr().out
    path = folders[1] / "98_toy.ipynb"
    for spoil in (lambda text: text + " ", lambda text: text.replace("The mean", "The Mean")):
        good = path.read_text()
        path.write_text(spoil(good))
        assert run_exercises(*folders, check=True) == 1
        out = capsys.readouterr().out
        assert f"differs: {path}" in out
        assert "1 of the exercises differs from its source; run: uv run fedlearn-edu exercises build" in out
        assert path.read_text() == spoil(good)
        path.write_text(good)


def test_editing_a_hidden_answer_is_no_drift_but_a_task_is(folders):
    build(*folders)
    cells = solution_cells()
    cells[REFERENCE_CELL].source = MEAN_SOLUTION.replace("secret", "other")
    write_solution(folders[0], cells=cells)
    assert build(*folders, check=True) == []
    cells[2].source = "## The weighted mean"
    write_solution(folders[0], cells=cells)
    assert build(*folders, check=True) == [folders[1] / "98_toy.ipynb"]


def test_an_exercise_without_source_is_removed_and_others_are_left_alone(folders, capsys):
    write_solution(folders[0], "99_gone.ipynb")
    build(*folders)
    (folders[0] / "99_gone.ipynb").unlink()
    foreign = folders[1] / "my_notes.ipynb"
    nbformat.write(nbformat.v4.new_notebook(), foreign)
    (folders[1] / "broken.ipynb").write_text("{")
    assert run_exercises(*folders, check=True) == 1
    assert f"has no source: {folders[1] / '99_gone.ipynb'}" in capsys.readouterr().out
    assert run_exercises(*folders) == 0
    assert sorted(path.name for path in folders[1].iterdir()) == ["98_toy.ipynb", "broken.ipynb", "my_notes.ipynb"]


# A learner's work is not lost


def work_in(path, change):
    """Lets somebody work in a notebook, and save it as Jupyter does."""
    notebook = nbformat.read(path, as_version=4)
    change(notebook.cells)
    notebook.metadata["language_info"] = {"name": "python", "version": "3.11.7"}
    nbformat.write(notebook, path)
    return path.read_bytes()


def _edit(index, source):
    return lambda cells: cells[index].__setitem__("source", source)


def _run(cells):
    cells[4].outputs = [nbformat.v4.new_output("stream", text="passed")]


WORK = {
    "a function": (_edit(3, "def weighted_mean(deltas, sizes):\n    return 1"), "weighted_mean"),
    "a try below the stub": (
        lambda cells: cells[7].update(source=cells[7].source + "\nupload_bytes([])"),
        "upload_bytes",
    ),
    "a guess": (_edit(6, "my_guess = 4"), "upload_bytes"),
    "in words": (_edit(9, "Since it is so."), "written answer"),
    "a cell of one's own": (lambda cells: cells.insert(3, nbformat.v4.new_code_cell("1 + 1")), "own cells"),
    "a check was run": (_run, "outputs"),
    "several": (lambda cells: (_edit(3, "x = 1")(cells), _run(cells)), "weighted_mean, outputs"),
}


@pytest.mark.parametrize("name", list(WORK))
@pytest.mark.parametrize("changed_source", [True, False])
def test_answers_are_not_replaced_unless_told_and_then_kept(name, changed_source, folders, capsys):
    change, found = WORK[name]
    write_solution(folders[0], "99_other.ipynb")
    build(*folders)
    path, other = (folders[1] / name for name in ("98_toy.ipynb", "99_other.ipynb"))
    worked = work_in(path, change)
    other.unlink()
    if changed_source:
        cells = solution_cells()
        cells[0].source = "# A toy lesson, second edition"
        write_solution(folders[0], cells=cells)
    message = f"{path} holds answers ({found}); --force replaces it, the old one goes to 98_toy_old.ipynb"
    with pytest.raises(UsageError) as caught:
        build(*folders)
    assert str(caught.value) == message
    assert path.read_bytes() == worked
    assert not other.exists(), "nothing is written where one is refused"
    assert build(*folders, force=True) == [path, other]
    assert (folders[1] / "98_toy_old.ipynb").read_bytes() == worked
    assert run_exercises(*folders, check=True) == 0, "what was put away is no exercise without a source"
    again = work_in(path, change)
    build(*folders, force=True)
    assert (folders[1] / "98_toy_old_2.ipynb").read_bytes() == again
    assert (folders[1] / "98_toy_old.ipynb").read_bytes() == worked


def test_saving_in_jupyter_is_no_answer(folders):
    (path,) = build(*folders)
    work_in(path, lambda cells: cells.append(nbformat.v4.new_code_cell(" ")))  # Shift-Enter in the last cell adds one
    assert build(*folders) == [path]
    assert [file.name for file in folders[1].iterdir()] == [path.name]


def test_many_notebooks_with_answers_are_told_in_one_line(folders):
    for number in range(5):
        write_solution(folders[0], f"{number:02}_more.ipynb")
    build(*folders)
    for path in folders[1].iterdir():
        work_in(path, _edit(9, "Because."))
    with pytest.raises(UsageError) as caught:
        build(*folders)
    text = str(caught.value)
    assert "\n" not in text
    assert text.count("holds answers (written answer)") == 3
    assert text.endswith("; and 3 more; --force replaces them, the old ones go to 00_more_old.ipynb and so on")


def test_an_answered_exercise_without_source_is_put_away_too(folders):
    gone = write_solution(folders[0], "99_gone.ipynb")
    build(*folders)
    gone.unlink()
    worked = work_in(folders[1] / "99_gone.ipynb", _edit(3, "my work"))
    with pytest.raises(UsageError, match=r"99_gone\.ipynb holds answers \(weighted_mean\)"):
        build(*folders)
    build(*folders, force=True)
    assert sorted(path.name for path in folders[1].iterdir()) == ["98_toy.ipynb", "99_gone_old.ipynb"]
    assert (folders[1] / "99_gone_old.ipynb").read_bytes() == worked


def test_a_copy_under_another_name_is_left_alone(folders):
    (path,) = build(*folders)
    copy = folders[1] / "98_toy-Copy1.ipynb"
    copy.write_bytes(path.read_bytes())
    assert build(*folders) == []
    assert copy.exists()


def test_what_is_there_and_cannot_be_read_counts_as_answers(folders):
    (path,) = build(*folders)
    path.write_bytes(b"{half a notebook")
    with pytest.raises(UsageError, match=r"holds answers \(not to be read\)"):
        build(*folders)


def test_exercises_of_an_earlier_version_are_recognised_by_their_stubs(folders):
    def forget(cells):
        for cell in cells:
            cell.metadata.get("fedlearn", {}).pop("given", None)

    (path,) = build(*folders)
    work_in(path, forget)
    assert build(*folders) == [path]


# Malformed input: file, cell and reason in one line, nothing written


def _cell(index, **changes):
    def change(cells):
        for name, value in changes.items():
            if name == "source":
                cells[index].source = value
            else:
                cells[index].metadata[name] = value

    return change


def _solution(text):
    return _cell(REFERENCE_CELL, source=text)


MALFORMED = {
    "misspelt tag": (_cell(3, tags=["soluton"]), "cell 4: unknown tag 'soluton'; did you mean 'solution'?"),
    "two tags": (_cell(3, tags=["solution", "check"]), "cell 4: expected one of our tags, got solution and check"),
    "tag on the wrong kind": (
        _cell(0, tags=["solution"]),
        "cell 1: tag 'solution': expected a code cell, got markdown",
    ),
    "exercise as code": (_cell(1, tags=["exercise"]), "cell 2: tag 'exercise': expected a markdown cell, got code"),
    "no id": (_cell(2, fedlearn={"points": 5}), "cell 3: metadata fedlearn.id: expected '03.function_name', got None"),
    "bad id": (_cell(2, fedlearn={"id": "3.Mean", "points": 5}), "cell 3: metadata fedlearn.id: expected"),
    "no points": (
        _cell(2, fedlearn={"id": "98.weighted_mean"}),
        "cell 3: metadata fedlearn.points: expected a whole number above 0, got None",
    ),
    "half points": (_cell(2, fedlearn={"id": "98.weighted_mean", "points": 2.5}), "cell 3: metadata fedlearn.points"),
    "id twice": (
        _cell(6, fedlearn={"id": "98.weighted_mean", "points": 2}),
        "cell 7: exercise '98.weighted_mean' was there before, in cell 3",
    ),
    "solution too early": (
        lambda cells: cells.insert(0, cells.pop(3)),
        "cell 1: tag 'solution' before the first 'exercise' cell",
    ),
    "no exercise": (
        lambda cells: cells.__setitem__(slice(2, None), []),
        "cell 1: the notebook has no cell with tag 'exercise'",
    ),
    "no solution": (
        lambda cells: cells.pop(3),
        "cell 3: exercise '98.weighted_mean' needs exactly one cell with tag 'solution', got 0",
    ),
    "two solutions": (lambda cells: cells.insert(4, cells[3]), "cell 3: exercise '98.weighted_mean' needs exactly one"),
    "no check": (lambda cells: cells.pop(4), "cell 3: exercise '98.weighted_mean' has no cell with tag 'check'"),
    "check before solution": (
        lambda cells: cells.insert(3, cells.pop(4)),
        "cell 4: a check comes before the solution of '98.weighted_mean'",
    ),
    "check of another": (
        _cell(4, source='check("98.upload_bytes", weighted_mean)'),
        "cell 5: a 'check' cell must end with check(\"98.weighted_mean\", weighted_mean), got check(",
    ),
    "check of another function": (
        _cell(4, source='check("98.weighted_mean", mean)'),
        "cell 5: a 'check' cell must end",
    ),
    "check not last": (_cell(4, source='check("98.weighted_mean", weighted_mean)\nx = 1'), "got x = 1"),
    "check result thrown away": (_cell(4, source='r = check("98.weighted_mean", weighted_mean)'), "must end with"),
    "empty check": (_cell(4, source="# nothing"), "cell 5: a 'check' cell must end with"),
    "check is no Python": (_cell(4, source="check("), "it is empty or not valid Python"),
    "no markers": (_solution('def weighted_mean(a, b):\n    """Mean."""\n    return a'), "cell 4: has no ### BEGIN"),
    "no end": (_solution(MEAN_SOLUTION.replace("    ### END SOLUTION\n", "")), "line 3: ### BEGIN SOLUTION without"),
    "no begin": (_solution(MEAN_SOLUTION.replace("    ### BEGIN SOLUTION\n", "")), "line 5: ### END SOLUTION without"),
    "begin twice": (
        _solution(MEAN_SOLUTION.replace("### END", "### BEGIN")),
        "line 6: ### BEGIN SOLUTION without its end",
    ),
    "other marker": (
        _solution(MEAN_SOLUTION.replace("### BEGIN", "# BEGIN")),
        "line 3: expected ### BEGIN SOLUTION or",
    ),
    "marker with text": (
        _solution(MEAN_SOLUTION.replace("### END SOLUTION", "### END SOLUTION ok")),
        "alone on its line",
    ),
    "marker outside": (
        _solution("### BEGIN SOLUTION\n" + MEAN_SOLUTION.replace("    ### BEGIN SOLUTION\n", "")),
        "line 1: ### BEGIN SOLUTION must stand inside a function",
    ),
    "answer after the function": (
        _solution(MEAN_SOLUTION + "### BEGIN SOLUTION\nweighted_mean = max\n### END SOLUTION\n"),
        "line 7: ### BEGIN SOLUTION must stand inside a function",
    ),
    "answer after the function, indented": (
        _solution(MEAN_SOLUTION + "if True:\n    ### BEGIN SOLUTION\n    weighted_mean = max\n    ### END SOLUTION\n"),
        "line 8: ### BEGIN SOLUTION must stand inside a function",
    ),
    "docstring in the answer": (
        _solution('def weighted_mean(a):\n    ### BEGIN SOLUTION\n    """Mean."""\n    return a\n    ### END SOLUTION'),
        "must stand inside a function, below its docstring",
    ),
    "signature in the answer": (
        _solution('### BEGIN SOLUTION\ndef weighted_mean(a):\n    """Mean."""\n    return a\n### END SOLUTION'),
        "must stand inside a function",
    ),
    "empty answer": (
        _solution('def weighted_mean(a):\n    """Mean."""\n    ### BEGIN SOLUTION\n    ### END SOLUTION'),
        "must stand inside a function",
    ),
    "only the helper is answered": (
        _solution(
            MEAN_SOLUTION.replace("weighted_mean", "helper") + 'def weighted_mean(a):\n    """Mean."""\n    return 1'
        ),
        "weighted_mean has no ### BEGIN SOLUTION ... ### END SOLUTION in it",
    ),
    "other name": (
        _solution(MEAN_SOLUTION.replace("weighted_mean", "mean")),
        "cell 4: expected one `def weighted_mean(...)`, named as in the exercise's id, got 0",
    ),
    "no docstring": (
        _solution("def weighted_mean(a):\n    ### BEGIN SOLUTION\n    return a\n    ### END SOLUTION"),
        "weighted_mean has no docstring",
    ),
    "no Python": (_solution("def weighted_mean(:"), "cell 4: not valid Python: "),
    "markers without the tag": (_cell(3, tags=[]), "cell 4: has 'BEGIN SOLUTION' but no tag 'solution'"),
    "markers in markdown": (_cell(0, source="BEGIN SOLUTION"), "cell 1: has 'BEGIN SOLUTION' but no tag 'solution'"),
    "nbgrader's hidden tests": (_cell(11, source="### BEGIN HIDDEN TESTS"), "cell 12: has 'BEGIN HIDDEN TESTS'"),
    "code answer that is no assignment": (_cell(7, source="print(48)"), "cell 8: a code answer holds lines"),
    "empty code answer": (_cell(7, source=""), "cell 8: a code answer holds lines"),
}


@pytest.mark.parametrize("name", list(MALFORMED))
def test_malformed_cells_are_refused(name, tmp_path):
    change, message = MALFORMED[name]
    cells = solution_cells()
    change(cells)
    write_solution(tmp_path / "solutions", "01_good.ipynb")
    write_solution(tmp_path / "solutions", "98_toy.ipynb", cells=cells)
    with pytest.raises(UsageError) as caught:
        build(tmp_path / "solutions", tmp_path / "exercises")
    text = str(caught.value)
    assert text.startswith("98_toy.ipynb, cell ")
    assert message in text
    assert "\n" not in text
    assert not (tmp_path / "exercises").exists(), "the good one was written although the other is refused"


@pytest.mark.parametrize(
    "content",
    [b"", b"not json", b"{}", b"\xff\xfe", b'{"cells": 3, "metadata": {}, "nbformat": 4, "nbformat_minor": 5}'],
)
def test_what_is_no_notebook_is_refused(content, tmp_path):
    (tmp_path / "solutions").mkdir()
    (tmp_path / "solutions" / "98_toy.ipynb").write_bytes(content)
    with pytest.raises(UsageError, match=r"^98_toy\.ipynb: (expected a Jupyter notebook|cannot be read)") as caught:
        build(tmp_path / "solutions", tmp_path / "exercises")
    assert "\n" not in str(caught.value)


def test_folders_are_checked(tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_text("")
    full = write_solution(tmp_path / "full").parent
    for source, target, message in [
        (tmp_path / "none", tmp_path / "out", "source: expected a folder"),
        (tmp_path / "empty", tmp_path / "out", "source: expected *.ipynb in"),
        (full, full, "target: expected another folder than the source"),
        (full, tmp_path / "file", "target: expected a folder"),
    ]:
        with pytest.raises(UsageError) as caught:
            build(source, target)
        assert str(caught.value).startswith(message)


def test_a_target_that_cannot_be_written(folders):
    folders[1].parent.joinpath("file").write_text("")
    with pytest.raises(RunError, match="target: cannot write"):
        build(folders[0], folders[1].parent / "file" / "below")


def test_a_folder_named_like_a_notebook_is_refused(folders):
    (folders[0] / "folder.ipynb").mkdir()
    with pytest.raises(UsageError, match=r"^folder\.ipynb: cannot be read"):
        build(*folders)
