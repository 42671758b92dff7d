"""Image files: which are read, what the others look like, and how one becomes RGB of 8 bits in a square."""

from __future__ import annotations

import dataclasses
import io
import os
import pathlib
import warnings
from collections.abc import Iterator

import numpy as np
from PIL import Image, UnidentifiedImageError

from fedlearn_edu.data.image_metadata import JPEG_END, JPEG_START, without_metadata
from fedlearn_edu.data.names import one_line

# What Pillow may decode. Without this list it would try every format it knows, Ghostscript's included.
FORMATS = ("AVIF", "BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP")
_READ_SUFFIXES = (
    ".apng .avif .bmp .gif .jfi .jfif .jif .jpe .jpeg .jpg .mpo .pbm .pgm .pjp .pjpeg .png .pnm .ppm .tif .tiff .webp"
)
SUFFIXES = tuple(_READ_SUFFIXES.split())

# Files that hold pictures and are not read; a folder of them is told so instead of being passed over.
_OTHER_SUFFIXES = {
    "HEIC": ".heic .heics .heif .heifs .hif",
    "JPEG 2000": ".j2c .j2k .jp2 .jpc .jpf .jpm .jpx",
    "JPEG XL": ".jxl",
    "camera raw": ".3fr .arw .cr2 .cr3 .crw .dng .erf .kdc .mrw .nef .nrw .orf .pef .raf .raw .rw2 .rwl .sr2 .srf .srw",
    "Photoshop": ".psb .psd",
    "vector": ".ai .cdr .emf .eps .svg .svgz .wmf",
    "DICOM": ".dcm .dicom",
    "NIfTI": ".nii",
    "other": ".avifs .cur .dds .dib .exr .fit .fits .hdr .icns .ico .pcx .pfm .qoi .sgi .tga .xbm .xcf .xpm",
}
_KIND_OF_SUFFIX = {suffix: kind for kind, suffixes in _OTHER_SUFFIXES.items() for suffix in suffixes.split()}
_KIND_OF_START = (
    (0, b"\xff\xd8\xff", "JPEG"),
    (0, b"\x89PNG\r\n", "PNG"),
    (0, b"GIF8", "GIF"),
    (8, b"WEBPVP8", "WebP"),
    (0, b"II*\0", "TIFF"),
    (0, b"MM\0*", "TIFF"),
    (4, b"ftypavi", "AVIF"),
    (4, b"ftyphei", "HEIC"),
    (4, b"ftyphev", "HEIC"),
    (4, b"ftypmif1", "HEIC"),
    (4, b"ftypmsf1", "HEIC"),
    (4, b"ftypcrx", "camera raw"),
    (4, b"jP  \r\n", "JPEG 2000"),
    (0, b"\xff\x4f\xff\x51", "JPEG 2000"),
    (4, b"JXL \r\n", "JPEG XL"),
    (0, b"\xff\x0a", "JPEG XL"),
    (0, b"8BPS", "Photoshop"),
    (0, b"%!PS-Adobe", "vector"),
    (0, b"<svg", "vector"),
    (128, b"DICM", "DICOM"),
)

_KINDS = {"1": "grey", "L": "grey", "LA": "grey", "P": "palette", "PA": "palette", "CMYK": "cmyk"}
_ORIENTATION = 0x0112  # EXIF tag
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_MOST_BYTES = 2**28  # a larger file is not taken into memory for a second attempt
_MOST_LOST = 0.1  # part of a JPEG's pixels that may be missing at its end
_NO_PICTURE = (
    (b"<!doctype html", "a web page"),
    (b"<html", "a web page"),
    (b"version https://git-lfs", "a Git LFS pointer"),
)


class UnreadableImageError(ValueError):
    """A file is no image this package can read; the message is the reason."""


@dataclasses.dataclass(frozen=True)
class DecodedImage:
    """One image file after reading.

    Attributes:
        pixels: uint8, shape `[image_size, image_size, 3]`.
        conversions: What was changed to get there, of `grey`, `palette`, `alpha`, `cmyk`, `16-bit`,
            `dark 16-bit`, `rotated`, `first frame`, `damaged metadata`, `cut off`, or another Pillow mode's name.
        resized: Whether the file had another size.
    """

    pixels: np.ndarray
    conversions: tuple[str, ...]
    resized: bool


