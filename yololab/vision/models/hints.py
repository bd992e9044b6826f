"""NAME.toml beside a model: what its files cannot tell. All keys are optional.

family = "yolov8"       # one of families.FAMILIES
size = [640, 384]       # width, height of the pictures that it is fed; or one number
color = "rgb"           # or "bgr"
scale = "1/255"         # each number of a picture times this; or a number
mean = [0, 0, 0]        # subtracted after that, in the order of `color`
std = [1, 1, 1]         # and divided by
resize = "letterbox"    # the whole picture in the middle; "corner": at the upper left; "squeeze": stretched
pad = 114               # what fills the rest
confidence = 0.25       # the lowest that counts
"""

import tomllib
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from ...errors import BrokenModel

RESIZES = ("letterbox", "corner", "squeeze")
COLORS = ("rgb", "bgr")
MAX_SIDE = 4096
Triple = tuple[float, float, float]


@dataclass(frozen=True)
class Hints:
    """What NAME.toml says; None where it says nothing. size: (width, height), pixels."""

    family: str | None = None
    size: tuple[int, int] | None = None
    color: str | None = None
    scale: float | None = None
    mean: Triple | None = None
    std: Triple | None = None
    resize: str | None = None
    pad: int | None = None
    confidence: float | None = None

    def given(self) -> dict[str, Any]:
        """The keys that it has, by name."""
        return {each.name: value for each in fields(self) if (value := getattr(self, each.name)) is not None}


def read_hints(path: Path) -> Hints:
    """The hints in a .toml file, none where it is missing. Raises BrokenModel with a sentence for a wrong one."""
    try:
        table = tomllib.loads(path.read_bytes().decode("utf-8-sig"))
    except FileNotFoundError:
        return Hints()
    except (OSError, ValueError) as error:  # also wrong TOML and wrong UTF-8
        raise BrokenModel(f"{path} cannot be read: {error}.") from error
    values = {}
    for key, value in table.items():
        if key not in READERS:
            raise BrokenModel(f"{path} has the key {key[:40]!r}; there are {', '.join(READERS)}.")
        allowed, reader = READERS[key]
        try:
            values[key] = reader(value)
        except (TypeError, ValueError, ZeroDivisionError, AttributeError):
            raise BrokenModel(f"{path} says {key} = {str(value)[:40]!r}; it must be {allowed}.") from None
    return Hints(**values)


def _one_of(*choices: str) -> Any:
    return ", ".join(map(repr, choices)), lambda value: choices[choices.index(value)]


def _within(value: float, low: float, high: float) -> float:
    if isinstance(value, bool) or not low <= value <= high:
        raise ValueError
    return value


def _size(value: Any) -> tuple[int, int]:
    width, height = (value, value) if isinstance(value, int) else value
    return int(_within(width, 1, MAX_SIDE)), int(_within(height, 1, MAX_SIDE))


def _scale(value: Any) -> float:
    if isinstance(value, str):
        over, under = value.split("/")
        value = float(over) / float(under)
    return float(_within(value, 1e-9, 1e9))


def _triple(value: Any) -> Triple:
    red, green, blue = (float(_within(each, -1e6, 1e6)) for each in value)
    return red, green, blue


def _divisors(value: Any) -> Triple:
    if 0 in (divisors := _triple(value)):
        raise ValueError
    return divisors


READERS: dict[str, Any] = {
    "family": ("a word", lambda value: value.strip()),
    "size": ("one number of pixels, or [width, height]", _size),
    "color": _one_of(*COLORS),
    "scale": ('a number, or like "1/255"', _scale),
    "mean": ("three numbers", _triple),
    "std": ("three numbers other than 0", _divisors),
    "resize": _one_of(*RESIZES),
    "pad": ("a whole number from 0 to 255", lambda value: int(_within(value, 0, 255))),
    "confidence": ("a number from 0 to 1", lambda value: float(_within(value, 0, 1))),
}
