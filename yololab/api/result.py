"""What is asked of one picture, and what came of it."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from time import perf_counter

import numpy as np

from ..detections import Detection
from ..vision.detector import NMS_THRESHOLD
from ..vision.explain import Explanation


@dataclass(frozen=True, slots=True)
class Options:
    """What is asked of one picture. confidence: None for the model's own.

    draw: keep the whole picture, to draw on. explain_from: explain every candidate with at least this confidence.
    """

    model: str
    confidence: float | None = None
    nms_threshold: float = NMS_THRESHOLD
    draw: bool = False
    explain_from: float | None = None


@dataclass(frozen=True, slots=True)
class Result:
    """What came of one picture; the routes make JSON or a picture of it.

    picture: BGR uint8 (H, W, 3), upright; with `Options.draw` of the full size, width x height pixels, else perhaps
        a smaller copy. media_type: of the upload. seconds: by stage, in order.
    """

    model: str
    version: str
    width: int
    height: int
    detections: list[Detection]
    picture: np.ndarray
    media_type: str
    explanation: Explanation | None = None
    seconds: dict[str, float] = field(default_factory=dict)


@contextmanager
def timed(seconds: dict[str, float], stage: str) -> Iterator[None]:
    """Note under `stage` the seconds that the block takes."""
    started = perf_counter()
    try:
        yield
    finally:
        seconds[stage] = perf_counter() - started
