"""Public images to pre-train on: unlabelled Fashion-MNIST training images and scenes drawn from an emoji font."""

from __future__ import annotations

import gzip
import os
import pathlib

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from tqdm.auto import tqdm

from fedlearn_edu.errors import UsageError

# The one size at which Noto Color Emoji holds its bitmaps (a CBDT font cannot be scaled by FreeType).
_GLYPH_SIZE = 109
_IDX_UINT8_IMAGES = 0x00000803


def read_idx_images(path: str | os.PathLike) -> np.ndarray:
    """Reads grey images from a gzipped IDX file, the format MNIST and Fashion-MNIST come in.

    Args:
        path: A `*-images-idx3-ubyte.gz` file.

    Returns:
        uint8 images, the grey value repeated in the three channels.

    Shapes:
        `[num_images, height, width, 3]`.

    Raises:
        UsageError: The file is missing or is no such file.
    """
    try:
        with gzip.open(path) as stream:
            data = stream.read()
    except (OSError, EOFError) as error:
        raise UsageError(f"fashion-train: cannot read {str(path)!r}: {error}") from None
    header = np.frombuffer(data[:16], ">u4")
    if len(header) != 4 or header[0] != _IDX_UINT8_IMAGES or len(data) != 16 + np.prod(header[1:], dtype=int):
        raise UsageError(f"fashion-train: expected a gzipped IDX file of uint8 images, got {str(path)!r}")
    grey = np.frombuffer(data, np.uint8, offset=16).reshape(header[1:])
    return np.repeat(grey[..., None], 3, axis=-1)


def read_emoji(font_path: str | os.PathLike) -> list[Image.Image]:
    """Draws every single-character emoji of a bitmap colour font once.

    Args:
        font_path: A CBDT colour font such as `NotoColorEmoji.ttf`.

    Returns:
        RGBA pictures, cropped to what is drawn, in code point order.

    Raises:
        UsageError: The file is missing, or holds no colour bitmaps.
    """
    # matplotlib depends on fontTools, so it is always there; Pillow cannot list a font's characters.
    from fontTools.ttLib import TTFont, TTLibError

    path = str(pathlib.Path(font_path))
    try:
        characters = sorted(TTFont(path).getBestCmap())
        font = ImageFont.truetype(path, _GLYPH_SIZE, layout_engine=ImageFont.Layout.BASIC)
    except (OSError, TTLibError) as error:
        raise UsageError(f"emoji-font: expected a CBDT colour font, cannot read {path!r}: {error}") from None
    pictures = []
    for character in characters:
        canvas = Image.new("RGBA", (160, 160))
        ImageDraw.Draw(canvas).text((8, 8), chr(character), font=font, embedded_color=True)
        box = canvas.getbbox()
        # Joiners, variation selectors and tags draw nothing; digits and letters are parts of longer emoji.
        if character > 0xFF and box and min(box[2] - box[0], box[3] - box[1]) >= 16:
            pictures.append(canvas.crop(box))
    if len(pictures) < 100:
        raise UsageError(f"emoji-font: expected hundreds of colour emoji in {path!r}, found {len(pictures)}")
    return pictures


def draw_emoji_scenes(
    emoji: list[Image.Image], num_images: int, *, size: int = 96, seed: int = 0, progress: bool = True
) -> np.ndarray:
    """Draws scenes of one to three emoji, each turned, mirrored, scaled and placed at random.

    Args:
        emoji: RGBA pictures from `read_emoji`.
        num_images: How many scenes, at least 0.
        size: Height and width of a scene in pixels.
        seed: Same seed, same scenes.
        progress: Show a progress bar.

    Returns:
        uint8 images over a background that goes from one random colour to another.

    Shapes:
        `[num_images, size, size, 3]`.
    """
    rng = np.random.default_rng(seed)
    scenes = np.empty([num_images, size, size, 3], np.uint8)
    ramp = np.linspace(0.0, 1.0, size)[:, None, None]
    for index in tqdm(range(num_images), desc="draw emoji", unit="image", disable=not progress):
        start, end = rng.integers(0, 256, [2, 3])
        background = np.broadcast_to(start + ramp * (end - start), [size, size, 3])
        if rng.random() < 0.5:
            background = background.transpose(1, 0, 2)
        scene = Image.fromarray(background.astype(np.uint8))
        for _ in range(rng.integers(1, 4)):
            picture = emoji[rng.integers(len(emoji))]
            scale = size * rng.uniform(0.35, 1.0) / max(picture.size)
            picture = picture.resize([max(1, round(side * scale)) for side in picture.size])
            if rng.random() < 0.5:
                picture = picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
            picture = picture.rotate(rng.uniform(-30, 30), resample=Image.Resampling.BILINEAR, expand=True)
            corner = [int(rng.integers(-side // 4, size - 3 * side // 4 + 1)) for side in picture.size]
            scene.paste(picture, corner, picture)
        scenes[index] = np.asarray(scene)
    return scenes
