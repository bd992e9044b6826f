"""Overlap and non-maximum suppression: of several boxes on one object, the best one stays."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, slots=True)
class Suppression:
    """What became of each of N boxes.

    suppressor: int (N,), the number of the box that it lost against, -1 for a box that stays.
    overlap: float64 (N,), their intersection over union, 0 for a box that stays.
    kept: int (K,), the numbers of the boxes that stay, highest score first.
    """

    suppressor: np.ndarray
    overlap: np.ndarray
    kept: np.ndarray


def iou(box: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Intersection over union of a box (4,) with others (N, 4), all as x1, y1, x2, y2: float64 (N,)."""
    sides = np.minimum(box[2:], others[:, 2:]) - np.maximum(box[:2], others[:, :2])
    common = np.prod(np.clip(sides, 0, None), axis=1)
    return np.asarray(common / np.maximum(_area(box) + _area(others) - common, 1e-9))


def _area(boxes: np.ndarray) -> np.ndarray:
    return np.asarray((boxes[..., 2] - boxes[..., 0]) * (boxes[..., 3] - boxes[..., 1]))


def suppress(boxes: np.ndarray, scores: np.ndarray, groups: np.ndarray, threshold: float) -> Suppression:
    """Greedy non-maximum suppression within each group.

    From the highest score to the lowest, a box that is still there removes those of its group that overlap it by more
    than `threshold` (intersection over union). Of equal scores the first comes first.
    boxes: float64 (N, 4) as x1, y1, x2, y2. scores: (N,). groups: int (N,), the class numbers as a rule.
    """
    suppressor = np.full(len(boxes), -1, np.intp)
    overlap = np.zeros(len(boxes))
    order = np.argsort(-scores, kind="stable")
    for group in np.unique(groups):
        waiting = order[groups[order] == group]
        while len(waiting) > 1:
            best, waiting = waiting[0], waiting[1:]
            overlaps = iou(boxes[best], boxes[waiting])
            loses = overlaps > threshold
            suppressor[waiting[loses]], overlap[waiting[loses]] = best, overlaps[loses]
            waiting = waiting[~loses]
    return Suppression(suppressor, overlap, order[suppressor[order] < 0])
