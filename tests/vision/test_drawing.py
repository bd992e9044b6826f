import numpy as np
import pytest

from yololab import Detection, annotate
from yololab.vision.drawing import PALETTE, SMALLEST, _covered, _place, color_of, luminance


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
    assert background.sum() > 250  # the strip under the text is there, whole


def test_one_label_one_color():
    assert color_of("apple") == color_of("apple") and color_of("apple") in PALETTE


def test_a_label_of_any_script_does_not_stop_it(picture):
    annotate(picture, [Detection("яблоко 苹果", 0.5, (10, 10, 50, 50)), Detection("", 0.5, (10, 10, 50, 50))])


def placed(detections, size=(640, 480), scale=0.5):
    """The areas of the tags, in the order of the boxes."""
    taken = []
    for text, box in detections:
        taken.append(_place(text, box, size, scale, taken).area)
    return taken


def test_the_tags_of_equal_and_crowded_boxes_do_not_cover_each_other():
    boxes = [(100 + 9 * n, 150 + 5 * n, 260 + 9 * n, 300 + 5 * n) for n in range(6)]
    areas = np.array(placed([("orange 87%", box) for box in boxes]))
    for number, area in enumerate(areas):
        others = [tuple(other) for other in np.delete(areas, number, axis=0)]
        assert _covered(area[None], others) == [0]


def test_a_tag_alone_stands_above_its_box_and_below_or_inside_where_there_is_no_room():
    assert placed([("apple 87%", (100, 100, 300, 200))])[0][3] == 100
    left, top, right, bottom = placed([("apple 87%", (0, 0, 640, 480))])[0]
    assert left == 0 and top == 0 and right < 640 and bottom < 40


def test_the_tag_of_a_small_box_is_written_smaller():
    tag = _place("traffic light 87%", (10, 60, 60, 110), (200, 200), 0.8, [])
    assert tag.scale == pytest.approx(SMALLEST, rel=0.2) and tag.area[2] - tag.area[0] < 110


def test_hundreds_of_boxes_are_drawn(picture):
    drawn = annotate(
        picture, [Detection("apple", 0.5, (n % 300, n % 200, n % 300 + 20, n % 200 + 20)) for n in range(500)]
    )
    assert drawn.shape == picture.shape


@pytest.mark.parametrize("color", PALETTE)
def test_the_ink_has_contrast_with_every_color(color):
    """At least 4.5 : 1, what WCAG 2.2 asks of text (success criterion 1.4.3)."""
    light = luminance(color)
    assert max((light + 0.05) / 0.05, 1.05 / (light + 0.05)) >= 4.5
    box, label = (50, 80, 250, 250), label_of(color)
    left, top, right, bottom = _place(f"{label} 90%", box, (300, 300), 0.4, []).area
    drawn = annotate(np.full((300, 300, 3), 90, np.uint8), [Detection(label, 0.9, box)])
    difference = drawn[top:bottom, left:right].astype(int) - color[::-1]
    dark = (light + 0.05) / 0.05 > 1.05 / (light + 0.05)
    assert (difference != 0).any() and (difference <= 0 if dark else difference >= 0).all()


def label_of(color):
    """Some label that is drawn in this color."""
    return next(label for label in map(str, range(1000)) if color_of(label) == color)
