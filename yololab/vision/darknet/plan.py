"""The plan of a Darknet network: what each layer gives, and how many numbers its weights are.

All is checked before any engine sees the files: OpenCV would read past their ends, or ask for all the memory there is.
"""

from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

from ...errors import BrokenModel
from .cfg import MAX_CHANNELS, Section, read, sections
from .layers import LAYERS, Layer

MAX_LAYERS = 2000
MAX_INPUT = 4096  # a side of the pictures, pixels
MAX_SIDE = 16384  # of a grid, cells
MAX_NUMBERS = 2**27  # that one layer gives: 512 MiB
MAX_SUM = 2**29  # that all layers give together
ACTIVATIONS = ("linear", "relu", "relu6", "leaky", "logistic", "tanh", "elu", "selu", "swish", "mish")
HEADS = ("yolo", "region")
PLAIN = {
    "reverse": "0", "xnor": "0", "binary": "0", "share_index": "-1", "deform": "0", "flipped": "0", "tree": "",
    "map": "", "sway": "0", "rotate": "0", "stretch": "0", "stretch_sway": "0", "antialiasing": "0", "classfix": "0",
}  # fmt: skip
"""Options that no engine here knows, and what they are without them."""


@dataclass(frozen=True)
class Plan:
    """A network for pictures of `size` (width, height): its layers, and how many float32 its weights are."""

    size: tuple[int, int]
    layers: list[Layer] = field(default_factory=list)

    @property
    def heads(self) -> list[Layer]:
        """Its [yolo] and [region] layers."""
        return [layer for layer in self.layers if layer.options.type in HEADS]

    @property
    def classes(self) -> int:
        return self.heads[0].options.number("classes")

    @property
    def weights(self) -> int:
        return sum(layer.weights for layer in self.layers)


def plan(cfg: str, size: tuple[int, int] | None = None) -> Plan:
    """The network of a cfg text, for pictures of `size` (width, height), by default its own.

    Raises BrokenModel for what is no detector, does not fit together, or would need too much memory.
    """
    net, *found = sections(cfg) or [Section("")]
    if net.type not in ("net", "network") or net.get("channels", "3") != "3":
        raise BrokenModel("This cfg does not begin with a [net] of 3 channels.")
    if len(found) > MAX_LAYERS:
        raise BrokenModel(f"This cfg has {len(found)} layers; {MAX_LAYERS} are supported.")
    result = Plan(size or own_size(net))
    total = 0
    last = Layer(net, 3, *result.size)
    for options in found:
        for name, plain in PLAIN.items():
            if options.get(name, plain) != plain:
                raise BrokenModel(f"{options} says {name}={options[name][:40]}, which is not supported.")
        if (activation := options.get("activation", "linear")) not in ACTIVATIONS:
            raise BrokenModel(f"{options} says activation={activation[:40]!r}; there are {', '.join(ACTIVATIONS)}.")
        if options.type not in LAYERS:
            raise BrokenModel(f"{options} is of a kind that is not supported; these are: {', '.join(LAYERS)}.")
        last = LAYERS[options.type](options, last, result.layers)
        numbers = last.channels * last.width * last.height
        total += numbers
        if min(last.shape) < 1 or max(last.width, last.height) > MAX_SIDE:
            raise BrokenModel(f"{options} would give a grid of {last.width} x {last.height} cells.")
        if numbers > MAX_NUMBERS or last.channels > MAX_CHANNELS or total > MAX_SUM:
            raise BrokenModel(f"{options} would need too much memory: {last.width} x {last.height} x {last.channels}.")
        result.layers.append(last)
    if not result.heads:
        raise BrokenModel("This cfg has no [yolo] or [region] section, so it is no YOLO detector.")
    if len(counts := {layer.options["classes"] for layer in result.heads}) > 1:
        raise BrokenModel(f"Its heads have different numbers of classes: {', '.join(sorted(counts))}.")
    return result


@lru_cache(maxsize=64)
def _plan_of(path: Path, size: tuple[int, int] | None, mtime_ns: int) -> Plan:
    return plan(read(path), size)


def checked(cfg: Path, weights: Path, size: tuple[int, int] | None = None) -> Plan:
    """The plan of a cfg whose weights have exactly the size that it needs. Raises BrokenModel."""
    try:
        result = _plan_of(cfg, size, cfg.stat().st_mtime_ns)
        with weights.open("rb") as file:
            start = file.read(64)
        actual = weights.stat().st_size
    except BrokenModel as error:
        raise BrokenModel(f"{cfg}: {error}") from error
    except OSError as error:
        raise BrokenModel(f"{cfg} and {weights.name} cannot be read: {error.strerror}.") from error
    expected = header(start) + 4 * result.weights
    if actual != expected:
        page = " It is a web page, not weights." if start.lstrip().startswith(b"<") else ""
        raise BrokenModel(
            f"{weights} has {actual} bytes, and {cfg.name} needs exactly {expected}: it is cut off, or belongs to "
            f"another cfg.{page} Fetch or copy it anew."
        )
    return result


def header(start: bytes) -> int:
    """The bytes before the numbers of a .weights file that begins like this."""
    major, minor = (int.from_bytes(start[at : at + 4].ljust(4, b"\0"), "little", signed=True) for at in (0, 4))
    return 20 if 10 * major + minor >= 2 else 16  # since 0.2 it counts the pictures seen in 64 bits


def own_size(net: Section) -> tuple[int, int]:
    """The width and height that a [net] asks for; 416 where it says nothing. Raises BrokenModel."""
    return net.number("width", 416, 1, MAX_INPUT), net.number("height", 416, 1, MAX_INPUT)
