"""Metadata, however odd, never makes a picture unreadable, and never changes a pixel but by the orientation."""

import tracemalloc
import zlib

import numpy as np
import odd_files as odd
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from PIL import Image

from fedlearn_edu.data.image_files import DecodedImage, UnreadableImageError, decode_image
from fedlearn_edu.data.image_metadata import without_metadata


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("odd")


def read(folder, content: bytes) -> DecodedImage:
    path = folder / "odd"
    path.write_bytes(content)
    return decode_image(path, image_size=48)


def read_or_reason(folder, content: bytes) -> DecodedImage | str:
    try:
        return read(folder, content)
    except UnreadableImageError as error:
        return str(error)


def seen(decoded: DecodedImage) -> str:
    """Returns the colours of the four corners as letters, row by row: the picture itself is "RRGB"."""
    corners = decoded.pixels[[4, 4, 43, 43], [4, 43, 4, 43]].astype(int)
    return "".join("RGB"[corner.argmax()] for corner in corners)


def jpeg_with_exif(*entries, before: bytes = b"") -> bytes:
    return odd.jpeg_with(before, odd.segment(0xE1, b"Exif\0\0" + odd.exif(*entries)))


def two_frames(kind: str) -> bytes:
    second = Image.fromarray(np.rot90(odd.PIXELS, 2).copy())
    return odd.encoded(kind, save_all=True, append_images=[second])


def avif_with_broken_exif() -> bytes:
    whole = odd.exif((0x010F, 2, 3, b"abc\0"))
    content = odd.encoded("AVIF", quality=95, exif=whole)
    assert whole in content
    return content.replace(whole, b"x" * len(whole))


