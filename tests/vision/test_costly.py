"""Valid files that would cost far more than their pixels: what bounds them, by counts and never by the clock.

Their CPU and memory, as multiples of an ordinary file's: `python -m benchmarks.reliability costly`.
"""

import struct
import zlib
from io import BytesIO

import numpy as np
import pytest
from helpers import IMAGES
from PIL import Image

from benchmarks.reliability.costly import corpus as files
from benchmarks.reliability.costly.files import chunk, exif, noise, saved
from benchmarks.reliability.costly.jpegs import arithmetic, beginning, repeated, segment
from yololab import decode
from yololab.errors import BadImage, LabError, TooLarge
from yololab.vision import jpeg, png
from yololab.vision.containers import lean_gif, read_webp
from yololab.vision.cost import memory_of

SIDE = 64
CORPUS = files.corpus(SIDE)
REFUSED = {  # name: status and a part of the sentence; all others are decoded
    "JPEG, last scan 5 times more": (400, "repeat"),
    "JPEG, last scan 3,000 times more": (400, "repeat"),
    "JPEG, arithmetic": (400, "arithmetic"),
    "JPEG, 9,000 empty comments": (400, "between its parts"),
    "JPEG, 9,000 Exif segments": (400, "between its parts"),
    "JPEG, 1,400 quantization tables": (400, "tables"),
    "JPEG, 19 MB of quantization tables": (400, "tables"),
    "JPEG, 19 MB of Huffman tables": (400, "tables"),
    "JPEG, 200 kB of fill": (400, "between its parts"),
    "JPEG, zeros in its scan": (413, "more bytes"),
    "JPEG, stuffed bytes in its scan": (413, "more bytes"),
    "JPEG, restarts in its scan": (413, "more bytes"),
    "PNG, 19,000 empty chunks": (400, "chunks"),
    "PNG, chunks of one byte": (400, "chunks"),
    "PNG, 3.5 million empty deflate blocks": (413, "more bytes"),
    "PNG, inflates to 200 MB": (413, "more bytes"),
    "WebP, 2 million empty chunks": (400, "parts"),
    "WebP, 200,000 frames of a pixel": (400, "parts"),
    "GIF, a million comments": (400, "blocks"),
    "GIF, a comment in a million blocks": (400, "blocks"),
    "GIF, 19 MB of comment": (400, "blocks"),
    "GIF, 5 MB between its blocks": (400, "blocks"),
    "GIF, 16 million clear codes": (413, "more bytes"),
    "BMP, 4 million moves": (413, "more bytes"),
    "TIFF, JPEG, 80 scans": (400, "does not decode"),
    "TIFF, deflate, 3.5 million empty blocks": (400, "does not decode"),
    "TIFF, 60,000 entries more": (400, "entries"),
    "TIFF, 2 million strips": (400, "lists more"),
    "TIFF, float": (415, "floating point"),
}


def photo(**options) -> bytes:
    return saved(Image.open(IMAGES / "apple.jpg").resize((96, 64)), "JPEG", **options)


@pytest.mark.parametrize("name", CORPUS)
def test_every_costly_file_is_decoded_or_refused_with_a_sentence(name):
    """The corpus of the benchmark, which says what each of them costs."""
    data = CORPUS[name]()
    if name not in REFUSED:
        assert decode(data).shape == (SIDE, SIDE, 3)
        assert memory_of(data, 416, draw=False) > 0
        return
    status, part = REFUSED[name]
    with pytest.raises(LabError, match=part) as refused:
        decode(data)
    assert refused.value.status == status and str(refused.value).endswith(".")
    assert memory_of(data, 416, draw=False) == 0 or name.startswith(
        ("BMP", "TIFF, JPEG", "TIFF, deflate", "TIFF, float")
    )


def test_as_many_scans_as_allowed_pass_and_one_more_does_not():
    script = jpeg.Script()
    for number in range(jpeg.MAX_SCANS):
        script.add(bytes([1, 1, 0, number + 1, number + 1, 0]))  # a coefficient each
    with pytest.raises(BadImage, match=f"more than {jpeg.MAX_SCANS} scans"):
        script.add(bytes([1, 1, 0, 60, 60, 0]))


@pytest.mark.parametrize("head", [(1, 5, 0x00), (3, 9, 0x01), (1, 63, 0x10)])
def test_a_coefficient_comes_once_with_each_of_its_bits(head):
    script = jpeg.Script()
    script.add(bytes([1, 1, 0, 1, 5, 0x01]))  # all bits but the last
    script.add(bytes([1, 1, 0, 1, 5, 0x10]))  # the last one
    script.add(bytes([1, 2, 0, 1, 5, 0x01]))  # another component
    with pytest.raises(BadImage, match="repeat"):
        script.add(bytes([1, 1, 0, *head]))


