"""Valid files that would cost far more than their pixels: what bounds them, by counts and never by the clock."""

import struct
import zlib
from io import BytesIO

import pytest
from helpers import IMAGES
from PIL import Image

from yololab import decode
from yololab.errors import BadImage
from yololab.vision import jpeg

EOI = b"\xff\xd9"


def saved(**options) -> bytes:
    out = BytesIO()
    Image.open(IMAGES / "apple.jpg").resize((96, 64)).save(out, "JPEG", **options)
    return out.getvalue()


def segment(marker: int, body: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, len(body) + 2) + body


def repeated(data: bytes, times: int) -> bytes:
    """A progressive JPEG with its last scan that many times more."""
    last = data[data.rindex(b"\xff\xda") : -2]
    return data[:-2] + last * times + EOI


def test_scans_of_ordinary_files():
    assert jpeg.scans(saved(), 100) == 1
    assert jpeg.scans(saved(progressive=True), 100) == 10


@pytest.mark.parametrize("times", [0, 90])
def test_as_many_scans_as_allowed_are_decoded(times):
    data = repeated(saved(progressive=True), times)
    assert jpeg.scans(data, 1000) == 10 + times
    assert decode(data).shape == (64, 96, 3)


@pytest.mark.parametrize("times", [91, 3000])
def test_one_scan_too_many_is_refused(times):
    with pytest.raises(BadImage, match="more than 100 scans"):
        decode(repeated(saved(progressive=True), times))


def test_fill_bytes_hide_no_scan():
    data = repeated(saved(progressive=True), 91).replace(b"\xff\xda", b"\xff\xff\xff\xda")
    with pytest.raises(BadImage, match="scans"):
        decode(data)


@pytest.mark.parametrize("place", ["inside", "behind"])
def test_bytes_that_only_look_like_scans_cost_no_picture(place):
    """Private data of a camera, and the film that some phones append."""
    data, noise = saved(), b"\xff\xda" * 500
    data = data[:2] + segment(0xEB, noise) + data[2:] if place == "inside" else data + noise
    assert (decode(data) == decode(saved())).all()


def test_fill_bytes_and_tiny_segments_are_refused_where_they_are_many():
    data = saved()
    start, rest = data[:20], data[20:]  # behind the first segment
    assert decode(start + b"\xff" * 2000 + rest).shape == (64, 96, 3)
    assert decode(start + segment(0xFE, b"") * 5000 + rest).shape == (64, 96, 3)
    for much in (b"\xff" * 200_000, b"\0" * 200_000, segment(0xFE, b"") * 20_000, segment(0xEC, b"\xff" * 9) * 20_000):
        with pytest.raises(BadImage, match="between its parts"):
            decode(start + much + rest)


def test_a_profile_may_hold_any_bytes():
    data = saved()
    private = segment(0xE2, b"\xff" * 60_000) + segment(0xE5, b"\0" * 60_000)
    assert (decode(data[:2] + private * 4 + data[2:]) == decode(data)).all()


def test_a_png_of_very_many_chunks_is_refused():
    out = BytesIO()
    Image.new("RGB", (8, 8)).save(out, "PNG")
    data = out.getvalue()
    empty = struct.pack(">I4sI", 0, b"prVt", zlib.crc32(b"prVt"))
    assert decode(data[:33] + empty * 1000 + data[33:]).shape == (8, 8, 3)
    with pytest.raises(BadImage, match="chunks"):
        decode(data[:33] + empty * 30_000 + data[33:])
