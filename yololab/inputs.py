"""What a detection route takes, and what is refused before its body is read."""

import logging
from typing import Annotated

from fastapi import Query, Request, Response, UploadFile
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException
from werkzeug.datastructures import MIMEAccept
from werkzeug.http import parse_accept_header

from .admission import Gone
from .errors import NotReady, Refused
from .lab import Lab
from .models import installed
from .settings import Settings

logger = logging.getLogger(__name__)

FORM = "multipart/form-data"
KINDS = ("application/json", "image/jpeg", "image/png")

Confidence = Annotated[
    float, Query(ge=0, le=1, description="least confidence; by default the model's own", examples=[0.3])
]
Overlap = Annotated[
    float,
    Query(ge=0, le=1, description="of two boxes of a class that overlap more (IoU), the better stays", examples=[0.45]),
]
Upload = Annotated[UploadFile, "a JPEG, PNG or WebP picture"]


def model_name(settings: Settings) -> type:
    """The type of the parameter `model`: a string, for which the schema lists the installed models."""
    names = sorted(installed(settings.model_folders))
    return Annotated[str, Query(description="an installed model", json_schema_extra={"enum": names})]


async def content(file: UploadFile, settings: Settings) -> bytes:
    """The bytes of an upload. Raises HTTPException 413 for more than `settings.max_upload`."""
    data = await file.read()
    if len(data) > settings.max_upload:
        raise HTTPException(413)
    return data


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
            try:
                return await handle(request)
            except Gone:
                return Response(status_code=499)  # nobody reads it
            except HTTPException as error:
                if isinstance(error.__cause__, OSError):  # FastAPI takes it for the client's mistake
                    logger.error("an upload could not be stored: %s", error.__cause__)
                    raise NotReady("The server has no room for large uploads now: its disk is full.") from error
                raise

        return check_then_handle


def answer_kind(request: Request) -> str:
    """The media type that `Accept` likes best of JSON, JPEG, PNG (RFC 9110, 12.5.1). Raises Refused with 406."""
    accept = parse_accept_header(request.headers.get("accept") or "*/*", MIMEAccept)
    kind = accept.best_match(KINDS)
    if kind is None:
        raise Refused(f"Accept allows none of {', '.join(KINDS)}. Name one of them, or leave the header out.", 406)
    return kind