def test_fill_bytes_hide_no_scan():
    data = repeated(photo(progressive=True), 1).replace(b"\xff\xda", b"\xff\xff\xff\xda")
    with pytest.raises(BadImage, match="scans"):
        decode(data)


@pytest.mark.parametrize("place", ["inside", "behind"])
def test_bytes_that_only_look_like_scans_cost_no_picture(place):
    """Private data of a camera, and the film that some phones append."""
    data, scans = photo(), b"\xff\xda" * 500
    data = data[:2] + segment(0xEB, scans) + data[2:] if place == "inside" else data + scans
    assert (decode(data) == decode(photo())).all()


def test_much_metadata_is_left_out_and_the_orientation_stays():
    turned = photo(exif=b"Exif\0\0II*\0\x08\0\0\0\1\0\x12\1\3\0\1\0\0\0\6\0\0\0" + bytes(4))
    heavy = turned[:-2].replace(b"\xff\xdb", segment(0xE2, bytes(60_000)) * 4 + b"\xff\xdb", 1) + turned[-2:]
    assert len(jpeg.lean(heavy)) < 10_000 and jpeg.lean(turned) is turned
    assert (decode(heavy) == decode(turned)).all() and decode(turned).shape == (96, 64, 3)


def test_an_exif_block_of_very_many_entries_is_left_out():
    data = beginning(photo(), segment(0xE1, b"Exif\0\0" + exif(5_000)))
    assert len(jpeg.lean(data)) < len(data) - 60_000 and (decode(data) == decode(photo())).all()


def test_arithmetic_coding_is_refused_before_it_is_decoded():
    for data in (photo(), photo(progressive=True)):
        with pytest.raises(BadImage, match="no browser reads"):
            jpeg.lean(arithmetic(data))


def test_an_ordinary_png_is_not_copied_and_a_small_comment_neither():
    data = saved(Image.fromarray(noise(8)), "PNG")
    assert png.lean(data, texts=True) is data
    commented = data[:33] + chunk(b"tEXt", b"a\0b") + data[33:]
    assert png.lean(commented, texts=True) is commented


def test_chunks_of_data_are_joined_where_they_are_many():
    data = CORPUS["PNG, 3,900 empty chunks of data"]()
    lean = png.lean(data, texts=True)
    assert lean.count(b"IDAT") == 1 and len(lean) < len(data) - 40_000
    at = lean.index(b"IDAT")
    (length,) = struct.unpack_from(">I", lean, at - 4)
    assert struct.unpack_from(">I", lean, at + 4 + length)[0] == zlib.crc32(lean[at : at + 4 + length])
    assert (decode(data) == decode(CORPUS["PNG"]())).all()


@pytest.mark.parametrize("lossless", [False, True])
def test_the_first_frame_of_a_webp_is_taken_out_and_laid_on_its_canvas(lossless):
    first = Image.new("RGBA", (SIDE, SIDE), (0, 0, 0, 0))
    first.paste((200, 0, 0, 128), (20, 10, 40, 50))
    second = Image.new("RGBA", (SIDE, SIDE), (0, 99, 0, 255))
    data = saved(first, "WEBP", save_all=True, append_images=[second], lossless=lossless, quality=90)
    found = read_webp(data)
    assert found.canvas == (SIDE, SIDE) and found.size <= found.canvas
    with Image.open(BytesIO(data)) as image:
        white = Image.new("RGBA", image.size, "white")
        expected = np.asarray(Image.alpha_composite(white, image.convert("RGBA")).convert("RGB"))[..., ::-1]
    assert np.abs(decode(data).astype(int) - expected).max() <= (0 if lossless else 2)


def test_a_gif_without_its_comments_has_the_same_pixels():
    data = CORPUS["GIF, 9,900 comments"]()
    assert lean_gif(data) == CORPUS["GIF"]() and (decode(data) == decode(CORPUS["GIF"]())).all()


def test_a_bmp_of_run_lengths_has_the_pixels_that_pillow_reads():
    data = CORPUS["BMP, runs of one pixel"]()
    with Image.open(BytesIO(data)) as image:
        assert (decode(data)[..., ::-1] == np.asarray(image.convert("RGB"))).all()


def test_noise_in_avif_is_too_large():
    with pytest.raises(TooLarge, match="more bytes than its pixels need"):
        decode(saved(Image.fromarray(noise(400, 4)), "AVIF", quality=100, subsampling="4:4:4", speed=9))
