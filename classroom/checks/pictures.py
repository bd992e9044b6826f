"""The sample pictures, and what the starter model finds in them."""

from functools import cache

from classroom import ROOT
from yololab.vision.detector import Detector
from yololab.vision.images import decode

starter = cache(lambda: Detector("starter"))  # loaded once for all checks of a process


def sample(name: str) -> bytes:
    """The file images/NAME.jpg."""
    return (ROOT / "images" / f"{name}.jpg").read_bytes()


def labels(data: bytes, confidence: float | None = None) -> list[str]:
    """The labels that the starter model finds in a picture file, highest confidence first."""
    return [found.label for found in starter()(decode(data), confidence)]
