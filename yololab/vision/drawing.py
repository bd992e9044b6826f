"""Detections on a copy of the picture."""

from collections.abc import Iterable
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


def color_of(label: str) -> tuple[int, int, int]:
    """The RGB color of a label, the same in every run and picture; uint8 values."""
    return PALETTE[crc32(label.encode(), 223) % len(PALETTE)]  # this start tells fruits from each other


def annotate(picture: np.ndarray, detections: Iterable[Detection]) -> np.ndarray:
    """A new BGR uint8 picture (H, W, 3) with a box and a tag "label 87%" for each detection.

    The most confident is drawn last, so that it stays readable. The input is not changed.
    """
    canvas = picture.copy()
    height, width = canvas.shape[:2]
    scale = max(0.4, min(width, height) / 900)
    line = max(1, round(4 * scale))
    for detection in sorted(detections, key=lambda d: d.confidence):
        red, green, blue = color_of(detection.label)
        color = (blue, green, red)
        x1, y1, x2, y2 = (round(value) for value in detection.box)
        cv2.rectangle(canvas, (x1, y1), (min(x2, width - 1), min(y2, height - 1)), color, line)
        _tag(canvas, f"{detection.label} {detection.confidence:.0%}", (x1, y1), color, scale)
    return canvas


def _tag(canvas: np.ndarray, text: str, corner: tuple[int, int], color: tuple[int, int, int], scale: float) -> None:
    """Write on a filled strip over the box's upper left corner, moved inside the picture where it would leave it."""
    width = canvas.shape[1]
    (w, h), below = cv2.getTextSize(text, FONT, scale, 1)
    x = max(0, min(corner[0], width - w))
    bottom = max(corner[1], h + 2 * below)
    cv2.rectangle(canvas, (x, bottom - h - 2 * below), (x + w, bottom), color, cv2.FILLED)
    ink = (0, 0, 0) if np.dot(color, (0.114, 0.587, 0.299)) > 110 else (255, 255, 255)
    cv2.putText(canvas, text, (x, bottom - below), FONT, scale, ink, max(1, round(1.5 * scale)), cv2.LINE_AA)
