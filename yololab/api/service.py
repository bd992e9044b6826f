"""The one way of a picture through the API: `DetectionService.process`, and the queue in front of it."""

import logging
import threading
from collections.abc import Awaitable, Callable
from dataclasses import replace
from functools import partial
from time import monotonic
from typing import TypeVar

import numpy as np
from fastapi import FastAPI

from ..errors import BrokenModel, LabError, NotReady
from ..vision.cost import memory_of
from ..vision.detectors import Detectors
from ..vision.explain import explain
from ..vision.images import decode_small, decode_whole, give_back_memory, media_type
from ..vision.machine import cores
from .budget import Budget
from .metrics import Metrics
from .queue import STOPPING, RequestQueue
from .result import Options, Result, timed
from .settings import Settings
from .startup import Files, default_model_files
from .uploads import Uploads

logger = logging.getLogger(__name__)
T = TypeVar("T")

RETRY = 10  # seconds between two looks at the files of the default model
NOTHING = np.empty((0, 0, 3), np.uint8)
LOADING = "The model is still loading. Try again in a second."


class DetectionService:
    """What one app holds: its settings, detectors, queue and counters; `app.state.service`."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.metrics = Metrics()
        give_back_memory()
        self.threads = max(1, cores() // settings.workers)
        self.detectors = Detectors(settings.model_folders, settings.chosen_engine, self.threads, settings.loaded_models)
        self.budget = Budget(settings.decoded_mb * 2**20 // settings.workers)
        self.queue = self.new_queue()
        self.uploads = Uploads(settings.uploads, settings.uploads_quota)
        self.not_ready_reason: LabError | None = NotReady(LOADING)
        self.loaded = threading.Event()  # set when loading has ended, well or not
        self._tried = 0.0  # when loading ended, or the files were looked at
        self._files: Files | None = None  # those of the default model when it was loaded in vain

    def new_queue(self) -> RequestQueue:
        """A new queue, for the event loop that runs now."""
        settings = self.settings
        return RequestQueue(settings.queue, self.threads + 1, settings.deadline, self.metrics.waiting.set)

    def start_loading(self) -> None:
        """Load the default model in a thread, unless it answers already."""
        if self.not_ready_reason:
            self.not_ready_reason = NotReady(LOADING)
            self.loaded.clear()
            threading.Thread(target=self.load, name="load").start()

    def load(self) -> None:
        """Load the default model and let it answer once; `not_ready_reason` says how that went."""
        name = self.settings.model
        files = default_model_files(self.settings)
        try:
            self.detectors[name](np.zeros((416, 416, 3), np.uint8))
            self.not_ready_reason = None
        except Exception as error:
            self._files = files if isinstance(error, LabError) else None
            self.not_ready_reason = BrokenModel(f"The model {name!r} cannot be loaded: {error}")
            logger.error(self.not_ready_reason, exc_info=not isinstance(error, LabError))
        finally:
            self._tried = monotonic()
            self.loaded.set()

    def try_again(self) -> None:
        """Load the default model again once its files have changed, in a thread: /ready says how that went."""
        if monotonic() - self._tried < RETRY:
            return
        self._tried = monotonic()
        if isinstance(self.not_ready_reason, BrokenModel) or self.detectors.is_outdated(self.settings.model):
            threading.Thread(target=self._load_if_changed, name="load").start()

    def _load_if_changed(self) -> None:
        if default_model_files(self.settings) != self._files:
            self.load()

    def check_ready(self, app: FastAPI) -> None:
        """Raise NotReady while the default model does not answer, and from the moment a stop is asked for.

        Raises BrokenModel where the default model cannot be loaded.
        """
        self.check_stopping(app)
        self.check_model()

    def check_stopping(self, app: FastAPI) -> None:
        """Raise NotReady from the moment a stop is asked for: no request is begun then."""
        if getattr(app.state, "stopping", False):
            raise NotReady(STOPPING)

    def check_model(self) -> None:
        """Raise NotReady or BrokenModel while the default model does not answer."""
        if not threading.main_thread().is_alive():  # the interpreter is ending
            raise NotReady(STOPPING)
        self.try_again()
        if self.not_ready_reason:
            raise type(self.not_ready_reason)(str(self.not_ready_reason))

    def process(self, data: bytes, options: Options, render: Callable[[Result], T]) -> tuple[T, Result]:
        """The bytes of one upload: load the model, decode, detect, render; what `render` returns, and the result.

        The result no longer holds its picture then. Raises what `images.decode` and `Detector` raise.
        """
        seconds: dict[str, float] = {}
        with timed(seconds, "load"):
            detector = self.detectors[options.model]
        limit, side = self.settings.max_pixels, max(detector.size)
        with self.budget.share(memory_of(data, side, options.draw)):
            with timed(seconds, "decode"):
                picture, size = decode_small(data, side, limit)
                whole = decode_whole(data, picture, size, limit) if options.draw else picture
            with timed(seconds, "detect"):
                thresholds = (options.confidence, options.nms_threshold, size)
                explanation = None
                if options.explain_from is None:
                    detections = detector(picture, *thresholds)
                else:
                    explanation = explain(detector, picture, *thresholds, options.explain_from)
                    detections = explanation.detections
            kind, version = media_type(data), detector.version
            result = Result(options.model, version, *size, detections, whole, kind, explanation, seconds)
            with timed(seconds, "encode"):
                rendered = render(result)
        return rendered, replace(result, picture=NOTHING)  # its memory is not to wait for the event loop

    async def answer(
        self, data: bytes, options: Options, render: Callable[[Result], T], disconnected: Callable[[], Awaitable[bool]]
    ) -> tuple[T, dict[str, float]]:
        """`process`, in a thread of the queue: what `render` returns, and the seconds by stage.

        Raises what `process` raises, Busy and ClientDisconnected.
        """
        work = partial(self.process, data, options, render)
        (rendered, result), waited = await self.queue.run(work, disconnected)
        seconds = {"queue": waited, **result.seconds}
        for stage, spent in seconds.items():
            self.metrics.stage.labels(stage).observe(spent)
        for detection in result.detections:
            self.metrics.detections.labels(result.model, result.version, detection.label).inc()
        return rendered, seconds

    def keep(self, picture: bytes, media_type: str) -> None:
        """Keep a copy of an annotated picture, where the settings want one; a failure is counted."""
        if self.settings.keep and self.uploads.keep(picture, media_type) is None:
            self.metrics.copies_failed.inc()
