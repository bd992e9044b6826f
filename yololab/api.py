"""The web API: every stage of the way, joined."""

import asyncio
from contextlib import asynccontextmanager
from importlib import import_module
from typing import Annotated

from fastapi import APIRouter, Depends, FastAPI, Request, Response, Security, UploadFile
from fastapi.security import APIKeyHeader
from starlette.exceptions import HTTPException

from . import __version__, status
from .detector import NMS_THRESHOLD
from .docs import add_docs
from .errors import LabError
from .guard import FORM_OVERHEAD, Guard
from .inputs import Confidence, DetectionRoute, Overlap, Upload, answer_kind, content, model_name
from .lab import Lab
from .metrics import server_timing
from .schemas import DETECTION, NOT_ACCEPTABLE, PICTURES, Answer
from .settings import Settings

INVITATION = """Try it: open **POST /predict**, choose a JPEG, PNG or WebP picture, and press **Execute**.
The annotated picture appears below the button.

**POST /v1/detections** gives the same detections as JSON. Its menu *Media type* asks for a picture instead."""

TAGS = [
    {"name": "detect", "description": "a picture in, detections out"},
    {"name": "explore", "description": "why something was detected, or was not: see also the page [/explore](explore)"},
    {"name": "status", "description": "how the server is, and which models it has"},
]


def _detection_router(settings: Settings) -> APIRouter:
    router = APIRouter(route_class=DetectionRoute, tags=["detect"], responses=DETECTION)
    Name = model_name(settings)

    async def answer(request: Request, file: UploadFile, *wanted) -> Response:
        lab: Lab = request.app.state.lab
        data = await content(file, settings)
        (body, kind, spent), waited = await lab.admission.run(lab.answer, data, *wanted, gone=request.is_disconnected)
        spent = {"queue": waited, **spent}
        for stage, seconds in spent.items():
            lab.metrics.stage.labels(stage).observe(seconds)
        return Response(body, media_type=kind, headers={"Server-Timing": server_timing(spent)})

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
        description=INVITATION,
        openapi_tags=TAGS,
        docs_url=None,
        redoc_url=None,
        lifespan=lifespan,
        form_limits={"max_files": 8, "max_fields": 8, "max_part_size": FORM_OVERHEAD},
        dependencies=[Security(APIKeyHeader(name="X-API-Key", auto_error=False))]
        if settings.api_key.get_secret_value()
        else [],
        exception_handlers={LabError: status.on_lab_error, HTTPException: status.on_http_error},
    )
    app.state.lab = lab = Lab(settings)
    for route in ("/predict", "/v1/detections"):
        lab.metrics.requests.labels(route, 500)  # 0 from the start: an alert on a rate does not see a series be born
    app.add_middleware(Guard, settings=settings, metrics=lab.metrics)
    app.include_router(_detection_router(settings))
    for name in settings.extras.split(",") if settings.extras else ():
        app.include_router(import_module(f".{name}", __package__).router(settings))
    app.include_router(status.router)
    add_docs(app)
    return app
