"""Non-maximum suppression against the textbook's loop and against OpenCV's."""

import cv2
import numpy as np
import pytest

from yololab.vision.candidates import best_class, every_class
from yololab.vision.detector import Detector
from yololab.vision.suppression import iou, suppress


def overlap(a, b):
    sides = np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2])
    common = sides.clip(0).prod()
    return common / ((a[2:] - a[:2]).prod() + (b[2:] - b[:2]).prod() - common)


def test_overlap_by_hand():
    square = np.array([0.0, 0, 10, 10])
    others = np.array([[0.0, 0, 10, 10], [5, 0, 15, 10], [10, 0, 20, 10], [30, 30, 31, 31], [2, 2, 4, 4]])
    assert iou(square, others) == pytest.approx([1, 1 / 3, 0, 0, 0.04])


@pytest.mark.parametrize(("select", "floor"), [(every_class, 0.02), (best_class, 0.005)])
def test_the_textbooks_loop_agrees(fruit, select, floor):
    (rows,) = Detector("starter").engine([fruit])
    found = select(rows, floor, (640, 480))
    groups = found.classes if select is every_class else np.zeros_like(found.classes)
    kept = []
    for one in np.argsort(-found.scores, kind="stable"):
        same = [two for two in kept if groups[one] == groups[two]]
        if all(overlap(found.boxes[one], found.boxes[two]) <= 0.45 for two in same):
            kept.append(one)
    result = suppress(found.boxes, found.scores, groups, 0.45)
    assert len(kept) > 3 and result.kept.tolist() == kept
    for number in set(range(len(groups))) - set(kept):
        winner = result.suppressor[number]
        assert winner in kept and groups[winner] == groups[number]
        assert result.overlap[number] > 0.45
        assert result.overlap[number] == pytest.approx(overlap(found.boxes[number], found.boxes[winner]))


@pytest.mark.parametrize("threshold", [0, 0.3, 0.45, 0.9, 1])
def test_opencv_agrees(threshold):
    random = np.random.default_rng(0)
    corner, side = random.uniform(0, 80, (300, 2)), random.uniform(1, 40, (300, 2))
    boxes, scores = np.hstack([corner, corner + side]), random.uniform(0.01, 1, 300).astype(np.float32)
    theirs = cv2.dnn.NMSBoxes(np.hstack([corner, side]), scores, 0.0, threshold)
    assert suppress(boxes, scores, np.zeros(300, int), threshold).kept.tolist() == list(theirs)


def test_nothing_stays_nothing():
    result = suppress(np.empty((0, 4)), np.empty(0), np.empty(0, int), 0.5)
    assert result.kept.size == result.suppressor.size == 0
