"""Makes the pictures of README in a real browser.

    uv run python docs/make_pictures.py

dashboard.png: the live dashboard after a run, in JupyterLab. feedback.png: the page that `fedlearn-edu grade` writes
for a student who has solved some exercises of lesson 03, made a stored mistake in one and left one open.

Needs Chromium (Debian: apt-get install chromium).
"""

import io
import pathlib
import shutil
import sys
import tempfile

import nbformat
from PIL import Image, ImageChops
from playwright.sync_api import sync_playwright

from fedlearn_edu.course.checks.wrong_03 import WRONG_ANSWERS
from fedlearn_edu.course.grading.batch import grade

DOCS = pathlib.Path(__file__).parent
sys.path.insert(0, str(DOCS.parent / "tests" / "browser"))

from lab import CHROMIUM_FLAGS, lab_server, run_all_cells, settled_picture  # noqa: E402

MAX_BYTES = 300_000
LESSON = "03_clients_are_not_alike.ipynb"
CELL = """
import fedlearn_edu as fl

fl.TrainingDashboard(
    dataset=fl.load_dataset("fashion"), num_clients=20, clients_per_round=10, num_rounds=20
)
"""


def main() -> None:
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if chromium is None:
        sys.exit("make_pictures: no Chromium found; install it (Debian: apt-get install chromium)")
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=CHROMIUM_FLAGS)
        save(dashboard_picture(browser, pathlib.Path(folder, "lab")), DOCS / "dashboard.png")
        save(feedback_picture(browser, pathlib.Path(folder, "grading")), DOCS / "feedback.png")
        browser.close()


def dashboard_picture(browser, folder: pathlib.Path) -> Image.Image:
    folder.mkdir()
    notebook = folder / "dashboard.ipynb"
    content = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(CELL.strip())])
    content.metadata.kernelspec = {"name": "python3", "display_name": "Python 3 (ipykernel)"}
    nbformat.write(content, notebook)
    with lab_server([notebook], folder / "home") as (url,):
        page = browser.new_page(viewport={"width": 1400, "height": 1300}, device_scale_factor=1.25)
        run_all_cells(page, url, timeout_s=120)
        dashboard = page.locator(".fl-dashboard")
        dashboard.locator("button:has-text('Run')").click()
        dashboard.locator(".fl-status:has-text('finished')").wait_for(timeout=180_000)
        settled_picture(dashboard.locator(".fl-picture"))
        page.mouse.move(5, 5)  # away from the buttons
        return Image.open(io.BytesIO(dashboard.screenshot()))


def feedback_picture(browser, folder: pathlib.Path) -> Image.Image:
    submissions = folder / "submissions"
    submissions.mkdir(parents=True)
    notebook = nbformat.read(DOCS.parent / "solutions" / LESSON, as_version=4)
    for cell in notebook.cells:
        if cell.source.startswith("def label_distance"):
            cell.source = WRONG_ANSWERS["label_distance"]["counts every difference twice"].strip()
        if cell.source.startswith("def label_mix_from_delta"):
            cell.source = "def label_mix_from_delta(bias_delta, client_lr):\n    raise NotImplementedError"
    nbformat.write(notebook, submissions / "ada.ipynb")
    grade(submissions, output=folder / "grades.csv", feedback=folder / "feedback", lessons=["03"], seed=1)
    (feedback,) = [path for path in (folder / "feedback").glob("*.html") if path.name != "index.html"]
    page = browser.new_page(viewport={"width": 1000, "height": 100})
    page.goto(feedback.as_uri())
    return Image.open(io.BytesIO(page.screenshot(full_page=True)))


def save(picture: Image.Image, path: pathlib.Path) -> None:
    """Writes a PNG without the empty margin at its right."""
    picture = picture.convert("RGB")
    blank = Image.new("RGB", picture.size, picture.getpixel((picture.width - 1, 0)))
    right = ImageChops.difference(picture, blank).crop((0, 0, picture.width, picture.height - 4)).getbbox()[2]
    picture = picture.crop((0, 0, min(picture.width, right + 20), picture.height))
    picture.save(path, optimize=True)
    print(f"{path.name}: {picture.width} x {picture.height} pixels, {path.stat().st_size / 1000:.0f} kB")
    if path.stat().st_size > MAX_BYTES:
        sys.exit(f"{path.name} is larger than {MAX_BYTES / 1000:.0f} kB")


if __name__ == "__main__":
    main()
