"""Pixels of one picture as they are stored, not turned: BGR uint8, shape (H, W, 3), transparency laid on white."""

import cv2
import numpy as np
import simplejpeg
from PIL import Image

__all__ = ["BAND", "of_image", "of_jpeg", "of_still"]

BAND = 64  # rows that are converted at a time, so that no whole picture is kept in each form


def of_jpeg(data: bytes, image: Image.Image, part: int, strict: bool) -> np.ndarray | None:
    """Those of a JPEG that Pillow has opened, in one step, at 1/`part` of its size; None for what Pillow must read.

    simplejpeg gives the same pixels as Pillow for three fifths of the CPU. What it complains of, a file that is cut
    off among it, and CMYK are left to Pillow. strict: leave to it what libjpeg warns of, too.
    """
    if image.mode not in ("RGB", "L"):
        return None
    least = {"min_width": -(-image.width // part), "min_height": -(-image.height // part)} if part > 1 else {}
    try:
        return np.asarray(simplejpeg.decode_jpeg(data, "BGR", strict=strict, **least))
    except ValueError:
        return None


def of_still(data: bytes, size: tuple[int, int]) -> np.ndarray:
    """Those of a still file, by OpenCV; ValueError where it reads none of `size` (width, height)."""
    found = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED | cv2.IMREAD_IGNORE_ORIENTATION)
    if found is None or found.shape[1::-1] != size:
        raise ValueError("nothing that OpenCV reads")
    if found.ndim == 2:
        return np.asarray(cv2.cvtColor(found, cv2.COLOR_GRAY2BGR))
    if found.shape[2] == 3:
        return np.asarray(found)
    picture = np.empty((*found.shape[:2], 3), np.uint8)
    for top in range(0, len(found), BAND):
        part = _rgb(Image.fromarray(cv2.cvtColor(found[top : top + BAND], cv2.COLOR_BGRA2RGBA)))
        cv2.cvtColor(np.asarray(part), cv2.COLOR_RGB2BGR, dst=picture[top : top + BAND])
    return picture


def of_image(image: Image.Image, bits: int = 16, inverted: bool = False) -> np.ndarray:
    """Those of what Pillow has opened, of any mode.

    bits, inverted: of gray with more than 8 bits, how many a sample has, and whether 0 is white.
    """
    image.load()
    picture = np.empty((image.height, image.width, 3), np.uint8)
    for top in range(0, image.height, BAND):
        bottom = min(top + BAND, image.height)
        part = image.crop((0, top, image.width, bottom))
        if part.mode.startswith("I"):  # more bits than 8, which Pillow would clip, not scale
            levels = (np.asarray(part, np.uint32) >> bits - 8).astype(np.uint8)
            part = Image.fromarray(255 - levels if inverted else levels)
        part = _rgb(part)
        cv2.cvtColor(np.asarray(part), cv2.COLOR_RGB2BGR, dst=picture[top:bottom])
    return picture


def _rgb(image: Image.Image) -> Image.Image:
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return image if image.mode == "RGB" else image.convert("RGB")
