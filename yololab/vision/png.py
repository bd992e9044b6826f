"""A PNG without what no pixel depends on: texts, profiles, further frames."""

import struct
import zlib

from ..errors import BadImage, TooLarge
from .orientation import MAX_ENTRIES, entries

__all__ = ["MAX_CHUNKS", "PNG_START", "lean"]

PNG_START = b"\x89PNG\r\n\x1a\n"
MAX_CHUNKS = 4_000  # each costs time, and encoders make them of 8 kB or more
MAX_CRITICAL = 16  # chunks besides the data; a picture has three
MANY = 3_000  # chunks of data; more are joined, since Pillow reads each on its own
SPARE_BYTES = 32_768  # of metadata: what has more is copied without it
CODED = 65_536  # bytes that the data may have beside those of the pixels
COSTLY = (b"iCCP", b"zTXt", b"iTXt")  # compressed, up to a thousandfold
CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}  # color type: samples of each pixel
TEXTS = (b"XML:com.adobe.xmp\0", b"Raw profile type exif\0")  # that Pillow reads the orientation from


def lean(data: bytes, texts: bool) -> bytes:
    """A PNG without what costs time and makes no pixel of the first picture; as it is where there is little of that.

    What tells the orientation stays. texts: keep those that it may stand in; Pillow refuses texts over 1 MB.
    Raises BadImage for too many chunks, TooLarge for more data than the pixels can need.
    """
    kept, idats, seen = [(0, len(PNG_START))], [], set()
    at, count, spare, critical, first = len(PNG_START), 0, 0, 0, 0
    while at + 12 <= len(data):
        count += 1
        length, kind = struct.unpack_from(">I4s", data, at)
        end = at + 12 + length
        if kind == b"IDAT":
            first = first or len(kept)
            idats.append((at, end))
        else:
            name = _needed(data, at, end, kind, texts)
            if name and (name not in seen or name == kind):
                critical += 1
                kept.append((at, end))
            else:
                spare += SPARE_BYTES if kind in COSTLY else 500 + length
            seen.add(name)
        if count > MAX_CHUNKS or critical > MAX_CRITICAL:
            raise BadImage(
                "The PNG has more chunks than a picture needs. Open it in a picture viewer and save it anew."
            )
        at = end
        if kind == b"IEND":
            break
    else:
        kept.append((at, len(data)))
    if sum(end - start for start, end in idats) > CODED + 2 * _bytes_of_pixels(data):
        raise TooLarge("The PNG has more bytes than its pixels can need. Open it in a picture viewer and save it anew.")
    if spare < SPARE_BYTES and len(idats) <= MANY:
        return data
    view = memoryview(data)
    head, tail = [view[start:end] for start, end in kept[:first]], [view[start:end] for start, end in kept[first:]]
    if len(idats) <= MANY:
        return b"".join((*head, *(view[start:end] for start, end in idats), *tail))
    body: list[bytes | memoryview] = [b"IDAT", *(view[start + 8 : end - 4] for start, end in idats)]
    check = 0
    for part in body:
        check = zlib.crc32(part, check)
    return b"".join((*head, struct.pack(">I", sum(map(len, body)) - 4), *body, struct.pack(">I", check), *tail))


def _needed(data: bytes, at: int, end: int, kind: bytes, texts: bool) -> bytes | None:
    """A name for a chunk that must stay: critical ones (capitals), transparency, and what tells the orientation."""
    if kind[0] < 97 or kind == b"tRNS":
        return kind
    if not texts:
        return None
    if kind == b"eXIf":
        return b"first eXIf" if entries(data[at + 8 : end - 4]) <= MAX_ENTRIES else None
    return next((text for text in TEXTS if kind[1:] in (b"TXt", b"EXt") and data.startswith(text, at + 8)), None)


def _bytes_of_pixels(data: bytes) -> int:
    """What the picture takes uncompressed, with a filter byte for each row (PNG, 7.2)."""
    if len(data) < 26:
        return 0
    width, height, depth, color = struct.unpack_from(">IIBB", data, 16)
    return int(height * (width * depth * CHANNELS.get(color, 4) // 8 + 2))
