"""WebP, GIF and AVIF: the first picture alone, and what it would cost by its parts."""

import os
import re
import struct
from collections.abc import Iterator
from itertools import islice
from typing import NamedTuple

from ..errors import BadImage, TooLarge
from .jpeg import MAX_SCANS
from .vp8l import MAX_TILES, prefix_tiles

__all__ = ["WebP", "check_lossless", "first_sample", "lean_gif", "read_webp"]

MAX_TRACKS = 16  # an animation has one, and one more for alpha
MAX_BLOCKS = 10_000  # chunks of a WebP, a frame each; blocks of a GIF before its first picture
CODED = 65_536  # bytes that a picture may have beside those of its pixels
PICTURE = (b"ALPH", b"VP8 ", b"VP8L")
IMAGE, EXTENSION, TRAILER, CONTROL = 0x2C, 0x21, 0x3B, 0xF9  # of GIF
os.environ.setdefault("LIBTIFF_JPEG_MAX_ALLOWED_SCAN_NUMBER", str(MAX_SCANS))  # libtiff's own is 100
SAVE_ANEW = "Open it in a picture viewer and save it anew."


class WebP(NamedTuple):
    """The first picture of a WebP as a still file, its size and where it lies on the canvas, pixels; Exif and XMP.

    lossless: the losslessly coded streams of it, of which there are at most two; one of lossy pictures may be alpha.
    """

    still: bytes
    size: tuple[int, int]
    canvas: tuple[int, int]
    place: tuple[int, int]
    exif: bytes
    xmp: bytes
    lossless: list[memoryview]


def read_webp(data: bytes) -> WebP:
    """Take a WebP apart (RFC 9649, 2.7).

    Raises BadImage for very many chunks, TooLarge for more data than the pixels need, ValueError for a broken one.
    """
    stop = int.from_bytes(data[4:8], "little") + 8
    if stop > len(data):
        raise ValueError("a WebP that is cut off")
    canvas, place, frame = None, (0, 0), False
    parts: dict[bytes, memoryview] = {}
    view = memoryview(data)
    for kind, start, end in _chunks(data, 12, stop):
        if kind == b"VP8X":
            canvas = _three(data, start + 4) + 1, _three(data, start + 7) + 1
        elif kind == b"ANMF" and not frame:
            place, frame = (2 * _three(data, start), 2 * _three(data, start + 3)), True
            parts |= {inner: view[first:last] for inner, first, last in _chunks(data, start + 16, end)}
        elif kind in (b"EXIF", b"XMP ") or (not frame and kind in PICTURE):
            parts.setdefault(kind, view[start:end])
    size = _size(parts)
    if not frame and canvas not in (None, size):
        raise ValueError("a WebP with a picture of another size than its canvas")
    if len(parts.get(b"VP8 ", b"")) > CODED + size[0] * size[1]:
        raise TooLarge(f"The WebP has more bytes than its pixels need. {SAVE_ANEW}")
    exif, xmp = (bytes(parts.get(kind, b"")) for kind in (b"EXIF", b"XMP "))
    lossless = [parts[b"VP8L"][5:]] if b"VP8L" in parts else []
    if (alpha := parts.get(b"ALPH")) and alpha[0] & 3 == 1:
        lossless.append(alpha[1:])
    return WebP(_still(parts, size) if frame else data, size, canvas or size, place, exif, xmp, lossless)


def check_lossless(webp: WebP) -> None:
    """Raise TooLarge where decoding would build more tables than the pixels need; ValueError for a broken stream."""
    for stream in webp.lossless:
        if prefix_tiles(bytes(stream), *webp.size) > MAX_TILES:
            raise TooLarge(f"The WebP has more prefix codes than its pixels need. {SAVE_ANEW}")


