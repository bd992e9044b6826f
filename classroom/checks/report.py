"""What a check found, as lines that print themselves."""

from collections.abc import Callable
from dataclasses import dataclass, field
from math import isclose
from typing import Any


class Stop(Exception):
    """What the rest of an exercise builds on is not there; the report says so already."""


class Such:
    """An expected value given by words and a test: equal to whatever passes, also inside a list or a dictionary."""

    def __init__(self, words: str, test: Callable[[Any], Any]):
        self.words, self.test = words, test

    def __eq__(self, other: object) -> bool:
        try:
            return bool(self.test(other))
        except (TypeError, ValueError, AttributeError, LookupError):
            return False

    def __repr__(self) -> str:
        return self.words


def close(number: float) -> Such:
    """Equal to a number that differs by rounding only."""
    return Such(f"{number:.9g}", lambda other: isclose(number, other, rel_tol=1e-9))


def between(least: float, most: float) -> Such:
    """Equal to a number from `least` to `most`."""
    return Such(f"{least:g} to {most:g}", lambda other: not isinstance(other, bool) and least <= other <= most)


def having(fields: dict) -> Such:
    """Equal to a dictionary that has these fields, and perhaps others."""
    return Such(f"{fields}", lambda other: all(key in other and value == other[key] for key, value in fields.items()))


@dataclass
class Report:
    """What a check found: `lines` of (right or not, text). Prints itself as lines with ok or NOT YET."""

    lesson: str
    lines: list[tuple[bool, str]] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        """Whether everything was as expected; False where nothing could be checked."""
        return bool(self.lines) and all(right for right, _ in self.lines)

    def expect(self, what: str, expected: Any, actual: Any, hint: str) -> bool:
        """Note one comparison; `hint` is shown where `actual` differs from `expected`. Whether they are equal."""
        right = bool(expected == actual)
        parts = [] if right else [f"expected: {expected}", f"actual:   {actual}", f"hint:     {hint}"]
        parts = [part.replace("\n", "\n" + 21 * " ") for part in parts]
        self.lines.append((right, "\n           ".join([what, *parts])))
        return right

    def require(self, what: str, expected: Any, actual: Any, hint: str) -> None:
        """As `expect`, for what the rest of the exercise builds on. Raises Stop where it is not as expected."""
        if not self.expect(what, expected, actual, hint):
            raise Stop

    def __str__(self) -> str:
        lines = [f"{'ok     ' if right else 'NOT YET'}  {text}" for right, text in self.lines]
        count = sum(right for right, _ in self.lines)
        return "\n".join([*lines, f"{count} of {len(lines)} right" + (": well done!" if self.ok else "")])
