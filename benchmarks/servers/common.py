"""What every peer does with a photo: this project's own stages, so that only the serving differs."""

import json
import sys
from pathlib import Path

from yololab.vision.detector import Detector
from yololab.vision.images import decode_small

CONFIDENCE = 0.3


def arguments() -> tuple[int, Path]:
    """The port to serve on, the model's cfg."""
    return int(sys.argv[1]), Path(sys.argv[2])


def detect(detector: Detector, photo: bytes) -> bytes:
    """The JSON answer for one photo."""
    picture, (width, height) = decode_small(photo, max(detector.size))
    found = detector(picture, CONFIDENCE, original=(width, height))
    return json.dumps({"image": [width, height], "detections": [each.as_dict() for each in found]}).encode()
