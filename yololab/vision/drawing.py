"""Detections on a copy of the picture."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple
from zlib import crc32

import cv2
import numpy as np

from ..detections import Detection

# Okabe and Ito (2008), "Color Universal Design": told apart with every common color blindness; black left out. RGB.
PALETTE = (
    (230, 159, 0),
    (86, 180, 233),
    (0, 158, 115),
    (240, 228, 66),
    (0, 114, 178),
    (213, 94, 0),
    (204, 121, 167),
)
FONT = cv2.FONT_HERSHEY_SIMPLEX
SMALLEST = 0.33  # font scale: letters of about 7 pixels, the least that can be read
CAREFUL = 40  # so many tags are kept free; with more of them nothing can be read anyway
EVEN = 0.179  # the luminance of which black and white are equally far, by WCAG's contrast
Area = tuple[int, int, int, int]  # left, top, right, bottom, pixels


def color_of(label: str) -> tuple[int, int, int]:
    """The RGB color of a label, the same in every run and picture; uint8 values."""
    return PALETTE[crc32(label.encode(), 223) % len(PALETTE)]  # this start tells fruits from each other


def css_color_of(label: str) -> str:
    """`color_of` as "#rrggbb"."""
    return "#{:02x}{:02x}{:02x}".format(*color_of(label))


def annotate(picture: np.ndarray, detections: Iterable[Detection]) -> np.ndarray:
    """A new BGR uint8 picture (H, W, 3) with a box and a tag "label 87%" for each detection.

    The most confident is drawn last, and its tag is placed first; a tag is moved so that it covers no other one, as
    long as there is room. The input is not changed.
    """
    canvas = picture.copy()
    height, width = canvas.shape[:2]
    scale = max(0.4, min(width, height) / 900)
    line = max(1, round(4 * scale))
    taken: list[Area] = []
    tags = []
    for detection in sorted(detections, key=lambda d: -d.confidence):
        text = f"{detection.label} {detection.confidence:.0%}"
        tag = _place(text, detection.box, (width, height), scale, taken)
        taken.append(tag.area)
        tags.append((detection, tag))
    for detection, _ in reversed(tags):
        x1, y1, x2, y2 = (round(value) for value in detection.box)
        corner = (min(x2, width - 1), min(y2, height - 1))
        cv2.rectangle(canvas, (x1, y1), corner, color_of(detection.label)[::-1], line)
    for detection, tag in reversed(tags):  # over all boxes
        _write(canvas, tag, color_of(detection.label)[::-1])
    return canvas


class _Tag(NamedTuple):
    """A text with its place: the filled strip in pixels, its font scale, and the baseline's distance to the bottom."""

    text: str
    area: Area
    scale: float
    below: int


def _place(text: str, box: Sequence[float], size: tuple[int, int], scale: float, taken: Sequence[Area]) -> _Tag:
    """Where the text can stand: above the box, below it or inside, then shifted along it; the least covered place.

    size: width and height of the picture. A text wider than the box is written smaller, down to SMALLEST.
    """
    (w, h), below = cv2.getTextSize(text, FONT, scale, 1)
    room = max(box[2] - box[0], size[0] / 5)
    if w > room and scale > SMALLEST:
        scale = max(SMALLEST, scale * room / w)
        (w, h), below = cv2.getTextSize(text, FONT, scale, 1)
    h += 2 * below
    x1, y1, x2, y2 = (round(value) for value in box)
    lefts = (x1, x2 - w, (x1 + x2 - w) // 2, x1 - w, x2)
    tops = (y1 - h, y2, y1, y2 - h, (y1 + y2 - h) // 2)
    places = [(left, top) for left in lefts[:3] for top in tops] + [(left, top) for left in lefts[3:] for top in tops]
    corners = np.clip(places, 0, (max(0, size[0] - w), max(0, size[1] - h)))
    areas = np.hstack([corners, np.add(corners, (w, h))])
    best = areas[np.argmin(_covered(areas, taken[:CAREFUL]))]  # of equal ones the first
    left, top, right, bottom = (int(value) for value in best)
    return _Tag(text, (left, top, right, bottom), scale, below)


def _covered(areas: np.ndarray, taken: Sequence[Area]) -> np.ndarray:
    """For each of the areas (N, 4), how many of its pixels other areas cover; (N,)."""
    others = np.array(taken, areas.dtype).reshape(-1, 4)
    first = np.maximum(areas[:, None, :2], others[:, :2])
    last = np.minimum(areas[:, None, 2:], others[:, 2:])
    covered: np.ndarray = (last - first).clip(0).prod(axis=2).sum(axis=1)
    return covered


def _write(canvas: np.ndarray, tag: _Tag, color: tuple[int, ...]) -> None:
    """The text on a filled strip, in black or white, whichever is told better from the strip's BGR color."""
    left, top, right, bottom = tag.area
    cv2.rectangle(canvas, (left, top), (right, bottom), color, cv2.FILLED)
    ink = (0, 0, 0) if luminance(color[::-1]) > EVEN else (255, 255, 255)
    thickness = max(1, round(1.5 * tag.scale))
    cv2.putText(canvas, tag.text, (left, bottom - tag.below), FONT, tag.scale, ink, thickness, cv2.LINE_AA)


def luminance(color: Sequence[int]) -> float:
    """The relative luminance of an sRGB color of uint8 values, in [0, 1]; WCAG 2.2."""
    values = [each / 255 for each in color]
    linear = [each / 12.92 if each <= 0.04045 else ((each + 0.055) / 1.055) ** 2.4 for each in values]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
