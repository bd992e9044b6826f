"""The first and the last stage: bytes to a BGR array, a BGR array to bytes."""

from importlib import import_module
from io import BytesIO

import cv2
import numpy as np
from PIL import Image

from ..errors import BadImage, LabError, TooLarge
from . import jpeg, pixels, png, tiff
from .containers import check_lossless, first_sample, lean_gif, read_webp
from .formats import PILLOW, ended, filled, lacks_its_end, media_type
from .orientation import ORIENTATION, orientation_of, stored_orientation, upright

__all__ = [
    "ORIENTATION", "decode", "decode_small", "decode_whole", "encode", "give_back_memory", "lean", "media_type",
    "part_for",
]  # fmt: skip

MAX_PIXELS = 64 * 10**6
MAX_SIDE = 65_500  # pixels, libjpeg's limit
JPEG_QUALITY = 90
OVERSAMPLING = 2  # 1 costs mobilenetv2-yolov3-nano 0.009 of its AP50: benchmarks/RESULTS.md
BLOCK = 64 * 2**20  # bytes
BYTES = {"image/avif": 1, "image/heic": 1, "image/bmp": 5}  # of a pixel; ten times what a photo takes
CODED = 65_536  # bytes that a picture may have beside those of its pixels


def decode(data: bytes, max_pixels: int = MAX_PIXELS) -> np.ndarray:
    """The upright picture as BGR uint8, shape (H, W, 3): Exif orientation applied, transparency laid on white.

    Of several frames or pages it is the first. The size is checked from the header, before anything is decoded.
    Raises BadImage, TooLarge (more than `max_pixels` pixels, or a side over MAX_SIDE) or Unsupported.
    """
    return _decode(data, max_pixels, None)[0]


def decode_small(data: bytes, side: int, max_pixels: int = MAX_PIXELS) -> tuple[np.ndarray, tuple[int, int]]:
    """As `decode`, but a JPEG may come at a half, a quarter or an eighth of its size, for a network that sees `side`.

    libjpeg leaves out the frequencies that would not be seen. No side comes with fewer than OVERSAMPLING times `side`
    pixels: what is smaller costs AP50.
    Returns the picture, BGR uint8 (H, W, 3), and width and height of the upright original, pixels.
    """
    return _decode(data, max_pixels, side)


def decode_whole(data: bytes, small: np.ndarray, size: tuple[int, int], max_pixels: int = MAX_PIXELS) -> np.ndarray:
    """The upright picture at its full size, BGR uint8 (H, W, 3), to draw on; decoded again only where it must be.

    small, size: what `decode_small` returned for the same data.
    """
    return small if small.shape[1::-1] == size else decode(data, max_pixels)


def give_back_memory() -> None:
    """Let Pillow take the memory of a large picture in one piece, which goes back to the system when it is freed.

    In pieces of 16 MB, its default, the C library keeps much of it for later.
    """
    import_module("PIL._imaging").set_block_size(BLOCK)


def lean(data: bytes, kind: str, texts: bool = True) -> bytes:
    """A file of this media type without what would cost more than its picture, and no pixel depends on.

    texts: keep those texts of a PNG that the orientation may stand in. Raises BadImage or TooLarge for a file whose
    picture itself would cost far more than an ordinary one of its size.
    """
    if kind == "image/jpeg":
        return jpeg.lean(data)
    if kind == "image/png":
        return png.lean(data, texts)
    if kind == "image/tiff":
        tiff.check(data)
    return lean_gif(data) if kind == "image/gif" else data


def _decode(data: bytes, max_pixels: int, side: int | None) -> tuple[np.ndarray, tuple[int, int]]:
    kind = media_type(data)
    try:
        if kind == "image/webp":
            return _webp(data, max_pixels)
        small = lean(data, kind)
        if kind == "image/png":
            try:
                return _read(small, kind, max_pixels, side)
            except ValueError:  # a text with the orientation in it may be too large as well
                return _read(lean(data, kind, texts=False), kind, max_pixels, side)
        other = filled(small) if kind == "image/jpeg" and lacks_its_end(small) else None
        if other is None:
            return _read(small, kind, max_pixels, side)
        picture, size = _read(ended(small), kind, max_pixels, side)
        again = _read(other, kind, max_pixels, side, strict=False)[0]
        if not all(
            np.array_equal(picture[at : at + pixels.BAND], again[at : at + pixels.BAND])
            for at in range(0, len(again), pixels.BAND)
        ):
            raise ValueError("what is missing has a part in some pixel")
        return picture, size
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise _too_large(max_pixels) from error
    except LabError:
        raise
    except Exception as error:  # Pillow's decoders raise many types on broken bytes, SyntaxError among them
        raise BadImage(
            f"The file starts like {kind} and does not decode: it is damaged or cut off. "
            "Open it in a picture viewer and save it anew."
        ) from error