def _chunks(data: bytes, at: int, stop: int) -> Iterator[tuple[bytes, int, int]]:
    count = 0
    while at + 8 <= stop:
        kind, length = struct.unpack_from("<4sI", data, at)
        yield kind, at + 8, min(at + 8 + length, stop)
        at += 8 + length + length % 2
        count += 1
        if count > MAX_BLOCKS:
            raise BadImage(f"The WebP has more than {MAX_BLOCKS} parts. {SAVE_ANEW}")


def _size(parts: dict[bytes, memoryview]) -> tuple[int, int]:
    if b"VP8 " in parts:  # RFC 6386, 9.1
        width, height = struct.unpack_from("<HH", parts[b"VP8 "], 6)
        return width & 0x3FFF, height & 0x3FFF
    if b"VP8L" not in parts or len(parts[b"VP8L"]) < 5:
        raise ValueError("a WebP without a picture")
    bits = int.from_bytes(parts[b"VP8L"][1:5], "little")  # RFC 9649, 3.4
    return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1


def _still(parts: dict[bytes, memoryview], size: tuple[int, int]) -> bytes:
    bodies: dict[bytes, bytes | memoryview] = {kind: parts[kind] for kind in PICTURE if kind in parts}
    if b"ALPH" in bodies:
        sides = b"".join((side - 1).to_bytes(3, "little") for side in size)
        bodies = {b"VP8X": struct.pack("<I", 0x10) + sides, **bodies}
    body = b"".join(
        piece
        for kind, part in bodies.items()
        for piece in (kind, struct.pack("<I", len(part)), part, bytes(len(part) % 2))
    )
    return b"RIFF" + struct.pack("<I", len(body) + 4) + b"WEBP" + body


def _three(data: bytes, at: int) -> int:
    return int.from_bytes(data[at : at + 3], "little")


def lean_gif(data: bytes) -> bytes:
    """A GIF without comments and other extensions before its first picture (GIF89a, 20 to 26).

    Raises BadImage for very many of their blocks, which Pillow reads one by one; TooLarge for more data than the
    pixels can need.
    """
    at = start = 13 + (3 << (data[10] & 7) + 1 if data[10] & 0x80 else 0)
    left, control = MAX_BLOCKS, b""
    while at < len(data) and data[at] not in (IMAGE, TRAILER):
        block, at, left = at, at + 1, left - 1
        if data[block] == EXTENSION:
            at, left = _behind_blocks(data, at + 1, left)
            if data[block + 1] == CONTROL:
                control = data[block:at]
        if left < 0:
            raise BadImage(f"The GIF has more than {MAX_BLOCKS} blocks before its first picture. {SAVE_ANEW}")
    if at + 10 < len(data):
        width, height, bits = struct.unpack_from("<HHB", data, at + 5)
        first = at + 11 + (3 << (bits & 7) + 1 if bits & 0x80 else 0)
        end, left = _behind_blocks(data, first, (CODED + width * height) // 8)
        if left < 0 or end - first > CODED + 4 * width * height:
            raise TooLarge(f"The GIF has more bytes than its pixels can need. {SAVE_ANEW}")
    return data if at == start + len(control) else data[:start] + control + data[at:]


def _behind_blocks(data: bytes, at: int, left: int) -> tuple[int, int]:
    """The place behind a row of data blocks, and how many more of them there might have been; below 0: too many."""
    while at < len(data) and data[at] and left >= 0:
        at, left = at + 1 + data[at], left - 1
    return at + 1, left


def first_sample(data: bytes) -> int:
    """Bytes of the first picture of a sequence, of all its tracks (ISO/IEC 14496-12, 8.7.3); of all where none is told.

    What only looks like a list of sizes makes it more, never less.
    """
    lists = [data[found.end() + 4 : found.end() + 16] for found in islice(re.finditer(b"stsz", data), MAX_TRACKS + 1)]
    if not lists or len(lists) > MAX_TRACKS or len(lists[-1]) < 12:
        return len(data)
    return sum(alike or first for alike, _, first in (struct.unpack(">III", each) for each in lists))
