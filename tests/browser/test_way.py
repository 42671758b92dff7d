"""A newcomer's way in `fedlearn-edu lab`, in a real browser: lesson 00, its exercises, back, the next lesson."""

import shutil
import sys

import pytest
from lab import ALL_CELLS, CHROMIUM_FLAGS, free_port, running, write_settings

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")

pytestmark = [
    pytest.mark.skipif(CHROMIUM is None, reason="needs a Chromium browser (Debian: apt-get install chromium)"),
    pytest.mark.timeout(300),
]


@pytest.fixture
def page(tmp_path):
    """The page at the address that the command prints, with nothing set up but that all cells are drawn."""
    from playwright.sync_api import sync_playwright

    write_settings(tmp_path / "settings", ALL_CELLS)
    port = free_port()
    command = [sys.executable, "-m", "fedlearn_edu.cli", "lab", "--no-browser", "--port", str(port)]
    with running(command, tmp_path, f"http://127.0.0.1:{port}/api", cwd=tmp_path), sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=CHROMIUM_FLAGS)
        page = browser.new_page(viewport={"width": 1400, "height": 900})
        page.goto((tmp_path / "lab.log").read_text().split("Lesson 00: ")[1].split()[0])
        try:
            yield page
        finally:
            browser.close()


def click_link(page, text, *, leads_to, title):
    """Clicks the last link of this text in the notebook in front, and waits for the notebook behind it."""
    page.locator(".jp-NotebookPanel:visible .jp-MarkdownOutput a").get_by_text(text, exact=True).last.click()
    page.wait_for_url(f"**/lab/tree/{leads_to}", timeout=60_000)
    wait_for_title(page, title)


def wait_for_title(page, title):
    page.locator(f".jp-NotebookPanel:visible h1:has-text('{title}')").first.wait_for(timeout=60_000)


def test_from_the_printed_address_to_the_exercises_and_on(page, tmp_path):
    wait_for_title(page, "Welcome: one round")
    click_link(page, "Exercises 00", leads_to="exercises/00_welcome.ipynb", title="Exercises 00: warm-up")
    before = "tab => getComputedStyle(tab.querySelector('.lm-TabBar-tabLabel'), '::before').content"
    tabs = page.locator("#jp-main-dock-panel .lm-TabBar-tab").all()
    assert [tab.inner_text().strip() for tab in tabs] == ["00_welcome.ipynb"] * 2
    assert [tab.evaluate(before) for tab in tabs] == ["none", '"exercises: "'], "which of the two it is"
    click_link(page, "lesson 00", leads_to="notebooks/00_welcome.ipynb", title="Welcome: one round")
    click_link(page, "Exercises 00", leads_to="exercises/00_welcome.ipynb", title="Exercises 00: warm-up")
    following = "01_federate_a_pretrained_model.ipynb"
    name = "lesson 01: Federate a pre-trained model"
    click_link(page, name, leads_to=f"notebooks/{following}", title="Federate a pre-trained model")
    assert page.locator("#jp-main-dock-panel .lm-TabBar-tab").count() == 3, "the way back opened nothing twice"
    assert page.locator(".Toastify__toast, .jp-Dialog").all_inner_texts() == [], "no news, no update, no question"
    assert (tmp_path / "fedlearn-edu-lessons" / "exercises" / "00_welcome.ipynb").is_file()
