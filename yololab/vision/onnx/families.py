"""Families of networks: what their outputs mean, and what pictures they were trained on.

A family is told by the shapes, the names and the metadata of an ONNX file, and by NAME.toml; what fits none is refused
with a sentence. Rows, as here: float32 (R, 5 + C), center x, center y, width, height in pixels of what the network was
fed, objectness, then for each class objectness times class probability.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from .preparation import Frame, Size

STRIDES = ((8, 16, 32), (8, 16, 32, 64), (16, 32), (4, 8, 16, 32))  # of the grids that detectors have
IMAGENET = {"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)}
Outputs = Sequence[np.ndarray]


@dataclass(frozen=True)
class Grid:
    """A part of the rows: `anchors` rows for each cell; by_anchor: all cells of the first anchor come first."""

    columns: int
    lines: int
    anchors: int
    by_anchor: bool = False

    @property
    def rows(self) -> int:
        return self.columns * self.lines * self.anchors

    def over(self, values: np.ndarray, size: Size, frame: Frame) -> np.ndarray:
        """Of cells (lines, columns) over what a network of `size` is fed: those over the picture, of the same shape."""
        across = frame.left + (np.arange(self.columns) + 0.5) / self.columns * frame.width
        down = frame.top + (np.arange(self.lines) + 0.5) / self.lines * frame.height
        columns = np.minimum(across * self.columns / size[0], self.columns - 1).astype(int)
        lines = np.minimum(down * self.lines / size[1], self.lines - 1).astype(int)
        return np.asarray(values[np.ix_(lines, columns)])

    def best(self, values: np.ndarray) -> np.ndarray:
        """The highest of a cell's values, (lines, columns), of the values (rows,) of this grid."""
        if self.by_anchor:
            return np.asarray(values.reshape(self.anchors, self.lines, self.columns).max(0))
        return np.asarray(values.reshape(self.lines, self.columns, self.anchors).max(-1))


@dataclass(frozen=True)
class Family:
    """One way of writing detections.

    rows: (the `reads` outputs that it reads, size, classes) to rows. nms: whether boxes still need suppression.
    fed: what Preparation needs besides size and dtype. anchors: rows for each cell, 0 where there is no grid with an
    objectness.
    """

    name: str
    about: str
    rows: Callable[[Outputs, Size, int], np.ndarray]
    nms: bool = True
    fed: Mapping[str, Any] = field(default_factory=dict)
    anchors: int = 0
    reads: int = 1


