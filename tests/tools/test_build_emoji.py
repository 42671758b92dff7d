import io
import json
import tarfile

import build_assets
import build_emoji
import numpy as np
import pytest
from build_icons import nearest_difference
from icon_packages import IconPackage, draw_svg, emoji_key
from PIL import Image

from fedlearn_edu.data.datasets import load_dataset

SMILE, FLAG = "1F600", "1F3C1"
RED_SQUARE = '<path fill="#f00" d="M0 0h8v4H0z"/>'


def pack(folder, name, version, files):
    """Writes what `npm pack` would: an archive with everything under `package/`."""
    files = {"package.json": json.dumps({"version": version}).encode(), **files}
    with tarfile.open(folder / f"{name}-{version}.tgz", "w:gz") as archive:
        for path, content in files.items():
            info = tarfile.TarInfo(f"package/{path}")
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))


def png(colour):
    buffer = io.BytesIO()
    Image.new("RGBA", (64, 64), colour).save(buffer, "PNG")
    return buffer.getvalue()


def iconify(icons, characters=None, aliases=None):
    icons = {name: {"body": body} for name, body in icons.items()}
    return {
        "icons.json": json.dumps({"icons": icons, "aliases": aliases or {}, "width": 8, "height": 4}).encode(),
        "chars.json": json.dumps(characters or {}).encode(),
        "info.json": json.dumps({"license": {"title": "MIT"}}).encode(),
    }


@pytest.fixture
def packages(tmp_path):
    """Two emoji; Twitter's smile is another vendor's drawing in its place, and EmojiOne has no flag."""
    rows = [
        {"unified": unified, "name": name, "category": group, "sort_order": order, "has_img_google": True}
        for order, (unified, name, group) in enumerate(
            [
                (SMILE, "GRINNING FACE", "Smileys & Emotion"),
                (FLAG, "CHEQUERED FLAG", "Flags"),
                ("1F3FB", "", "Component"),
            ]
        )
    ]
    for row in rows:
        row["has_img_twitter"] = row["unified"] != SMILE
    for vendor, colour in (("google", (0, 0, 255, 255)), ("twitter", (0, 255, 0, 0))):
        pictures = {f"img/{vendor}/64/{code.lower()}.png": png(colour) for code in (SMILE, FLAG)}
        pack(tmp_path, f"emoji-datasource-{vendor}", "1.0.0", {"emoji.json": json.dumps(rows).encode(), **pictures})
    both = {SMILE: "grinning-face", FLAG: "chequered-flag"}
    pack(tmp_path, "iconify-json-fluent-emoji-flat", "1.0.0", iconify(dict.fromkeys(both.values(), RED_SQUARE), both))
    pack(tmp_path, "iconify-json-noto", "1.0.0", iconify({}, both))
    pack(tmp_path, "iconify-json-emojione", "1.0.0", iconify({"grinning-face": RED_SQUARE, "else": RED_SQUARE}))
    return tmp_path


def test_the_bundled_emoji_are_those_of_the_origin_file():
    origin = (build_assets.ASSETS / "emoji_ORIGIN.md").read_text()
    assert build_assets.sha256(load_dataset("emoji").images) in origin
    for licence in ("Apache 2.0", "CC BY 4.0", "MIT"):
        assert licence in origin
    assert "Copyright (c) Microsoft" in (build_assets.ASSETS / "emoji_LICENSE.txt").read_text()
    assert sum(path.stat().st_size for path in build_assets.ASSETS.glob("emoji*")) < 4_200_000


def test_build_keeps_each_vendors_own_drawings_and_writes_the_same_bytes_again(packages, tmp_path, monkeypatch):
    pytest.importorskip("resvg_py", reason="draws the SVG icons; only who rebuilds the data set needs it")
    for output in ("first", "again"):
        (tmp_path / output).mkdir()
        build_emoji.main(["--packages", str(packages), "--output", str(tmp_path / output)])
    names = ["emoji.csv.xz", "emoji_indices.npy.xz", "emoji_palettes.npy.xz"]
    assert sorted(path.name for path in (tmp_path / "first").iterdir()) == names
    for name in names:
        assert (tmp_path / "first" / name).read_bytes() == (tmp_path / "again" / name).read_bytes()
    monkeypatch.setattr("importlib.resources.files", lambda package: _Root(tmp_path / "first"))
    emoji = load_dataset("emoji")
    assert emoji.natural_client_ids.tolist() == ["noto", "noto", "twemoji", "fluent", "fluent", "emojione"]
    assert [emoji.class_names[label] for label in emoji.labels] == [
        *["Smileys & Emotion", "Flags"],
        "Flags",
        *["Smileys & Emotion", "Flags"],
        "Smileys & Emotion",
    ]
    assert emoji.images[0, 32, 32].tolist() == [0, 0, 255]
    assert emoji.images[2, 32, 32].tolist() == [255, 255, 255]  # transparent: the white below
    # 8 x 4 units in a square: white above and below.
    assert [emoji.images[3, row, 32].tolist() for row in (4, 32, 60)] == [[255] * 3, [255, 0, 0], [255] * 3]


