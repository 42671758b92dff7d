"""Lessons 01 and 03, and the explorers, in JupyterLab in a real browser: the widgets do what their controls say."""

import re
import shutil

import nbformat
import pytest
from lab import CHROMIUM_FLAGS, lab_server, run_all_cells, settled_picture
from shared import REPOSITORY

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
PICTURES = REPOSITORY / "test-output"
NOTEBOOKS = REPOSITORY / "notebooks"
LESSON_01 = NOTEBOOKS / "01_federate_a_pretrained_model.ipynb"
LESSON_03 = NOTEBOOKS / "03_clients_are_not_alike.ipynb"
EXPLORERS = "explorers.ipynb"  # those that only show stored runs

pytestmark = [
    pytest.mark.skipif(CHROMIUM is None, reason="needs a Chromium browser (Debian: apt-get install chromium)"),
    pytest.mark.timeout(600),
]


@pytest.fixture(scope="module")
def open_lesson(tmp_path_factory):
    """A function that opens a notebook, by file name, in a tab of its own and runs all its cells."""
    from playwright.sync_api import sync_playwright

    PICTURES.mkdir(exist_ok=True)
    explorers = tmp_path_factory.mktemp("explorers") / EXPLORERS
    lines = ["import fedlearn_edu as fl\n\nfl.PrivacyExplorer()", "fl.PretrainingExplorer()"]
    lines += ["fl.AlgorithmRace()", "fl.AttackExplorer()", "fl.PersonalisationExplorer()"]
    cells = [nbformat.v4.new_code_cell(source) for source in lines]
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3 (ipykernel)"}}
    nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata=kernel), explorers)
    lessons = [LESSON_01, LESSON_03, explorers]
    with lab_server(lessons, tmp_path_factory.mktemp("lab")) as urls, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=CHROMIUM_FLAGS)

        def open_and_run(name):
            page = browser.new_page(viewport={"width": 1500, "height": 1000})
            run_all_cells(page, urls[[path.name for path in lessons].index(name)], timeout_s=240)
            return page

        try:
            yield open_and_run
        finally:
            browser.close()


@pytest.fixture(scope="module")
def page_01(open_lesson):
    return open_lesson(LESSON_01.name)


@pytest.fixture(scope="module")
def page_03(open_lesson):
    return open_lesson(LESSON_03.name)


@pytest.fixture(scope="module")
def page_explorers(open_lesson):
    return open_lesson(EXPLORERS)


@pytest.fixture
def live_01(page_01):
    return ready(page_01)


@pytest.fixture
def live_03(page_03):
    return ready(page_03)


def ready(page):
    """The page's live dashboard, forgotten."""
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


@pytest.mark.parametrize(("lesson", "num_plots"), [("page_01", 7), ("page_03", 8)])
def test_lesson_runs_without_an_error(lesson, num_plots, request):
    page = request.getfixturevalue(lesson)
    errors = page.locator("[data-mime-type='application/vnd.jupyter.error']")
    assert errors.all_inner_texts() == []
    assert page.locator(".jp-OutputArea-output img[src^='data:image/png']").count() == num_plots  # static ones
    page.screenshot(path=PICTURES / f"{lesson}_end.png")


def test_explorer_follows_its_slider_and_comes_back(page_03):
    explorer = page_03.locator(".fl-explorer")
    explorer.scroll_into_view_if_needed()
    picture = explorer.locator(".fl-picture")
    share = explorer.locator(".fl-statistics tr:last-child")
    before, share_before = settled_picture(picture), share.inner_text()
    handle = explorer.locator(".noUi-handle:visible").first  # the concentration
    handle.focus()
    for _ in range(20):
        page_03.keyboard.press("ArrowRight")
    moved = settled_picture(picture, other_than=before)
    explorer.screenshot(path=PICTURES / "explorer.png")
    assert share.inner_text() != share_before
    for _ in range(20):
        page_03.keyboard.press("ArrowLeft")
    assert settled_picture(picture, other_than=moved) == before  # the same settings and seed: the same partition
    assert share.inner_text() == share_before


