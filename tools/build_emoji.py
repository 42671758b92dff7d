"""Builds the bundled `emoji` data set: the same emoji as four vendors draw them.

    npm pack emoji-datasource-google emoji-datasource-twitter @iconify-json/fluent-emoji-flat \\
        @iconify-json/emojione @iconify-json/noto
    python tools/build_emoji.py --packages .

Run again on the same packages, it writes the same bytes. Only vendors whose licence allows it: the drawings of
Apple and Facebook, which the same packages carry, may not be passed on.
"""

from __future__ import annotations

import argparse
import csv
import dataclasses
import io
import lzma
import pathlib

import numpy as np
from build_assets import ASSETS, sha256, write_asset
from icon_packages import IconPackage, draw_svg, emoji_key
from PIL import Image

from fedlearn_edu.bars import progress_bar
from fedlearn_edu.errors import FedlearnError, UsageError

IMAGE_SIZE = 64  # pixels a side: the own size of emoji-datasource's small pictures
NUM_COLOURS = 32  # in one picture; the loss is hard to see, and the file is half as large
TEST_SHARE = 0.2
SPLIT_SEED = 0
# Unicode's groups, in Unicode's order; "Component" (skin tones and hair by themselves) is no group of things.
GROUPS = (
    "Smileys & Emotion",
    "People & Body",
    "Animals & Nature",
    "Food & Drink",
    "Travel & Places",
    "Activities",
    "Objects",
    "Symbols",
    "Flags",
)


@dataclasses.dataclass(frozen=True)
class Emoji:
    """One emoji, whoever draws it.

    Attributes:
        key: Its code points, e.g. `"1f600"` (see `emoji_key`).
        name: As Unicode calls it, in lower case.
        group: One of `GROUPS`.
        vendors: Whose drawing emoji-datasource has, of `"google"` and `"twitter"`.
    """

    key: str
    name: str
    group: str
    vendors: frozenset[str]


def read_table(package: IconPackage) -> list[Emoji]:
    """Returns the emoji of an emoji-datasource package in Unicode's order, without skin tones."""
    rows = sorted(package.emoji_table(), key=lambda row: row["sort_order"])
    return [
        Emoji(
            emoji_key(row["unified"]),
            row["name"].lower(),
            row["category"],
            frozenset(vendor for vendor in ("google", "twitter") if row[f"has_img_{vendor}"]),
        )
        for row in rows
        if row["category"] in GROUPS
    ]


def read_vendors(folder: str, table: list[Emoji]) -> dict[str, dict[str, Image.Image]]:
    """Returns the pictures of each vendor: `vendor -> emoji key -> RGBA`."""
    keys = {emoji.key for emoji in table}
    drawn = {}
    for vendor, source in (("noto", "google"), ("twemoji", "twitter")):
        # Where a vendor has no drawing of its own, the package puts another vendor's in its place.
        own = {emoji.key for emoji in table if source in emoji.vendors}
        drawn[vendor] = IconPackage(folder, f"emoji-datasource-{source}").png_pictures(f"img/{source}/64", own)
    fluent = IconPackage(folder, "@iconify-json/fluent-emoji-flat")
    drawn["fluent"] = _draw(fluent, {name: key for key, name in fluent.characters().items() if key in keys})
    # EmojiOne's package does not say which characters its icons are; where names agree with Noto's, that tells.
    noto = IconPackage(folder, "@iconify-json/noto").characters()
    names = {name: key for key, name in noto.items() if key in keys}
    drawn["emojione"] = _draw(IconPackage(folder, "@iconify-json/emojione"), names)
    return drawn


def _draw(package: IconPackage, key_of_name: dict[str, str]) -> dict[str, Image.Image]:
    icons = [(key_of_name[name], svg) for name, svg in package.svg_icons() if name in key_of_name]
    return {key: draw_svg(svg, IMAGE_SIZE) for key, svg in progress_bar(icons, desc=package.name, unit="icon")}


def on_white(picture: Image.Image) -> np.ndarray:
    """Returns a picture on white, uint8 `[IMAGE_SIZE, IMAGE_SIZE, 3]`, with at most `NUM_COLOURS` colours."""
    flat = Image.alpha_composite(Image.new("RGBA", picture.size, "white"), picture).convert("RGB")
    if flat.size != (IMAGE_SIZE, IMAGE_SIZE):
        flat = flat.resize((IMAGE_SIZE, IMAGE_SIZE), Image.Resampling.LANCZOS)
    return np.asarray(flat.quantize(NUM_COLOURS, dither=Image.Dither.NONE).convert("RGB"))


def choose_test(table: list[Emoji], *, seed: int = SPLIT_SEED) -> set[str]:
    """Returns the keys of the test emoji: a fifth of each group, and of one emoji all drawings or none."""
    rng = np.random.default_rng(seed)
    chosen: set[str] = set()
    for group in GROUPS:
        keys = [emoji.key for emoji in table if emoji.group == group]
        chosen.update(rng.permutation(keys)[: round(TEST_SHARE * len(keys))].tolist())
    return chosen


def to_palettes(images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns images as indices into a palette each, which takes three quarters of the space after compression.

    Shapes:
        uint8 `[num_images, height, width, 3]` -> uint8 indices `[num_images, height, width]` and uint8 palettes
        `[num_images, NUM_COLOURS, 3]`, the commonest colour first.
    """
    indices = np.empty(images.shape[:3], np.uint8)
    palettes = np.zeros([len(images), NUM_COLOURS, 3], np.uint8)
    for index, palette, image in zip(indices, palettes, images, strict=True):
        colours, number, count = np.unique(image.reshape(-1, 3), axis=0, return_inverse=True, return_counts=True)
        order = np.argsort(-count, kind="stable")
        palette[: len(colours)] = colours[order]
        index[...] = np.argsort(order)[number].reshape(index.shape)
    return indices, palettes


def build(packages: str, output: pathlib.Path) -> None:
    """Writes the pictures and the table of what each of them is."""
    table = read_table(IconPackage(packages, "emoji-datasource-google"))
    test, text, images = choose_test(table), io.StringIO(), []
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["vendor", "emoji", "name", "group", "is_test"])
    for vendor, pictures in read_vendors(packages, table).items():
        held = [emoji for emoji in table if emoji.key in pictures]
        writer.writerows([vendor, emoji.key, emoji.name, emoji.group, int(emoji.key in test)] for emoji in held)
        images += [on_white(pictures[emoji.key]) for emoji in held]
        print(f"{vendor}: {len(held):,} pictures")
    indices, palettes = to_palettes(np.stack(images))
    write_asset(output / "emoji_indices.npy.xz", indices)
    write_asset(output / "emoji_palettes.npy.xz", palettes)
    (output / "emoji.csv.xz").write_bytes(lzma.compress(text.getvalue().encode(), preset=9 | lzma.PRESET_EXTREME))
    print(f"sha256 of the images {sha256(np.stack(images))}")


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Build the bundled emoji data set.")
    parser.add_argument("--packages", required=True, help="folder of the archives that npm pack wrote")
    parser.add_argument("--output", default=ASSETS, type=pathlib.Path, help="folder to write to")
    options = parser.parse_args(arguments)
    try:
        if not options.output.is_dir():
            raise UsageError(f"output: expected an existing folder, got {str(options.output)!r}")
        build(options.packages, options.output)
    except FedlearnError as error:
        parser.exit(error.exit_code, f"error: {error}\n")


if __name__ == "__main__":
    main()
