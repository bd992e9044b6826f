"""Formats by their first bytes, one orientation for every decoder, and files that only look damaged."""

import struct
import zlib
from io import BytesIO

import numpy as np
import pytest
from helpers import SHARED
from PIL import Image, ImageOps, PngImagePlugin, features

from yololab import decode
from yololab.errors import BadImage, TooLarge, Unsupported
from yololab.vision import formats
from yololab.vision.images import MAX_SIDE, ORIENTATION, decode_small, decode_whole, media_type


def saved(image: Image.Image, kind: str, **options) -> bytes:
    out = BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


@pytest.fixture
def image(picture) -> Image.Image:
    return Image.fromarray(picture[..., ::-1].copy())


def case(name: str) -> bytes:
    path = SHARED / "cases" / name
    if not path.is_file():
        pytest.skip("needs ../shared/cases")
    return path.read_bytes()


@pytest.mark.parametrize("kind", ["GIF", "BMP", "TIFF"])
def test_further_formats_come_back_exactly(image, kind):
    image = image.quantize(64).convert("RGB")
    data = saved(image, kind)
    assert media_type(data) == f"image/{kind.lower()}"
    assert (decode(data)[..., ::-1] == np.asarray(image)).all()


@pytest.mark.skipif(not features.check("avif"), reason="this Pillow has no AVIF")
def test_avif_is_served(picture, image):
    got = decode(saved(image, "AVIF", quality=95))
    assert got.shape == picture.shape and np.abs(got.astype(int) - picture).mean() < 3


@pytest.mark.parametrize("kind", ["GIF", "TIFF", "PNG", "WEBP"])
def test_of_several_frames_the_first_counts(image, kind):
    image = image.quantize(64).convert("RGB")
    options = {"lossless": True} if kind == "WEBP" else {}
    data = saved(image, kind, save_all=True, append_images=[ImageOps.invert(image)], **options)
    assert (decode(data)[..., ::-1] == np.asarray(image)).all()


def test_the_colors_of_a_transparent_gif_lie_on_white():
    image = Image.new("RGBA", (8, 8), (200, 0, 0, 0))
    image.paste((0, 0, 200, 255), (0, 0, 4, 8))
    got = decode(saved(image, "GIF"))
    assert (got[:, 4:] == 255).all() and (got[:, :4] < 255).any()


@pytest.mark.parametrize("data", [b"hello", b"%PDF-1.7", b"<svg/>", b"BM, said the text.", b"RIFF\0\0\0\0WAVEfmt "])
def test_other_formats_are_unsupported(data):
    with pytest.raises(Unsupported, match="not a JPEG, PNG, WebP, AVIF, GIF, BMP or TIFF picture"):
        decode(data)


@pytest.mark.parametrize("brand", [b"isom", b"mp42", b"qt  ", b"M4V ", b"M4A "])
def test_a_video_is_told_to_be_one(brand):
    with pytest.raises(Unsupported, match="video"):
        decode(b"\0\0\0\x18ftyp" + brand + b"\0\0\2\0isommp41" + bytes(50))


def test_a_raw_file_of_a_camera_is_told_to_be_one():
    with pytest.raises(Unsupported, match="raw file"):
        decode(b"\0\0\0\x18ftypcrx \0\0\0\1crx isom" + bytes(50))


def test_a_jpeg_of_12_bits_is_told_to_be_one(image):
    data = saved(image, "JPEG")
    frame = data.index(b"\xff\xc0")
    with pytest.raises(Unsupported, match="12 bits"):
        decode(data[: frame + 4] + b"\x0c" + data[frame + 5 :])


@pytest.mark.skipif(not features.check("avif"), reason="this Pillow has no AVIF")
def test_of_an_animated_avif_the_first_picture_counts(picture):
    frames = [Image.fromarray(np.roll(np.resize(picture, (480, 640, 3)), 40 * step, 1)) for step in range(9)]
    noise = np.random.default_rng(0).normal(0, 9, (9, 480, 640, 3))
    noisy = [
        Image.fromarray(np.clip(frame + each, 0, 255).astype(np.uint8))
        for frame, each in zip(frames, noise, strict=True)
    ]
    first, *others = noisy
    data = saved(first, "AVIF", save_all=True, append_images=others, quality=75, speed=9)
    assert len(data) > 2**16 + 640 * 480 and decode(data).shape == (480, 640, 3)
    heavy = saved(first, "AVIF", save_all=True, append_images=others, quality=100, subsampling="4:4:4", speed=9)
    with pytest.raises(TooLarge, match="more bytes than its pixels need"):
        decode(heavy)


