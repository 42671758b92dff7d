"""Images as this package keeps them (RGB, 8 bits, one size) and how a file or an array becomes that."""

from __future__ import annotations

import dataclasses
import os
import pathlib
import warnings

import numpy as np
import pandas as pd
from PIL import Image, ImageOps, UnidentifiedImageError
from tqdm.auto import tqdm

from fedlearn_edu.errors import RunError, UsageError

# What Pillow may decode. Without this list it would try every format it knows, Ghostscript's included.
FORMATS = ("BMP", "GIF", "JPEG", "PNG", "TIFF", "WEBP")
SUFFIXES = (".bmp", ".gif", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp")

_KINDS = {"1": "grey", "L": "grey", "LA": "grey", "P": "palette", "PA": "palette", "CMYK": "cmyk"}
_ORIENTATION = 0x0112  # EXIF tag


@dataclasses.dataclass(frozen=True, eq=False)
class ImageDataset:
    """Labelled images that nobody holds yet; `partition` says who holds which.

    Attributes:
        name: What the images are, e.g. `"fashion"`.
        images: uint8, shape `[num_images, height, width, 3]`, RGB, values 0 to 255.
        labels: int32, shape `[num_images]`, values in `[0, num_classes)`.
        class_names: One name per label.
        natural_client_ids: The owner of each image, str, shape `[num_images]`, or None when it is not known.
        report: What was met while reading, one row per client or class folder; may be empty.
        is_test: bool, shape `[num_images]`: the test examples of a data set that comes with a split of its own, which
            `partition` then keeps; None if it has none.

    Raises:
        UsageError: The arrays do not fit together.
    """

    name: str
    images: np.ndarray
    labels: np.ndarray
    class_names: tuple[str, ...]
    natural_client_ids: np.ndarray | None = None
    report: pd.DataFrame = dataclasses.field(default_factory=pd.DataFrame)
    is_test: np.ndarray | None = None

    def __post_init__(self):
        if self.images.ndim != 4 or self.images.shape[3] != 3 or self.images.dtype != np.uint8:
            raise UsageError(
                "images: expected uint8 [num_images, height, width, 3], "
                f"got {self.images.dtype} {list(self.images.shape)}"
            )
        num_images = len(self.images)
        if num_images == 0:
            raise UsageError("images: expected at least one image, got none")
        if self.labels.shape != (num_images,) or not np.issubdtype(self.labels.dtype, np.integer):
            raise UsageError(
                f"labels: expected {num_images} whole numbers, one per image, "
                f"got {self.labels.dtype} {list(self.labels.shape)}"
            )
        if self.labels.min() < 0 or self.labels.max() >= len(self.class_names):
            raise UsageError(
                f"labels: expected values in [0, {len(self.class_names)}), one per class name, "
                f"got {self.labels.min()} to {self.labels.max()}"
            )
        if self.natural_client_ids is not None and self.natural_client_ids.shape != (num_images,):
            raise UsageError(
                f"natural_client_ids: expected one owner per image ({num_images}), "
                f"got shape {list(self.natural_client_ids.shape)}"
            )
        if self.is_test is not None and (self.is_test.shape != (num_images,) or self.is_test.dtype != bool):
            raise UsageError(
                f"is_test: expected one bool per image ({num_images}), "
                f"got {self.is_test.dtype} {list(self.is_test.shape)}"
            )

    @property
    def num_classes(self) -> int:
        return len(self.class_names)


class UnreadableImageError(ValueError):
    """A file is no image this package can read; the message is the reason."""


@dataclasses.dataclass(frozen=True)
class DecodedImage:
    """One image file after reading.

    Attributes:
        pixels: uint8, shape `[image_size, image_size, 3]`.
        conversions: What was changed to get there, of `grey`, `palette`, `alpha`, `cmyk`, `16-bit`,
            `dark 16-bit`, `rotated`, `first frame`, or another Pillow mode's name.
        resized: Whether the file had another size.
    """

    pixels: np.ndarray
    conversions: tuple[str, ...]
    resized: bool


def decode_image(path: str | os.PathLike, *, image_size: int) -> DecodedImage:
    """Reads one image file as RGB, 8 bits, square.

    The EXIF orientation is applied, transparency is laid on white, 16-bit values are divided by 257 (so that
    65535 becomes 255), of an animation the first frame is taken, and the image is brought to the square by
    bilinear resampling without cropping.

    Args:
        path: A file in one of `FORMATS`.
        image_size: Height and width of the result in pixels, >= 1.

    Raises:
        UnreadableImageError: The file is missing, damaged, of another format, has pixels without a fixed range
            (32-bit), or more pixels than Pillow's limit against decompression bombs.
    """
    with warnings.catch_warnings():
        # Pillow warns above its limit and raises above twice its limit; here both are refused.
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        try:
            with Image.open(path, formats=FORMATS) as image:
                return _to_square_rgb(image, image_size)
        except UnreadableImageError:
            raise
        except UnidentifiedImageError as error:
            raise UnreadableImageError(f"not a readable {', '.join(FORMATS)} image") from error
        except (Image.DecompressionBombWarning, Image.DecompressionBombError) as error:
            raise UnreadableImageError(f"more than {Image.MAX_IMAGE_PIXELS:,} pixels") from error
        except Exception as error:  # Damaged files make decoders raise nearly anything: OSError, SyntaxError, ...
            reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
            raise UnreadableImageError(" ".join(reason.split())) from error


def _to_square_rgb(image: Image.Image, image_size: int) -> DecodedImage:
    square = (image_size, image_size)
    resized = image.size != square
    kinds = []
    if getattr(image, "is_animated", False):
        kinds.append("first frame")
    # Pillow turns 16-bit colour into 8 bits while it decodes: afterwards nothing would tell.
    if ";16" in str(image.tile):
        kinds.append("16-bit")
    # Large JPEGs are decoded at a fraction of their size; twice the target leaves the resampling its quality.
    image.draft(image.mode, (2 * image_size, 2 * image_size))
    if image.getexif().get(_ORIENTATION, 1) != 1:
        kinds.append("rotated")
    image = ImageOps.exif_transpose(image)

    if image.mode.startswith("I;16"):
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


def grey_to_rgb(grey: np.ndarray) -> np.ndarray:
    """Returns grey images `[..., height, width]` as `[..., height, width, 3]`, three equal channels.

    Example:
        >>> grey_to_rgb(np.zeros((5, 28, 28), np.uint8)).shape
        (5, 28, 28, 3)
    """
    return np.repeat(grey[..., np.newaxis], 3, axis=-1)


def resize_images(images: np.ndarray, *, image_size: int) -> np.ndarray:
    """Returns RGB images brought to `image_size` pixels a side by bilinear resampling.

    Args:
        images: uint8, shape `[num_images, height, width, 3]`.
        image_size: Height and width of the result in pixels, >= 1.
    """
    resized = allocate_images(len(images), image_size=image_size)
    for i, image in enumerate(tqdm(images, desc="resizing images", unit="image", delay=1)):
        square = Image.fromarray(image).resize((image_size, image_size), Image.Resampling.BILINEAR)
        resized[i] = np.asarray(square)
    return resized


def allocate_images(num_images: int, *, image_size: int) -> np.ndarray:
    """Returns an uninitialised uint8 `[num_images, image_size, image_size, 3]`.

    Raises:
        RunError: This machine does not have that much memory. (Linux would promise it, and end the process later.)
    """
    num_bytes = num_images * image_size**2 * 3
    machine = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    if num_bytes > machine:
        raise RunError(
            f"image_size: {num_images:,} images of {image_size} x {image_size} pixels need {num_bytes / 1e9:.1f} GB, "
            f"this machine has {machine / 1e9:.1f} GB of memory; use a smaller image_size or fewer images"
        )
    return np.empty((num_images, image_size, image_size, 3), np.uint8)


def is_image_name(name: str) -> bool:
    """Whether a file of this name is expected to be an image."""
    return pathlib.PurePath(name).suffix.lower() in SUFFIXES
