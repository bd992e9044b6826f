"""One network as the engines see it: an ONNX file, what it is fed, and what its outputs mean."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx

from ...errors import BrokenModel
from ..darknet.cache import converted
from ..darknet.plan import checked
from ..models import Model
from .families import Family, Grid, grids
from .file import facts
from .preparation import Frame, Preparation, Size
from .recognition import recognized


@dataclass(frozen=True)
class Reading:
    """How pictures become the input of a network, and its outputs become rows; see `engines.Engine`.

    family: None for a converted Darknet network, whose graph does all of it. reads: the numbers of the outputs that
    count. heads: the grids of a Darknet network.
    """

    preparation: Preparation
    classes: int
    family: Family | None = None
    reads: tuple[int, ...] = (0,)
    heads: tuple[Grid, ...] = ()

    @property
    def name(self) -> str:
        """Of the family."""
        return self.family.name if self.family else "darknet"

    @property
    def about(self) -> str:
        """The family in words."""
        return self.family.about if self.family else "Darknet: boxes in cells, objectness, classes"

    @property
    def fed(self) -> str:
        """What it is fed, in words."""
        if self.family is None:
            return "squeeze, rgb"
        numbers = "0..255" if self.preparation.scale == 1 or self.preparation.dtype == np.uint8 else "scaled"
        numbers = "0..1" if abs(self.preparation.scale * 255 - 1) < 1e-6 and numbers == "scaled" else numbers
        kind = np.dtype(self.preparation.dtype).name
        return f"{self.preparation.resize}, {self.preparation.color} {numbers}, {kind}"

    @property
    def nms(self) -> bool:
        return self.family is None or self.family.nms

    def rows(self, outputs: Sequence[np.ndarray], frame: Frame) -> np.ndarray:
        """Rows (R, 5 + C) of one picture, with boxes as fractions of it."""
        if self.family is None:
            return np.asarray(outputs[0][0])
        rows = self.family.rows([outputs[number] for number in self.reads], self.preparation.size, self.classes)
        rows[:, :4] = frame.to_fractions(rows[:, :4])
        return rows

    def grids(self, rows: int) -> list[Grid]:
        """The grids that so many rows come from; none where there is no grid with an objectness."""
        if self.family is None:
            return list(self.heads)
        return grids(self.preparation.size, rows, self.family.anchors) if self.family.anchors else []

    def maps(self, rows: np.ndarray, size: Size) -> list[np.ndarray]:
        """See `engines.Engine`."""
        frame, network, first, maps = self.preparation.frame(*size), self.preparation.size, 0, []
        for grid in self.grids(len(rows)):
            maps.append(grid.over(grid.best(rows[first : first + grid.rows, 4]), network, frame))
            first += grid.rows
        return maps


@dataclass(frozen=True)
class Network:
    """An ONNX file, or its content, with the names of its input and outputs. preparation: as far as the file tells."""

    model: Model
    file: Path | bytes
    input: str
    outputs: tuple[str, ...]
    preparation: Preparation

    def blank(self) -> np.ndarray:
        """A grey picture as the network's input."""
        width, height = self.preparation.size
        return self.preparation(np.full((height, width, 3), 114, np.uint8))[0]

    def reading(self, outputs: Sequence[np.ndarray]) -> Reading:
        """What its outputs mean; `outputs` are those of `blank`. Raises BrokenModel where nothing tells it."""
        model, size = self.model, self.preparation.size
        classes = len(model.labels())
        if not model.is_onnx:
            heads = (
                Grid(head.width, head.height, head.channels // (5 + classes))
                for head in checked(model.path, model.weights, size).heads
            )
            return Reading(self.preparation, classes, heads=tuple(heads))
        by_name = dict(zip(self.outputs, outputs, strict=True))
        family, names = recognized(str(model.path), facts(model.path), model.hints, size, classes, by_name)
        given = model.hints.given()
        fed = {**family.fed, **{key: given[key] for key in given.keys() - {"family", "size", "confidence"}}}
        known = {"size": size, "dtype": self.preparation.dtype, "channels_last": self.preparation.channels_last}
        reads = tuple(self.outputs.index(name) for name in names)
        return Reading(Preparation(**{**fed, **known}), classes, family, reads)


def network_of(model: Model, size: Size) -> Network:
    """The network of a model for pictures of `size` (width, height); a Darknet one is converted.

    Raises BrokenModel, also where an ONNX file takes pictures of another size only.
    """
    if not model.is_onnx:
        preparation = Preparation(size, color="bgr", resize="squeeze", dtype=np.uint8, channels_last=True)
        return Network(model, converted(model, size), "pictures", ("rows",), preparation)
    known = facts(model.path)
    if known.fixed and known.size != size:
        width, height = known.size or size
        raise BrokenModel(f"{model.path} takes pictures of {width} x {height} only, not of {size[0]} x {size[1]}.")
    preparation = Preparation(size, dtype=known.dtype, channels_last=known.channels_last)
    return Network(
        model, _content(model.path) if known.external else model.path, known.input, known.outputs, preparation
    )


def _content(path: Path) -> Path | bytes:
    """An ONNX file with the tensors that lie beside it, as one piece where protobuf can hold that (2 GiB).

    Engines map the other files into memory: to replace one in use would end the process.
    """
    try:
        return bytes(onnx.load(str(path)).SerializeToString())
    except ValueError:
        return path
