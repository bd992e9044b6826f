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
FRACTION = 2  # of the picture's sides: boxes with larger numbers are in pixels
BOXES = re.compile("box|det")  # in the names of boxes
RF_DETR = {"dets", "labels"}  # the names of its outputs
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
    tables = {name: output for name, output in outputs.items() if getattr(output, "ndim", 0) in (2, 3)}
    if tables and all(table.ndim == 2 or len(table) == 1 for table in tables.values()):
        fitting, names = _fitting(tables, size, classes)
        name = hints.family or _chosen(fitting, facts, size, classes, tables, names)
        if name in fitting:
            return FAMILIES[name], names
    found = ", ".join(f"{name[:40]} {_shape(output)}" for name, output in list(outputs.items())[:6])
    why = f"which does not fit family = {hints.family!r}" if hints.family else "in which no family was recognized"
    advice = (
        f'write a file {where.rpartition(".")[0]}.toml with the line family = "NAME"; NAME is one of '
        f"{', '.join(fitting)}."
        if fitting
        else "it is no detector of a kind that is served: docs/models.md lists those."
    )
    raise BrokenModel(f"{where} has {classes} labels and gives {found}, {why}. If the labels are right, {advice}")


def _shape(output: object) -> str:
    return str(tuple(output.shape)) if isinstance(output, np.ndarray) else "(no tensor)"


def _fitting(tables: Outputs, size: Size, classes: int) -> tuple[list[str], list[str]]:
    """The families that outputs of these shapes can be of, and the names of the outputs that they read."""
    if pair := _pair(tables, classes):
        scores, boxes = tables[pair[0]], tables[pair[1]]
        are_chances, are_pixels = scores.min() >= 0 and scores.max() <= 1, np.abs(boxes).max() > FRACTION
        if are_chances or are_pixels:  # a grid of an SSD has chances, too, and nothing tells what it means
            return ["yolo-nas"] if are_chances and are_pixels and scores.shape[2] == classes else [], pair
        return ["detr-sigmoid" if scores.shape[2] == classes else "detr", "rf-detr"], pair
    first, *others = tables
    table = tables[first]
    if table.ndim == 2:
        return _final(table), [first]
    _, rows, columns = table.shape
    if columns == 5 and any(tables[name].shape == (1, rows) for name in others):  # boxes with scores, and labels
        return [], [first]
    fitting = ["yolov8", "rtdetr"] if 4 + classes in (rows, columns) else []
    if columns == 6:
        fitting += ["yolov10", "rtdetr-final"]
    if columns == 5 + classes:
        fitting += ["yolov5", "yolov6", "yolox-decoded"]
        fitting += ["yolox"] if grids(size, rows, 1) else []
    return fitting, [first]


def _final(table: np.ndarray) -> list[str]:
    """The families of a table (N, 6) or (N, 7) of final detections; none for the chances of a classifier."""
    whole = [bool((column == np.round(column)).all()) for column in table.T]
    if table.shape[1] == 7 and whole[0]:
        return [name for name, column in (("yolov7-nms", 5), ("yolo-nas-flat", 6)) if whole[column]]
    return ["yolov10"] if table.shape[1] == 6 and whole[5] else []


def _chosen(
    fitting: list[str], facts: OnnxFacts, size: Size, classes: int, tables: Outputs, names: list[str]
) -> str | None:
    """The one family of those that fit, None where the file does not tell it."""
    if "rf-detr" in fitting:
        return "rf-detr" if set(names) == RF_DETR else fitting[0]
    if "yolo-nas-flat" in fitting:
        return fitting[-1] if "flat_predictions" in names[0] else fitting[0]
    table = tables[names[0]]
    if table.ndim == 2 or fitting == ["yolo-nas"]:
        return fitting[0] if table.ndim == 2 and fitting else None
    rows = table.shape[-2]
    on_grid, on_anchors = bool(grids(size, rows, 1)), bool(grids(size, rows, 3))
    if "yolov10" in fitting:
        if _is_detr(facts):
            return "rtdetr-final"
        if _suppressed_inside(facts) or not (on_grid or on_anchors or rows == 4 + classes):
            return "yolov10"
    if "yolov8" in fitting:
        boxes = table[0, :, :4] if table.shape[2] == 4 + classes else table[0, :4]
        are_fractions = not on_grid and np.abs(boxes).max() <= FRACTION
        return "rtdetr" if _is_detr(facts) or (are_fractions and table.shape[2] == 4 + classes) else "yolov8"
    if "yolov5" not in fitting:
        return "yolov10" if "yolov10" in fitting and classes > 2 else None
    if on_anchors or not on_grid:
        return "yolov5" if on_anchors or facts.labels else None  # as its exporter writes them
    if (table[0, :, 4] == 1).all():
        return "yolov6"
    return "yolox-decoded" if np.abs(table[0, :, :4]).max() > DECODED else "yolox"


def _is_detr(facts: OnnxFacts) -> bool:
    """Whether the metadata that Ultralytics writes name an RT-DETR."""
    return any("DETR" in facts.metadata.get(key, "").upper() for key in ("description", "head"))


def _suppressed_inside(facts: OnnxFacts) -> bool:
    """Whether the metadata that Ultralytics writes say that suppression is done, or not needed."""
    options = literal(facts.metadata.get("args", ""))
    inside = isinstance(options, dict) and bool(options.get("nms"))
    return inside or facts.metadata.get("end2end", "").lower() == "true"


def _pair(tables: Outputs, classes: int) -> list[str]:
    """The names of scores (1, N, C or C + 1) and boxes (1, N, 4), in this order; none where there are no such."""
    names = list(tables)[:2]
    for scores, boxes in (names, names[::-1]) if len(names) == 2 else ():
        first, second = tables[scores], tables[boxes]
        alike = first.ndim == second.ndim == 3 and first.shape[1] == second.shape[1] and second.shape[2] == 4
        if alike and first.shape[2] in (classes, classes + 1) and not BOXES.search(scores):
            return [scores, boxes]
    return []
