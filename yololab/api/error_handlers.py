"""Every error becomes JSON with one sentence: {"detail": "what was wrong, and how to fix it"}."""

from fastapi import Request
from fastapi.encoders import jsonable_encoder
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from ..errors import Busy, LabError
from .forms import MAX_FILES
from .middleware import problem, too_large
from .parameters import service_of

MAX_INPUT = 40  # characters of a wrong value that an error repeats


async def on_lab_error(request: Request, error: LabError) -> JSONResponse:
    """An error of ours, as {"detail": sentence} with its own status and headers."""
    if isinstance(error, Busy):
        route = getattr(request.scope.get("route"), "path", "other")
        service_of(request).metrics.refused.labels(route).inc()
    return problem(str(error), error.status, error.headers)


async def on_invalid_parameter(request: Request, error: RequestValidationError) -> JSONResponse:
    """FastAPI's list of mistakes; `loc` says where each parameter came from, `input` at most what one may type."""
    fields = getattr(request.state, "form_fields", ())
    mistakes = []
    for each in error.errors():
        loc = ["body" if each["loc"][-1] in fields else each["loc"][0], *each["loc"][1:]]
        given = str(each.get("input"))[:MAX_INPUT].encode(errors="replace").decode()
        mistakes.append({"type": each["type"], "loc": loc, "msg": each["msg"], "input": given}
                        | ({"ctx": each["ctx"]} if "ctx" in each else {}))  # fmt: skip
    return JSONResponse({"detail": jsonable_encoder(mistakes)}, 422)


async def on_http_error(request: Request, error: HTTPException) -> JSONResponse:
    """An error of the framework, in a sentence that says what to do."""
    allowed = (error.headers or {}).get("Allow", "another method")
    field, most = getattr(request.scope.get("route"), "field", "file"), "one picture"
    if field != "file":
        most = f"up to {MAX_FILES} pictures"
    see = "GET /openapi.json, or /docs in a browser, shows what there is."
    sentences = {
        400: f"The request could not be read: {str(error.detail).rstrip('.')}. "
        f"Send {most} as multipart/form-data, in the field {field!r}.",
        404: f"There is no {request.url.path} here. {see}",
        405: f"{request.method} does not work on {request.url.path}; use {allowed}. /docs shows what there is.",
        413: too_large(service_of(request).settings.max_upload),
    }
    detail = sentences.get(error.status_code, str(error.detail))
    return problem(detail, error.status_code, dict(error.headers or {}))
