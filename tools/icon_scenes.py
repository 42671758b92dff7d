"""Draws unlabelled pictures to pre-train on from a folder of transparent icons."""

from __future__ import annotations

import os
import pathlib

import numpy as np
from PIL import Image

from fedlearn_edu.bars import progress_bar
from fedlearn_edu.errors import UsageError


def read_icons(folder: str | os.PathLike) -> list[Image.Image]:
    """Reads `FOLDER/<set>/<icon>.png`, what `build_icons` writes, as RGBA pictures in alphabetical order.

    Raises:
        UsageError: There are no such files.
    """
    files = sorted(pathlib.Path(folder).glob("*/*.png"))
    if not files:
        raise UsageError(f"icons: expected FOLDER/<set>/<icon>.png, found none in {str(folder)!r}")
    return [Image.open(file).convert("RGBA") for file in files]


def draw_icon_scenes(icons: list[Image.Image], num_images: int, *, size: int = 96, seed: int = 0) -> np.ndarray:
    """Draws pictures of icons: six in ten hold one, nearly upright and mostly on white, as icons are met.

    The others are scenes of one to three, turned up to 30 degrees and cut off at the edges, over a background that goes
    from one random colour to another. Three icons in ten are in other colours than their own.

    Args:
        icons: RGBA pictures.
        num_images: How many pictures to draw, at least 0.
        size: Height and width in pixels.
        seed: Same seed, same pictures.

    Shapes:
        uint8 `[num_images, size, size, 3]`.
    """
    rng = np.random.default_rng(seed)
    pictures = np.empty([num_images, size, size, 3], np.uint8)
    for index in progress_bar(range(num_images), desc="draw icons", unit="image"):
        alone = rng.random() < 0.6
        white = alone and rng.random() < 0.7
        picture = Image.new("RGB", (size, size), "white") if white else _background(size, rng)
        for _ in range(1 if alone else rng.integers(1, 4)):
            icon = icons[rng.integers(len(icons))]
            if rng.random() < 0.3:
                icon = _other_hue(icon, int(rng.integers(256)))
            scale = size * (rng.uniform(0.75, 1.05) if alone else rng.uniform(0.35, 1.0)) / max(icon.size)
            icon = icon.resize([max(1, round(side * scale)) for side in icon.size])
            if rng.random() < 0.5:
                icon = icon.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
            angle = rng.uniform(-12, 12) if alone else rng.uniform(-30, 30)
            icon = icon.rotate(angle, resample=Image.Resampling.BILINEAR, expand=True)
            if alone:
                corner = [(size - side) // 2 + int(rng.integers(-4, 5)) for side in icon.size]
            else:
                corner = [int(rng.integers(-side // 4, size - 3 * side // 4 + 1)) for side in icon.size]
            picture.paste(icon, corner, icon)
        pictures[index] = np.asarray(picture)
    return pictures


def _background(size: int, rng: np.random.Generator) -> Image.Image:
    start, end = rng.integers(0, 256, [2, 3])
    ramp = np.linspace(0.0, 1.0, size)[:, None, None]
    colours = np.broadcast_to(start + ramp * (end - start), [size, size, 3])
    return Image.fromarray((colours.transpose(1, 0, 2) if rng.random() < 0.5 else colours).astype(np.uint8))


def _other_hue(icon: Image.Image, shift: int) -> Image.Image:
    hue, saturation, value = icon.convert("RGB").convert("HSV").split()
    turned = Image.merge("HSV", (hue.point(lambda level: (level + shift) % 256), saturation, value)).convert("RGB")
    turned.putalpha(icon.getchannel("A"))
    return turned
