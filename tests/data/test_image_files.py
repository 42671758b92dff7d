import numpy as np
import pytest
from PIL import Image

from fedlearn_edu.data.image_files import UnreadableImageError, decode_image


def decoded(tmp_path, image, name="image.png", *, image_size=8, **save):
    image.save(tmp_path / name, **save)
    return decode_image(tmp_path / name, image_size=image_size)


def unreadable(path) -> str:
    with pytest.raises(UnreadableImageError) as caught:
        decode_image(path, image_size=8)
    message = str(caught.value)
    assert "\n" not in message
    return message


@pytest.mark.parametrize("suffix", ["png", "bmp", "gif", "tif", "webp", "jpg", "avif", "ppm"])
def test_every_format_gives_the_same_colour(tmp_path, suffix):
    result = decoded(tmp_path, Image.new("RGB", (8, 8), (200, 30, 60)), f"image.{suffix}")
    assert result.pixels.shape == (8, 8, 3)
    assert result.pixels.dtype == np.uint8
    np.testing.assert_allclose(result.pixels.reshape(-1, 3).mean(0), [200, 30, 60], atol=3)
    assert not result.resized


def test_a_plain_image_is_taken_as_it_is(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (8, 8, 3), np.uint8)
    result = decoded(tmp_path, Image.fromarray(pixels))
    np.testing.assert_array_equal(result.pixels, pixels)
    assert result.conversions == ()


def test_size_and_shape_become_the_square(tmp_path):
    result = decoded(tmp_path, Image.new("RGB", (40, 10), "red"))
    assert result.resized
    np.testing.assert_array_equal(result.pixels, np.broadcast_to(np.uint8([255, 0, 0]), (8, 8, 3)))


def test_downscaling_averages_instead_of_skipping_pixels(tmp_path):
    stripes = np.zeros((64, 64, 3), np.uint8)
    stripes[:, ::2] = 255
    assert np.abs(decoded(tmp_path, Image.fromarray(stripes)).pixels.astype(int) - 127).max() < 20


@pytest.mark.parametrize(
    ("mode", "colour", "expected", "kind"),
    [
        ("L", 77, [77, 77, 77], "grey"),
        ("1", 1, [255, 255, 255], "grey"),
        ("P", 0, [0, 0, 0], "palette"),
    ],
)
def test_grey_and_palette(tmp_path, mode, colour, expected, kind):
    result = decoded(tmp_path, Image.new(mode, (8, 8), colour))
    assert result.pixels[0, 0].tolist() == expected
    assert result.conversions == (kind,)


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_16_bit_is_scaled_by_its_range(tmp_path, suffix):
    values = np.array([[0, 129, 257 * 100, 65535]], np.uint16).repeat(4, axis=0)
    result = decoded(tmp_path, Image.fromarray(values), f"image.{suffix}", image_size=4)
    assert result.pixels[0, :, 0].tolist() == [0, 1, 100, 255]
    assert result.pixels[0, :, 2].tolist() == [0, 1, 100, 255]
    assert result.conversions == ("16-bit",)


@pytest.mark.parametrize(("largest", "stored"), [(65535, [0, 129, 25700, 65535]), (4095, [0, 8, 1606, 4095])])
def test_portable_grey_of_more_than_8_bits_is_scaled_by_its_own_range(tmp_path, largest, stored):
    values = np.array([stored], ">u2").repeat(4, axis=0)
    (tmp_path / "image.pgm").write_bytes(b"P5 4 4 %d\n" % largest + values.tobytes())
    result = decode_image(tmp_path / "image.pgm", image_size=4)
    assert result.conversions == ("16-bit",)
    np.testing.assert_allclose(result.pixels[0, :, 1], [0, 0.5, 100, 255], atol=0.5)


def test_12_bit_values_in_16_bits_are_told(tmp_path):
    values = np.full((8, 8), 4095, np.uint16)
    assert "dark 16-bit" in decoded(tmp_path, Image.fromarray(values)).conversions