class _Root:
    """Stands in for the package's folder, whose `assets` are in `folder`."""

    def __init__(self, folder):
        self.folder = folder

    def __truediv__(self, name):
        return self.folder if name == "assets" else self.folder / name


def test_a_test_emoji_is_drawn_by_seed_and_by_group():
    table = [build_emoji.Emoji(str(n), "", group, frozenset()) for group in build_emoji.GROUPS for n in range(20)]
    table = [build_emoji.Emoji(f"{e.group}{e.key}", "", e.group, e.vendors) for e in table]
    chosen = build_emoji.choose_test(table)
    assert chosen == build_emoji.choose_test(table) != build_emoji.choose_test(table, seed=1)
    assert all(sum(key.startswith(group) for key in chosen) == 4 for group in build_emoji.GROUPS)


def test_palettes_give_the_same_pictures_back():
    rng = np.random.default_rng(0)
    images = rng.integers(0, 3, [5, 6, 7, 3], np.uint8) * 100
    indices, palettes = build_emoji.to_palettes(images)
    again = np.take_along_axis(palettes, indices.reshape(5, -1, 1), axis=1).reshape(images.shape)
    assert (again == images).all()
    counts = np.bincount(indices[0].ravel())
    assert (np.diff(counts) <= 0).all()  # the commonest colour is number 0


def test_other_names_and_licences_of_icons(tmp_path):
    aliases = {"same": {"parent": "a"}, "turned": {"parent": "a", "rotate": 1}, "lost": {"parent": "none"}}
    pack(tmp_path, "iconify-json-some", "2.1.0", iconify({"a": RED_SQUARE}, aliases=aliases))
    package = IconPackage(tmp_path, "@iconify-json/some")
    assert (package.version, package.licence()) == ("2.1.0", "MIT")
    assert [name for name, _ in package.svg_icons()] == ["a", "same"]


def test_missing_and_damaged_packages_are_named(tmp_path, capsys):
    with pytest.raises(SystemExit) as exit_:
        build_emoji.main(["--packages", str(tmp_path), "--output", str(tmp_path)])
    assert exit_.value.code == 2
    assert "run 'npm pack emoji-datasource-google' there" in capsys.readouterr().err
    (tmp_path / "emoji-datasource-google-1.0.0.tgz").write_bytes(b"no archive")
    with pytest.raises(SystemExit):
        build_emoji.main(["--packages", str(tmp_path), "--output", str(tmp_path)])
    assert "error: packages: cannot read" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        build_emoji.main(["--packages", str(tmp_path), "--output", str(tmp_path / "none")])
    assert "output: expected an existing folder" in capsys.readouterr().err


def test_svg_is_drawn_to_size():
    pytest.importorskip("resvg_py", reason="draws the SVG icons; only who rebuilds the data set needs it")
    svg = '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 2 2"><path fill="#00f" d="M0 0h1v2H0z"/></svg>'
    pixels = np.asarray(draw_svg(svg, 10))
    assert pixels.shape == (10, 10, 4)
    assert pixels[5, 2].tolist() == [0, 0, 255, 255]
    assert pixels[5, 8].tolist() == [0, 0, 0, 0]


def test_emoji_are_spelled_one_way():
    assert emoji_key("2764-FE0F-200D-1F525") == emoji_key("2764-200d-1f525")


def test_a_public_icon_that_is_private_is_found_at_another_size():
    rng = np.random.default_rng(0)
    private = rng.integers(0, 256, [6, 16, 16, 3], np.uint8)
    icons = np.concatenate(
        [private[[4]].repeat(3, axis=1).repeat(3, axis=2), rng.integers(0, 256, [2, 48, 48, 3], np.uint8)]
    )
    difference = nearest_difference(icons, private)
    assert difference[0] < 1e-5
    assert (difference[1:] > 0.02).all()
