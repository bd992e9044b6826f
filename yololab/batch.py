"""An optional route, YOLOLAB_EXTRAS=batch: several pictures in one request, each with its own answer or error."""

import asyncio
import json
from typing import Annotated, Literal

from fastapi import APIRouter, File, Request, UploadFile
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException

from .detector import NMS_THRESHOLD
from .errors import LabError
from .guard import FORM_OVERHEAD, too_large
from .inputs import Confidence, DetectionRoute, Overlap, content, model_name
from .lab import Lab
from .schemas import DETECTION, Answer
from .settings import Settings

MOST = 8  # files in one request; the app's form_limits say the same

# FastAPI describes a list of files in a way for which Swagger UI draws text boxes; this one gets file pickers
PICKERS = {"type": "array", "items": {"type": "string", "format": "binary"}, "maxItems": MOST}


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
    Name = model_name(settings)

    @routes.post("/v1/detections/batch", summary="Several pictures in, an answer for each",
                 max_body_size=settings.max_upload + FORM_OVERHEAD)  # fmt: skip
    async def batch(
        request: Request, files: Annotated[list[UploadFile], File(json_schema_extra=PICKERS)],
        model: Name = settings.model, confidence: Confidence = None, nms_threshold: Overlap = NMS_THRESHOLD,
    ) -> list[Found | Failed]:  # fmt: skip
        """At most 8 pictures, 20 MiB together. They are worked on side by side; one that fails costs only itself."""
        lab: Lab = request.app.state.lab
        hearing = asyncio.Lock()  # a request can be listened to by one at a time

        async def gone() -> bool:
            async with hearing:
                return await request.is_disconnected()

        async def one(file: UploadFile) -> Found | Failed:
            name = file.filename or ""
            try:
                data = await content(file, settings)
                wanted = (data, model, confidence, nms_threshold, "application/json", False)
                (body, _, _), _ = await lab.admission.run(lab.answer, *wanted, gone=gone)
            except LabError as error:
                return Failed(status=error.status, name=name, detail=str(error))
            except HTTPException as error:
                return Failed(status=error.status_code, name=name, detail=too_large(settings.max_upload))
            return Found(name=name, answer=Answer(**json.loads(body)))

        return await asyncio.gather(*map(one, files))

    return routes
