"""What a picture will take to decode, from its header alone."""

from io import BytesIO
from math import prod
from typing import NamedTuple

from PIL import Image

from .containers import read_webp
from .formats import END, PILLOW, media_type
from .images import lean, part_for
from .jpeg import scans

QUICK, QUICK_TO_DRAW = 16 * 10**6, 10**6  # pixels; with one core each is some 20 ms
SMALL = 500_000  # pixels, whose scans need no counting


class Cost(NamedTuple):
    """What one picture takes. memory: bytes. quick: whether it is done within about 20 ms on one core."""

    memory: int
    quick: bool


def cost(data: bytes, side: int, draw: bool) -> Cost:
    """What `images.decode_small` for a network that sees `side` takes; to draw, also the whole picture and a copy.

    Nothing for bytes without a header, which `decode_small` will refuse.
    """
    try:
        kind = media_type(data)
        if kind == "image/webp":
            webp = read_webp(data)
            width, height = max(webp.canvas, webp.size, key=prod)
            bands, mode = 4, "RGBA"
        else:
            data = lean(data, kind)  # before Pillow reads what it refuses
            with Image.open(BytesIO(data), formats=[PILLOW[kind]]) as image:
                (width, height), bands, mode = image.size, len(image.getbands()), image.mode
    except Exception:  # as in `images.decode`
        return Cost(0, False)
    pixels = width * height
    part = part_for(width, height, side) if kind == "image/jpeg" else 1
    own = {"image/jpeg": 0, "image/webp": 8}.get(kind, 2 * bands)  # what the decoder itself keeps of each pixel
    memory = pixels * (3 + own) // part**2 + (6 * pixels if draw else 0)
    return Cost(memory, kind == "image/jpeg" and mode in ("RGB", "L") and _is_quick(data, pixels, draw))


def _is_quick(data: bytes, pixels: int, draw: bool) -> bool:
    """Whether a JPEG is whole, and small for the passes that it takes: each scan goes over all pixels."""
    most = QUICK_TO_DRAW if draw else QUICK
    return data.endswith(END) and pixels <= most and (pixels <= SMALL or pixels * scans(data, most // pixels) <= most)
