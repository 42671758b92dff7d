"""Image files put together byte by byte, as cameras, editors and broken downloads leave them."""

import io
import struct
import zlib

import numpy as np
from PIL import Image

# Red above, green and blue below: which way is up can be seen.
PIXELS = np.zeros((48, 64, 3), np.uint8)
PIXELS[:24], PIXELS[24:, :32], PIXELS[24:, 32:] = [250, 20, 20], [20, 250, 20], [20, 20, 250]


def encoded(kind: str, pixels=PIXELS, **save) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, kind, **save)
    return buffer.getvalue()


def chunk(kind: bytes, data: bytes, *, wrong: int = 0) -> bytes:
    """Returns a PNG chunk; its checksum is off by the bits of `wrong`."""
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data) ^ wrong)


def png_with(*chunks: bytes) -> bytes:
    """Returns a PNG with chunks after its header."""
    plain = encoded("PNG")
    return plain[:33] + b"".join(chunks) + plain[33:]


def segment(marker: int, data: bytes) -> bytes:
    return bytes([0xFF, marker]) + struct.pack(">H", len(data) + 2) + data


def jpeg_with(*segments: bytes) -> bytes:
    """Returns a JPEG with segments before its own."""
    plain = encoded("JPEG", quality=95)
    return plain[:2] + b"".join(segments) + plain[2:]


def exif(*entries: tuple[int, int, int, bytes]) -> bytes:
    """Returns an EXIF block of `(tag, type, count, four bytes)` entries."""
    packed = b"".join(struct.pack("<HHI", *entry[:3]) + entry[3] for entry in entries)
    return b"II*\0" + struct.pack("<IH", 8, len(entries)) + packed + bytes(4)


def tiff_with(*new: tuple[int, int, int, bytes], **save) -> bytes:
    """Returns a TIFF with `(tag, type, count, four bytes)` entries, added or in the place of its own."""
    plain = encoded("TIFF", **save)
    (start,) = struct.unpack_from("<I", plain, 4)
    (number,) = struct.unpack_from("<H", plain, start)
    entries = [plain[at : at + 12] for at in range(start + 2, start + 2 + 12 * number, 12)]
    kept = [entry for entry in entries if struct.unpack_from("<H", entry)[0] not in {tag for tag, *_ in new}]
    kept += [struct.pack("<HHI", *entry[:3]) + entry[3] for entry in new]
    kept.sort(key=lambda entry: struct.unpack_from("<H", entry))
    plain += bytes(len(plain) % 2)
    directory = struct.pack("<H", len(kept)) + b"".join(kept) + bytes(4)
    return plain[:4] + struct.pack("<I", len(plain)) + plain[8:] + directory


UPSIDE_DOWN = (0x0112, 3, 1, b"\3\0\0\0")
