"""The first and the last stage: bytes to a BGR array, a BGR array to bytes."""

from io import BytesIO

import cv2
import numpy as np
from PIL import Image

from ..errors import BadImage, TooLarge, Unsupported

MAX_PIXELS = 64 * 10**6
JPEG_QUALITY = 90
JPEG_MAX_SIDE = 65_500  # libjpeg's limit
OVERSAMPLING = 2  # 1 costs mobilenetv2-yolov3-nano 0.009 of its AP50: benchmarks/RESULTS.md
ORIENTATION = 0x0112  # the Exif tag
UPRIGHT = {  # Exif 2.32, 4.6.4: how to undo each orientation
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def media_type(data: bytes) -> str:
    """The media type that the first bytes tell: image/jpeg, image/png or image/webp.

    Raises BadImage for no bytes at all, Unsupported for any other format.
    """
    if not data:
        raise BadImage("The file is empty. Send a JPEG, PNG or WebP picture.")
    if data.startswith(b"\xff\xd8\xff"):
        return "image/jpeg"
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return "image/png"
    if data.startswith(b"RIFF") and data[8:12] == b"WEBP":
        return "image/webp"
    fix = "Save an HEIC photo as JPEG first." if data[4:8] == b"ftyp" else "Save it as one of these and send it again."
    raise Unsupported(f"The file is not a JPEG, PNG or WebP picture, by its first bytes. {fix}")


def decode(data: bytes, max_pixels: int = MAX_PIXELS) -> np.ndarray:
    """The upright picture as BGR uint8, shape (H, W, 3): Exif orientation applied, transparency laid on white.

    The size is checked from the header, before anything is decoded.
    Raises BadImage, TooLarge (more than `max_pixels` pixels) or Unsupported.
    """
    return _decode(data, max_pixels, None)[0]


def decode_small(data: bytes, side: int, max_pixels: int = MAX_PIXELS) -> tuple[np.ndarray, tuple[int, int]]:
    """As `decode`, but a JPEG may come at a half, a quarter or an eighth of its size, for a network that sees `side`.

    libjpeg leaves out the frequencies that would not be seen. No side comes with fewer than OVERSAMPLING times `side`
    pixels: what is smaller costs AP50.
    Returns the picture, BGR uint8 (H, W, 3), and width and height of the upright original, pixels.
    """
    return _decode(data, max_pixels, side)


def decode_again(data: bytes, size: tuple[int, int], max_pixels: int = MAX_PIXELS) -> np.ndarray:
    """The upright picture, BGR uint8 (H, W, 3), of a JPEG that `decode_small` has read to its end and found this size.

    OpenCV's decoder makes the same pixels in a third of the time for a large photo, and would not say if one was cut
    off; but that has been seen to. A JPEG that it reads otherwise, or not at all, is left to `decode`.
    """
    try:
        picture = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    except cv2.error:  # its own limit on pixels, OPENCV_IO_MAX_IMAGE_PIXELS
        picture = None
    return picture if picture is not None and picture.shape[1::-1] == size else decode(data, max_pixels)


def _decode(data: bytes, max_pixels: int, side: int | None) -> tuple[np.ndarray, tuple[int, int]]:
    kind = media_type(data)
    try:
        with Image.open(BytesIO(data), formats=[kind.removeprefix("image/")]) as image:
            width, height = image.size
            if width * height > max_pixels:
                raise _too_large(max_pixels)
            orientation = _orientation(image)
            if side is not None:
                image.draft(None, (OVERSAMPLING * side, OVERSAMPLING * side))
            return _upright_bgr(image, orientation), (height, width) if orientation >= 5 else (width, height)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise _too_large(max_pixels) from error
    except TooLarge:
        raise
    except Exception as error:  # Pillow's decoders raise many types on broken bytes, SyntaxError among them
        raise BadImage(
            f"The file starts like {kind} and does not decode: it is damaged or cut off. "
            "Open it in a picture viewer and save it anew."
        ) from error


def _too_large(max_pixels: int) -> TooLarge:
    return TooLarge(f"The picture has more than {max_pixels / 1e6:.0f} megapixels. Make it smaller and send it again.")


def _upright_bgr(image: Image.Image, orientation: int) -> np.ndarray:
    turn = UPRIGHT.get(orientation)
    if image.mode.startswith("I"):  # 16-bit grey, which Pillow would clip, not scale
        image = Image.fromarray((np.asarray(image, np.uint32) >> 8).astype(np.uint8))
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    if image.mode != "RGB":
        image = image.convert("RGB")
    if turn is not None:
        image = image.transpose(turn)
    return cv2.cvtColor(np.asarray(image), cv2.COLOR_RGB2BGR)


def _orientation(image: Image.Image) -> int:
    """The Exif orientation, 1 to 8; 1 where it is missing or broken, which is no reason to refuse a picture."""
    try:
        orientation = image.getexif().get(ORIENTATION, 1)
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
    if max(picture.shape[:2]) > JPEG_MAX_SIDE:
        raise TooLarge(f"A JPEG's sides have at most {JPEG_MAX_SIDE} pixels. Ask for image/png, or send less.")
    return cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])[1].tobytes()