def grids(size: Size, rows: int, anchors: int) -> list[Grid]:
    """The grids of a network for pictures of `size` that has so many rows; none where no usual strides fit."""
    for strides in STRIDES:
        found = [Grid(size[0] // stride, size[1] // stride, anchors, by_anchor=True) for stride in strides]
        if sum(grid.rows for grid in found) == rows:
            return found
    return []


def with_objectness(outputs: Outputs, size: Size, classes: int) -> np.ndarray:
    """(1, N, 5 + C): box, objectness, class probabilities."""
    rows = np.array(outputs[0][0], np.float32)
    rows[:, 5:] *= rows[:, 4:5]
    return rows


def in_cells(outputs: Outputs, size: Size, classes: int) -> np.ndarray:
    """As `with_objectness`, with centers as offsets from a cell and the logarithm of sizes, both in strides."""
    rows = with_objectness(outputs, size, classes)
    first = 0
    for grid in grids(size, len(rows), 1):
        part, stride = rows[first : first + grid.rows], size[0] / grid.columns
        cells = np.stack(np.meshgrid(np.arange(grid.columns), np.arange(grid.lines)), -1).reshape(-1, 2)
        stride = 2 ** round(np.log2(stride))  # a side may be no multiple of it
        part[:, :2] = (part[:, :2] + cells) * stride
        with np.errstate(over="ignore"):  # an endless box is left out later
            part[:, 2:4] = np.exp(part[:, 2:4]) * stride
        first += grid.rows
    return rows


def without_objectness(outputs: Outputs, size: Size, classes: int) -> np.ndarray:
    """(1, 4 + C, N), or (1, N, 4 + C): box, class probabilities."""
    output = outputs[0][0]
    rows = output.T if output.shape[0] == 4 + classes else output
    return np.concatenate([rows[:, :4], np.ones((len(rows), 1)), rows[:, 4:]], axis=1, dtype=np.float32)


def as_fractions(outputs: Outputs, size: Size, classes: int) -> np.ndarray:
    """As `without_objectness`, with boxes as fractions."""
    rows = without_objectness(outputs, size, classes)
    rows[:, :4] *= (*size, *size)
    return rows


def final(outputs: Outputs, size: Size, classes: int) -> np.ndarray:
    """(1, N, 6): corners, score, class: nothing is left to do."""
    output = outputs[0].reshape(-1, 6)
    return _chosen(output[:, :4], output[:, 4], output[:, 5], classes)


def final_of_fractions(outputs: Outputs, size: Size, classes: int) -> np.ndarray:
    """(1, N, 6): center, width and height as fractions, score, class."""
    output = outputs[0].reshape(-1, 6)
    half = output[:, 2:4] / 2
    corners = np.concatenate([output[:, :2] - half, output[:, :2] + half], 1) * np.array((*size, *size))
    return _chosen(corners, output[:, 4], output[:, 5], classes)


def final_by_batch(outputs: Outputs, size: Size, classes: int) -> np.ndarray:
    """(N, 7): number of the picture, corners, class, score."""
    output = outputs[0].reshape(-1, 7)
    return _chosen(output[:, 1:5], output[:, 6], output[:, 5], classes)


def final_by_score(outputs: Outputs, size: Size, classes: int) -> np.ndarray:
    """(N, 7): number of the picture, corners, score, class."""
    output = outputs[0].reshape(-1, 7)
    return _chosen(output[:, 1:5], output[:, 5], output[:, 6], classes)


def _chosen(corners: np.ndarray, scores: np.ndarray, chosen: np.ndarray, classes: int) -> np.ndarray:
    rows = np.zeros((len(corners), 5 + classes), np.float32)
    rows[:, :2] = (corners[:, :2] + corners[:, 2:]) / 2
    rows[:, 2:4] = corners[:, 2:] - corners[:, :2]
    rows[:, 4] = 1
    valid = np.flatnonzero((chosen >= 0) & (chosen < classes) & (scores > 0))  # what is missing is filled with 0 or -1
    rows[valid, 5 + chosen[valid].astype(int)] = scores[valid]
    return rows


def logits_and_boxes(outputs: Outputs, size: Size, classes: int) -> np.ndarray:
    """(1, N, C or more) and (1, N, 4): logits, and boxes as fractions."""
    scores = (1 + np.tanh(np.asarray(outputs[0][0], np.float64) / 2)) / 2  # the sigmoid, without overflow
    return _rows_of_fractions(outputs[1][0], scores[:, :classes], size)


def softmax_and_boxes(outputs: Outputs, size: Size, classes: int) -> np.ndarray:
    """As `logits_and_boxes` with one more logit, the last, which stands for no object."""
    logits = np.asarray(outputs[0][0], np.float64)
    powers = np.exp(logits - logits.max(-1, keepdims=True))
    return _rows_of_fractions(outputs[1][0], (powers / powers.sum(-1, keepdims=True))[:, :classes], size)


def scores_and_corners(outputs: Outputs, size: Size, classes: int) -> np.ndarray:
    """(1, N, C) and (1, N, 4): class probabilities, and corners in pixels."""
    scores, corners = outputs[0][0], outputs[1][0]
    boxes = [(corners[:, :2] + corners[:, 2:]) / 2, corners[:, 2:] - corners[:, :2]]
    return np.concatenate([*boxes, np.ones((len(scores), 1)), scores], axis=1, dtype=np.float32)


def _rows_of_fractions(boxes: np.ndarray, scores: np.ndarray, size: Size) -> np.ndarray:
    ones = np.ones((len(boxes), 1))
    return np.concatenate([boxes * np.array((*size, *size)), ones, scores], axis=1, dtype=np.float32)


FAMILIES = {
    family.name: family
    for family in (
        Family("yolox", "YOLOX, boxes in cells", in_cells, anchors=1,
               fed={"color": "bgr", "scale": 1, "resize": "corner"}),
        Family("yolox-decoded", "YOLOX, boxes in pixels", with_objectness, anchors=1,
               fed={"color": "bgr", "scale": 1, "resize": "corner"}),
        Family("yolov5", "YOLOv5 or YOLOv7: boxes, objectness, classes", with_objectness, anchors=3),
        Family("yolov6", "YOLOv6: boxes, an objectness of 1, classes", with_objectness),
        Family("yolov8", "YOLOv8, YOLO11 and their kin: boxes, classes", without_objectness),
        Family("yolov10", "YOLOv10, YOLO26, or with suppression inside", final,
               nms=False),
        Family("yolov7-nms", "YOLOv7 with suppression inside", final_by_batch, nms=False),
        Family("rtdetr", "RT-DETR of Ultralytics: boxes as fractions, classes", as_fractions, nms=False,
               fed={"resize": "squeeze"}),
        Family("rtdetr-final", "RT-DETR of Ultralytics: boxes as fractions, scores, classes", final_of_fractions,
               nms=False, fed={"resize": "squeeze"}),
        Family("yolo-nas", "YOLO-NAS: class probabilities and corners", scores_and_corners, reads=2),
        Family("yolo-nas-flat", "YOLO-NAS with suppression inside", final_by_score, nms=False),
        Family("detr-sigmoid", "DETR-like, with a sigmoid: logits and boxes", logits_and_boxes, nms=False,
               fed={"resize": "squeeze"}, reads=2),
        Family("detr", "DETR, with a softmax: logits and boxes", softmax_and_boxes, nms=False,
               fed={"resize": "squeeze", **IMAGENET}, reads=2),
        Family("rf-detr", "RF-DETR, with a sigmoid: logits and boxes", logits_and_boxes, nms=False,
               fed={"resize": "squeeze", **IMAGENET}, reads=2),
    )
}  # fmt: skip
