"""An image file without what it says about its picture: only the parts that make the pixels stay."""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Iterator

# PNG: header, palette, pixels, end; and, if they are whole, transparency and EXIF (for the orientation).
_PNG_PIXELS = (b"IHDR", b"PLTE", b"IDAT", b"IEND")
_PNG_IF_WHOLE = (b"tRNS", b"eXIf")
JPEG_START, JPEG_END = b"\xff\xd8", b"\xff\xd9"
_JPEG_SCAN = 0xDA
_JPEG_COMMENT, _JPEG_APPLICATION = 0xFE, range(0xE0, 0xF0)
# The application segments that decide about pixels: what the colours mean, and which way is up.
_JPEG_KEPT = {0xE0: (b"JFIF\0", 14), 0xE1: (b"Exif\0\0", 8), 0xEE: (b"Adobe", 12)}
_GIF_IMAGE, _GIF_EXTENSION, _GIF_END, _GIF_CONTROL = 0x2C, 0x21, b"\x3b", 0xF9
_WEBP_PIXELS = (b"VP8X", b"ALPH", b"VP8 ", b"VP8L", b"ANIM", b"ANMF")
_TIFF_ORIENTATION = 274
# Size, samples, compression, strips and tiles, predictor, palette, JPEG tables, YCbCr; no resolution, no text.
_TIFF_PIXELS = {256, 257, 258, 259, 262, 266, 273, 277, 278, 279, 284, 292, 293, 317, 320, 322, 323, 324, 325, 338, 339}
_TIFF_PIXELS |= {347, 512, 513, 514, 529, 530, 531, 532}


def without_metadata(content: bytes) -> bytes | None:
    """Returns the same picture in a file that says nothing else: no text, no resolution, no colour profile, one frame.

    Readers differ in what they forgive; a viewer shows a picture whose comment is damaged, and a strict reader
    refuses the file. The orientation stays where it can be read, since it belongs to the picture. Pixels are not
    looked at: a file with damaged pixels stays as damaged as it was.

    Args:
        content: The file's bytes.

    Returns:
        The bytes of a file of the same format, or None if it is no PNG, JPEG, GIF, WebP, TIFF or AVIF, or its
        structure is damaged.

    References:
        PNG: W3C, Portable Network Graphics, 3rd edition, 2025. JPEG: ITU-T T.81, 1992, annex B. GIF: CompuServe,
        GIF89a, 1990. WebP: RFC 9649, 2024. TIFF: Adobe, TIFF 6.0, 1992. AVIF: ISO/IEC 23008-12 (HEIF).
    """
    for magic, rewrite in _REWRITE:
        if content.startswith(magic):
            try:
                return b"".join(rewrite(content))
            except (struct.error, IndexError):  # the structure itself is cut off
                return None
    return _avif(content) if content[4:8] == b"ftyp" else None


def _png(content: bytes) -> Iterator[bytes]:
    at = 8
    yield content[:at]
    while at + 8 <= len(content):
        length, kind = struct.unpack_from(">I4s", content, at)
        chunk = content[at : at + 12 + length]
        at += len(chunk)
        whole = chunk[-4:] == struct.pack(">I", zlib.crc32(chunk[4:-4]))
        # Transparency of grey (colour type 0) and RGB (2) is one colour of 16 bits a channel, of a palette a list.
        fits = kind != b"tRNS" or length == {0: 2, 2: 6}.get(content[25], min(length, 256))
        if kind in _PNG_PIXELS or (kind in _PNG_IF_WHOLE and whole and fits):
            yield chunk


def _jpeg(content: bytes) -> Iterator[bytes]:
    at = 2
    yield content[:at]
    while True:
        at = content.find(b"\xff", at)
        marker, length = struct.unpack_from(">xBH", content, at)
        if marker in (0xFF, 0x00, 0x01) or 0xD0 <= marker <= 0xD8:  # filling, or a marker without a segment
            at += 1 if marker == 0xFF else 2
            continue
        segment = content[at : at + 2 + length]
        at += len(segment)
        start, size = _JPEG_KEPT.get(marker, (b"", 0))
        of_pixels = marker != _JPEG_COMMENT and marker not in _JPEG_APPLICATION
        if of_pixels or (start and segment[4:].startswith(start) and length >= size):
            yield segment
        if marker == _JPEG_SCAN:
            yield content[at:]
            return


def _gif(content: bytes) -> Iterator[bytes]:
    def after_blocks(at):
        while content[at]:
            at += 1 + content[at]
        return at + 1

    def table(flags):
        return 3 << (flags & 7) + 1 if flags & 0x80 else 0

    at = 13 + table(content[10])
    yield content[:at]
    while content[at] == _GIF_EXTENSION:
        end = after_blocks(at + 2)
        if content[at + 1] == _GIF_CONTROL:  # transparency
            yield content[at:end]
        at = end
    if content[at] == _GIF_IMAGE:
        yield content[at : after_blocks(at + 11 + table(content[at + 9]))]
    yield _GIF_END


def _webp(content: bytes) -> Iterator[bytes]:
    kept, at = [], 12
    while at + 8 <= len(content):
        kind, length = struct.unpack_from("<4sI", content, at)
        data = content[at + 8 : at + 8 + length]
        at += 8 + length + length % 2
        if kind in _WEBP_PIXELS and not any(kind == other == b"ANMF" for other, _ in kept):  # one frame is enough
            kept.append((kind, data))
    chunks = b"".join(kind + struct.pack("<I", len(data)) + data + bytes(len(data) % 2) for kind, data in kept)
    yield b"RIFF" + struct.pack("<I", 4 + len(chunks)) + b"WEBP" + chunks


def _tiff(content: bytes) -> Iterator[bytes]:
    order = "<" if content[:1] == b"I" else ">"
    (start,) = struct.unpack_from(f"{order}I", content, 4)
    (count,) = struct.unpack_from(f"{order}H", content, start)
    kept = []
    for at in range(start + 2, start + 2 + 12 * count, 12):
        tag, kind, number, value = struct.unpack_from(f"{order}HHIH", content, at)
        upright = tag == _TIFF_ORIENTATION and (kind, number) == (3, 1) and 1 <= value <= 8
        if tag in _TIFF_PIXELS or upright:
            kept.append(content[at : at + 12])
    # The list gets shorter in its place, and ends without a next page, so that what it points to stays where it is.
    directory = struct.pack(f"{order}H", len(kept)) + b"".join(kept) + bytes(4)
    yield content[:start]
    yield directory
    yield content[start + len(directory) :]


def _avif(content: bytes) -> bytes:
    # Positions are counted from the file's start, so that nothing may move: the items get a type that nobody reads.
    return re.sub(rb"(infe\x02.{7}|infe\x03.{9})(?:Exif|mime)", rb"\1skip", content, flags=re.DOTALL)


_REWRITE = (
    (b"\x89PNG\r\n\x1a\n", _png),
    (JPEG_START, _jpeg),
    (b"GIF8", _gif),
    (b"RIFF", _webp),
    (b"II*\0", _tiff),
    (b"MM\0*", _tiff),
)
