import numpy as np
import pytest

from yololab import Detection, annotate
from yololab.vision.drawing import PALETTE, color_of


def test_the_input_is_never_changed(picture):
    before = picture.copy()
    drawn = annotate(picture, [Detection("apple", 0.9, (50, 60, 170, 180))])
    assert (picture == before).all()
    assert drawn.shape == picture.shape and drawn.dtype == np.uint8 and (drawn != picture).any()


def test_nothing_found_gives_an_equal_copy(picture):
    drawn = annotate(picture, [])
    assert (drawn == picture).all() and drawn is not picture


def test_the_box_lies_where_it_was_found(picture):
    drawn = annotate(picture, [Detection("apple", 0.9, (100, 100, 200, 200))])
    changed = np.argwhere((drawn != picture).any(2))
    assert (drawn[200, 150][::-1] == color_of("apple")).all()
    assert changed[:, 0].max() <= 202 and changed[:, 1].min() >= 98


@pytest.mark.parametrize("shape", [(1, 1), (1, 500), (500, 1), (12, 12), (40, 900), (3000, 20)])
def test_the_smallest_and_longest_pictures_can_be_drawn_on(shape):
    height, width = shape
    picture = np.zeros((*shape, 3), np.uint8)
    drawn = annotate(picture, [Detection("traffic light", 1.0, (0, 0, width, height))])
    assert drawn.shape == picture.shape


@pytest.mark.parametrize("box", [(0, 0, 320, 240), (300, 200, 320, 240), (0, 0, 5, 5), (315, 0, 320, 3)])
def test_a_tag_at_the_edge_stays_inside_and_readable(picture, box):
    drawn = annotate(picture, [Detection("sports ball", 0.5, box)])
    background = (drawn == np.array(color_of("sports ball")[::-1])).all(2)
    assert background.sum() > 300  # the strip under the text is there, whole


def test_one_label_one_color():
    assert color_of("apple") == color_of("apple") and color_of("apple") in PALETTE


def test_a_label_of_any_script_does_not_stop_it(picture):
    annotate(picture, [Detection("яблоко 苹果", 0.5, (10, 10, 50, 50)), Detection("", 0.5, (10, 10, 50, 50))])
