"""The first and the last stage: bytes to a BGR array, a BGR array to bytes."""

import re
from collections.abc import Callable
from importlib import import_module
from io import BytesIO
from typing import Any

import cv2
import numpy as np
import simplejpeg
from PIL import Image

from ..errors import BadImage, LabError, TooLarge
from .formats import PILLOW, ended, filled, media_type, without_texts
from .jpeg import check_markers

__all__ = ["decode", "decode_small", "decode_whole", "encode", "give_back_memory", "media_type", "part_for"]

MAX_PIXELS = 64 * 10**6
MAX_SIDE = 65_500  # pixels, libjpeg's limit
JPEG_QUALITY = 90
OVERSAMPLING = 2  # 1 costs mobilenetv2-yolov3-nano 0.009 of its AP50: benchmarks/RESULTS.md
BLOCK = 64 * 2**20  # bytes
BAND = 256  # rows that are converted at a time
ORIENTATION = 0x0112  # the Exif tag
XMP_ORIENTATION = re.compile(rb"""tiff:Orientation(?:\s*=\s*["']|>)\s*([1-8])""")
UPRIGHT: dict[int, Callable[[Any], Any]] = {  # Exif 2.32, 4.6.4: how to undo each orientation
    2: lambda picture: cv2.flip(picture, 1),
    3: lambda picture: cv2.rotate(picture, cv2.ROTATE_180),
    4: lambda picture: cv2.flip(picture, 0),
    5: cv2.transpose,
    6: lambda picture: cv2.rotate(picture, cv2.ROTATE_90_CLOCKWISE),
    7: lambda picture: cv2.rotate(cv2.transpose(picture), cv2.ROTATE_180),
    8: lambda picture: cv2.rotate(picture, cv2.ROTATE_90_COUNTERCLOCKWISE),
}


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


def _decode(data: bytes, max_pixels: int, side: int | None) -> tuple[np.ndarray, tuple[int, int]]:
    kind = media_type(data)
    if kind == "image/jpeg":
        check_markers(data)
    try:
        if kind == "image/png":
            try:
                return _read(without_texts(data, orientation=True), kind, max_pixels, side)
            except ValueError:  # a text with the orientation in it may be too large as well
                return _read(without_texts(data, orientation=False), kind, max_pixels, side)
        try:
            return _read(data, kind, max_pixels, side)
        except OSError:
            other = filled(data) if kind == "image/jpeg" else None
            if other is None:
                raise
            picture, size = _read(ended(data), kind, max_pixels, side)
            if not np.array_equal(picture, _read(other, kind, max_pixels, side)[0]):
                raise  # what was missing had a part in some pixel
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


def _read(data: bytes, kind: str, max_pixels: int, side: int | None) -> tuple[np.ndarray, tuple[int, int]]:
    """The upright picture, and width and height of the original; raises whatever Pillow raises."""
    if kind == "image/heic":
        import_module("pillow_heif").register_heif_opener()
    with Image.open(BytesIO(data), formats=[PILLOW[kind]]) as image:
        width, height = image.size
        if width * height > max_pixels:
            raise _too_large(max_pixels)
        if max(width, height) > MAX_SIDE:
            raise TooLarge(f"The picture has a side of more than {MAX_SIDE} pixels. Make it smaller and send it again.")
        orientation = _orientation(image)
        part = part_for(width, height, side) if kind == "image/jpeg" else 1
        picture = _jpeg(data, image, part)
        if picture is None and kind == "image/webp":
            picture = _webp(data, image)
        if picture is None:
            if part > 1:
                image.draft(None, (-(-width // part), -(-height // part)))
            picture = _bgr(image)
        picture = _turned(picture, orientation)
        if kind != "image/jpeg":
            return picture, picture.shape[1::-1]
        return picture, (height, width) if orientation >= 5 else (width, height)


def part_for(width: int, height: int, side: int | None) -> int:
    """1, 2, 4 or 8: which part of its size a picture may come at for a network that sees `side`."""
    if side is None:
        return 1
    return max(part for part in (1, 2, 4, 8) if part == 1 or min(width, height) // part >= OVERSAMPLING * side)


def _jpeg(data: bytes, image: Image.Image, part: int) -> np.ndarray | None:
    """The pixels of a JPEG as they are stored, BGR, in one step; None for what Pillow must read.

    simplejpeg gives the same pixels as Pillow for three fifths of the CPU. What it complains of, a file that is cut
    off among it, and CMYK are left to Pillow.
    """
    if image.format != "JPEG" or image.mode not in ("RGB", "L"):
        return None
    least = {"min_width": -(-image.width // part), "min_height": -(-image.height // part)} if part > 1 else {}
    try:
        return np.asarray(simplejpeg.decode_jpeg(data, "BGR", strict=True, **least))
    except ValueError:
        return None


def _webp(data: bytes, image: Image.Image) -> np.ndarray | None:
    """The pixels of a still WebP, BGR; None for what Pillow must read.

    Pillow reads each WebP as an animation, and keeps five copies of it.
    """
    if getattr(image, "is_animated", False):
        return None
    found = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED | cv2.IMREAD_IGNORE_ORIENTATION)
    if found is None or found.shape[1::-1] != image.size or found.ndim != 3:
        return None
    if found.shape[2] == 3:
        return found
    picture = np.empty((*found.shape[:2], 3), np.uint8)
    for top in range(0, len(found), BAND):
        part = _rgb(Image.fromarray(cv2.cvtColor(found[top : top + BAND], cv2.COLOR_BGRA2RGBA)))
        cv2.cvtColor(np.asarray(part), cv2.COLOR_RGB2BGR, dst=picture[top : top + BAND])
    return picture


def _too_large(max_pixels: int) -> TooLarge:
    return TooLarge(f"The picture has more than {max_pixels / 1e6:.0f} megapixels. Make it smaller and send it again.")


def _bgr(image: Image.Image) -> np.ndarray:
    """The pixels as they are stored, not turned; in bands, so that no whole picture is kept in each form."""
    image.load()
    picture = np.empty((image.height, image.width, 3), np.uint8)
    for top in range(0, image.height, BAND):
        bottom = min(top + BAND, image.height)
        part = _rgb(image.crop((0, top, image.width, bottom)))
        cv2.cvtColor(np.asarray(part), cv2.COLOR_RGB2BGR, dst=picture[top:bottom])
    return picture


def _rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I"):  # 16-bit gray, which Pillow would clip, not scale
        image = Image.fromarray((np.asarray(image, np.uint32) >> 8).astype(np.uint8))
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return image if image.mode == "RGB" else image.convert("RGB")


def _turned(picture: np.ndarray, orientation: int) -> np.ndarray:
    upright: np.ndarray = UPRIGHT[orientation](picture) if orientation in UPRIGHT else picture
    return upright


def _orientation(image: Image.Image) -> int:
    """The orientation that is left to be undone, 1 to 8; 1 where it is missing or broken, which costs no picture.

    It may stand in Exif as SHORT, LONG or BYTE, else in XMP.
    """
    try:
        orientation = image.getexif().get(ORIENTATION)
        if image.format == "TIFF" and isinstance(orientation, int):
            return 1  # Pillow itself turns these
        if isinstance(orientation, (bytes, tuple)):
            orientation = orientation[0]
        if orientation is None:
            xmp = image.info.get("xmp") or image.info.get("XML:com.adobe.xmp") or b""
            found = XMP_ORIENTATION.search(xmp.encode() if isinstance(xmp, str) else xmp)
            orientation = int(found[1]) if found else 1
        return orientation if orientation in UPRIGHT else 1
    except Exception:
        return 1


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
