"""Most tests of widgets look at numbers: for them figures are drawn, but not written as SVG, which takes longest."""

import pytest

from fedlearn_edu.widgets import elements


@pytest.fixture
def written():
    """For tests that compare what a page gets: there the figures are written as well."""


@pytest.fixture(autouse=True)
def _figures_unwritten(request, monkeypatch):
    if "written" not in request.fixturenames:
        monkeypatch.setattr(elements, "figure_svg", lambda figure, *, name: f"<svg>{name}</svg>")
