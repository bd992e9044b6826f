"""What the costly files are made of."""

import struct
import zlib
from collections.abc import Callable
from io import BytesIO

import numpy as np
from PIL import Image, ImageFile

from benchmarks import ROOT

Make = Callable[[], bytes]
ImageFile.MAXBLOCK = 2**26  # bytes that Pillow keeps ready for a progressive JPEG, which it writes in one piece


def saved(image: Image.Image, kind: str, **options: object) -> bytes:
    """The bytes of a file as Pillow writes it."""
    out = BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def photo(side: int) -> Image.Image:
    """side x side pixels with the detail of a photo: as JPEG of quality 90 it has the 0.25 bytes a pixel of one."""
    picture = np.asarray(Image.open(ROOT / "images/crowd.jpg").convert("RGB").resize((side, side)))
    grain = np.random.default_rng(0).normal(0, 5, (side, side, 1))
    return Image.fromarray(np.clip(picture + grain, 0, 255).astype(np.uint8))


def noise(side: int, channels: int = 3, kind: str = "uint8") -> np.ndarray:
    """Uniform noise, shape (side, side, channels), which no format makes smaller."""
    return np.random.default_rng(1).integers(0, np.iinfo(kind).max, (side, side, channels), kind, endpoint=True)


def exif(count: int) -> bytes:
    """A directory of so many SHORT entries (TIFF 6.0, section 2)."""
    entries = (struct.pack("<HHII", (1000 + number) % 65536, 3, 1, 1) for number in range(count))
    return b"II*\0\x08\0\0\0" + struct.pack("<H", count) + b"".join(entries) + bytes(4)


def chunk(kind: bytes, data: bytes) -> bytes:
    """A chunk of a PNG."""
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(side: int, color: int, depth: int, data: bytes, interlaced: bool = False) -> bytes:
    """A PNG whose data, already compressed, is given."""
    head = struct.pack(">IIBBBBB", side, side, depth, color, 0, 0, interlaced)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def tiff(side: int, compression: int, strips: bytes, offsets: int = 1, more: int = 0) -> bytes:
    """An RGB TIFF of one strip, which it lists `offsets` times, with `more` entries of no meaning."""
    count = 10 + more
    bits = 8 + 2 + 12 * count + 4
    lists = bits + 6
    start = lists + 8 * offsets
    where, sizes = (lists, lists + 4 * offsets) if offsets > 1 else (start, len(strips))
    tags = [(256, 4, 1, side), (257, 4, 1, side), (258, 3, 3, bits), (259, 3, 1, compression), (262, 3, 1, 2),
            (273, 4, offsets, where), (277, 3, 1, 3), (278, 4, 1, side if offsets == 1 else 1),
            (279, 4, offsets, sizes), (284, 3, 1, 1)]  # fmt: skip
    tags += [(40_000 + number % 20_000, 3, 1, 1) for number in range(more)]
    body = b"".join(struct.pack("<HHII", *tag) for tag in tags) + bytes(4) + struct.pack("<HHH", 8, 8, 8)
    body += (
        struct.pack("<I", start) * offsets + struct.pack("<I", len(strips) // (1 if offsets == 1 else side)) * offsets
    )
    return b"II*\0\x08\0\0\0" + struct.pack("<H", count) + body + strips
