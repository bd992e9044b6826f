"""What one app holds, and the whole way of one upload through the stages."""

import asyncio
import json
import logging
from itertools import pairwise
from time import perf_counter

import numpy as np
from fastapi import FastAPI

from .admission import Admission
from .detector import Detectors
from .drawing import annotate
from .errors import LabError, NotReady
from .images import decode_again, decode_small, encode, media_type
from .machine import cores
from .metrics import Metrics
from .settings import Settings
from .uploads import Uploads

logger = logging.getLogger(__name__)


class Lab:
    """What one app holds: its settings, detectors, queue and counters; `app.state.lab`."""

    def __init__(self, settings: Settings):
        self.settings = settings
        self.metrics = Metrics()
        self.threads = max(1, cores() // settings.workers)
        self.detectors = Detectors(settings.model_folders, settings.engine, self.threads)
        self.admission = self.admit()
        self.uploads = Uploads(settings.uploads, settings.uploads_quota)
        self.obstacle: str | None = "The model is still loading. Try again in a second."

    def admit(self) -> Admission:
        """A new queue, for this event loop."""
        settings = self.settings
        return Admission(settings.queue, self.threads + 1, settings.deadline, self.metrics.waiting.set)

    async def load(self) -> None:
        """Load the default model and let it answer once, in a thread; `obstacle` says how that went."""
        try:
            detector = await asyncio.to_thread(self.detectors.__getitem__, self.settings.model)
            await asyncio.to_thread(detector, np.zeros((416, 416, 3), np.uint8))
            self.obstacle = None
        except Exception as error:
            self.obstacle = f"The model {self.settings.model!r} cannot be loaded: {error}"
            logger.error(self.obstacle, exc_info=not isinstance(error, LabError))

    def check_ready(self, app: FastAPI) -> None:
        """Raise NotReady while the default model does not answer, and from the moment a stop is asked for."""
        if getattr(app.state, "stopping", False):
            raise NotReady("The server is stopping. Send the request to another one, or again after its restart.")
        if self.obstacle:
            raise NotReady(self.obstacle)

    def answer(
        self, data: bytes, model: str, confidence: float | None, nms_threshold: float, kind: str, keep: bool
    ) -> tuple[bytes, str, dict[str, float]]:
        """The whole way of one upload, in a worker thread: the answer's bytes, their media type, seconds by stage."""
        clock = [perf_counter()]
        detector = self.detectors[model]
        limit = self.settings.max_pixels
        picture, (width, height) = decode_small(data, detector.size, limit)
        drawn = kind != "application/json"
        whole = picture.shape[:2] == (height, width)
        canvas = decode_again(data, (width, height), limit) if drawn and not whole else picture
        clock.append(perf_counter())
        detections = detector(picture, confidence, nms_threshold, (width, height))
        clock.append(perf_counter())
        if not drawn:
            found = [detection.as_dict() for detection in detections]
            size = {"width": width, "height": height}
            body = json.dumps({"model": model, "image": size, "detections": found}).encode()
        else:
            if kind == "same":
                kind = "image/png" if media_type(data) == "image/png" else "image/jpeg"
            body = encode(annotate(canvas, detections), kind)
        if keep and self.uploads.keep(body, kind) is None:
            self.metrics.copies_failed.inc()
        clock.append(perf_counter())
        for detection in detections:
            self.metrics.detections.labels(model, detector.version, detection.label).inc()
        spent = (after - before for before, after in pairwise(clock))
        return body, kind, dict(zip(("decode", "detect", "encode"), spent, strict=True))
