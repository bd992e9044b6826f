"""What a JPEG would cost to decode, from its markers alone."""

import re

from ..errors import BadImage

__all__ = ["MAX_SCANS", "check_scans", "scans"]

MAX_SCANS = 100  # encoders write about ten, and the longest scripts in use about sixty
MARKER = re.compile(rb"\xff([\x01-\xcf\xd8-\xfe])")  # no stuffed zero, no restart, no fill byte
TEM, SOI, EOI, SOS = 0x01, 0xD8, 0xD9, 0xDA


def scans(data: bytes, most: int) -> int:
    """The scans (SOS markers) of a JPEG up to its end, at most `most` + 1; ITU-T T.81, B.1.1.

    What stands inside of other segments, a thumbnail among it, and behind the end is not counted.
    """
    count, place = 0, 2
    while count <= most and (found := MARKER.search(data, place)):
        marker, place = found[1][0], found.end()
        if marker == EOI:
            break
        if marker in (TEM, SOI):  # these have no length
            continue
        count += marker == SOS
        place += max(2, int.from_bytes(data[place : place + 2], "big"))
    return count


def check_scans(data: bytes) -> None:
    """Raise BadImage for a JPEG of more than MAX_SCANS scans: each costs as much time as the whole picture."""
    if data.count(b"\xff\xda") > MAX_SCANS and scans(data, MAX_SCANS) > MAX_SCANS:
        raise BadImage(f"The JPEG has more than {MAX_SCANS} scans. Open it in a picture viewer and save it anew.")