def test_transparency_lies_on_white(tmp_path):
    rgba = np.zeros((8, 8, 4), np.uint8)  # black, left half transparent, right half opaque
    rgba[:, 4:, 3] = 255
    result = decoded(tmp_path, Image.fromarray(rgba))
    assert result.pixels[0, :, 0].tolist() == [255] * 4 + [0] * 4
    assert result.conversions == ("alpha",)


def test_transparent_palette_colour_lies_on_white(tmp_path):
    image = Image.new("P", (8, 8), 0)
    image.putpalette([10, 20, 30] * 256)
    result = decoded(tmp_path, image, transparency=0)
    assert result.pixels[0, 0].tolist() == [255, 255, 255]
    assert result.conversions == ("palette", "alpha")


def test_cmyk(tmp_path):
    result = decoded(tmp_path, Image.new("CMYK", (8, 8), (0, 255, 255, 0)), "image.jpg", quality=100)
    np.testing.assert_allclose(result.pixels[0, 0], [255, 0, 0], atol=3)
    assert result.conversions == ("cmyk",)


@pytest.mark.parametrize("suffix", ["jpg", "png", "tif"])
def test_exif_orientation_is_applied_once(tmp_path, suffix):
    pixels = np.zeros((16, 16, 3), np.uint8)
    pixels[:8] = 255  # the upper half is white; 6 means "turn clockwise to view"
    exif = Image.Exif()
    exif[0x0112] = 6
    result = decoded(tmp_path, Image.fromarray(pixels), f"image.{suffix}", image_size=16, exif=exif)
    assert result.conversions == ("rotated",)
    assert result.pixels[:, 10:].min() > 240
    assert result.pixels[:, :6].max() < 15


def test_of_an_animation_the_first_frame_is_taken(tmp_path):
    first, second = Image.new("RGB", (8, 8), "red"), Image.new("RGB", (8, 8), "blue")
    result = decoded(tmp_path, first, "image.webp", save_all=True, append_images=[second], lossless=True)
    assert result.pixels[0, 0].tolist() == [255, 0, 0]
    assert result.conversions == ("first frame",)


def test_a_reduced_jpeg_stays_close_to_the_full_one(tmp_path):
    gradient = np.linspace(0, 255, 512).astype(np.uint8)
    full = np.stack([np.tile(gradient, (512, 1))] * 3, axis=-1)
    result = decoded(tmp_path, Image.fromarray(full), "image.jpg", image_size=32, quality=95)
    exact = np.asarray(Image.fromarray(full).resize((32, 32), Image.Resampling.BILINEAR))
    assert np.abs(result.pixels.astype(int) - exact).max() <= 4


def test_reasons_for_unreadable_files(tmp_path):
    (tmp_path / "text.png").write_text("no image")
    assert "not a readable AVIF, BMP" in unreadable(tmp_path / "text.png")
    (tmp_path / "empty.png").touch()
    assert unreadable(tmp_path / "empty.png") == "the file is empty"
    assert "No such file" in unreadable(tmp_path / "missing.png")
    Image.fromarray(np.zeros((4, 4), np.float32)).save(tmp_path / "float.tif")
    assert "32-bit" in unreadable(tmp_path / "float.tif")


@pytest.mark.parametrize("suffix", ["png", "jpg", "gif", "webp", "tif", "bmp"])
def test_a_truncated_file_is_unreadable(tmp_path, suffix):
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    path = tmp_path / f"image.{suffix}"
    Image.fromarray(noise).save(path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    unreadable(path)


def test_other_formats_are_not_tried(tmp_path):
    # Pillow would hand PostScript to an interpreter.
    Image.new("RGB", (8, 8)).save(tmp_path / "page.eps")
    (tmp_path / "page.eps").rename(tmp_path / "page.png")
    assert "not a readable AVIF, BMP" in unreadable(tmp_path / "page.png")


@pytest.mark.parametrize("limit", [40, 60])  # Pillow raises above twice its limit, and only warns above it
def test_a_decompression_bomb_is_unreadable(tmp_path, monkeypatch, limit):
    Image.new("RGB", (10, 10)).save(tmp_path / "bomb.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", limit)
    assert f"more than {limit} pixels" in unreadable(tmp_path / "bomb.png")