XMP = b"XML:com.adobe.xmp\0\0\0\0\0"
RAW_PROFILE = b"Raw profile type exif\0\0"
HEX_WITH_AN_X = RAW_PROFILE + zlib.compress(b"\nexif\n   4\n4x6x\n")
BEHIND_THE_END = (0x010F, 5, 1, b"\xf0\xff\xff\x7f")
ODD = {
    "PNG: EXIF of four bytes too few": lambda: odd.png_with(odd.chunk(b"eXIf", bytes([0, 8, 0, 2, 1, 0x12, 0, 3]))),
    "PNG: EXIF as a hex dump with a letter x": lambda: odd.png_with(odd.chunk(b"zTXt", HEX_WITH_AN_X)),
    "PNG: text of 3 MB": lambda: odd.png_with(odd.chunk(b"zTXt", b"c\0\0" + zlib.compress(bytes(3_000_000)))),
    "PNG: text whose checksum is off by a bit": lambda: odd.png_with(odd.chunk(b"tEXt", b"c\0hello", wrong=1)),
    "PNG: profile compressed by an unknown method": lambda: odd.png_with(odd.chunk(b"iCCP", b"p\0\7xx")),
    "PNG: empty gamma": lambda: odd.png_with(odd.chunk(b"gAMA", b"")),
    "PNG: half a resolution": lambda: odd.png_with(odd.chunk(b"pHYs", b"\0")),
    "PNG: transparency of one byte": lambda: odd.png_with(odd.chunk(b"tRNS", b"\0")),
    "PNG: animation without frames": lambda: odd.png_with(odd.chunk(b"acTL", b"\0\0")),
    "PNG: no end": lambda: odd.encoded("PNG")[:-12],
    "PNG: something behind the end": lambda: odd.encoded("PNG") + b"PK\3\4",
    "JPEG: EXIF garbage": lambda: odd.jpeg_with(odd.segment(0xE1, b"Exif\0\0garbage garbage")),
    "JPEG: JFIF cut short": lambda: odd.jpeg_with(odd.segment(0xE0, b"JFIF\0")),
    "JPEG: Photoshop cut short": lambda: odd.jpeg_with(odd.segment(0xED, b"Photoshop 3.0\0" + b"8BIM\4\4")),
    "JPEG: Adobe cut short": lambda: odd.jpeg_with(odd.segment(0xEE, b"Adobe")),
    "JPEG: profile cut short": lambda: odd.jpeg_with(odd.segment(0xE2, b"ICC_PROFILE\0")),
    "JPEG: list of pictures garbage": lambda: odd.jpeg_with(odd.segment(0xE2, b"MPF\0junkjunkjunk")),
    "JPEG: something behind the end": lambda: odd.jpeg_with() + bytes(100),
    "JPEG: bytes before the first segment": lambda: b"\xff\xd8junk" + odd.jpeg_with()[2:],
    "WebP: broken off in its EXIF": lambda: odd.encoded("WEBP", lossless=True, exif=bytes(50))[:-20],
    "WebP: second frame broken off": lambda: two_frames("WEBP")[:-30],
    "WebP: EXIF garbage": lambda: odd.encoded("WEBP", lossless=True, exif=b"garbage garbage"),
    "WebP: profile garbage": lambda: odd.encoded("WEBP", lossless=True, icc_profile=b"garbage"),
    "AVIF: EXIF garbage": avif_with_broken_exif,
    "TIFF: resolution as text": lambda: odd.tiff_with((0x011A, 2, 4, b"abc\0")),
    "TIFF: maker behind the end": lambda: odd.tiff_with(BEHIND_THE_END),
    "TIFF, LZW: maker behind the end": lambda: odd.tiff_with(BEHIND_THE_END, compression="tiff_lzw"),
    "GIF: second frame broken off": lambda: two_frames("GIF")[: len(odd.encoded("GIF")) + 40],
    "GIF: no end": lambda: odd.encoded("GIF")[:-1],
    "JPEG of two pictures": lambda: two_frames("MPO"),
    "JPEG of two pictures, the second broken off": lambda: two_frames("MPO")[: len(two_frames("MPO")) // 2 + 50],
}


@pytest.mark.parametrize("name", ODD)
def test_odd_metadata_cost_no_picture(folder, name):
    decoded = read(folder, ODD[name]())
    assert seen(decoded) == "RRGB"
    assert "rotated" not in decoded.conversions


@pytest.mark.parametrize(
    ("content", "corners"),
    [
        (jpeg_with_exif(odd.UPSIDE_DOWN, (0x011A, 2, 3, b"72\0\0")), "BGRR"),
        (jpeg_with_exif((0x0103, 3, 1, b"abc\0"), odd.UPSIDE_DOWN), "BGRR"),
        (jpeg_with_exif(odd.UPSIDE_DOWN, before=odd.segment(0xEE, b"Adobe")), "BGRR"),
        (odd.png_with(odd.chunk(b"tEXt", b"c\0x", wrong=1), odd.chunk(b"eXIf", odd.exif(odd.UPSIDE_DOWN))), "BGRR"),
        (odd.png_with(odd.chunk(b"iTXt", XMP + b'<x tiff:Orientation="6"/>')), "GRBR"),
        (odd.encoded("AVIF", quality=95, exif=odd.exif((0x0112, 3, 1, b"\6\0\0\0"))), "GRBR"),
        (odd.tiff_with(odd.UPSIDE_DOWN), "BGRR"),
        (odd.tiff_with(odd.UPSIDE_DOWN, BEHIND_THE_END), "BGRR"),
        (odd.tiff_with(odd.UPSIDE_DOWN, BEHIND_THE_END, compression="tiff_lzw"), "BGRR"),
    ],
)
def test_beside_odd_metadata_the_orientation_still_counts(folder, content, corners):
    decoded = read(folder, content)
    assert seen(decoded) == corners
    assert "rotated" in decoded.conversions


@pytest.mark.parametrize("value", [(3, 1, bytes(4)), (3, 1, b"\x09\0\0\0"), (2, 3, b"up\0\0"), (12, 1, b"\xff\0\0\0")])
@pytest.mark.parametrize("write", ["PNG", "JPEG", "TIFF"])
def test_an_orientation_that_does_not_exist_leaves_the_picture_as_stored(folder, value, write):
    entry = (0x0112, *value)
    content = {
        "PNG": lambda: odd.png_with(odd.chunk(b"eXIf", odd.exif(entry))),
        "JPEG": lambda: jpeg_with_exif(entry),
        "TIFF": lambda: odd.tiff_with(entry),
    }[write]()
    decoded = read(folder, content)
    assert seen(decoded) == "RRGB"
    assert "rotated" not in decoded.conversions


def test_a_palette_with_more_transparencies_than_colours_is_read(folder):
    plain = odd.encoded("PNG", odd.PIXELS[:, :, 0])  # grey, then said to be a palette
    colours = odd.chunk(b"PLTE", bytes(range(256)) * 3)
    header = odd.chunk(b"IHDR", plain[16:25] + b"\3\0\0\0")
    pixels = plain[33:]
    whole = read(folder, plain[:8] + header + colours + pixels)
    decoded = read(folder, plain[:8] + header + colours + odd.chunk(b"tRNS", bytes(300)) + pixels)
    np.testing.assert_array_equal(decoded.pixels, whole.pixels)


def test_what_was_left_out_is_told(folder):
    assert read(folder, odd.png_with(odd.chunk(b"gAMA", b""))).conversions == ("damaged metadata",)
    assert read(folder, odd.png_with(odd.chunk(b"gAMA", b"\0\0\xb1\x8f"))).conversions == ()


ANCILLARY = ["tEXt", "zTXt", "iTXt", "iCCP", "gAMA", "cHRM", "pHYs", "sRGB", "sBIT", "bKGD"]
ANCILLARY += ["hIST", "tIME", "acTL", "fcTL", "eXIf", "sPLT", "exIf", "ruSt", "caBX"]
TEXT_STARTS = [b"", b"c\0", b"c\0\0", XMP, RAW_PROFILE]


@settings(max_examples=120, deadline=None)
@given(st.sampled_from(ANCILLARY), st.sampled_from(TEXT_STARTS), st.binary(max_size=40), st.sampled_from([0, 0, 1]))
def test_no_ancillary_chunk_changes_a_png(folder, kind, start, data, wrong):
    decoded = read(folder, odd.png_with(odd.chunk(kind.encode(), start + data, wrong=wrong)))
    np.testing.assert_array_equal(decoded.pixels, read(folder, odd.encoded("PNG")).pixels)


SEGMENT_STARTS = [b"", b"JFIF\0", b"Exif\0\0", b"Exif\0\0II*\0", b"ICC_PROFILE\0", b"MPF\0MM\0*", b"FPXR\0", b"Adobe"]
SEGMENT_STARTS += [b"Photoshop 3.0\0" + b"8BIM", b"http://ns.adobe.com/xap/1.0/\0"]


@settings(max_examples=120, deadline=None)
@given(st.sampled_from([*range(0xE0, 0xF0), 0xFE]), st.sampled_from(SEGMENT_STARTS), st.binary(max_size=40))
@example(0xEE, b"Adobe", b"\0")
def test_no_application_segment_changes_a_jpeg(folder, marker, start, data):
    if (marker, start) == (0xEE, b"Adobe"):
        data = data[:6]  # whole, it says what the colours mean, and then it counts
    decoded = read(folder, odd.jpeg_with(odd.segment(marker, start + data)))
    np.testing.assert_array_equal(decoded.pixels, read(folder, odd.jpeg_with()).pixels)


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_any_damage_ends_in_a_picture_or_in_one_line(folder, data):
    plain = ODD[data.draw(st.sampled_from([name for name in ODD if "3 MB" not in name]))]()
    start = data.draw(st.integers(0, min(len(plain), 400)))
    content = plain[:start] + data.draw(st.binary(max_size=8)) + plain[start + data.draw(st.integers(0, 8)) :]
    outcome = read_or_reason(folder, content)
    if isinstance(outcome, str):
        assert len(outcome.splitlines()) == 1
        assert len(outcome) < 250
    else:
        assert outcome.pixels.shape == (48, 48, 3)
        assert outcome.pixels.dtype == np.uint8


MAGIC = [b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"GIF89a", b"II*\0", b"MM\0*", b"\0\0\0\x20ftypavif"]


@settings(max_examples=100, deadline=None)
@given(content=st.binary(max_size=60), magic=st.sampled_from(MAGIC))
def test_leaving_metadata_out_never_fails(content, magic):
    result = without_metadata(magic + content)
    assert result is None or result.startswith(magic[:3])


def test_a_text_that_unpacks_to_very_much_takes_no_memory(folder):
    bomb = odd.png_with(odd.chunk(b"zTXt", b"c\0\0" + zlib.compress(bytes(100_000_000))))
    tracemalloc.start()
    try:
        assert seen(read(folder, bomb)) == "RRGB"
        assert tracemalloc.get_traced_memory()[1] < 20_000_000
    finally:
        tracemalloc.stop()


def jpeg_of_noise() -> bytes:
    return odd.encoded("JPEG", np.random.default_rng(0).integers(0, 256, (96, 96, 3), np.uint8))


@pytest.mark.parametrize("missing", [1, 2, 20, 300])
def test_a_jpeg_that_lacks_its_last_bytes_is_read_and_told(folder, missing):
    whole = jpeg_of_noise()
    decoded = read(folder, whole[:-missing])
    assert decoded.conversions == ("cut off",)
    same = (decoded.pixels == read(folder, whole).pixels).all(axis=2)
    assert same[:36].all()  # what is missing is missing at the end
    assert same.mean() > 0.85


@pytest.mark.parametrize("part", [0.5, 0.8])
def test_a_jpeg_that_lacks_much_is_unreadable(folder, part):
    whole = jpeg_of_noise()
    with pytest.raises(UnreadableImageError, match=r"the file breaks off, and \d\d% of its pixels are missing"):
        read(folder, whole[: int(part * len(whole))])


@pytest.mark.parametrize("mode", ["L", "CMYK"])
def test_what_is_missing_is_seen_in_grey_and_in_cmyk_too(folder, mode):
    path = folder / "whole.jpg"
    Image.fromarray(odd.PIXELS).convert(mode).save(path, quality=95)
    whole = path.read_bytes()
    with pytest.raises(UnreadableImageError, match="of its pixels are missing"):
        read(folder, whole[: len(whole) - (len(whole) - whole.rindex(b"\xff\xda")) // 2])
