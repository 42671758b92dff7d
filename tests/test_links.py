"""From lesson to exercise and back: every link between notebooks leads somewhere, and the course is one way."""

import nbformat
import pytest
from shared import REPOSITORY

from fedlearn_edu.course.relative_links import links_in
from fedlearn_edu.course.syllabus import syllabus

NAMES = [lesson.file_name for lesson in syllabus()]
PATHS = [f"{part}/{name}" for part in ("notebooks", "exercises", "solutions") for name in NAMES]


def cells_of(path):
    notebook = nbformat.read(REPOSITORY / path, as_version=4)
    return [cell.source for cell in notebook.cells if cell.cell_type == "markdown"]


@pytest.mark.parametrize("path", PATHS)
def test_every_link_leads_to_a_notebook(path):
    links = [link for source in cells_of(path) for link in links_in(source)]
    assert links
    for link in links:
        assert ((REPOSITORY / path).parent / link).resolve().is_file(), link
    plain = [f"`{part}/{name}`" for part in ("notebooks", "exercises") for name in NAMES]
    assert not [name for name in plain for source in cells_of(path) if name in source], "a name that is no link"


@pytest.mark.parametrize(("name", "after"), list(zip(NAMES, [*NAMES[1:], None], strict=True)))
def test_a_lesson_ends_with_its_exercises_and_the_next_lesson(name, after):
    end = [f"../exercises/{name}"] + ([after] if after else [])
    assert links_in(cells_of(f"notebooks/{name}")[-1].split("\n---\n")[-1]) == end


@pytest.mark.parametrize(("name", "after"), list(zip(NAMES, [*NAMES[1:], None], strict=True)))
def test_exercises_lead_back_and_on_and_say_what_to_hand_in(name, after):
    cells = cells_of(f"exercises/{name}")
    back = f"../notebooks/{name}"
    assert links_in(cells[0]) == [back]
    assert links_in(cells[-1]) == ([f"../notebooks/{after}"] if after else []) + [back]
    assert "**To hand it in:** save" in cells[-1]
