"""Every error becomes JSON with one sentence: {"detail": "what was wrong, and how to fix it"}."""

from fastapi import Request
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from ..errors import Busy, LabError
from .middleware import too_large
from .parameters import service_of


async def on_lab_error(request: Request, error: LabError) -> JSONResponse:
    """An error of ours, as {"detail": sentence} with its own status and headers."""
    if isinstance(error, Busy):
        route = getattr(request.scope.get("route"), "path", "other")
        service_of(request).metrics.refused.labels(route).inc()
    return JSONResponse({"detail": str(error)}, error.status, error.headers)


async def on_http_error(request: Request, error: HTTPException) -> JSONResponse:
    """An error of the framework, in a sentence that says what to do."""
    see = "GET /openapi.json, or /docs in a browser, shows what there is."
    sentences = {
        400: f"The request could not be read: {error.detail}. Send one picture as multipart/form-data, field 'file'.",
        404: f"There is no {request.url.path} here. {see}",
        405: f"{request.method} does not work on {request.url.path}. {see}",
        413: too_large(service_of(request).settings.max_upload),
    }
    detail = sentences.get(error.status_code, str(error.detail))
    return JSONResponse({"detail": detail}, error.status_code, error.headers)
