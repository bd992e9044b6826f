"""An optional route, YOLOLAB_EXTRAS=batch: several pictures in one request, each with its own answer or error."""

import asyncio
from typing import Annotated, Literal

from fastapi import APIRouter, Depends, File, Request, UploadFile
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException

from ...errors import Busy, LabError
from ..middleware import too_large
from ..parameters import DetectionRoute, Service, body_limit, options_dependency, read_upload
from ..rendering import as_answer
from ..schemas import DETECTION, Answer
from ..service import Options
from ..settings import Settings

PATHS = ("/v1/detections/batch",)  # that take pictures
MAX_FILES = 8  # in one request; the app's form_limits say the same

# FastAPI describes a list of files in a way for which Swagger UI draws text boxes; this one gets file pickers
PICKERS = {"type": "array", "items": {"type": "string", "format": "binary"}, "maxItems": MAX_FILES}


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


def router(settings: Settings) -> APIRouter:
    """POST /v1/detections/batch."""
    routes = APIRouter(route_class=DetectionRoute, tags=["detect"], responses=DETECTION)
    options_of = options_dependency(settings)

    @routes.post("/v1/detections/batch", summary="Several pictures in, an answer for each",
                 max_body_size=body_limit(settings))  # fmt: skip
    async def batch(
        request: Request, service: Service, options: Annotated[Options, Depends(options_of)],
        files: Annotated[list[UploadFile], File(json_schema_extra=PICKERS)],
    ) -> list[Found | Failed]:  # fmt: skip
        """At most 8 pictures, 20 MiB together. They are worked on side by side; one that fails costs only itself."""
        listening = asyncio.Lock()  # a request can be listened to by one at a time
        refused = False

        async def disconnected() -> bool:
            async with listening:
                return await request.is_disconnected()

        async def one(file: UploadFile) -> Found | Failed:
            nonlocal refused
            name = file.filename or ""
            try:
                answer, _ = await service.answer(await read_upload(file, request), options, as_answer, disconnected)
            except LabError as error:
                refused = refused or isinstance(error, Busy)
                return Failed(status=error.status, name=name, detail=str(error))
            except HTTPException as error:
                return Failed(status=error.status_code, name=name, detail=too_large(settings.max_upload))
            return Found(name=name, answer=answer)

        answers = await asyncio.gather(*map(one, files))
        if refused:
            service.metrics.refused.labels(request.scope["route"].path).inc()
        return answers

    return routes
