"""Draws public icons to pre-train a backbone on, from npm packages of Iconify.

    npm pack @iconify-json/fxemoji @iconify-json/streamline-emojis ...   # every package of `PACKAGES` below
    python tools/build_icons.py --packages . --output icons

None of these sets is bundled as private data, none is an older form of one that is, and none has a licence that asks
for sharing alike. What looks like a picture of the bundled `emoji` all the same is left out.
"""

from __future__ import annotations

import argparse
import json
import pathlib

import numpy as np
from icon_packages import IconPackage, draw_svg
from PIL import Image

from fedlearn_edu.bars import progress_bar
from fedlearn_edu.data.datasets import load_dataset
from fedlearn_edu.errors import FedlearnError, UsageError

PACKAGES = (
    "fxemoji",
    "streamline-emojis",
    "flat-color-icons",
    "fluent-color",
    "circle-flags",
    "meteocons",
    "vscode-icons",
    "streamline-ultimate-color",
    "streamline-plump-color",
    "streamline-flex-color",
    "streamline-kameleon-color",
    "streamline-stickies-color",
    "streamline-freehand-color",
)
ICON_SIZE = 96  # pixels
_SKETCH_SIZE = 16  # pixels, at which two pictures are compared
# Mean squared difference of two sketches, values 0 to 1. Redrawn pictures of the same thing are above 0.01.
_SAME = 0.004


def sketches(pictures: np.ndarray) -> np.ndarray:
    """Returns small versions of pictures, float32 `[num_pictures, 16 * 16 * 3]` in [0, 1]."""
    block = pictures.shape[1] // _SKETCH_SIZE
    size = _SKETCH_SIZE
    blocks = pictures.reshape(len(pictures), size, block, size, block, 3).mean(axis=(2, 4))
    return (blocks.reshape(len(pictures), -1) / 255).astype(np.float32)


def nearest_difference(pictures: np.ndarray, private: np.ndarray) -> np.ndarray:
    """Returns how far each picture is from the most similar private one, as a mean squared difference of sketches.

    Args:
        pictures: uint8 `[num_pictures, size, size, 3]`, size a multiple of 16.
        private: uint8 `[num_private, other_size, other_size, 3]`, likewise.
    """
    theirs, ours = sketches(pictures), sketches(private)
    squares = (ours**2).mean(axis=1)
    products = theirs @ ours.T / theirs.shape[1]
    return (theirs**2).mean(axis=1) + (squares - 2 * products).min(axis=1)


def build(packages: str, output: pathlib.Path) -> None:
    """Writes `OUTPUT/<set>/<icon>.png` (RGBA) and `OUTPUT/sources.json`."""
    private, sources = load_dataset("emoji").images, {}
    for name in PACKAGES:
        package = IconPackage(packages, f"@iconify-json/{name}")
        drawn = {
            icon: draw_svg(svg, ICON_SIZE) for icon, svg in progress_bar(package.svg_icons(), desc=name, unit="icon")
        }
        white = Image.new("RGBA", (ICON_SIZE, ICON_SIZE), "white")
        on_white = np.stack([np.asarray(Image.alpha_composite(white, icon).convert("RGB")) for icon in drawn.values()])
        blank = on_white.min(axis=(1, 2, 3)) == 255
        private_looking = nearest_difference(on_white, private) < _SAME
        folder = output / name
        folder.mkdir(parents=True)
        for (icon, picture), left_out in zip(drawn.items(), blank | private_looking, strict=True):
            if not left_out:
                picture.save(folder / f"{icon}.png")
        sources[name] = {
            "package": package.name,
            "version": package.version,
            "licence": package.licence(),
            "num_icons": int(len(drawn) - (blank | private_looking).sum()),
            "left_out_as_private": int((private_looking & ~blank).sum()),
        }
    (output / "sources.json").write_text(json.dumps(sources, indent=2) + "\n")


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Draw the icons that the bundled backbone is pre-trained on.")
    parser.add_argument("--packages", required=True, help="folder of the archives that npm pack wrote")
    parser.add_argument("--output", required=True, type=pathlib.Path, help="folder to create")
    options = parser.parse_args(arguments)
    try:
        if options.output.exists():
            raise UsageError(f"output: expected a folder that does not exist yet, got {str(options.output)!r}")
        build(options.packages, options.output)
    except FedlearnError as error:
        parser.exit(error.exit_code, f"error: {error}\n")


if __name__ == "__main__":
    main()