def test_heic_says_what_to_do(monkeypatch):
    monkeypatch.setattr(formats, "find_spec", lambda name: None)
    with pytest.raises(Unsupported, match=r"HEIC.*Save it as JPEG first.*pip install pillow-heif"):
        decode(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic")


def test_heic_is_served_where_its_reader_is_installed(picture, image):
    heif = pytest.importorskip("pillow_heif", reason="needs the extra [heic]")
    out = BytesIO()
    heif.from_pillow(image).save(out, quality=90)
    got = decode(out.getvalue())
    assert got.shape == picture.shape and np.abs(got.astype(int) - picture).mean() < 4


def exif(kind: int, value: bytes, big: bool) -> bytes:
    """An Exif block that holds only an orientation, as this TIFF type (1 BYTE, 3 SHORT, 4 LONG)."""
    order = ">" if big else "<"
    start = (b"MM\0*" if big else b"II*\0") + struct.pack(f"{order}IHHHI", 8, 1, ORIENTATION, kind, 1)
    return b"Exif\0\0" + start + value.ljust(4, b"\0") + bytes(4)


FORMS = {
    "BYTE": lambda turn: {"exif": exif(1, bytes([turn]), True)},
    "SHORT": lambda turn: {"exif": exif(3, struct.pack("<H", turn), False)},
    "LONG, big-endian": lambda turn: {"exif": exif(4, struct.pack(">I", turn), True)},
    "XMP": lambda turn: {"xmp": f'<x tiff:Orientation="{turn}"/>'.encode()},
    "XMP, other quotes": lambda turn: {"xmp": f"<x tiff:Orientation = '{turn}'/>".encode()},
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("orientation", [3, 6])
@pytest.mark.parametrize("size", [(1800, 1700), (1700, 1700)])
def test_boxes_and_drawing_see_one_orientation(picture, form, orientation, size):
    """Large enough to be decoded small for the network and whole for the drawing; square, where sizes tell nothing."""
    image = Image.fromarray(picture[..., ::-1].copy()).resize(size)
    plain = decode(saved(image, "JPEG"))
    data = saved(image, "JPEG", **FORMS[form](orientation))
    expected = np.rot90(plain, 2 if orientation == 3 else -1)
    small, original = decode_small(data, 416)
    assert small.shape[1] < original[0] and original == expected.shape[1::-1]
    assert (decode(data) == expected).all() and (decode_whole(data, small, original) == expected).all()
    assert (
        np.abs(small - np.rot90(decode_small(saved(image, "JPEG"), 416)[0], 2 if orientation == 3 else -1)).max() == 0
    )


@pytest.mark.parametrize("spare", [0, 100_000])
@pytest.mark.parametrize("kind", [b"eXIf", b"iTXt"])
def test_the_orientation_behind_the_pixels_of_a_png_counts(image, kind, spare):
    """Where ImageMagick 6 writes it. spare: bytes of other metadata, of which much is left out before decoding."""
    body = (
        exif(3, struct.pack("<H", 6), False)[6:]
        if kind == b"eXIf"
        else b'XML:com.adobe.xmp\0\0\0\0\0<x tiff:Orientation="6"/>'
    )
    data, chunks = saved(image, "PNG"), [(b"tEXt", b"a\0" + b"x" * spare)] * bool(spare) + [(kind, body)]
    late = b"".join(
        struct.pack(">I", len(text)) + name + text + struct.pack(">I", zlib.crc32(name + text)) for name, text in chunks
    )
    got = decode(data[:-12] + late + data[-12:])
    assert (got[..., ::-1] == np.asarray(image.transpose(Image.Transpose.ROTATE_270))).all()


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_tiff_is_turned_once(image, orientation):
    tags = {ORIENTATION: orientation}
    data = saved(image, "TIFF", tiffinfo=tags)
    upright = saved(image, "PNG", exif=exif(3, struct.pack("<H", orientation), False))
    assert (decode(data) == decode(upright)).all()


def test_the_large_jpeg_that_two_decoders_read_differently():
    data = case("exif_long_be_180.jpg")
    whole = decode(data)
    assert (decode_whole(data, *decode_small(data, 416)) == whole).all()
    with Image.open(BytesIO(data)) as image:
        assert (whole[::-1, ::-1, ::-1] == np.asarray(image.convert("RGB"))).all()


@pytest.mark.parametrize("progressive", [False, True])
@pytest.mark.parametrize("missing", [1, 2])
def test_a_jpeg_without_its_end_mark_has_every_pixel(image, progressive, missing):
    data = saved(image, "JPEG", progressive=progressive)
    got = decode(data[:-missing])
    assert (got == decode(data)).all()


@pytest.mark.parametrize("progressive", [False, True])
def test_a_jpeg_that_lacks_more_is_refused(image, progressive):
    data = saved(image.resize((64, 48)), "JPEG", progressive=progressive)
    for missing in range(3, len(data) - 3):
        with pytest.raises(BadImage, match="cut off"):
            decode(data[:-missing])


def test_the_cases_that_were_taken_for_damaged():
    assert decode(case("no_eoi.jpg")).shape == (240, 320, 3)
    assert decode(case("icc_1mb.png")).shape == (72, 96, 3)
    assert decode(case("frame.gif")).shape == (240, 320, 3)
    if features.check("avif"):
        assert decode(case("photo.avif")).shape == (240, 320, 3)


@pytest.mark.parametrize("place", ["icc", "zTXt", "iTXt", "tEXt"])
def test_a_png_may_carry_large_profiles_and_texts(picture, image, place):
    """More than 1 MB when decompressed, which Pillow refuses."""
    info, options = PngImagePlugin.PngInfo(), {}
    if place == "icc":
        options["icc_profile"] = bytes(3 * 2**20)
    elif place == "iTXt":
        info.add_itxt("comment", "x" * (3 * 2**20), zip=True)
    else:
        info.add_text("comment", "x" * (3 * 2**20), zip=place == "zTXt")
    data = saved(image, "PNG", pnginfo=info, **options)
    assert (decode(data) == picture).all()


@pytest.mark.parametrize("large", [False, True])
def test_a_png_may_have_its_orientation_in_xmp(picture, image, large):
    info = PngImagePlugin.PngInfo()
    info.add_itxt("XML:com.adobe.xmp", '<x tiff:Orientation="3"/>' + " " * (2**21 if large else 9), zip=large)
    got = decode(saved(image, "PNG", pnginfo=info))
    assert (got == (picture if large else picture[::-1, ::-1])).all()  # a text over 1 MB is not read


def webp_canvas(width: int, height: int) -> bytes:
    """An animation that says it is that large and holds one frame of 2 x 2 pixels."""
    three = lambda number: number.to_bytes(3, "little")  # noqa: E731
    chunk = lambda kind, data: kind + struct.pack("<I", len(data)) + data  # noqa: E731
    frame = (
        three(0) + three(0) + three(1) + three(1) + three(100) + b"\0" + saved(Image.new("RGB", (2, 2)), "WEBP")[12:]
    )
    body = chunk(b"VP8X", b"\2\0\0\0" + three(width - 1) + three(height - 1))
    body += chunk(b"ANIM", bytes(6)) + chunk(b"ANMF", frame)
    return b"RIFF" + struct.pack("<I", len(body) + 4) + b"WEBP" + body


@pytest.mark.parametrize("size", [(MAX_SIDE + 1, 3), (3, MAX_SIDE + 1), (2**24, 3)])
def test_no_side_may_be_longer_than_a_jpegs(size):
    assert decode(webp_canvas(9, 7)).shape == (7, 9, 3)
    with pytest.raises(TooLarge, match="side of more than 65500 pixels"):
        decode(webp_canvas(*size))


def test_bombs_of_the_further_formats_are_refused_by_their_headers():
    gif = bytearray(saved(Image.new("L", (2, 2)), "GIF"))
    gif[6:10] = struct.pack("<HH", 60000, 60000)
    bmp = bytearray(saved(Image.new("RGB", (2, 2)), "BMP"))
    bmp[18:26] = struct.pack("<ii", 9000, 9000)
    for data in (gif, bmp):
        with pytest.raises(TooLarge, match="64 megapixels"):
            decode(bytes(data))


def test_a_broken_chunk_of_a_png_is_no_endless_walk():
    chunk = lambda kind, data: struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))  # noqa: E731
    start = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", 4, 4, 8, 2, 0, 0, 0))
    for rest in (b"\xff\xff\xff\xffiCCP", b"\0\0\0\0iCCP", chunk(b"iCCP", b"x"), b"\xff\xff\xff\xfftEXt" + bytes(99)):
        with pytest.raises(BadImage):
            decode(start + rest)
