"""An optional route, YOLOLAB_EXTRAS=batch: several pictures in one request, each with its own answer or error."""

import asyncio
from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Request
from pydantic import BaseModel, Field

from ...errors import Busy, LabError, TooLarge
from ..forms import MAX_FILES
from ..middleware import too_large
from ..parameters import DetectionRoute, Service, body_limit, options_dependency, request_body
from ..rendering import as_answer
from ..result import Options
from ..schemas import DETECTION, Answer
from ..settings import Settings

PATHS = ("/v1/detections/batch",)  # that take pictures


class Found(BaseModel):
    """One picture's answer."""

    status: Literal[200] = 200
    name: str = Field(description="the file's name, as it was sent")
    answer: Answer


class Failed(BaseModel):
    """One picture's error, as `/v1/detections` would have told it."""

    status: int
    name: str
    detail: str


class BatchRoute(DetectionRoute):
    """Takes several pictures, as a form only."""

    field, raw = "files", False


def router(settings: Settings) -> APIRouter:
    """POST /v1/detections/batch."""
    routes = APIRouter(route_class=BatchRoute, tags=["detect"], responses=DETECTION)
    options_of = options_dependency(settings)

    @routes.post("/v1/detections/batch", summary="Several pictures in, an answer for each",
                 max_body_size=body_limit(settings),
                 openapi_extra=request_body("files", MAX_FILES))  # fmt: skip
    async def batch(
        request: Request, service: Service, options: Annotated[Options, Depends(options_of)]
    ) -> list[Found | Failed]:  # fmt: skip
        """At most 8 pictures, 20 MiB together. They are worked on side by side; one that fails costs only itself."""
        listening = asyncio.Lock()  # a request can be listened to by one at a time
        refused = False

        async def disconnected() -> bool:
            async with listening:
                return await request.is_disconnected()

        async def one(name: str, data: bytes) -> Found | Failed:
            nonlocal refused
            try:
                if len(data) > settings.max_upload:
                    raise TooLarge(too_large(settings.max_upload))
                answer, _ = await service.answer(data, options, as_answer, disconnected)
            except LabError as error:
                refused = refused or isinstance(error, Busy)
                return Failed(status=error.status, name=name, detail=str(error))
            return Found(name=name, answer=answer)

        answers = await asyncio.gather(*(one(*each) for each in request.state.sent.pictures))
        if refused:
            service.metrics.refused.labels(request.scope["route"].path).inc()
        return answers

    return routes
