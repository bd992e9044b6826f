"""A lossless WebP of one color that names prefix codes of their own for each tile of 4 x 4 pixels; RFC 9649, 3."""

import struct

SIGNATURE = 0x2F
ORDER = (17, 18, 0, 1, 2, 3, 4, 5, 16, 6, 7, 8)  # of the lengths of code lengths, as far as they are needed
GREEN, COLORS = 280, 256  # symbols of an alphabet


class Bits:
    """Numbers one after the other, the lowest bit first."""

    def __init__(self) -> None:
        self._parts: list[str] = []

    def put(self, value: int, count: int) -> None:
        self._parts.append(f"{value:0{count}b}"[::-1])

    def code(self, symbol: int) -> None:
        """A prefix code of one symbol, which then takes no bits."""
        for value, count in ((1, 1), (0, 1), (1, 1), (symbol, 8)):
            self.put(value, count)

    def bytes_code(self, alphabet: int) -> None:
        """A prefix code in which 0 to 255 take 8 bits each, and no other symbol of the alphabet is used."""
        self.put(0, 1)
        self.put(len(ORDER) - 4, 4)
        for length in ORDER:
            self.put(int(length in (8, 18)), 3)  # of these two lengths, each takes a bit
        self.put(0, 1)
        self._parts.append("0" * 256)
        if alphabet > 256:
            self.put(1, 1)
            self.put(alphabet - 256 - 11, 7)  # so many zeros

    def byte(self, value: int) -> None:
        """A symbol of `bytes_code`, the highest bit first."""
        self._parts.append(f"{value:08b}")

    def done(self) -> bytes:
        text = "".join(self._parts)
        size = len(text) // 8 + 2
        return int(text[::-1], 2).to_bytes(size, "little")


def codes_for_each_tile(side: int) -> bytes:
    """side x side pixels; at most 65,536 sets of codes, the most that there can be, which the tiles take in turn."""
    across = -(-side // 4)
    sets = min(2**16, across * across)
    bits = Bits()
    for value, count in ((SIGNATURE, 8), (side - 1, 14), (side - 1, 14), (0, 4)):
        bits.put(value, count)
    bits.put(0b100, 3)  # no transform, no cache of colors, sets of codes
    bits.put(0, 3)  # for tiles of 4 x 4
    bits.put(0, 1)  # their numbers are a picture, also without a cache
    bits.bytes_code(GREEN)
    bits.bytes_code(COLORS)
    for _ in range(3):
        bits.code(0)
    for tile in range(across * across):
        bits.byte(tile % sets % 256)
        bits.byte(tile % sets // 256)
    for _ in range(5 * sets):
        bits.code(9)
    body = bits.done()
    body += bytes(len(body) % 2)
    return b"RIFF" + struct.pack("<I", len(body) + 12) + b"WEBPVP8L" + struct.pack("<I", len(body)) + body
