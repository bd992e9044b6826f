"""What the check of an upload handler needs: what lies in a folder, and a body without an end."""

import select
from contextlib import closing
from http.client import HTTPConnection
from pathlib import Path

from yololab.errors import LabError
from yololab.vision.images import decode

from .probe import SECONDS

PIECE, MAX_BYTES = 2**16, 64 * 2**20  # bytes of an endless body: sent at a time, and at most


def files(home: str) -> list[str]:
    """All files under a folder, as paths from there."""
    return sorted(path.relative_to(home).as_posix() for path in Path(home).rglob("*") if path.is_file())


def shape(picture: Path | bytes) -> tuple[int, ...] | str:
    """The shape of a picture, or what is wrong with the file."""
    data = picture if isinstance(picture, bytes) else picture.read_bytes()
    try:
        return decode(data).shape
    except LabError as error:
        return f"a file of {len(data)} bytes: {error}"


def pour(url: str) -> tuple[int, bool]:
    """Send a body without an end until there is an answer: its status, and whether it came before we gave up."""
    sent, piece = 0, b'--cut\r\nContent-Disposition: form-data; name="file"; filename="x.jpg"\r\n\r\n'
    with closing(HTTPConnection(url.removeprefix("http://"), timeout=SECONDS)) as wire:
        wire.putrequest("POST", "/upload")
        wire.putheader("Content-Type", "multipart/form-data; boundary=cut")
        wire.putheader("Transfer-Encoding", "chunked")
        wire.endheaders()
        try:
            while sent < MAX_BYTES and not select.select([wire.sock], [], [], 0)[0]:
                wire.send(b"%x\r\n%s\r\n" % (len(piece), piece))
                piece, sent = bytes(PIECE), sent + PIECE
            if sent >= MAX_BYTES:
                wire.send(b"b\r\n\r\n--cut--\r\n\r\n0\r\n\r\n")
            return wire.getresponse().status, sent < MAX_BYTES
        except ConnectionError:  # it refused and hung up before we could read its answer
            return 413, sent < MAX_BYTES
