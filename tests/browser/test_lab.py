"""The first lesson in JupyterLab, in a real browser: both widgets do what their controls say."""

import re
import shutil

import pytest
from lab import CHROMIUM_FLAGS, lab_server, run_all_cells, settled_picture
from shared import REPOSITORY

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
PICTURES = REPOSITORY / "test-output"
LESSON = REPOSITORY / "notebooks" / "01_federate_a_pretrained_model.ipynb"

pytestmark = [
    pytest.mark.skipif(CHROMIUM is None, reason="needs a Chromium browser (Debian: apt-get install chromium)"),
    pytest.mark.timeout(600),
]


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    from playwright.sync_api import sync_playwright

    PICTURES.mkdir(exist_ok=True)
    with lab_server(LESSON, tmp_path_factory.mktemp("lab")) as url, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=CHROMIUM_FLAGS)
        try:
            page = browser.new_page(viewport={"width": 1500, "height": 1000})
            run_all_cells(page, url, timeout_s=240)
            yield page
        finally:
            browser.close()


@pytest.fixture
def live(page):
    """The live dashboard, forgotten and with few clients per round."""
    dashboard = page.locator(".fl-dashboard")
    dashboard.scroll_into_view_if_needed()
    reset = button(dashboard, "Reset")
    if reset.is_enabled():
        reset.click()
    wait_for_status(dashboard, "ready")
    return dashboard


def button(dashboard, name):
    return dashboard.locator(f"button:has-text('{name}')")


def field(dashboard, name):
    return dashboard.locator(f".widget-text:has(label:text-is('{name}')) input")


def fill(dashboard, name, value):
    field(dashboard, name).fill(str(value))
    field(dashboard, name).press("Enter")


def wait_for_status(dashboard, text, timeout_s=120):
    dashboard.locator(f".fl-status:has-text('{text}')").wait_for(timeout=timeout_s * 1000)


def round_of(dashboard):
    return int(dashboard.locator(".fl-round").inner_text().split()[0])


def wait_for_round(dashboard, round_num, timeout_s=120):
    dashboard.page.wait_for_function(
        "([node, num]) => parseInt(node.querySelector('.fl-round')?.innerText) >= num",
        arg=[dashboard.element_handle(), round_num],
        timeout=timeout_s * 1000,
    )


def interrupt_kernel(page):
    page.click(".lm-MenuBar-itemLabel:text-is('Kernel')")
    page.click(".lm-Menu-itemLabel:text-is('Interrupt Kernel')")


def accuracy_of(dashboard):
    text = dashboard.locator(".fl-global-accuracy").inner_text()
    assert re.fullmatch(r"\d+\.\d %", text), text
    return float(text.split()[0])


def test_lesson_runs_without_an_error(page):
    errors = page.locator("[data-mime-type='application/vnd.jupyter.error']")
    assert errors.all_inner_texts() == []
    assert page.locator(".jp-OutputArea-output img[src^='data:image/png']").count() == 7  # the static plots
    page.screenshot(path=PICTURES / "lesson_end.png")


def test_explorer_follows_its_slider_and_comes_back(page):
    explorer = page.locator(".fl-explorer")
    explorer.scroll_into_view_if_needed()
    picture = explorer.locator("img")
    share = explorer.locator(".fl-statistics tr:last-child")
    before, share_before = settled_picture(picture), share.inner_text()
    handle = explorer.locator(".noUi-handle:visible").first  # the concentration
    handle.focus()
    for _ in range(20):
        page.keyboard.press("ArrowRight")
    moved = settled_picture(picture)
    explorer.screenshot(path=PICTURES / "explorer.png")
    assert moved != before
    assert share.inner_text() != share_before
    for _ in range(20):
        page.keyboard.press("ArrowLeft")
    assert settled_picture(picture) == before  # the same settings and seed: the same partition
    assert share.inner_text() == share_before


def test_explorer_deals_shards(page):
    explorer = page.locator(".fl-explorer")
    before = settled_picture(explorer.locator("img"))
    explorer.locator("select").select_option(label="Shards (few classes each)")
    assert settled_picture(explorer.locator("img")) != before
    classes = explorer.locator(".fl-statistics tr:has-text('classes held')").inner_text().split()
    assert int(classes[-1]) <= 5  # two shards a client, each across at most a border or two


def test_run_to_the_end(live):
    fill(live, "client learning rate", 0.05)
    fill(live, "rounds", 12)
    button(live, "Run").click()
    wait_for_round(live, 1)
    first = accuracy_of(live)
    live.screenshot(path=PICTURES / "dashboard_running.png")
    wait_for_status(live, "finished after 12 rounds")
    assert live.locator(".fl-round").inner_text() == "12 of 12"
    assert accuracy_of(live) > first
    assert live.locator(".fl-worst tr").count() == live.locator(".fl-best tr").count() == 6
    settled_picture(live.locator("img"))
    live.screenshot(path=PICTURES / "dashboard_finished.png")


def test_stop_step_and_look_back(live):
    fill(live, "rounds", 2000)
    button(live, "Run").click()
    wait_for_round(live, 3)
    assert button(live, "Run").is_disabled()
    interrupt_kernel(live.page)
    wait_for_round(live, round_of(live) + 2)  # that ends a cell that is running, not the dashboard's thread
    button(live, "Stop").click()
    wait_for_status(live, "paused")
    stopped = round_of(live)
    assert 3 <= stopped < 2000
    picture = settled_picture(live.locator("img"))
    assert round_of(live) == stopped  # nothing went on behind the page's back
    button(live, "Step").click()
    wait_for_status(live, f"paused after round {stopped + 1}")
    assert round_of(live) == stopped + 1
    assert settled_picture(live.locator("img")) != picture
    live.locator(".noUi-handle:visible").last.focus()  # the round to look at
    live.page.keyboard.press("ArrowLeft")
    live.page.wait_for_function(
        "([node, num]) => parseInt(node.querySelector('.fl-round').innerText) === num",
        arg=[live.element_handle(), stopped],
    )
    assert settled_picture(live.locator("img")) == picture  # as it was then


def test_bad_setting_is_shown_in_one_line(live):
    fill(live, "clients per round", 999)
    button(live, "Run").click()
    error = live.locator(".fl-error div div")
    error.wait_for(timeout=60_000)
    assert error.inner_text().startswith("clients_per_round: expected at most the number of clients")
    live.screenshot(path=PICTURES / "dashboard_error.png")
    assert button(live, "Run").is_enabled()


def test_finished_history_goes_back_in_time(page):
    view = page.locator(".jp-OutputArea-output:has(.fl-numbers)").first
    view.scroll_into_view_if_needed()
    total = view.locator(".fl-round").inner_text()
    assert total == "20 of 20"
    before = settled_picture(view.locator("img"))
    view.locator(".noUi-handle").last.focus()
    for _ in range(5):
        page.keyboard.press("ArrowLeft")
    view.locator(".fl-round:text-is('15 of 20')").wait_for(timeout=20_000)
    assert settled_picture(view.locator("img")) != before
    view.screenshot(path=PICTURES / "history.png")