def _read(
    data: bytes, kind: str, max_pixels: int, side: int | None, strict: bool = True
) -> tuple[np.ndarray, tuple[int, int]]:
    """The upright picture, and width and height of the original; raises whatever Pillow raises.

    strict: leave to Pillow what libjpeg warns of.
    """
    if kind == "image/heic":
        import_module("pillow_heif").register_heif_opener()
    if kind == "image/tiff":
        # Pillow's own way takes the square of the number of strips
        vars(import_module("PIL.TiffImagePlugin"))["READ_LIBTIFF"] = True
    with Image.open(BytesIO(data), formats=[PILLOW[kind]]) as image:
        width, height = image.size
        _check_size(width, height, max_pixels)
        coded = first_sample(data) if kind == "image/avif" and getattr(image, "n_frames", 1) > 1 else len(data)
        _check_bytes(coded, kind, width * height)
        part = part_for(width, height, side) if kind == "image/jpeg" else 1
        picture = pixels.of_jpeg(data, image, part, strict) if kind == "image/jpeg" else None
        if kind == "image/bmp" and data[30] in (1, 2):  # run lengths, which Pillow reads in Python
            picture = pixels.of_still(data, (width, height))
        if picture is None:
            if part > 1:
                image.draft(None, (-(-width // part), -(-height // part)))
            picture = pixels.of_image(image, *(tiff.gray_levels(image) if kind == "image/tiff" else ()))
        orientation = orientation_of(image)  # now: it may stand behind the pixels
        image.close()  # its pixels go before the picture is turned
    picture = upright(picture, orientation)
    if kind != "image/jpeg":
        return picture, picture.shape[1::-1]
    return picture, (height, width) if orientation >= 5 else (width, height)


def _check_size(width: int, height: int, max_pixels: int) -> None:
    if width * height > max_pixels:
        raise _too_large(max_pixels)
    if max(width, height) > MAX_SIDE:
        raise TooLarge(f"The picture has a side of more than {MAX_SIDE} pixels. Make it smaller and send it again.")


def _check_bytes(count: int, kind: str, area: int) -> None:
    """Raise TooLarge for more bytes than the pixels can need, where each of them costs time."""
    if kind in BYTES and count > CODED + BYTES[kind] * area:
        raise TooLarge("The picture has more bytes than its pixels need. Save it anew with a lower quality.")


def part_for(width: int, height: int, side: int | None) -> int:
    """1, 2, 4 or 8: which part of its size a picture may come at for a network that sees `side`."""
    if side is None:
        return 1
    return max(part for part in (1, 2, 4, 8) if part == 1 or min(width, height) // part >= OVERSAMPLING * side)


def _webp(data: bytes, max_pixels: int) -> tuple[np.ndarray, tuple[int, int]]:
    """The first picture of a WebP, upright, and its width and height.

    Pillow reads each WebP as an animation, and keeps five copies of it.
    """
    webp = read_webp(data)
    for sides in (webp.canvas, webp.size):
        _check_size(*sides, max_pixels)
    check_lossless(webp)
    picture = pixels.of_still(webp.still, webp.size)
    if webp.size != webp.canvas:
        whole = np.full((*webp.canvas[::-1], 3), 255, np.uint8)
        left, top = webp.place
        room = whole[top : top + webp.size[1], left : left + webp.size[0]]
        room[:] = picture[: room.shape[0], : room.shape[1]]
        picture = whole
    picture = upright(picture, stored_orientation(webp.exif, webp.xmp))
    return picture, picture.shape[1::-1]


def _too_large(max_pixels: int) -> TooLarge:
    return TooLarge(f"The picture has more than {max_pixels / 1e6:.0f} megapixels. Make it smaller and send it again.")


def encode(picture: np.ndarray, media_type: str = "image/jpeg") -> bytes:
    """A BGR uint8 picture (H, W, 3) as the bytes of an image/jpeg or image/png file.

    Raises TooLarge where a side is longer than JPEG can hold, ValueError for any other media type.
    """
    if media_type == "image/png":
        return cv2.imencode(".png", picture)[1].tobytes()
    if media_type != "image/jpeg":
        raise ValueError(f"media_type is {media_type!r}, not 'image/jpeg' or 'image/png'")
    if max(picture.shape[:2]) > MAX_SIDE:
        raise TooLarge(f"A JPEG's sides have at most {MAX_SIDE} pixels. Ask for image/png, or send less.")
    return cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])[1].tobytes()
