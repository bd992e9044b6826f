from io import BytesIO

import cv2
import numpy as np
import pytest
from helpers import png_header
from PIL import Image

from yololab import decode, encode
from yololab.errors import BadImage, TooLarge
from yololab.vision import pixels
from yololab.vision.images import ORIENTATION, decode_small, decode_whole, media_type


def saved(image: Image.Image, kind: str, **options) -> bytes:
    out = BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def rgb(picture: np.ndarray) -> Image.Image:
    return Image.fromarray(cv2.cvtColor(picture, cv2.COLOR_BGR2RGB))


@pytest.mark.parametrize("kind", ["PNG", "WEBP"])
def test_lossless_formats_come_back_exactly(picture, kind):
    assert (decode(saved(rgb(picture), kind, lossless=True)) == picture).all()


def test_a_jpeg_is_decoded_as_opencv_does(picture):
    data = saved(rgb(picture), "JPEG")
    assert (decode(data) == cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)).all()


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_every_exif_orientation_comes_out_upright(picture, orientation, kind):
    seen = picture[::4, ::4]
    back = {  # how a camera would have stored the upright picture
        1: lambda a: a,
        2: lambda a: a[:, ::-1],
        3: lambda a: a[::-1, ::-1],
        4: lambda a: a[::-1],
        5: lambda a: a.transpose(1, 0, 2),
        6: lambda a: np.rot90(a),
        7: lambda a: a[::-1, ::-1].transpose(1, 0, 2),
        8: lambda a: np.rot90(a, -1),
    }
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    stored = np.ascontiguousarray(back[orientation](seen))
    options = {"quality": 100, "subsampling": 0} if kind == "JPEG" else {"lossless": True}
    got = decode(saved(rgb(stored), kind, exif=exif, **options))
    assert got.shape == seen.shape
    assert np.abs(got.astype(int) - seen).max() <= (6 if kind == "JPEG" else 0)


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_transparency_is_laid_on_white(mode):
    image = Image.new("RGBA", (8, 8), (200, 0, 0, 0))
    image.paste((0, 0, 200, 255), (0, 0, 4, 8))
    got = decode(saved(image.convert(mode), "PNG"))
    assert (got[:, 4:] == 255).all()
    assert (got[:, :4] < 255).any()


def test_grey_16_bit_is_scaled_not_clipped():
    ramp = np.linspace(0, 65535, 64).astype(np.uint16).reshape(8, 8)
    assert (decode(saved(Image.fromarray(ramp), "PNG"))[..., 0] == ramp >> 8).all()


@pytest.mark.parametrize("mode", ["L", "1", "CMYK"])
def test_other_modes_become_bgr(mode):
    got = decode(saved(Image.new("RGB", (9, 7), "white").convert(mode), "JPEG" if mode == "CMYK" else "PNG"))
    assert got.shape == (7, 9, 3) and got.dtype == np.uint8 and (got > 250).all()


@pytest.mark.filterwarnings("ignore:Corrupt EXIF")
def test_broken_exif_does_not_cost_the_picture(picture):
    data = saved(rgb(picture), "JPEG", exif=b"Exif\0\0II*\0\xff\xff\xff\xff garbage")
    assert decode(data).shape == picture.shape


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("part", [0.3, 0.6, 0.9])
def test_a_cut_off_file_is_bad_not_half_a_picture(picture, kind, part):
    data = saved(rgb(picture), kind)
    with pytest.raises(BadImage, match="damaged or cut off"):
        decode(data[: int(len(data) * part)])


@pytest.mark.parametrize(
    "data", [b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"RIFF\0\0\0\0WEBP", b"\xff\xd8\xff" + b"x" * 999]
)
def test_only_first_bytes_is_bad(data):
    with pytest.raises(BadImage):
        decode(data)


