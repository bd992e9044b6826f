import pytest

from yololab import Detection


def test_a_detection_knows_its_json():
    found = Detection("apple", 0.5, (1.0, 2.0, 3.0, 4.0))
    assert found.as_dict() == {"label": "apple", "confidence": 0.5, "box": {"x1": 1, "y1": 2, "x2": 3, "y2": 4}}


def test_a_detection_cannot_be_changed():
    with pytest.raises(AttributeError):
        Detection("apple", 0.5, (1, 2, 3, 4)).label = "pear"


@pytest.mark.parametrize("confidence", [-0.1, 1.1, float("nan")])
def test_confidence_is_checked(confidence):
    with pytest.raises(ValueError, match="confidence"):
        Detection("apple", confidence, (1, 2, 3, 4))


@pytest.mark.parametrize("box", [(3, 2, 1, 4), (1, 4, 3, 2), (0, 0, float("inf"), 1), (float("nan"), 0, 1, 1)])
def test_the_box_is_checked(box):
    with pytest.raises(ValueError, match="box"):
        Detection("apple", 0.5, box)
