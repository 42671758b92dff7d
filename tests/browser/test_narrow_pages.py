"""Pages of a graded batch on a telephone, in a real browser: no status is cut off, and messages are where one reads."""

import dataclasses
import shutil

import pytest
from lab import CHROMIUM_FLAGS
from small_batch import small_class

from fedlearn_edu.course.grading.feedback import make_pages
from fedlearn_edu.course.grading.overview import make_overview

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs a Chromium browser (Debian: apt-get install chromium)")

# Right edges in pixels of what is drawn, of each kind; the width of what scrolls by itself, in its frame.
MEASURE = """() => {
  const edge = kind => Math.max(...[...document.querySelectorAll(kind)].map(one => one.getBoundingClientRect().right));
  const frames = [...document.querySelectorAll('.scroll')].map(one => [one.scrollWidth, one.clientWidth]);
  return {page: document.documentElement.scrollWidth, badge: edge('.badge'), frames};
}"""


def measured(tmp_path, texts, width):
    """By name, what `MEASURE` says of each page at this width."""
    from playwright.sync_api import sync_playwright

    found = {}
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=CHROMIUM_FLAGS)
        page = browser.new_page(viewport={"width": width, "height": 800})
        for name, text in texts.items():
            (tmp_path / f"{name}.html").write_text(text, encoding="utf-8")
            page.goto((tmp_path / f"{name}.html").as_uri())
            found[name] = page.evaluate(MEASURE)
        browser.close()
    return found


def test_a_telephone_shows_all_of_it(tmp_path):
    result = small_class()
    # An exercise of a long name, as the course has them, and one that ran out of time.
    long = {
        student: tuple(
            dataclasses.replace(
                mark, exercise_id="98.label_mix_from_delta", status="timeout" if mark.cases else mark.status
            )
            if mark.exercise_id == "98.weighted_mean"
            else mark
            for mark in marks
        )
        for student, marks in result.marks.items()
    }
    result = dataclasses.replace(result, marks=long, mistakes={})
    [feedback] = [text for path, text in make_pages(result, tmp_path).items() if path.name.startswith("Zo")]
    found = measured(tmp_path, {"feedback": feedback, "overview": make_overview(result)}, 360)
    assert [one["page"] for one in found.values()] == [360, 360], "the page as a whole moves to no side"
    assert found["feedback"]["badge"] <= 360, "a status is not cut off"
    (wide, frame), *others = found["feedback"]["frames"] + found["overview"]["frames"]
    assert wide <= frame
    exercises, marks = others
    assert exercises[0] <= exercises[1], "messages stand where they are read"
    assert marks[0] <= 1.5 * marks[1], "and of the table of marks, most is seen at once"
