"""The text of a Darknet cfg: its sections, and their options as checked numbers."""

from collections.abc import Iterator
from pathlib import Path

from ...errors import BrokenModel

MAX_CFG = 4 * 2**20  # bytes
MAX_CHANNELS = 65536


class Section(dict[str, str]):
    """The options of one section; `type` and `index` say which it is, `sources` which layers it reads."""

    def __init__(self, kind: str, index: int = -1) -> None:
        super().__init__()
        self.type, self.index = kind, index
        self["type"] = kind

    def __str__(self) -> str:
        return f"[{self.type}]" if self.index < 0 else f"Layer {self.index}, [{self.type}],"

    def number(self, name: str, default: int | None = None, low: int = 0, high: int = MAX_CHANNELS) -> int:
        """A whole number within [low, high]. Raises BrokenModel, also where it is missing and has no default."""
        try:
            value = int(self[name]) if name in self or default is None else default
        except KeyError:
            raise BrokenModel(f"{self} says no {name}.") from None
        except ValueError:
            value = low - 1
        if not low <= value <= high:
            raise BrokenModel(f"{self} says {name}={self[name][:20]}; it must be a whole number from {low} to {high}.")
        return value

    def decimal(self, name: str, default: float) -> float:
        """A number. Raises BrokenModel."""
        values = self.decimals(name) if name in self else [default]
        if len(values) != 1:
            raise BrokenModel(f"{self} says {name}={self[name][:20]}; it must be one number.")
        return values[0]

    def decimals(self, name: str) -> list[float]:
        """The numbers of a list like `10,14, 23,27,`. Raises BrokenModel."""
        try:
            values = [float(part) for part in self.get(name, "").split(",") if part.strip()]
        except ValueError:
            values = [float("inf")]
        if not all(abs(value) < 1e6 for value in values):
            raise BrokenModel(f"{self} says {name}={self[name][:40]}; that is no list of numbers.")
        return values

    def layers(self, name: str) -> list[int]:
        """The numbers of the layers that a list like `-1,8` names. Raises BrokenModel for layers that are not there."""
        try:
            numbers = list(absolute(self.get(name, ""), self.index))
        except ValueError:
            numbers = []
        if not numbers or not all(0 <= number < self.index for number in numbers):
            raise BrokenModel(f"{self} says {name}={self.get(name, '')[:40]}; those are no layers before it.")
        return numbers


def sections(cfg: str) -> list[Section]:
    """The sections of a cfg text in order, each with its name under "type". Raises BrokenModel."""
    found: list[Section] = []
    for line in cfg.removeprefix("\ufeff").splitlines():
        line = line.split("#")[0].split(";")[0].strip()
        if line.startswith("["):
            found.append(Section(line.strip("[] "), len(found) - 1))
        elif line and (not found or "=" not in line):
            raise BrokenModel(f"{line[:60]!r} is no line of a Darknet cfg. Fetch or copy the cfg anew.")
        elif line:
            name, value = line.split("=", 1)
            found[-1][name.strip()] = value.strip()
    return found


def read(path: Path) -> str:
    """The text of a cfg or a list of names; old ones have comments in any encoding. Raises BrokenModel."""
    try:
        if path.stat().st_size > MAX_CFG:
            raise BrokenModel(f"{path} has {path.stat().st_size} bytes, so it is no {path.suffix} file.")
        return path.read_bytes().decode("utf-8-sig", errors="replace")
    except OSError as error:
        raise BrokenModel(f"{path} cannot be read: {error.strerror}.") from error


def absolute(numbers: str, index: int) -> Iterator[int]:
    """Layer numbers as in `layers=-1,8`: the negative ones count back from layer `index`."""
    for number in (int(part) for part in numbers.split(",") if part.strip()):
        yield number if number >= 0 else index + number