def test_explorer_deals_shards(page_03):
    explorer = page_03.locator(".fl-explorer")
    before = settled_picture(explorer.locator(".fl-picture"))
    explorer.locator("select").select_option(label="Shards (few classes each)")
    settled_picture(explorer.locator(".fl-picture"), other_than=before)
    classes = explorer.locator(".fl-statistics tr:has-text('classes held')").inner_text().split()
    assert int(classes[-1]) <= 5  # two shards a client, each across at most a border or two


def test_run_to_the_end(live_01):
    fill(live_01, "client learning rate", 0.05)
    fill(live_01, "rounds", 12)
    button(live_01, "Run").click()
    wait_for_round(live_01, 1)
    first = accuracy_of(live_01)
    live_01.screenshot(path=PICTURES / "dashboard_running.png")
    wait_for_status(live_01, "finished after 12 rounds")
    assert live_01.locator(".fl-round").inner_text() == "12 of 12"
    assert accuracy_of(live_01) > first
    assert live_01.locator(".fl-worst tr").count() == live_01.locator(".fl-best tr").count() == 6
    settled_picture(live_01.locator(".fl-picture"))
    live_01.screenshot(path=PICTURES / "dashboard_finished.png")


def test_stop_step_and_look_back(live_03):
    fill(live_03, "rounds", 2000)
    button(live_03, "Run").click()
    wait_for_round(live_03, 3)
    assert button(live_03, "Run").is_disabled()
    interrupt_kernel(live_03.page)
    wait_for_round(live_03, round_of(live_03) + 2)  # that ends a cell that is running, not the dashboard's thread
    button(live_03, "Stop").click()
    wait_for_status(live_03, "paused")
    stopped = round_of(live_03)
    assert 3 <= stopped < 2000
    picture = settled_picture(live_03.locator(".fl-picture"))
    assert round_of(live_03) == stopped  # nothing went on behind the page's back
    button(live_03, "Step").click()
    wait_for_status(live_03, f"paused after round {stopped + 1}")
    assert round_of(live_03) == stopped + 1
    moved = settled_picture(live_03.locator(".fl-picture"), other_than=picture)
    live_03.locator(".noUi-handle:visible").last.focus()  # the round to look at
    live_03.page.keyboard.press("ArrowLeft")
    live_03.page.wait_for_function(
        "([node, num]) => parseInt(node.querySelector('.fl-round').innerText) === num",
        arg=[live_03.element_handle(), stopped],
    )
    assert settled_picture(live_03.locator(".fl-picture"), other_than=moved) == picture  # as it was then


def test_bad_setting_is_shown_in_one_line(live_03):
    fill(live_03, "clients per round", 999)
    button(live_03, "Run").click()
    error = live_03.locator(".fl-error div div")
    error.wait_for(timeout=60_000)
    assert error.inner_text().startswith("clients_per_round: expected at most the number of clients")
    live_03.screenshot(path=PICTURES / "dashboard_error.png")
    assert button(live_03, "Run").is_enabled()


def test_finished_history_goes_back_in_time(page_01):
    view = page_01.locator(".jp-OutputArea-output:has(.fl-numbers)").first
    view.scroll_into_view_if_needed()
    total = view.locator(".fl-round").inner_text()
    assert total == "20 of 20"
    before = settled_picture(view.locator(".fl-picture"))
    view.locator(".noUi-handle").last.focus()
    for _ in range(5):
        page_01.keyboard.press("ArrowLeft")
    view.locator(".fl-round:text-is('15 of 20')").wait_for(timeout=20_000)
    settled_picture(view.locator(".fl-picture"), other_than=before)
    view.screenshot(path=PICTURES / "history.png")


def test_privacy_explorer_shows_another_run(page_explorers):
    page = page_explorers
    explorer = page.locator(".fl-privacy-explorer")
    picture, numbers = explorer.locator(".fl-picture"), explorer.locator(".fl-privacy-explorer-numbers")
    before, text = settled_picture(picture), numbers.inner_text()
    slider = explorer.locator(".noUi-handle:visible").first  # the noise multiplier
    slider.focus()
    page.keyboard.press("ArrowRight")
    moved = settled_picture(picture, other_than=before)
    assert numbers.inner_text() != text
    page.keyboard.press("ArrowLeft")
    assert settled_picture(picture, other_than=moved) == before
    assert numbers.inner_text() == text
    explorer.locator(".noUi-handle:visible").last.focus()  # the population on paper
    page.keyboard.press("ArrowRight")
    explorer.locator("td:has-text('(a calculation)')").wait_for(timeout=20_000)
    explorer.screenshot(path=PICTURES / "privacy_explorer.png")


