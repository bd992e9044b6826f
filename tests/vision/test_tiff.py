"""TIFFs of every depth: shown as they are, or refused with what is wrong with them."""

import struct

import numpy as np
import pytest

from yololab import decode
from yololab.errors import Unsupported
from yololab.vision import tiff

RAMP = np.tile(np.arange(256, dtype=np.uint8), (4, 1))  # gray, 4 x 256
SHOWN = np.dstack([RAMP] * 3)


def tiff_of(pixels: bytes, bits: int, order: str = "<", big: bool = False, **tags: int) -> bytes:
    """An uncompressed TIFF of one strip, 256 x 4; TIFF 6.0, and BigTIFF as libtiff has it."""
    fields = {"subfile": 254, "bits": 258, "compression": 259, "photometric": 262, "samples": 277, "format": 339,
              "dng": 50706}  # fmt: skip
    values = {254: 0, 256: 256, 257: 4, 258: bits, 259: 1, 262: 1, 273: 0, 277: 1, 278: 4, 279: len(pixels)}
    values |= {fields[name]: value for name, value in tags.items()}
    if "dng" not in tags:
        values.pop(50706, None)
    word, entry, start = ("Q", "HHQQ", 16) if big else ("I", "HHII", 8)
    head = (b"II" if order == "<" else b"MM") + struct.pack(order + "H", 43 if big else 42)
    head += struct.pack(order + "HHQ", 8, 0, start) if big else struct.pack(order + "I", start)
    size = (
        struct.calcsize(order + ("Q" if big else "H"))
        + len(values) * struct.calcsize(order + entry)
        + struct.calcsize(word)
    )
    values[273] = start + size
    body = struct.pack(order + ("Q" if big else "H"), len(values))
    for tag, value in sorted(values.items()):
        body += struct.pack(order + entry, tag, 16 if big else 4, 1, value)
    return head + body + struct.pack(order + word, 0) + pixels


def of_12_bits(gray: np.ndarray) -> bytes:
    """Two samples in three bytes."""
    first, second = (gray.astype(np.uint16) << 4).reshape(-1, 2).T
    return np.stack([first >> 4, (first & 15) << 4 | second >> 8, second & 255], 1).astype(np.uint8).tobytes()


@pytest.mark.parametrize("big", [False, True])
@pytest.mark.parametrize(("bits", "white_is_zero"), [(8, False), (8, True), (12, False), (16, False), (16, True)])
def test_gray_of_any_depth_is_shown_as_it_is(bits, white_is_zero, big):
    gray = 255 - RAMP if white_is_zero else RAMP
    pixels = {8: gray.tobytes(), 12: of_12_bits(gray), 16: (gray.astype("<u2") * 257).tobytes()}[bits]
    assert (decode(tiff_of(pixels, bits, big=big, photometric=0 if white_is_zero else 1)) == SHOWN).all()


def test_big_endian_samples():
    assert (decode(tiff_of((RAMP.astype(">u2") * 257).tobytes(), 16, ">")) == SHOWN).all()


@pytest.mark.parametrize(("pixels", "tags", "says"), [
    ((RAMP / 255).astype("<f4"), {"bits": 32, "format": 3}, "floating point"),
    ((RAMP / 255).astype("<f2"), {"bits": 16, "format": 3}, "floating point"),
    ((RAMP / 255).astype("<f8"), {"bits": 64, "format": 3}, "floating point"),
    (RAMP.astype("<u4"), {"bits": 32}, "32 bits"),
    (RAMP.astype("<i2"), {"bits": 16, "format": 2}, "signed"),
    (np.zeros(4 * 256 * 9 // 2, np.uint8), {"bits": 12, "samples": 3, "photometric": 2}, "3 samples of 12 bits"),
    (RAMP, {"bits": 12, "photometric": 0}, "1 sample of 12 bits"),
    (RAMP, {"bits": 8, "compression": 50001}, "number 50001"),
    (RAMP, {"bits": 8, "subfile": 1}, "raw file"),
    (RAMP, {"bits": 8, "dng": 0x01040000}, "raw file"),
])  # fmt: skip
def test_what_cannot_be_shown_truly_is_refused(pixels, tags, says):
    with pytest.raises(Unsupported, match=rf"{says}.*Export it as JPEG"):
        decode(tiff_of(pixels.tobytes(), **tags))


def test_big_endian_bigtiff_is_refused_before_it_is_read():
    with pytest.raises(Unsupported, match="big-endian BigTIFF"):
        decode(tiff_of(RAMP.tobytes(), 8, ">", big=True))


def test_a_value_that_lies_elsewhere_is_found():
    data = tiff_of(RAMP.tobytes(), 8)
    at = data.index(struct.pack("<HHII", 258, 4, 1, 8))
    moved = data[:at] + struct.pack("<HHII", 258, 3, 3, len(data)) + data[at + 12 :] + struct.pack("<HHH", 32, 32, 32)
    with pytest.raises(Unsupported, match="32 bits"):
        tiff.check(moved)
