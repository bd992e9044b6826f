"""How many sets of prefix codes a lossless WebP may have: decoders build the tables of each before the first pixel.

A set takes 20 bits in the file, 5 kB as tables and 10 µs to build; a file of 280 kB can name 65,000 of them. The
number is bounded by that of the tiles that may have one of their own, which stands behind the transforms. So these
are passed over here, code by code, without making their pixels. RFC 9649, section 3.
"""

from typing import NamedTuple

from ..errors import TooLarge

__all__ = ["MAX_TILES", "prefix_tiles"]

MAX_TILES = 4096  # with codes of their own; libwebp's encoder makes at most 2,600
MAX_TRANSFORM = 2**14  # tiles of a transform; libwebp's encoder makes no more, but for very large pictures
PREDICTOR, COLOR, SUBTRACT_GREEN, INDEXING = range(4)  # the transforms
ORDER = (17, 18, 0, 1, 2, 3, 4, 5, 16, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15)  # of the lengths of code lengths
LITERALS, LENGTHS, DISTANCES = 256, 24, 40  # symbols of an alphabet
BROKEN = "a lossless WebP that is broken"


def prefix_tiles(data: bytes, width: int, height: int) -> int:
    """The tiles that may each have prefix codes of their own; 1 where these cannot be many.

    data: the stream behind the size in its header. Raises ValueError for one that is broken, TooLarge for transforms
    that would take longer to pass over than the pixels to decode.
    """
    if _tiles(width, height, 2) <= MAX_TILES or 8 * len(data) < 20 * MAX_TILES:
        return 1
    bits = _Bits(data)
    width = _pass_transforms(bits, width, height)
    if bits.read(1):
        bits.read(4)  # the size of the color cache
    if not bits.read(1):
        return 1
    return _tiles(width, height, bits.read(3) + 2)


class _Code(NamedTuple):
    """A prefix code: the symbol and its length for each value of the next `longest` bits."""

    longest: int
    symbols: list[int]
    lengths: list[int]


class _Bits:
    """The bits of a stream, the lowest of each byte first."""

    def __init__(self, data: bytes) -> None:
        self._data, self._at = data, 0

    def read(self, count: int) -> int:
        """The next bits, at most 24, as a number. Raises ValueError behind the end."""
        byte = self._at >> 3
        value = int.from_bytes(self._data[byte : byte + 4], "little") >> (self._at & 7)
        self._at += count
        if self._at > 8 * len(self._data):
            raise ValueError(BROKEN)
        return value & ((1 << count) - 1)

    def symbol(self, code: _Code) -> int:
        """The next symbol. Raises ValueError behind the end."""
        if not code.longest:
            return code.symbols[0]
        byte = self._at >> 3
        value = int.from_bytes(self._data[byte : byte + 4], "little") >> (self._at & 7)
        value &= (1 << code.longest) - 1
        self._at += code.lengths[value]
        if self._at > 8 * len(self._data):
            raise ValueError(BROKEN)
        return code.symbols[value]


def _tiles(width: int, height: int, bits: int) -> int:
    """How many tiles of 2**bits pixels a side cover the picture."""
    return -(-width >> bits) * -(-height >> bits)


def _pass_transforms(bits: _Bits, width: int, height: int) -> int:
    """Pass over the transforms; the width that is left where several pixels share a byte."""
    seen = set()
    while bits.read(1):
        kind = bits.read(2)
        if kind in seen:
            raise ValueError(BROKEN)
        seen.add(kind)
        if kind in (PREDICTOR, COLOR):
            tiles = _tiles(width, height, bits.read(3) + 2)
            if tiles > MAX_TRANSFORM + width * height // 128:
                raise TooLarge("The WebP has finer transforms than any encoder makes. Save it anew.")
            _pass_pixels(bits, tiles)
        elif kind == INDEXING:
            colors = bits.read(8) + 1
            _pass_pixels(bits, colors)
            packed = 3 if colors <= 2 else 2 if colors <= 4 else 1 if colors <= 16 else 0
            width = -(-width >> packed)
    return width


def _pass_pixels(bits: _Bits, count: int) -> None:
    """Pass over the pixels of a transform, which share one set of prefix codes."""
    cache = 1 << bits.read(4) if bits.read(1) else 0
    alphabets = (LITERALS + LENGTHS + cache, LITERALS, LITERALS, LITERALS, DISTANCES)
    green, red, blue, alpha, distance = (_read_code(bits, size) for size in alphabets)
    if not any(code.longest for code in (green, red, blue, alpha)) and green.symbols[0] < LITERALS:
        return
    while count > 0:
        symbol = bits.symbol(green)
        if symbol < LITERALS:
            for code in (red, blue, alpha):
                bits.symbol(code)
            count -= 1
        elif symbol < LITERALS + LENGTHS:
            count -= _number(bits, symbol - LITERALS)
            _number(bits, bits.symbol(distance))
        else:
            count -= 1


def _number(bits: _Bits, prefix: int) -> int:
    """A length or a distance: the prefix says how many bits follow."""
    if prefix < 4:
        return prefix + 1
    extra = (prefix - 2) >> 1
    return ((2 + (prefix & 1)) << extra) + bits.read(extra) + 1


def _read_code(bits: _Bits, alphabet: int) -> _Code:
    if bits.read(1):
        two, wide = bits.read(1), bits.read(1)
        symbols = {bits.read(8 if wide else 1)} | ({bits.read(8)} if two else set())
        return _code(dict.fromkeys(symbols, 1))
    given = 4 + bits.read(4)
    lengths = _code({symbol: length for symbol in ORDER[:given] if (length := bits.read(3))})
    left = 2 + bits.read(2 + 2 * bits.read(3)) if bits.read(1) else alphabet
    found: dict[int, int] = {}
    symbol, last = 0, 8
    while symbol < alphabet and left:
        left -= 1
        length = bits.symbol(lengths)
        if length < 16:
            if length:
                found[symbol] = last = length
            symbol += 1
        elif length == 16:
            repeat = 3 + bits.read(2)
            found |= dict.fromkeys(range(symbol, symbol + repeat), last)
            symbol += repeat
        else:
            symbol += 3 + bits.read(3) if length == 17 else 11 + bits.read(7)
    if symbol > alphabet:
        raise ValueError(BROKEN)
    return _code(found)


def _code(lengths: dict[int, int]) -> _Code:
    """The canonical code of these lengths in bits. Raises ValueError where it is not complete."""
    if len(lengths) == 1:
        return _Code(0, list(lengths), [0])
    longest = max(lengths.values(), default=0)
    if sum(1 << longest - length for length in lengths.values()) != 1 << longest:
        raise ValueError(BROKEN)
    symbols, sizes = [0] * (1 << longest), [0] * (1 << longest)
    code = 0
    for length, symbol in sorted((length, symbol) for symbol, length in lengths.items()):
        bits = code >> longest - length
        first = int(f"{bits:0{length}b}"[::-1], 2)
        symbols[first :: 1 << length] = [symbol] * (1 << longest - length)
        sizes[first :: 1 << length] = [length] * (1 << longest - length)
        code += 1 << longest - length
    return _Code(longest, symbols, sizes)
