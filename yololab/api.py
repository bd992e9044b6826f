"""The web API: every stage of the way, joined."""

import asyncio
import json
import logging
from contextlib import asynccontextmanager
from itertools import pairwise
from time import perf_counter
from typing import Annotated

import numpy as np
from fastapi import APIRouter, Depends, FastAPI, Query, Request, Response, Security, UploadFile
from fastapi.routing import APIRoute
from fastapi.security import APIKeyHeader
from starlette.exceptions import HTTPException
from werkzeug.datastructures import MIMEAccept
from werkzeug.http import parse_accept_header

from . import __version__, status
from .admission import Admission, Gone
from .detector import NMS_THRESHOLD, Detectors
from .docs import add_docs
from .drawing import annotate
from .errors import LabError, NotReady, Refused
from .guard import FORM_OVERHEAD, Guard
from .images import decode_again, decode_small, encode, media_type
from .machine import cores
from .metrics import Metrics
from .models import installed
from .schemas import DETECTION, NOT_ACCEPTABLE, PICTURES, Answer
from .settings import Settings
from .uploads import Uploads

logger = logging.getLogger(__name__)

FORM = "multipart/form-data"
KINDS = ("application/json", "image/jpeg", "image/png")


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


class DetectionRoute(APIRoute):
    """Refuses what can be refused before a body is read."""

    def get_route_handler(self):
        handle = super().get_route_handler()

        async def check_then_handle(request: Request) -> Response:
            lab: Lab = request.app.state.lab
            if request.headers.get("content-type", "").split(";")[0].strip().lower() != FORM:
                raise Refused(f"Send the picture as {FORM}, in the field 'file'.", 415)
            if request.query_params.get("model", lab.settings.model) == lab.settings.model:
                lab.check_ready(request.app)
            lab.admission.check()
            return await handle(request)

        return check_then_handle


def answer_kind(request: Request) -> str:
    """The media type that `Accept` likes best of JSON, JPEG, PNG (RFC 9110, 12.5.1). Raises Refused with 406."""
    accept = parse_accept_header(request.headers.get("accept") or "*/*", MIMEAccept)
    kind = accept.best_match(KINDS)
    if kind is None:
        raise Refused(f"Accept allows none of {', '.join(KINDS)}. Name one of them, or leave the header out.", 406)
    return kind


def _detection_router(settings: Settings) -> APIRouter:
    router = APIRouter(route_class=DetectionRoute, tags=["detect"], responses=DETECTION)
    names = sorted(installed(settings.model_folders))
    Name = Annotated[str, Query(description="an installed model", json_schema_extra={"enum": names})]
    Confidence = Annotated[float, Query(ge=0, le=1, description="least confidence; by default the model's own")]
    Overlap = Annotated[
        float,
        Query(ge=0, le=1, description="of two boxes of a class that overlap more (IoU), the better stays"),
    ]
    Upload = Annotated[UploadFile, "a JPEG, PNG or WebP picture"]

    async def answer(request: Request, file: UploadFile, *wanted) -> Response:
        lab: Lab = request.app.state.lab
        data = await file.read()
        if len(data) > settings.max_upload:
            raise HTTPException(413)
        try:
            (body, kind, spent), waited = await lab.admission.run(
                lab.answer, data, *wanted, gone=request.is_disconnected
            )
        except Gone:
            return Response(status_code=499)  # nobody reads it
        spent = {"queue": waited, **spent}
        for stage, seconds in spent.items():
            lab.metrics.stage.labels(stage).observe(seconds)
        timing = ", ".join(f"{stage};dur={seconds * 1e3:.2f}" for stage, seconds in spent.items())
        return Response(body, media_type=kind, headers={"Server-Timing": timing})

    picture = {200: {"content": PICTURES, "description": "the annotated picture"}}

    @router.post("/predict", summary="A picture in, the annotated picture out", response_class=Response,
                 responses=picture, max_body_size=settings.max_upload + FORM_OVERHEAD)  # fmt: skip
    async def predict(
        request: Request, file: Upload, model: Name = settings.model, confidence: Confidence = None,
        nms_threshold: Overlap = NMS_THRESHOLD,
    ) -> Response:  # fmt: skip
        """The classic lab's route: answers image/jpeg, or image/png for a PNG, and keeps a copy on the server."""
        return await answer(request, file, model, confidence, nms_threshold, "same", settings.keep)

    either = {200: {"content": PICTURES, "description": "detections, or the annotated picture: as Accept says"}}
    either |= NOT_ACCEPTABLE

    @router.post("/v1/detections", summary="A picture in, detections out", response_model=Answer,
                 responses=either, max_body_size=settings.max_upload + FORM_OVERHEAD)  # fmt: skip
    async def detections(
        request: Request, file: Upload, kind: Annotated[str, Depends(answer_kind)], model: Name = settings.model,
        confidence: Confidence = None, nms_threshold: Overlap = NMS_THRESHOLD,
    ) -> Response:  # fmt: skip
        """JSON by default; `Accept: image/jpeg` or `image/png` asks for the annotated picture instead."""
        return await answer(request, file, model, confidence, nms_threshold, kind, False)

    return router


def create_app(settings: Settings | None = None) -> FastAPI:
    """The API as an ASGI app, with the routes that the README lists; the default model loads after start-up.

    settings: by default those of the environment and .env, see `Settings`.
    """
    settings = settings or Settings()

    @asynccontextmanager
    async def lifespan(app: FastAPI):
        app.state.stopping = False
        lab.admission = lab.admit()  # anew: a notebook may serve one app again, on another loop
        loading = asyncio.create_task(lab.load())
        if settings.workers > 1:
            await loading  # what this process does not accept yet, another one does
        yield
        app.state.stopping = True
        loading.cancel()
        lab.admission.close()

    app = FastAPI(
        title="YOLO lab",
        version=__version__,
        summary="Send a picture, get back what is in it.",
        docs_url=None,
        redoc_url=None,
        lifespan=lifespan,
        form_limits={"max_files": 8, "max_fields": 8, "max_part_size": FORM_OVERHEAD},
        dependencies=[Security(APIKeyHeader(name="X-API-Key", auto_error=False))] if settings.api_key else [],
        exception_handlers={LabError: status.on_lab_error, HTTPException: status.on_http_error},
    )
    app.state.lab = lab = Lab(settings)
    app.add_middleware(Guard, settings=settings, metrics=lab.metrics)
    app.include_router(_detection_router(settings))
    app.include_router(status.router)
    add_docs(app)
    return app
