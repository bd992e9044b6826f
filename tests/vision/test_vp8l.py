"""The prefix codes of a lossless WebP are counted as libwebp's encoder writes them, and bounded."""

import struct

import numpy as np
import pytest
from helpers import IMAGES
from PIL import Image

from benchmarks.reliability.costly.files import noise, saved
from benchmarks.reliability.costly.lossless import codes_for_each_tile
from yololab.errors import TooLarge
from yololab.vision import vp8l
from yololab.vision.containers import read_webp
from yololab.vision.images import decode
from yololab.vision.vp8l import MAX_TILES, prefix_tiles

SIDE = 300  # 75 x 75 tiles
STREAM = codes_for_each_tile(SIDE)[25:]
CROWD = Image.open(IMAGES / "crowd.jpg").resize((320, 240))
PICTURES = {
    "a photo": CROWD,
    "four colors": CROWD.quantize(4).convert("RGB"),
    "black and white": CROWD.convert("1").convert("RGB"),
    "a palette": CROWD.quantize(200).convert("RGB"),
    "noise with alpha": Image.fromarray(noise(64, 4)).resize((100, 100)),
    "one color": Image.new("RGB", (500, 400), (3, 4, 5)),
}


@pytest.mark.parametrize("name", PICTURES)
@pytest.mark.parametrize("method", [0, 4, 6])
@pytest.mark.parametrize("quality", [0, 100])
def test_what_libwebp_writes_is_read_to_the_end_of_the_transforms(name, method, quality, monkeypatch):
    monkeypatch.setattr(vp8l, "MAX_TILES", 0)  # so that small ones are read as well
    webp = read_webp(saved(PICTURES[name], "WEBP", lossless=True, method=method, quality=quality))
    (stream,) = webp.lossless
    assert 1 <= prefix_tiles(bytes(stream), *webp.size) <= 2600  # the most that its encoder makes
    assert decode(webp.still).shape[1::-1] == webp.size


def test_a_stream_that_is_cut_off_before_its_pixels_is_broken(monkeypatch):
    monkeypatch.setattr(vp8l, "MAX_TILES", 0)  # so that a short one is read as well
    stream = bytes(read_webp(saved(CROWD, "WEBP", lossless=True, method=6)).lossless[0])
    assert prefix_tiles(stream, *CROWD.size) == 40 * 30
    ends = [size for size in range(0, 9000, 300) if _is_broken(stream[:size])]
    assert ends == list(range(0, ends[-1] + 1, 300)) and 1000 < ends[-1] < 7000, "some bits for each of 2 x 1,200 tiles"


def _is_broken(stream: bytes) -> bool:
    try:
        return not prefix_tiles(stream, *CROWD.size)
    except ValueError:
        return True


def test_sets_of_codes_for_each_tile_are_refused():
    assert prefix_tiles(STREAM, SIDE, SIDE) == 75 * 75 > MAX_TILES
    with pytest.raises(TooLarge, match="prefix codes"):
        decode(codes_for_each_tile(SIDE))


def test_few_tiles_are_decoded():
    assert (decode(codes_for_each_tile(200)) == 9).all()


def test_a_coded_alpha_is_looked_at_as_well():
    lossy = saved(Image.fromarray(np.zeros((SIDE, SIDE, 4), np.uint8)), "WEBP")
    at = lossy.index(b"ALPH")
    end = at + 8 + struct.unpack_from("<I", lossy, at + 4)[0]
    body = b"\x01" + STREAM + bytes((1 + len(STREAM)) % 2)
    data = lossy[12:at] + b"ALPH" + struct.pack("<I", len(body)) + body + lossy[end + end % 2 :]
    with pytest.raises(TooLarge, match="prefix codes"):
        decode(b"RIFF" + struct.pack("<I", len(data) + 4) + b"WEBP" + data)
