"""TIFF (6.0): what its first page lists, and which kinds of pages have no colors that could be shown truly."""

import struct

from PIL import Image

from ..errors import BadImage, Unsupported
from .orientation import MAX_ENTRIES

__all__ = ["check", "gray_levels"]

AS_BYTES = {1, 2, 6, 7}  # types of values that are not read number by number
TYPES = {1: "B", 3: "H", 4: "I", 16: "Q"}  # BYTE, SHORT, LONG and LONG8, as struct calls them
SUBFILE, WIDTH, HEIGHT, BITS, COMPRESSION, PHOTOMETRIC, SAMPLES, FORMAT, DNG = (
    254, 256, 257, 258, 259, 262, 277, 339, 50706,
)  # fmt: skip
WHITE_IS_ZERO = 0
READ = {1, 2, 3, 4, 5, 6, 7, 8, 32773, 32946, 50000}  # ways to compress: none, fax, LZW, JPEG, deflate, PackBits, zstd
PREVIEW = 1  # bit of SUBFILE: a smaller version of another picture of the file
UNSIGNED = {1, 4}  # values of FORMAT: unsigned integers, and "nothing is said"
EXPORT = "Export it as JPEG, or save it with 8 bits for each sample, and send that."


def check(data: bytes) -> None:
    """Look at the first page before Pillow does.

    Raises BadImage where it lists very many entries or values; Unsupported for a camera's raw file, for samples whose
    black and white the file does not tell, and for what Pillow cannot read.
    """
    order, big = "<" if data[:2] == b"II" else ">", data[2] == 43
    at = struct.unpack_from(order + ("Q" if big else "I"), data, 8 if big else 4)[0]
    count = struct.unpack_from(order + ("Q" if big else "H"), data, at)[0]
    if count > MAX_ENTRIES:
        raise BadImage(f"The TIFF has more than {MAX_ENTRIES} entries. Open it in a picture viewer and save it anew.")
    step, form = (20, "HHQ") if big else (12, "HHI")
    values, first = 0, {}
    for number in range(count):
        here = at + (8 if big else 2) + step * number
        tag, kind, length = struct.unpack_from(order + form, data, here)
        values += 0 if kind in AS_BYTES else length
        first[tag] = _first(data, here + struct.calcsize(order + form), order, big, kind, length)
    if values > 4096 + first.get(WIDTH, 0) * first.get(HEIGHT, 0) // 16:
        raise BadImage(
            "The TIFF lists more than a picture of its size needs. Open it in a picture viewer and save it anew."
        )
    if why := _unsupported(first):
        raise Unsupported(f"The TIFF {why}. {EXPORT}")


def gray_levels(image: Image.Image) -> tuple[int, bool]:
    """Of a page of one gray sample that Pillow has opened: its bits, and whether 0 is white."""
    tags = getattr(image, "tag_v2", {})
    return int(tags.get(BITS, (8,))[0]), tags.get(PHOTOMETRIC) == WHITE_IS_ZERO


def _first(data: bytes, at: int, order: str, big: bool, kind: int, length: int) -> int:
    """The first value of an entry, where it is a whole number; else 0."""
    if kind not in TYPES or not length:
        return 0
    if struct.calcsize(TYPES[kind]) * length > (8 if big else 4):
        at = struct.unpack_from(order + ("Q" if big else "I"), data, at)[0]
    return int(struct.unpack_from(order + TYPES[kind], data, at)[0])


def _unsupported(first: dict[int, int]) -> str:
    """Why a page with these first values of its entries cannot be shown truly; '' where it can."""
    bits, samples = first.get(BITS, 1), first.get(SAMPLES, 1)
    if DNG in first or first.get(SUBFILE, 0) & PREVIEW:
        return "is a camera's raw file, or begins with a preview of another picture"
    if first.get(FORMAT, 1) not in UNSIGNED or bits > 16:
        return (
            f"has samples of {bits} bits, signed or floating point, and does not tell which of them are black and white"
        )
    if bits not in ((1, 2, 4, 8, 12, 16) if samples == 1 else (8, 16)) or (bits == 12 and not first.get(PHOTOMETRIC)):
        return f"has {samples} sample{'s'[: samples > 1]} of {bits} bits, which this server cannot read"
    if first.get(COMPRESSION, 1) not in READ:
        return f"is compressed in a way that this server cannot read (number {first[COMPRESSION]})"
    return ""
