"""Valid files that cost more than others of their size, of every format: made here, none is kept in the repository."""

import struct
import zlib

import cv2
import numpy as np
from PIL import Image

from .files import Make, chunk, exif, noise, photo, png, saved, tiff
from .jpegs import jpegs, repeated
from .lossless import codes_for_each_tile

NO_BLOCK = b"\0\0\0\xff\xff"  # a deflate block of no bytes
STEPS = ((0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1))  # Adam7
XMP, RAW = b"XML:com.adobe.xmp\0\1\0\0\0", b"Raw profile type exif\0\0"


def ordinary(side: int) -> bytes:
    """What the others are compared with: a JPEG of quality 90 of a photo of side x side pixels."""
    return saved(photo(side), "JPEG", quality=90)


def corpus(side: int) -> dict[str, Make]:
    """Name: how to make the file of side x side pixels. None is over 20 MiB where the side is at most 1000."""
    picture, still = photo(side), Image.fromarray(noise(side))
    makes = jpegs(picture, still) | pngs(side, picture) | webps(side, picture)
    return makes | others(side, picture, still)


def pngs(side: int, picture: Image.Image) -> dict[str, Make]:
    """PNG and APNG."""
    plain = saved(picture, "PNG")
    data = plain[plain.index(b"IDAT") + 4 : -16]
    black = zlib.compress(bytes((3 * side + 1) * side))
    bomb, idat = zlib.compress(b" " * 10**6), plain.index(b"IDAT") - 4
    before = lambda more: plain[:33] + more + plain[33:]  # noqa: E731
    frame = struct.pack(">IIIIIHHBB", 9, side, side, 0, 0, 1, 1, 0, 0)
    return {
        "PNG": lambda: plain,
        "PNG, RGBA": lambda: saved(Image.fromarray(noise(side, 4)), "PNG"),
        "PNG, RGBA, 16 bits": lambda: cv2.imencode(".png", noise(side, 4, "uint16"))[1].tobytes(),
        "PNG, RGBA, 16 bits, interlaced": lambda: png(side, 6, 16, _adam7(noise(side, 4, "uint16")), True),
        "PNG, palette with transparency": lambda: saved(picture.quantize(256), "PNG", transparency=bytes(range(256))),
        "PNG, turned": lambda: before(chunk(b"eXIf", b"II*\0\x08\0\0\0\1\0\x12\1\3\0\1\0\0\0\7\0\0\0" + bytes(4))),
        "PNG, 3,900 empty chunks": lambda: before(chunk(b"prVt", b"") * 3_900),
        "PNG, 19,000 empty chunks": lambda: before(chunk(b"prVt", b"") * 19_000),
        "PNG, 3,900 texts": lambda: before(chunk(b"tEXt", b"a\0" + b"b" * 3_000) * 3_900),
        "PNG, 60 texts that inflate to 1 MB": lambda: before(chunk(b"zTXt", b"a\0\0" + bomb) * 60),
        "PNG, 3,900 XMP texts that inflate to 1 MB": lambda: before(chunk(b"iTXt", XMP + bomb) * 3_900),
        "PNG, 3,900 Exif texts that inflate to 1 MB": lambda: before(chunk(b"zTXt", RAW + bomb) * 3_900),
        "PNG, 3,900 profiles that inflate to 1 MB": lambda: before(chunk(b"iCCP", b"a\0\0" + bomb) * 3_900),
        "PNG, Exif of 65,000 entries": lambda: before(chunk(b"eXIf", exif(65_000))),
        "PNG, 3,900 Exif chunks": lambda: before(chunk(b"eXIf", exif(80)) * 3_900),
        "PNG, 3,900 chunks of data": lambda: _cut(plain, data, len(data) // 3_880 + 1),
        "PNG, chunks of one byte": lambda: _cut(plain, data[:19_000], 1),
        "PNG, 3,900 empty chunks of data": lambda: plain[:idat] + chunk(b"IDAT", b"") * 3_900 + plain[idat:],
        "PNG, 3.5 million empty deflate blocks": lambda: png(
            side, 2, 8, black[:2] + NO_BLOCK * 3_500_000 + black[2:]
        ),
        "PNG, inflates to 200 MB": lambda: png(side, 2, 8, _long(side)),
        "PNG, animated": lambda: saved(picture, "PNG", save_all=True, append_images=[picture.rotate(9)] * 3),
        "PNG, 3,900 frame heads": lambda: before(chunk(b"acTL", bytes(8)) + chunk(b"fcTL", frame) * 3_900),
    }  # fmt: skip


def webps(side: int, picture: Image.Image) -> dict[str, Make]:
    """WebP, still and animated."""
    alpha = Image.fromarray(noise(side, 4))
    frames = {"save_all": True, "append_images": [alpha.rotate(90), alpha.rotate(180)]}
    webp = saved(picture, "WEBP")[12:]
    tiny = saved(Image.new("RGB", (1, 1)), "WEBP", lossless=True)[12:]
    frame = b"ANMF" + struct.pack("<I", 16 + len(tiny)) + bytes(16) + tiny
    return {
        "WebP": lambda: saved(picture, "WEBP"),
        "WebP, noise with alpha, quality 100": lambda: saved(alpha, "WEBP", quality=100),
        "WebP, noise with alpha, lossless": lambda: saved(alpha, "WEBP", lossless=True),
        "WebP, one color with alpha": lambda: saved(Image.new("RGBA", picture.size, "#0909"), "WEBP", lossless=True),
        "WebP, lossless, prefix codes for each tile": lambda: codes_for_each_tile(side),
        "WebP, animated, lossless": lambda: saved(picture.convert("RGBA"), "WEBP", lossless=True, **frames),
        "WebP, 9,000 empty chunks": lambda: _webp(side, 0, webp + b"abcd\0\0\0\0" * 9_000),
        "WebP, 2 million empty chunks": lambda: _webp(side, 0, webp + b"abcd\0\0\0\0" * 2_000_000),
        "WebP, 9,000 frames of a pixel": lambda: _webp(side, 2, b"ANIM" + struct.pack("<IIH", 6, 0, 0) + frame * 9_000),
        "WebP, 200,000 frames of a pixel": lambda: _webp(side, 2, b"ANIM\6\0\0\0" + bytes(6) + frame * 200_000),
    }  # fmt: skip


def others(side: int, picture: Image.Image, still: Image.Image) -> dict[str, Make]:
    """GIF, BMP, TIFF, AVIF."""
    gif = saved(picture, "GIF")
    place = 13 + (3 << (gif[10] & 7) + 1 if gif[10] & 0x80 else 0)
    begun = lambda more: gif[:place] + more + gif[place:]  # noqa: E731
    clears = np.packbits(np.arange(9 * 8) % 9 == 8, bitorder="little").tobytes() * 28  # LZW codes that clear the table
    flood = gif[: gif.index(b",", place) + 10] + b"\x08" + (b"\xfc" + clears) * 70_000 + b"\0;"
    rgb = still.tobytes()
    two = noise(side, 4)
    return {
        "GIF": lambda: gif,
        "GIF, interlaced": lambda: saved(picture, "GIF", interlace=1),
        "GIF, animated": lambda: saved(picture, "GIF", save_all=True, append_images=[picture.rotate(9)] * 5),
        "GIF, 9,900 comments": lambda: begun(b"!\xfe\0" * 9_900),
        "GIF, a million comments": lambda: begun(b"!\xfe\0" * 10**6),
        "GIF, a comment in a million blocks": lambda: begun(b"!\xfe" + b"\1x" * 10**6 + b"\0"),
        "GIF, 19 MB of comment": lambda: begun(b"!\xfe" + (b"\xff" + b"x" * 255) * 70_000 + b"\0"),
        "GIF, 5 MB between its blocks": lambda: begun(bytes(5 * 10**6)),
        "GIF, 16 million clear codes": lambda: flood,
        "BMP": lambda: saved(picture, "BMP"),
        "BMP, runs of one pixel": lambda: _rle(side, picture.quantize(256)),
        "BMP, 4 million moves": lambda: _rle(side, picture.quantize(256), b"\0\2\0\0" * 4_500_000),
        "TIFF": lambda: saved(picture, "TIFF"),
        "TIFF, LZW, RGBA": lambda: saved(Image.fromarray(two), "TIFF", compression="tiff_lzw"),
        "TIFF, JPEG": lambda: saved(still, "TIFF", compression="jpeg"),
        "TIFF, JPEG, 80 scans": lambda: tiff(side, 7, repeated(saved(picture, "JPEG", progressive=True), 70)),
        "TIFF, float": lambda: saved(picture.convert("F"), "TIFF"),
        "TIFF, 400 entries more": lambda: tiff(side, 1, rgb, more=400),
        "TIFF, 60,000 entries more": lambda: tiff(side, 1, rgb, more=60_000),
        "TIFF, 2 million strips": lambda: tiff(side, 1, rgb, offsets=2_000_000),
        "TIFF, deflate, 3.5 million empty blocks": lambda: tiff(
            side, 8, zlib.compress(rgb)[:2] + NO_BLOCK * 3_500_000 + zlib.compress(rgb)[2:] if side < 500 else b""
        ),
        "AVIF": lambda: saved(picture, "AVIF"),
        "AVIF, noise, quality 100": lambda: saved(still, "AVIF", quality=100, speed=9),
        "AVIF, noise with alpha, 4:4:4": lambda: saved(
            Image.fromarray(two), "AVIF", quality=100, subsampling="4:4:4", speed=9
        ),
        "AVIF, noise with alpha": lambda: saved(Image.fromarray(two), "AVIF", quality=50, speed=9),
    }  # fmt: skip


def _adam7(pixels: np.ndarray) -> bytes:
    """The seven passes of an interlaced PNG (8.2), each row filtered by Paeth's."""
    parts = (pixels[top::down, left::right].astype(">u2") for top, left, down, right in STEPS)
    return zlib.compress(b"".join(b"\4" + row.tobytes() for part in parts for row in part), 1)


def _cut(whole: bytes, data: bytes, size: int) -> bytes:
    """A PNG with its data in chunks of `size` bytes."""
    cut = b"".join(chunk(b"IDAT", data[at : at + size]) for at in range(0, len(data), size))
    return whole[: whole.index(b"IDAT") - 4] + cut + whole[-12:]


def _long(side: int) -> bytes:
    deflate = zlib.compressobj(9)
    parts = [deflate.compress(bytes((3 * side + 1) * side)), *(deflate.compress(bytes(10**7)) for _ in range(20))]
    return b"".join([*parts, deflate.flush()])


def _webp(side: int, flags: int, body: bytes) -> bytes:
    sides = (side - 1).to_bytes(3, "little") * 2
    body = b"WEBPVP8X" + struct.pack("<II", 10, flags) + sides + body
    return b"RIFF" + struct.pack("<I", len(body)) + body


def _rle(side: int, picture: Image.Image, before: bytes = b"") -> bytes:
    """A BMP of 8 bits whose rows are runs of one pixel each."""
    rows = np.stack([np.ones((side, side), np.uint8), np.asarray(picture)], 2)
    body = before + b"".join(row.tobytes() + b"\0\0" for row in rows) + b"\0\1"
    head = struct.pack("<IHHI", 14 + 40 + 1024 + len(body), 0, 0, 14 + 40 + 1024)
    head += struct.pack("<IiiHHIIiiII", 40, side, side, 1, 8, 1, len(body), 0, 0, 256, 0)
    return b"BM" + head + bytes(range(256)) * 4 + body
