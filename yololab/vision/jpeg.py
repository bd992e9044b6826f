"""What a JPEG would cost to decode, from its markers alone."""

import re
from collections.abc import Iterator

from ..errors import BadImage

__all__ = ["MAX_SCANS", "check_markers", "scans"]

MAX_SCANS = 100  # encoders write about ten, and the longest scripts in use about sixty
MARKER = re.compile(rb"\xff([\x01-\xcf\xd8-\xfe])")  # no stuffed zero, no restart, no fill byte
MAX_SEGMENTS = 10_000  # a photo with a film's worth of metadata has a few hundred
MAX_FILL = 65_536  # bytes between segments, which decoders read one by one
TEM, SOI, EOI, SOS = 0x01, 0xD8, 0xD9, 0xDA


def markers(data: bytes) -> Iterator[tuple[int, int]]:
    """The markers of a JPEG up to its end, each with the bytes that lie unused before it; ITU-T T.81, B.1.1.

    What stands inside of segments, a thumbnail among it, and behind the end is passed over.
    """
    place, in_scan = 2, False
    while found := MARKER.search(data, place):
        marker, unused, place = found[1][0], 0 if in_scan else found.start() - place, found.end()
        yield marker, unused
        if marker == EOI:
            return
        if marker not in (TEM, SOI):  # these have no length
            in_scan = marker == SOS  # the picture's own bytes follow
            place += max(2, int.from_bytes(data[place : place + 2], "big"))


def scans(data: bytes, most: int) -> int:
    """The scans (SOS markers) of a JPEG up to its end, at most `most` + 1."""
    count = 0
    for marker, _ in markers(data):
        count += marker == SOS
        if count > most:
            break
    return count


def check_markers(data: bytes) -> None:
    """Raise BadImage for a JPEG that would cost far more than its pixels: by scans, segments, or fill between them.

    One walk over the markers takes less than looking for each of their bytes: 0.1 ms for 90 kB, 0.6 ms for 1.2 MB.
    """
    count = segments = fill = 0
    for marker, unused in markers(data):
        count, segments, fill = count + (marker == SOS), segments + 1, fill + unused
        if count > MAX_SCANS or segments > MAX_SEGMENTS or fill > MAX_FILL:
            what = f"{MAX_SCANS} scans" if count > MAX_SCANS else "a picture needs between its parts"
            raise BadImage(f"The JPEG has more than {what}. Open it in a picture viewer and save it anew.")