def decode_image(path: str | os.PathLike, *, image_size: int) -> DecodedImage:
    """Reads one image file as RGB, 8 bits, square.

    The EXIF orientation is applied, transparency is laid on white, 16-bit values are divided by 257 (so that
    65535 becomes 255), of an animation the first frame is taken, and the image is brought to the square by
    bilinear resampling without cropping. A file that Pillow refuses is tried again without its metadata, so that a
    damaged comment or colour profile costs no picture; and a JPEG that breaks off is read, with grey in place of what
    is missing, if that is at most a tenth of its pixels. `conversions` tells both.

    Args:
        path: A file in one of `FORMATS`.
        image_size: Height and width of the result in pixels, >= 1.

    Raises:
        UnreadableImageError: The file is missing, damaged, of another format, has pixels without a fixed range
            (32-bit), or more pixels than Pillow's limit against decompression bombs.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow's remarks on metadata: nothing that a reader could act upon
        # Pillow warns above its limit and raises above twice its limit; here both are refused.
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        failure = None
        for source, damage in _attempts(path):
            try:
                with Image.open(source, formats=FORMATS) as image:
                    return _to_square_rgb(image, image_size, damage)
            except UnreadableImageError:
                raise
            except (Image.DecompressionBombWarning, Image.DecompressionBombError) as error:
                raise UnreadableImageError(f"more than {Image.MAX_IMAGE_PIXELS:,} pixels") from error
            except Exception as error:  # Damaged files make decoders raise nearly anything: OSError, SyntaxError, ...
                failure = failure or error
    raise UnreadableImageError(_reason(failure, path)) from failure


def _attempts(path: str | os.PathLike) -> Iterator[tuple[str | os.PathLike | io.BytesIO, str]]:
    """Yields what to read, from the file as it is to what is left of it, and what is then damaged."""
    yield path, ""
    try:
        content = pathlib.Path(path).read_bytes() if os.path.getsize(path) <= _MOST_BYTES else b""
    except OSError:
        return
    plain = without_metadata(content)
    if plain is not None:
        yield io.BytesIO(plain), "damaged metadata"
        if plain.startswith(JPEG_START):
            yield io.BytesIO(plain + JPEG_END), "cut off"


def _reason(error: Exception, path: str | os.PathLike) -> str:
    if isinstance(error, UnidentifiedImageError):
        start = _start_of(path)
        if not start:
            return "the file is empty"
        kind = next((kind for magic, kind in _NO_PICTURE if start.lower().startswith(magic)), kind_of_image(path))
        if kind and kind.upper() in FORMATS:
            return f"a damaged {kind} image"
        return f"not a readable {', '.join(FORMATS)} image" + (f", it looks like {kind}" if kind else "")
    reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return one_line(" ".join(reason.split()))


def _to_square_rgb(image: Image.Image, image_size: int, damage: str) -> DecodedImage:
    square = (image_size, image_size)
    resized = image.size != square
    kinds = [damage] if damage else []
    if getattr(image, "is_animated", False):
        kinds.append("first frame")
    # Pillow turns 16-bit colour into 8 bits while it decodes: afterwards nothing would tell.
    is_wide_ppm = image.format == "PPM" and image.mode == "I"  # 16 bits, which it keeps in 32, stretched to 0 to 65535
    if is_wide_ppm or ";16" in str(image.tile):
        kinds.append("16-bit")
    # Large JPEGs are decoded at a fraction of their size; twice the target leaves the resampling its quality.
    image.draft(image.mode, (2 * image_size, 2 * image_size))
    if _orientation(image) is not None:
        kinds.append("rotated")
    image.load()
    if damage == "cut off":
        _check_cut(image)
    if (method := _orientation(image)) is not None:  # asked again: TIFF files are turned while they are loaded
        image = image.transpose(method)

    if is_wide_ppm or image.mode.startswith("I;16"):
        values = np.asarray(image).astype(np.uint32)
        if values.max() < 4096:
            kinds.append("dark 16-bit")
        image = Image.fromarray(((values + 128) // 257).astype(np.uint8))
    elif image.mode in ("I", "F"):
        raise UnreadableImageError("32-bit pixels have no fixed range; save it with 8 or 16 bits")
    elif image.mode not in ("RGB", "RGBA"):
        kinds.append(_KINDS.get(image.mode, image.mode))
    if image.has_transparency_data:
        kinds.append("alpha")
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    image = image.convert("RGB")
    if image.size != square:
        image = image.resize(square, Image.Resampling.BILINEAR)
    return DecodedImage(np.asarray(image), tuple(kinds), resized)


def _orientation(image: Image.Image) -> Image.Transpose | None:
    """Returns how a picture is turned upright; None if it is, or if what its metadata say about it makes no sense."""
    try:
        return _UPRIGHT.get(image.getexif().get(_ORIENTATION))
    except Exception:  # damaged EXIF makes its parser raise nearly anything, and says nothing about the pixels
        return None


def _check_cut(image: Image.Image) -> None:
    """Raises UnreadableImageError if much of a JPEG is missing: libjpeg fills up with the grey of all zeros."""
    samples = np.asarray(image).reshape(image.height * image.width, -1)
    lost = np.isin(samples, (127, 128)).all(axis=1).mean()
    if lost > _MOST_LOST:
        raise UnreadableImageError(f"the file breaks off, and {lost:.0%} of its pixels are missing")


def is_image_name(name: str) -> bool:
    """Whether a file of this name is expected to be an image."""
    return pathlib.PurePath(name).suffix.lower() in SUFFIXES


def kind_of_image(path: str | os.PathLike) -> str | None:
    """Returns what a file looks like by its first bytes, else by its suffix, e.g. `"HEIC"`; None if like no image."""
    start = _start_of(path)
    found = (kind for at, magic, kind in _KIND_OF_START if start.startswith(magic, at))
    return next(found, None) or _KIND_OF_SUFFIX.get(pathlib.PurePath(path).suffix.lower())


def _start_of(path: str | os.PathLike) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read(132)
    except OSError:
        return b""
