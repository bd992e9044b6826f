"""Which family an ONNX file belongs to, told by the shapes of its outputs, their names, and its metadata."""

import re
from collections.abc import Mapping

import numpy as np

from ...errors import BrokenModel
from ..models.hints import Hints
from .families import FAMILIES, Family, grids
from .file import OnnxFacts, literal
from .preparation import Size

DECODED = 16  # YOLOX: e to this power would be a box of nine million cells, so such a number is in pixels
BOXES = re.compile("box|det")  # in the names of boxes
Outputs = Mapping[str, np.ndarray]


def recognized(
    where: str, facts: OnnxFacts, hints: Hints, size: Size, classes: int, outputs: Outputs
) -> tuple[Family, list[str]]:
    """The family of an ONNX file that gave `outputs` for a blank picture of `size`, and which outputs it reads.

    where: what the error calls the file. Raises BrokenModel with the shapes, and the NAME.toml that would name it.
    """
    if (task := facts.metadata.get("task", "detect")) != "detect":
        raise BrokenModel(f"{where} was made for the task {task[:40]!r}; only detectors are served.")
    if hints.family is not None and hints.family not in FAMILIES:
        raise BrokenModel(
            f"The .toml of {where} says family = {hints.family[:40]!r}; there are: {', '.join(FAMILIES)}."
        )
    fitting: list[str] = []
    tables = {name: output for name, output in outputs.items() if output.ndim in (2, 3)}
    if tables and all(table.ndim == 2 or len(table) == 1 for table in tables.values()):
        if pair := _pair(tables, classes):
            fitting = ["detr-sigmoid" if tables[pair[0]].shape[2] == classes else "detr"]
        else:
            fitting = _fitting(next(iter(tables.values())), size, classes)
        names = pair or [next(iter(tables))]
        name = hints.family if hints.family is not None else _chosen(fitting, facts, size, classes, tables[names[0]])
        if name in fitting:
            return FAMILIES[name], names
    found = ", ".join(f"{name[:40]} {tuple(output.shape)}" for name, output in list(outputs.items())[:6])
    why = f"which does not fit family = {hints.family!r}" if hints.family else "in which no family was recognized"
    raise BrokenModel(
        f"{where} has {classes} labels and gives {found}, {why}. If the labels are right, write a file "
        f'{where.rpartition(".")[0]}.toml with the line family = "NAME"; NAME is one of '
        f"{', '.join(fitting or FAMILIES)}."
    )


def _fitting(table: np.ndarray, size: Size, classes: int) -> list[str]:
    """The families that one output of this shape can be of."""
    if table.ndim == 2:
        return ["yolov7-nms"] if table.shape[1] == 7 else ["yolov10"] if table.shape[1] == 6 else []
    _, rows, columns = table.shape
    fitting = []
    if 4 + classes in (rows, columns):
        fitting += ["yolov8", "rtdetr"]
    if columns == 6:
        fitting += ["yolov10"]
    if columns == 5 + classes:
        fitting += ["yolov5", "yolov6", "yolox-decoded"]
        fitting += ["yolox"] if grids(size, rows, 1) else []
    return fitting


def _chosen(fitting: list[str], facts: OnnxFacts, size: Size, classes: int, table: np.ndarray) -> str | None:
    """The one family of those that fit, None where the file does not tell it."""
    if len(fitting) == 1 and fitting != ["yolov10"]:
        return fitting[0]
    rows = table.shape[-2]
    on_grid, on_anchors = bool(grids(size, rows, 1)), bool(grids(size, rows, 3))
    if "yolov10" in fitting and (_suppressed_inside(facts) or not (on_grid or on_anchors or rows == 4 + classes)):
        return "yolov10"
    if "yolov8" in fitting:
        return "rtdetr" if "DETR" in facts.metadata.get("description", "").upper() else "yolov8"
    if "yolov5" not in fitting:
        return "yolov10" if "yolov10" in fitting and classes > 2 else None
    if on_anchors or not on_grid:
        return "yolov5" if on_anchors or facts.labels else None  # as its exporter writes them
    if (table[0, :, 4] == 1).all():
        return "yolov6"
    return "yolox-decoded" if np.abs(table[0, :, :4]).max() > DECODED else "yolox"


def _suppressed_inside(facts: OnnxFacts) -> bool:
    """Whether the metadata that Ultralytics writes say that suppression is done, or not needed."""
    options = literal(facts.metadata.get("args", ""))
    inside = isinstance(options, dict) and bool(options.get("nms"))
    return inside or facts.metadata.get("end2end", "").lower() == "true"


def _pair(tables: Outputs, classes: int) -> list[str]:
    """The names of logits (1, N, C or C + 1) and boxes (1, N, 4), in this order; none where there are no such."""
    names = list(tables)[:2]
    for logits, boxes in (names, names[::-1]) if len(names) == 2 else ():
        first, second = tables[logits], tables[boxes]
        alike = first.ndim == second.ndim == 3 and first.shape[1] == second.shape[1] and second.shape[2] == 4
        if alike and first.shape[2] in (classes, classes + 1) and not BOXES.search(logits):
            return [logits, boxes]
    return []
