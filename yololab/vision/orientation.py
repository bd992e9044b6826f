"""Which way up a picture is, by its Exif or XMP, and how it is turned upright."""

import re
import struct
from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
from PIL import Image

__all__ = ["MAX_ENTRIES", "ORIENTATION", "entries", "orientation_of", "stored_orientation", "upright"]

ORIENTATION = 0x0112  # the Exif tag
MAX_ENTRIES = (
    500  # of an Exif block or a TIFF page, each of which costs Pillow some microseconds; cameras write under 100
)
XMP = re.compile(rb"""tiff:Orientation(?:\s{0,9}=\s{0,9}["']|>)\s{0,9}([1-8])""")
SHAPES = {1: "B", 3: "H", 4: "I"}  # TIFF type: how struct calls it
TURNS: dict[int, Callable[[Any], Any]] = {  # Exif 2.32, 4.6.4: how to undo each orientation
    2: lambda picture: cv2.flip(picture, 1),
    3: lambda picture: cv2.rotate(picture, cv2.ROTATE_180),
    4: lambda picture: cv2.flip(picture, 0),
    5: cv2.transpose,
    6: lambda picture: cv2.rotate(picture, cv2.ROTATE_90_CLOCKWISE),
    7: lambda picture: _flipped(cv2.transpose(picture)),
    8: lambda picture: cv2.rotate(picture, cv2.ROTATE_90_COUNTERCLOCKWISE),
}


def upright(picture: np.ndarray, orientation: int) -> np.ndarray:
    """The picture (H, W, 3) turned as Exif's orientation (1 to 8) asks for."""
    turned: np.ndarray = TURNS[orientation](picture) if orientation in TURNS else picture
    return turned


def orientation_of(image: Image.Image) -> int:
    """The orientation that is left to be undone, 1 to 8, of what Pillow has opened; 1 where it is missing or broken."""
    try:
        if image.format == "TIFF":
            return 1  # Pillow itself turns these
        exif = image.info.get("exif") or bytes.fromhex("".join(_raw_profile(image).split("\n")[3:]))
        xmp = image.info.get("xmp") or image.info.get("XML:com.adobe.xmp") or b""
        return stored_orientation(exif, xmp.encode() if isinstance(xmp, str) else xmp)
    except Exception:
        return 1


def stored_orientation(exif: bytes, xmp: bytes) -> int:
    """The orientation, 1 to 8, that an Exif block has as SHORT, LONG or BYTE, else an XMP text; else 1."""
    value = _exif(exif)
    if value is None:
        found = XMP.search(xmp)
        value = int(found[1]) if found else 1
    return value if value in TURNS else 1


def entries(exif: bytes) -> int:
    """How many entries the first directory of an Exif block says that it has (TIFF 6.0, section 2)."""
    return _directory(exif)[1]


def _exif(exif: bytes) -> int | None:
    order, count, tiff, start = _directory(exif)
    for at in range(start, min(start + 12 * min(count, MAX_ENTRIES), len(tiff) - 11), 12):
        tag, kind = struct.unpack_from(order + "HH", tiff, at)
        if tag == ORIENTATION:
            return int(struct.unpack_from(order + SHAPES[kind], tiff, at + 8)[0]) if kind in SHAPES else 1
    return None


def _directory(exif: bytes) -> tuple[str, int, bytes, int]:
    """Byte order, number of entries, the block without its head, where the entries begin."""
    tiff = exif.removeprefix(b"Exif\0\0")
    order = {b"II": "<", b"MM": ">"}.get(tiff[:2])
    if order is None or len(tiff) < 8:
        return "<", 0, b"", 0
    start = int(struct.unpack_from(order + "I", tiff, 4)[0])
    if start + 2 > len(tiff):
        return order, 0, b"", 0
    return order, int(struct.unpack_from(order + "H", tiff, start)[0]), tiff, start + 2


def _raw_profile(image: Image.Image) -> str:
    """The text in which ImageMagick writes Exif into a PNG: three lines of head, then hexadecimal digits."""
    return str(image.info.get("Raw profile type exif", ""))


def _flipped(picture: np.ndarray) -> np.ndarray:
    """Both axes, in place: no second picture."""
    return np.asarray(cv2.flip(picture, -1, dst=picture))
