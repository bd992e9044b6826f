"""Whether two engines see the same: their answers to a few scenes that come with the package are compared."""

from functools import cache
from importlib.resources import files

import numpy as np

from ..candidates import Candidates, every_class
from ..images import decode
from ..suppression import iou, suppress

BOXES = 20  # of each scene that are compared, those with the highest scores
SCORES = 0.05  # how far the scores of two boxes that count as the same may be apart
THRESHOLDS = np.arange(0.5, 1, 0.05)  # of intersection over union, as in COCO's average precision


@cache
def scenes() -> tuple[np.ndarray, ...]:
    """Six of the pictures in images/, reduced: BGR uint8 (240, 320, 3)."""
    folder = files("yololab.vision").joinpath("scenes")
    pictures = (file for file in folder.iterdir() if file.name.endswith(".jpg"))
    return tuple(decode(file.read_bytes()) for file in sorted(pictures, key=lambda file: file.name))


def best(rows: np.ndarray, nms: bool) -> Candidates:
    """The boxes with the highest scores, whatever these are: twice BOXES, in fractions of the picture.

    rows: float32 (R, 5 + C), see `engines.Engine`. nms: whether boxes of one object still need suppression.
    """
    found = every_class(rows, 0.001, (1, 1)).first(40 * BOXES)
    kept = suppress(found.boxes, found.scores, found.classes, 0.45 if nms else 1.0).kept[: 2 * BOXES]
    return Candidates(found.boxes[kept], found.scores[kept], found.classes[kept], found.rows[kept])


def agreement(expected: list[Candidates], actual: list[Candidates]) -> float:
    """How far two engines agree about the same scenes, in [0, 1]; 1 where neither finds anything.

    Each of the first BOXES boxes of one looks for its like among all of the other's: of its class, with a score that
    differs by at most SCORES. What counts is the mean over THRESHOLDS of the share of boxes whose best intersection
    over union is at least that, the lower of both directions. It needs no true boxes, so it holds for any classes.
    """
    return min(_covered(expected, actual), _covered(actual, expected))


def _covered(these: list[Candidates], those: list[Candidates]) -> float:
    overlaps = []
    for one, other in zip(these, those, strict=True):
        first = one.first(BOXES)
        for box, score, kind in zip(first.boxes, first.scores, first.classes, strict=True):
            alike = (other.classes == kind) & (np.abs(other.scores - score) <= SCORES)
            overlaps.append(iou(box, other.boxes[alike]).max(initial=0))
    return float((np.array(overlaps)[:, None] >= THRESHOLDS).mean()) if overlaps else 1.0
