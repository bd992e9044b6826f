"""The memory that a picture will take to decode, from its header alone."""

from io import BytesIO
from math import prod

from PIL import Image

from .containers import read_webp
from .formats import PILLOW, media_type
from .images import lean, part_for


def memory_of(data: bytes, side: int, draw: bool) -> int:
    """Bytes that `images.decode_small` takes for a network of `side` pixels; to draw, also the whole one and a copy.

    0 for bytes without a header, which `decode_small` will refuse.
    """
    try:
        kind = media_type(data)
        if kind == "image/webp":
            webp = read_webp(data)
            width, height = max(webp.canvas, webp.size, key=prod)
            bands = 4
        else:
            data = lean(data, kind)  # before Pillow reads what it refuses
            with Image.open(BytesIO(data), formats=[PILLOW[kind]]) as image:
                (width, height), bands = image.size, len(image.getbands())
    except Exception:  # as in `images.decode`
        return 0
    pixels = width * height
    part = part_for(width, height, side) if kind == "image/jpeg" else 1
    own = {"image/jpeg": 0, "image/webp": 8}.get(kind, 2 * bands)  # what the decoder itself keeps of each pixel
    return pixels * (3 + own) // part**2 + (6 * pixels if draw else 0)
