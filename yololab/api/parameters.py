"""What a detection route takes, and what is refused before its body is read."""

import logging
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import replace
from typing import Annotated, Any

from fastapi import Depends, Query, Request, Response
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute
from starlette.requests import ClientDisconnect
from werkzeug.datastructures import MIMEAccept
from werkzeug.http import parse_accept_header

from ..errors import NotReady, Refused
from ..vision.detector import NMS_THRESHOLD
from ..vision.models import installed
from .forms import FORM, RAW, Sent, check_content_type, only_picture, read_form, with_parameters
from .middleware import FORM_OVERHEAD
from .queue import ClientDisconnected
from .result import Options
from .service import DetectionService
from .settings import Settings

logger = logging.getLogger(__name__)

MEDIA_TYPES = ("application/json", "image/jpeg", "image/png")

ABOUT = {
    "model": "an installed model",
    "confidence": "lowest confidence; by default the model's own",
    "nms_threshold": "of two boxes of a class that overlap more (IoU), the better stays",
}
Confidence = Annotated[float, Query(ge=0, le=1, description=ABOUT["confidence"], examples=[0.3])]
Overlap = Annotated[float, Query(ge=0, le=1, description=ABOUT["nms_threshold"], examples=[0.45])]


def service_of(request: Request) -> DetectionService:
    """The service of the app that the request came to."""
    service: DetectionService = request.app.state.service
    return service


# What routes depend on is "async def", though it waits for nothing: FastAPI hands a plain "def" to a thread each time,
# which took a fifth of the CPU that HTTP needs.
async def service_dependency(request: Request) -> DetectionService:
    """As `service_of`."""
    return service_of(request)


async def upload_of(request: Request) -> bytes:
    """The picture of a request that `DetectionRoute` has read. Raises HTTPException 413, Refused with 422."""
    return only_picture(request.state.sent, "file", service_of(request).settings.max_upload)


Service = Annotated[DetectionService, Depends(service_dependency)]
Upload = Annotated[bytes, Depends(upload_of)]
"""The bytes of the picture: the content of the field `file`, or the raw body."""


def options_dependency(settings: Settings) -> Callable[..., Coroutine[Any, Any, Options]]:
    """What a route depends on to get `model`, `confidence` and `nms_threshold`, gathered as `Options`."""
    names: Any = sorted(installed(settings.model_folders))
    about = Query(description=ABOUT["model"], json_schema_extra={"enum": names})

    async def options(
        model: Annotated[str, about] = settings.model,
        confidence: Confidence = None,  # type: ignore[assignment]  # "float | None" would be no plain number in the schema
        nms_threshold: Overlap = NMS_THRESHOLD,
    ) -> Options:
        return Options(model, confidence, nms_threshold)

    return options


def request_body(field: str, most: int | None = None) -> dict[str, Any]:
    """What a detection route reads, for FastAPI's `openapi_extra`: a form, and the raw picture where it takes one.

    most: pictures in one request; None for the one that may also be the body itself. The parameters may be fields of
    the form, too. They are not listed there: Swagger UI and generated clients would send each of them twice.
    """
    file = {"type": "string", "format": "binary"}  # generated clients do not upload what has a contentMediaType
    picture = file if most is None else {"type": "array", "items": file, "maxItems": most}
    form = {"type": "object", "title": "Upload", "required": [field], "properties": {field: picture}}
    form["description"] = "The parameters of the query may be fields of the form instead."
    content: dict[str, Any] = {FORM: {"schema": form}}
    if most is None:
        content |= {RAW: {"schema": file}, "image/*": {"schema": file}}
    return {"requestBody": {"required": True, "content": content}}


def body_limit(settings: Settings) -> int:
    """The most bytes that a detection route reads: one upload and the form around it."""
    return settings.max_upload + FORM_OVERHEAD


def drawn(options: Options) -> Options:
    """The same options, with the whole picture kept to draw on."""
    return replace(options, draw=True)


class DetectionRoute(APIRoute):
    """Refuses what can be refused before a body is read; then reads it, and puts a form's fields into the query.

    field: of the form, with the picture. raw: whether the body may be the picture itself.
    """

    field, raw = "file", True

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """FastAPI's handler behind these checks."""
        handle = super().get_route_handler()
        known = _query_names(self.dependant)

        async def check_then_handle(request: Request) -> Response:
            service = service_of(request)
            is_form = check_content_type(request, self.field, self.raw)
            service.check_stopping(request.app)
            if not is_form or "model" in request.query_params:
                _check_model(request)
            service.queue.check()
            try:
                sent = await self._read(request, is_form)
                request = with_parameters(request, sent.fields, known)
                request.state.sent = sent
                _check_model(request)  # a form may have named another one; what has begun is finished, also in a stop
                return await handle(request)
            except (ClientDisconnect, ClientDisconnected):
                return Response(status_code=499)  # nobody reads it

        return check_then_handle

    async def _read(self, request: Request, is_form: bool) -> Sent:
        settings = service_of(request).settings
        try:
            if is_form:
                return await read_form(request, self.field, body_limit(settings))
            return Sent([("", await request.body())])
        except OSError as error:
            logger.error("an upload could not be stored: %s", error)
            raise NotReady("The server has no room for large uploads now: its disk is full.") from error


def _query_names(dependant: Dependant) -> list[str]:
    """The parameters that a route takes in its query, those of what it depends on first."""
    inner = [name for each in dependant.dependencies for name in _query_names(each)]
    return [*inner, *(str(each.alias) for each in dependant.query_params)]


def _check_model(request: Request) -> None:
    """Raise NotReady or BrokenModel where the default model is asked for and cannot answer."""
    service = service_of(request)
    if request.query_params.get("model", service.settings.model) == service.settings.model:
        service.check_model()


def preferred(request: Request, offered: Sequence[str]) -> str | None:
    """The media type that `Accept` likes best (RFC 9110, 12.5.1): all its lines count, parameters but q do not."""
    lines = ", ".join(request.headers.getlist("accept")) or "*/*"
    wanted = [(value.partition(";")[0].strip(), quality) for value, quality in parse_accept_header(lines)]
    return MIMEAccept(wanted).best_match(offered)


async def response_media_type(request: Request) -> str:
    """The media type that `Accept` likes best of JSON, JPEG, PNG. Raises Refused with 406."""
    media_type = preferred(request, MEDIA_TYPES)
    if media_type is None:
        raise Refused(
            f"Accept allows none of {', '.join(MEDIA_TYPES)}. Name one of them, or leave the header out.", 406
        )
    return media_type