@pytest.mark.parametrize(
    ("size", "side", "expected"),
    [
        ((640, 480), 208, (640, 480)),
        ((832, 900), 208, (416, 450)),
        ((831, 900), 208, (831, 900)),
        ((4000, 3000), 416, (2000, 1500)),
        ((4000, 3000), 208, (1000, 750)),
        ((4000, 3328), 208, (500, 416)),
        ((3000, 400), 160, (3000, 400)),
    ],
)
def test_a_large_jpeg_is_decoded_small_but_never_under_twice_the_side(size, side, expected):
    image = Image.effect_noise((size[0] // 20, size[1] // 20), 60).resize(size).convert("RGB")
    data = saved(image, "JPEG")
    small, original = decode_small(data, side)
    assert original == size and small.shape[1::-1] == expected
    wanted = cv2.resize(decode(data), expected, interpolation=cv2.INTER_AREA)
    assert np.abs(small.astype(int) - wanted).mean() < 2


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
def test_the_whole_picture_is_the_one_that_decode_makes(picture, orientation, mode):
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    data = saved(rgb(picture).convert(mode), "JPEG", exif=exif)
    assert (decode_whole(data, *decode_small(data, 32)) == decode(data)).all()


@pytest.mark.parametrize("side", [None, 120, 60, 20])
@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"subsampling": 0}, {"quality": 30}], ids=str)
@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_a_jpeg_has_the_pixels_that_pillow_makes(picture, mode, options, side, monkeypatch):
    data = saved(rgb(picture).convert(mode), "JPEG", **options)
    found = decode(data) if side is None else decode_small(data, side)[0]
    monkeypatch.setattr(pixels, "of_jpeg", lambda *arguments: None)
    assert (found == (decode(data) if side is None else decode_small(data, side)[0])).all()


def test_what_the_fast_decoder_refuses_is_left_to_pillow(picture, monkeypatch):
    data = saved(rgb(picture), "JPEG")
    expected = decode(data)

    def refuse(*_, **__):
        raise ValueError("Corrupt JPEG data: premature end of data segment")

    monkeypatch.setattr(pixels.simplejpeg, "decode_jpeg", refuse)
    assert (decode(data) == expected).all()


def test_a_side_that_does_not_divide_is_rounded_up():
    small, original = decode_small(saved(Image.new("RGB", (4001, 3333), "teal"), "JPEG"), 208)
    assert original == (4001, 3333) and small.shape == (417, 501, 3)


@pytest.mark.parametrize("kind", ["PNG", "WEBP"])
def test_other_formats_are_decoded_whole(picture, kind):
    data = saved(rgb(picture), kind, lossless=True)
    small, original = decode_small(data, 32)
    assert (small == picture).all() and original == (320, 240)


def test_small_and_turned_and_cut_off(picture):
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    data = saved(rgb(picture), "JPEG", exif=exif)
    small, original = decode_small(data, 30)
    assert original == (240, 320) and small.shape == (80, 60, 3)
    wanted = cv2.resize(decode(data), (60, 80), interpolation=cv2.INTER_AREA)
    assert np.abs(small.astype(int) - wanted).mean() < 4
    with pytest.raises(BadImage, match="cut off"):
        decode_small(data[: len(data) * 2 // 3], 30)


def test_an_empty_file_is_bad():
    with pytest.raises(BadImage, match="empty"):
        decode(b"")


@pytest.mark.parametrize("side", [8001, 12000, 60000, 2**31 - 1])
def test_a_picture_bomb_is_refused_by_its_header(side):
    with pytest.raises(TooLarge, match="64 megapixels"):
        decode(png_header(side, side))


def test_the_pixel_limit_is_a_parameter(picture):
    data = encode(picture, "image/png")
    assert decode(data, max_pixels=240 * 320).shape == picture.shape
    with pytest.raises(TooLarge):
        decode(data, max_pixels=240 * 320 - 1)


@pytest.mark.parametrize("kind", ["image/jpeg", "image/png"])
def test_encode_makes_what_it_says(picture, kind):
    data = encode(picture, kind)
    assert media_type(data) == kind
    assert np.abs(decode(data).astype(int) - picture).mean() < 2


def test_encode_refuses_what_it_cannot_do(picture):
    with pytest.raises(ValueError, match="image/gif"):
        encode(picture, "image/gif")
    with pytest.raises(TooLarge, match="image/png"):
        encode(np.zeros((1, 65_501, 3), np.uint8), "image/jpeg")
