"""Pictures out of npm packages: emoji as PNG files (emoji-datasource) and icons as SVG (Iconify), drawn at one size."""

from __future__ import annotations

import io
import json
import os
import pathlib
import tarfile
from collections.abc import Iterator

from PIL import Image

from fedlearn_edu.errors import UsageError

_VARIATION_SELECTOR = "fe0f"  # asks for the coloured form of a character; packages differ in whether they write it


class IconPackage:
    """One npm package, as `npm pack NAME` writes it: `NAME-VERSION.tgz`.

    Args:
        folder: Where the archives are.
        name: The package, e.g. `"@iconify-json/noto"`.

    Attributes:
        name: As given.
        version: Of the archive that was found.

    Raises:
        UsageError: There is no such archive, or more than one, or it cannot be read.
    """

    def __init__(self, folder: str | os.PathLike, name: str):
        stem = name.removeprefix("@").replace("/", "-")
        found = sorted(pathlib.Path(folder).glob(f"{stem}-[0-9]*.tgz"))
        if len(found) != 1:
            raise UsageError(
                f"packages: expected one {stem}-VERSION.tgz in {os.fspath(folder)!r}, found {len(found)}; "
                f"run 'npm pack {name}' there"
            )
        self.name = name
        self._archive = found[0]
        self.version = self._json("package.json")["version"]

    def _json(self, path: str):
        [(_, content)] = self._files(lambda name: name == path) or [(path, None)]
        if content is None:
            raise UsageError(f"packages: expected {path!r} in {self._archive.name!r}, found none")
        return json.loads(content)

    def _files(self, wanted) -> list[tuple[str, bytes]]:
        """Returns name and content of the files whose name, without the leading `package/`, is wanted."""
        try:
            with tarfile.open(self._archive) as archive:
                named = ((member.name.partition("/")[2], member) for member in archive if member.isfile())
                return [(name, archive.extractfile(member).read()) for name, member in named if wanted(name)]
        except (OSError, EOFError, tarfile.TarError) as error:
            raise UsageError(f"packages: cannot read {str(self._archive)!r}: {error}") from None

    def emoji_table(self) -> list[dict]:
        """Returns `emoji.json` of an emoji-datasource package: one dict per emoji, in Unicode's order."""
        return self._json("emoji.json")

    def png_pictures(self, folder: str, keys: set[str]) -> dict[str, Image.Image]:
        """Returns the PNG files of a folder by emoji key.

        Args:
            folder: Inside the package, e.g. `"img/google/64"`.
            keys: Which to read (see `emoji_key`).
        """

        def key_of(name):
            parent, _, file = name.rpartition("/")
            return emoji_key(file.removesuffix(".png")) if parent == folder and file.endswith(".png") else None

        files = self._files(lambda name: key_of(name) in keys)
        return {key_of(name): Image.open(io.BytesIO(content)).convert("RGBA") for name, content in files}

    def svg_icons(self) -> Iterator[tuple[str, str]]:
        """Yields name and SVG text of every icon of an Iconify package, and of every other name of one."""
        icons = self._json("icons.json")
        other_names = {
            alias: icons["icons"][entry["parent"]]
            for alias, entry in icons.get("aliases", {}).items()
            if set(entry) <= {"parent", "hidden"} and entry["parent"] in icons["icons"]  # not mirrored or turned
        }
        for name, icon in {**icons["icons"], **other_names}.items():
            box = [icon.get(side, icons.get(side, default)) for side, default in _BOX.items()]
            yield name, _square_svg(icon["body"], *box)

    def characters(self) -> dict[str, str]:
        """Returns which emoji an Iconify package's icons are: `emoji key -> icon name`."""
        return {emoji_key(character): name for character, name in self._json("chars.json").items()}

    def licence(self) -> str:
        """Returns the licence that an Iconify package states for its icons."""
        return self._json("info.json")["license"]["title"]


_BOX = {"left": 0, "top": 0, "width": 16, "height": 16}  # Iconify's defaults


def _square_svg(body: str, left: float, top: float, width: float, height: float) -> str:
    side = max(width, height)
    box = f"{left - (side - width) / 2:g} {top - (side - height) / 2:g} {side:g} {side:g}"
    return (
        '<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" '
        f'viewBox="{box}" width="{side:g}" height="{side:g}">{body}</svg>'
    )


def draw_svg(svg: str, size: int) -> Image.Image:
    """Returns an SVG text as an RGBA picture of `size` x `size` pixels.

    Raises:
        UsageError: The drawing library is not installed.
    """
    try:
        import resvg_py
    except ImportError:
        raise UsageError("packages: drawing SVG icons needs the package resvg-py; run 'pip install resvg-py'") from None
    return Image.open(io.BytesIO(bytes(resvg_py.svg_to_bytes(svg_string=svg, width=size, height=size)))).convert("RGBA")


def emoji_key(code_points: str) -> str:
    """Returns one spelling for the code points of an emoji.

    Example:
        >>> emoji_key("2764-FE0F-200D-1F525")
        '2764-200d-1f525'
    """
    return "-".join(part for part in code_points.lower().split("-") if part != _VARIATION_SELECTOR)