def test_pretraining_explorer_shows_another_depth(page_explorers):
    explorer = page_explorers.locator(".fl-pretraining-explorer")
    explorer.scroll_into_view_if_needed()
    picture, numbers = explorer.locator(".fl-picture"), explorer.locator(".fl-pretraining-explorer-numbers")
    before, text = settled_picture(picture), numbers.inner_text()
    explorer.locator("select").last.select_option(label="frozen backbone")
    explorer.locator(".noUi-handle:visible").first.focus()  # the concentration
    page_explorers.keyboard.press("ArrowLeft")
    moved = settled_picture(picture, other_than=before)
    assert "frozen backbone" in numbers.inner_text()
    assert numbers.inner_text() != text
    explorer.screenshot(path=PICTURES / "pretraining_explorer.png")
    page_explorers.keyboard.press("ArrowRight")
    explorer.locator("select").last.select_option(index=0)
    assert settled_picture(picture, other_than=moved) == before
    assert numbers.inner_text() == text


def test_algorithm_race_goes_back_in_time_and_takes_one_in(page_explorers):
    race = page_explorers.locator(".fl-algorithm-race")
    race.scroll_into_view_if_needed()
    picture, numbers = race.locator(".fl-picture"), race.locator(".fl-algorithm-race-numbers")
    before, text = settled_picture(picture), numbers.inner_text()
    race.locator("select[multiple]").select_option(label=["FedAvg", "FedProx, 0.1"])
    race.locator(".noUi-handle:visible").last.focus()  # the round
    page_explorers.keyboard.press("ArrowLeft")
    moved = settled_picture(picture, other_than=before)
    assert "FedProx, 0.1" in numbers.inner_text()
    assert "SCAFFOLD" not in numbers.inner_text()
    race.screenshot(path=PICTURES / "algorithm_race.png")
    page_explorers.keyboard.press("ArrowRight")
    race.locator("select[multiple]").select_option(label=["FedAvg", "SCAFFOLD", "FedDyn, 0.1", "FedAdam", "Fed3R"])
    assert settled_picture(picture, other_than=moved) == before
    assert numbers.inner_text() == text


def test_attack_explorer_shows_whom_a_defence_drops(page_explorers):
    explorer = page_explorers.locator(".fl-attack-explorer")
    explorer.scroll_into_view_if_needed()
    picture, numbers = explorer.locator(".fl-picture"), explorer.locator(".fl-attack-explorer-numbers")
    before, text = settled_picture(picture), numbers.inner_text()
    assert "4 of 20 clients hostile" in text
    explorer.locator("select").last.select_option(label="Multi-Krum")
    explorer.locator(".noUi-handle:visible").first.focus()  # the attackers
    page_explorers.keyboard.press("ArrowLeft")
    moved = settled_picture(picture, other_than=before)
    assert "2 of 20 clients hostile" in numbers.inner_text()
    assert "honest minority kept in" in numbers.inner_text()
    explorer.screenshot(path=PICTURES / "attack_explorer.png")
    page_explorers.keyboard.press("ArrowRight")
    explorer.locator("select").last.select_option(index=0)
    assert settled_picture(picture, other_than=moved) == before
    assert numbers.inner_text() == text


def test_personalisation_explorer_shows_another_method(page_explorers):
    explorer = page_explorers.locator(".fl-personalisation-explorer")
    explorer.scroll_into_view_if_needed()
    picture, numbers = explorer.locator(".fl-picture"), explorer.locator(".fl-personalisation-explorer-numbers")
    before, text = settled_picture(picture), numbers.inner_text()
    explorer.locator("select").nth(1).select_option(label="Ditto")  # the method
    explorer.locator(".noUi-handle:visible").first.focus()  # the concentration
    page_explorers.keyboard.press("ArrowLeft")
    moved = settled_picture(picture, other_than=before)
    assert "▸ Ditto" in numbers.inner_text()
    explorer.screenshot(path=PICTURES / "personalisation_explorer.png")
    page_explorers.keyboard.press("ArrowRight")
    explorer.locator("select").nth(1).select_option(index=0)
    assert settled_picture(picture, other_than=moved) == before
    assert numbers.inner_text() == text
