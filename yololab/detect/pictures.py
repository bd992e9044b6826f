"""One picture file on the library's way: read, decode, detect, annotate, encode."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..detections import Detection
from ..errors import LabError
from ..vision.detector import Detector
from ..vision.drawing import annotate
from ..vision.images import decode_small, decode_whole, encode
from .files import replacing
from .results import Entry, Failure, Found
from .sources import Source


@dataclass(frozen=True)
class Job:
    """What is done with every picture. out: the folder for annotated copies, None for none."""

    detector: Detector
    confidence: float | None
    nms_threshold: float
    max_pixels: int
    out: Path | None

    def detect(self, picture: np.ndarray, size: tuple[int, int] | None = None) -> list[Detection]:
        """What is in a BGR uint8 picture (H, W, 3); `size` as `original` of `Detector`."""
        return self.detector(picture, self.confidence, self.nms_threshold, size)

    def place(self, source: Source) -> Path | None:
        """Where the annotated copy goes, its folder made."""
        if self.out is None:
            return None
        path = self.out / source.copy
        path.parent.mkdir(parents=True, exist_ok=True)
        return path


def detect_picture(job: Job, source: Source) -> Entry:
    """What is in the file, and its annotated copy written; a Failure for whatever goes wrong with it."""
    try:
        data = Path(source.name).read_bytes()
        picture, size = decode_small(data, max(job.detector.size), job.max_pixels)
        detections = job.detect(picture, size)
        if place := job.place(source):
            whole = decode_whole(data, picture, size, job.max_pixels)
            media_type = "image/png" if place.suffix.lower() == ".png" else "image/jpeg"
            with replacing(place) as part:
                part.path.write_bytes(encode(annotate(whole, detections), media_type))
                part.keep = True
        return Found(source.name, *size, detections)
    except Exception as error:
        return Failure(source.name, sentence(error))


def sentence(error: Exception) -> str:
    """One line that says what went wrong."""
    if isinstance(error, LabError):
        return str(error)
    if isinstance(error, OSError) and error.strerror:
        return f"{error.strerror}: {error.filename}." if error.filename else f"{error.strerror}."
    return " ".join(f"{type(error).__name__}: {error}".split())
