"""Valid and nearly valid JPEGs that cost more than others of their size."""

import struct

from PIL import Image

from .files import Make, exif, saved

EOI = b"\xff\xd9"
MEGABYTES_19 = 19 * 2**20


def segment(marker: int, body: bytes) -> bytes:
    """A marker, a length and a body."""
    return struct.pack(">BBH", 0xFF, marker, len(body) + 2) + body


def repeated(data: bytes, times: int) -> bytes:
    """A progressive JPEG with its last scan that many times more."""
    last = data[data.rindex(b"\xff\xda") : -2]
    return data[:-2] + last * times + EOI


def beginning(data: bytes, more: bytes) -> bytes:
    """A JPEG of Pillow's with more behind its first segment."""
    return data[:20] + more + data[20:]


def arithmetic(data: bytes) -> bytes:
    """A JPEG whose frame says that arithmetic coding follows; its scans do not."""
    at = max(data.find(b"\xff\xc0"), data.find(b"\xff\xc2"))
    return data[:at] + b"\xff\xc9" + data[at + 2 :]


def in_segments(data: bytes, marker: int, head: bytes = b"", size: int = 65_000) -> bytes:
    """The data in as many segments as it takes."""
    return b"".join(segment(marker, head + data[at : at + size]) for at in range(0, len(data), size))


def multi_picture(count: int) -> bytes:
    """The index of a file of several pictures (CIPA DC-007) that lists so many."""
    entry = bytes.fromhex("00000300") + bytes(12)
    tags = [(0xB000, 7, 4, 0x30303130), (0xB001, 4, 1, count), (0xB002, 7, 16 * count, 50)]
    body = struct.pack("<H", 3) + b"".join(struct.pack("<HHII", *tag) for tag in tags) + bytes(4)
    return b"MPF\0II*\0\x08\0\0\0" + body + entry * count


def jpegs(photo: Image.Image, noise: Image.Image) -> dict[str, Make]:
    """Name: how to make it. What differs from an ordinary JPEG stands in the name."""
    plain = saved(photo, "JPEG", quality=90)
    progressive = saved(photo, "JPEG", quality=90, progressive=True)
    best = {"quality": 100, "subsampling": 0}
    tables = b"\x03" + b"\1" * 64
    huffman = b"\x03\1" + bytes(16)
    turned = b"Exif\0\0II*\0\x08\0\0\0\1\0\x12\1\3\0\1\0\0\0\7\0\0\0" + bytes(4)
    bomb = b"Exif\0\0II*\0\x08\0\0\0"
    return {
        "JPEG, progressive": lambda: progressive,
        "JPEG, progressive, turned": lambda: beginning(progressive, segment(0xE1, turned)),
        "JPEG, last scan 5 times more": lambda: repeated(progressive, 5),
        "JPEG, last scan 3,000 times more": lambda: repeated(progressive, min(3000, MEGABYTES_19 // len(progressive))),
        "JPEG, noise, 4:4:4": lambda: saved(noise, "JPEG", **best),
        "JPEG, noise, 4:4:4, progressive": lambda: saved(noise, "JPEG", **best, progressive=True),
        "JPEG, noise, CMYK, progressive": lambda: saved(noise.convert("CMYK"), "JPEG", quality=90, progressive=True),
        "JPEG, arithmetic": lambda: arithmetic(plain),
        "JPEG, no end mark": lambda: plain[:-2],
        "JPEG, progressive, no end mark": lambda: progressive[:-2],
        "JPEG, noise, progressive, no end mark": lambda: saved(noise, "JPEG", **best, progressive=True)[:-2],
        "JPEG, 1,400 empty comments": lambda: beginning(plain, segment(0xFE, b"") * 1_400),
        "JPEG, 9,000 empty comments": lambda: beginning(plain, segment(0xFE, b"") * 9_000),
        "JPEG, 19 MB of comments": lambda: beginning(plain, in_segments(b"x" * MEGABYTES_19, 0xFE)),
        "JPEG, 16 MB of ICC profile": lambda: beginning(plain, in_segments(bytes(2**24), 0xE2, b"ICC_PROFILE\0\1\1")),
        "JPEG, 16 MB of private data": lambda: beginning(plain, in_segments(b"\xff" * 2**24, 0xE5)),
        "JPEG, 16 MB of Photoshop's data": lambda: beginning(
            plain, in_segments(b"8BIM\4\4\0\0\0\0\0\0" * 1_400_000, 0xED, b"Photoshop 3.0\0", 60_000)
        ),
        "JPEG, 16 MB of XMP": lambda: beginning(
            plain, in_segments(b"<tiff:Orientation " * 900_000, 0xE1, b"http://ns.adobe.com/xap/1.0/\0")
        ),
        "JPEG, Exif of 5,000 entries": lambda: beginning(plain, segment(0xE1, b"Exif\0\0" + exif(5_000))),
        "JPEG, Exif of 65,000 entries": lambda: beginning(plain, in_segments(exif(65_000), 0xE1, b"Exif\0\0")),
        "JPEG, 300 Exif segments": lambda: beginning(plain, segment(0xE1, bomb + bytes(64_000)) * 300),
        "JPEG, 9,000 Exif segments": lambda: beginning(plain, segment(0xE1, bomb + bytes(2_000)) * 9_000),
        "JPEG, list of 3,000 pictures": lambda: beginning(plain, segment(0xE2, multi_picture(3_000))),
        "JPEG, 1,400 quantization tables": lambda: beginning(plain, segment(0xDB, b"\0" + b"\1" * 64) * 1_400),
        "JPEG, 19 MB of quantization tables": lambda: beginning(plain, segment(0xDB, tables * 1000) * 300),
        "JPEG, 60 kB of quantization tables": lambda: beginning(plain, segment(0xDB, tables * 920)),
        "JPEG, 19 MB of Huffman tables": lambda: beginning(plain, segment(0xC4, huffman * 3_600) * 280),
        "JPEG, 16 kB of fill": lambda: beginning(plain, b"\xff" * 16_000),
        "JPEG, 200 kB of fill": lambda: beginning(plain, b"\xff" * 200_000),
        "JPEG, zeros behind its end": lambda: plain + bytes(MEGABYTES_19),
        "JPEG, zeros in its scan": lambda: plain[:-2] + bytes(MEGABYTES_19) + EOI,
        "JPEG, stuffed bytes in its scan": lambda: plain[:-2] + b"\xff\0" * 9_500_000 + EOI,
        "JPEG, restarts in its scan": lambda: plain[:-2] + b"\xff\xd0" * 9_500_000 + EOI,
    }
