"""The one result that travels between the detector and everything that draws, counts or sends it."""

from dataclasses import dataclass
from math import isfinite
from typing import Any

Box = tuple[float, float, float, float]
"""(x1, y1, x2, y2) in pixels: the upper left corner, the lower right corner."""


@dataclass(frozen=True, slots=True)
class Detection:
    """One object in a picture.

    label: the class name, for example "apple".
    confidence: objectness times class probability, in [0, 1].
    box: (x1, y1, x2, y2) in pixels of the upright picture, floats; (x1, y1) is the upper left corner,
        (x2, y2) the lower right one, both clipped to the picture.

    Raises ValueError for a confidence outside [0, 1] or a box that is not finite or turned over.
    """

    label: str
    confidence: float
    box: Box

    def __post_init__(self) -> None:
        x1, y1, x2, y2 = self.box
        if not 0 <= self.confidence <= 1:
            raise ValueError(f"confidence is {self.confidence}, outside [0, 1]")
        if not all(map(isfinite, self.box)) or x2 < x1 or y2 < y1:
            raise ValueError(f"box is {self.box}, not x1 <= x2, y1 <= y2 in finite pixels")

    def as_dict(self) -> dict[str, Any]:
        """The form that the JSON API sends: {"label", "confidence", "box": {"x1", "y1", "x2", "y2"}}."""
        box = dict(zip(("x1", "y1", "x2", "y2"), self.box, strict=True))
        return {"label": self.label, "confidence": self.confidence, "box": box}
