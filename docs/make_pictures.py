"""Makes docs/dashboard.png: the live dashboard after a run, in JupyterLab, in a real browser.

    uv run python docs/make_pictures.py

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

DOCS = pathlib.Path(__file__).parent
sys.path.insert(0, str(DOCS.parent / "tests" / "browser"))

from lab import CHROMIUM_FLAGS, lab_server, run_all_cells, settled_picture  # noqa: E402

MAX_BYTES = 300_000
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
    with tempfile.TemporaryDirectory() as folder:
        notebook = pathlib.Path(folder, "dashboard.ipynb")
        content = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(CELL.strip())])
        content.metadata.kernelspec = {"name": "python3", "display_name": "Python 3 (ipykernel)"}
        nbformat.write(content, notebook)
        with lab_server(notebook, pathlib.Path(folder, "home")) as url, sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=chromium, args=CHROMIUM_FLAGS)
            page = browser.new_page(viewport={"width": 1400, "height": 1300}, device_scale_factor=1.25)
            run_all_cells(page, url, timeout_s=120)
            dashboard = page.locator(".fl-dashboard")
            dashboard.locator("button:has-text('Run')").click()
            dashboard.locator(".fl-status:has-text('finished')").wait_for(timeout=180_000)
            settled_picture(dashboard.locator("img"))
            page.mouse.move(5, 5)  # away from the buttons
            screenshot = dashboard.screenshot()
            browser.close()
    save(Image.open(io.BytesIO(screenshot)), DOCS / "dashboard.png")


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
