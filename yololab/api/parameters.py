"""What a detection route takes, and what is refused before its body is read."""

import logging
from collections.abc import Callable, Coroutine
from dataclasses import replace
from typing import Annotated, Any

from fastapi import Depends, Query, Request, Response, UploadFile
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException
from werkzeug.datastructures import MIMEAccept
from werkzeug.http import parse_accept_header

from ..errors import NotReady, Refused
from ..vision.detector import NMS_THRESHOLD
from ..vision.models import installed
from .middleware import FORM_OVERHEAD
from .queue import ClientDisconnected
from .service import DetectionService, Options
from .settings import Settings

logger = logging.getLogger(__name__)

FORM = "multipart/form-data"
MEDIA_TYPES = ("application/json", "image/jpeg", "image/png")

Confidence = Annotated[
    float, Query(ge=0, le=1, description="lowest confidence; by default the model's own", examples=[0.3])
]
Overlap = Annotated[
    float,
    Query(ge=0, le=1, description="of two boxes of a class that overlap more (IoU), the better stays", examples=[0.45]),
]


def service_of(request: Request) -> DetectionService:
    """The service of the app that the request came to."""
    service: DetectionService = request.app.state.service
    return service


async def read_upload(file: UploadFile, request: Request) -> bytes:
    """The bytes of an upload. Raises HTTPException 413 for more than the settings' `max_upload`."""
    data = await file.read()
    if len(data) > service_of(request).settings.max_upload:
        raise HTTPException(413)
    return data


Service = Annotated[DetectionService, Depends(service_of)]
Upload = Annotated[bytes, Depends(read_upload)]
"""The content of the field `file`: a JPEG, PNG or WebP picture."""


def options_dependency(settings: Settings) -> Callable[..., Options]:
    """What a route depends on to get `model`, `confidence` and `nms_threshold`, gathered as `Options`."""
    names: Any = sorted(installed(settings.model_folders))
    about = Query(description="an installed model", json_schema_extra={"enum": names})

    def options(
        model: Annotated[str, about] = settings.model,
        confidence: Confidence = None,  # type: ignore[assignment]  # "float | None" would be no plain number in the schema
        nms_threshold: Overlap = NMS_THRESHOLD,
    ) -> Options:
        return Options(model, confidence, nms_threshold)

    return options


def body_limit(settings: Settings) -> int:
    """The most bytes that a detection route reads: one upload and the form around it."""
    return settings.max_upload + FORM_OVERHEAD


def drawn(options: Options) -> Options:
    """The same options, with the whole picture kept to draw on."""
    return replace(options, draw=True)


class DetectionRoute(APIRoute):
    """Refuses what can be refused before a body is read."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """FastAPI's handler behind these checks."""
        handle = super().get_route_handler()

        async def check_then_handle(request: Request) -> Response:
            service = service_of(request)
            if request.headers.get("content-type", "").split(";")[0].strip().lower() != FORM:
                raise Refused(f"Send the picture as {FORM}, in the field 'file'.", 415)
            if request.query_params.get("model", service.settings.model) == service.settings.model:
                service.check_ready(request.app)
            service.queue.check()
            try:
                return await handle(request)
            except ClientDisconnected:
                return Response(status_code=499)  # nobody reads it
            except HTTPException as error:
                if isinstance(error.__cause__, OSError):  # FastAPI takes it for the client's mistake
                    logger.error("an upload could not be stored: %s", error.__cause__)
                    raise NotReady("The server has no room for large uploads now: its disk is full.") from error
                raise

        return check_then_handle


def response_media_type(request: Request) -> str:
    """The media type that `Accept` likes best of JSON, JPEG, PNG (RFC 9110, 12.5.1). Raises Refused with 406."""
    accept = parse_accept_header(request.headers.get("accept") or "*/*", MIMEAccept)
    media_type = accept.best_match(MEDIA_TYPES)
    if media_type is None:
        raise Refused(
            f"Accept allows none of {', '.join(MEDIA_TYPES)}. Name one of them, or leave the header out.", 406
        )
    return media_type
