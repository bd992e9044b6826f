"""Which picture format a file has, by its first bytes, and how a JPEG without its end is completed."""

import re
from importlib.util import find_spec

from ..errors import BadImage, Unsupported
from .png import PNG_START

SERVED = "JPEG, PNG, WebP, AVIF, GIF, BMP or TIFF"
PILLOW = {  # media type: the name of Pillow's decoder
    "image/jpeg": "JPEG",
    "image/png": "PNG",
    "image/webp": "WEBP",
    "image/avif": "AVIF",
    "image/gif": "GIF",
    "image/bmp": "BMP",
    "image/tiff": "TIFF",
    "image/heic": "HEIF",
}
TIFF = (b"II*\0", b"MM\0*", b"II+\0")  # + is BigTIFF
BIG_ENDIAN_BIGTIFF = b"MM\0+"  # which Pillow takes for another structure
DIB_SIZES = (12, 40, 52, 56, 64, 108, 124)  # what may follow "BM", which many a text begins with, too
AVIF_BRANDS = {b"avif", b"avis"}
HEIC_BRANDS = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs", b"mif1", b"msf1"}
END = b"\xff\xd9"  # of a JPEG


def media_type(data: bytes) -> str:
    """The media type that the first bytes tell, one of the keys of PILLOW.

    Raises BadImage for no bytes at all, Unsupported for any other format, also for HEIC where pillow-heif is missing.
    """
    if not data:
        raise BadImage(f"The file is empty. Send a {SERVED} picture.")
    for start, kind in ((b"\xff\xd8\xff", "jpeg"), (PNG_START, "png"), (b"GIF87a", "gif"), (b"GIF89a", "gif")):
        if data.startswith(start):
            return f"image/{kind}"
    if data.startswith(b"RIFF") and data[8:12] == b"WEBP":
        return "image/webp"
    if data.startswith(TIFF):
        return "image/tiff"
    if data.startswith(BIG_ENDIAN_BIGTIFF):
        raise Unsupported(
            "The file is a big-endian BigTIFF, which this server cannot read. Save it as an ordinary TIFF."
        )
    if data.startswith(b"BM") and int.from_bytes(data[14:18], "little") in DIB_SIZES:
        return "image/bmp"
    if data[4:8] == b"ftyp":
        return _iso_media_type(data)
    raise Unsupported(
        f"The file is not a {SERVED} picture, by its first bytes. Save it as one of these and send it again."
    )


def _iso_media_type(data: bytes) -> str:
    """AVIF or HEIC, by the brands of an ISO base media file (ISO/IEC 14496-12, 4.3), which videos are, too."""
    size = min(int.from_bytes(data[:4]), 256)
    brands = {data[at : at + 4] for at in (8, *range(16, size, 4))}
    if brands & AVIF_BRANDS:
        return "image/avif"
    if b"crx " in brands:
        raise Unsupported("The file is a camera's raw file (CR3). Export it as JPEG and send that.")
    if not brands & HEIC_BRANDS:
        raise Unsupported(
            "The file is a video or a sound (MP4, MOV, M4A), not a picture. Save a frame of it as JPEG and send that."
        )
    if find_spec("pillow_heif"):
        return "image/heic"
    raise Unsupported(
        "The file is an HEIC photo, which this server cannot read. Save it as JPEG first, "
        "or install the reader where the server runs: pip install pillow-heif"
    )


def lacks_its_end(data: bytes) -> bool:
    """Whether no end mark follows the last scan of a JPEG."""
    return data.rfind(END) < data.rfind(b"\xff\xda")


def ended(data: bytes) -> bytes:
    """A JPEG that has its end mark."""
    return data if data.endswith(END) else data.removesuffix(b"\xff") + END


def filled(data: bytes) -> bytes | None:
    """A JPEG with other bits where `ended` has none: decoded equally only if no pixel was missing.

    A decoder fills what is missing with zeros; these begin with ones. None for a JPEG whose scans are not all there,
    or that has its end mark, so that this is not what is wrong with it.
    """
    if data.endswith(END) or not _scans_complete(data):
        return None
    return data.removesuffix(b"\xff") + b"\xfe\x5a\xa5\x3c" * 1024 + END


def _scans_complete(data: bytes) -> bool:
    """Whether the scans of a progressive JPEG (ITU-T T.81, B.2.3) bring all bits of all coefficients."""
    frame = data.rfind(b"\xff\xc2")
    if frame < 0 or frame + 10 > len(data):
        return b"\xff\xda" in data
    missing: dict[tuple[int, int], int] = {}
    for scan in re.finditer(rb"\xff\xda..[\x01-\x04]", data[frame:], re.DOTALL):
        at, count = frame + scan.end(), data[frame + scan.end() - 1]
        if at + 2 * count + 3 > len(data):
            return False
        first, last, bits = data[at + 2 * count : at + 2 * count + 3]
        for component in data[at : at + 2 * count : 2]:
            missing |= {(component, number): bits & 15 for number in range(first, min(last, 63) + 1)}
    return len(missing) == 64 * data[frame + 9] and not any(missing.values())
