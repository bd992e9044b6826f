"""The web API as one ASGI app: settings, middleware, routes and documentation, joined."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib import import_module
from typing import Any, cast

from fastapi import FastAPI, Security
from fastapi.exceptions import RequestValidationError
from fastapi.security import APIKeyHeader
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware

from .. import __version__
from ..errors import LabError
from .docs import add_docs
from .error_handlers import on_http_error, on_invalid_parameter, on_lab_error
from .middleware import CROSS_ORIGIN_METHODS, EXPOSED, AccessMiddleware, KeyMiddleware
from .routes import detect, health
from .service import DetectionService
from .settings import Settings, unknown_variables

logger = logging.getLogger(__name__)

INVITATION = """Try it: open **POST /predict**, choose a picture, and press **Execute**.
The annotated picture appears below the button.

**POST /v1/detections** gives the same detections as JSON. Its menu *Media type* asks for a picture instead."""

HANDLERS = {
    LabError: on_lab_error, HTTPException: on_http_error, RequestValidationError: on_invalid_parameter
}  # fmt: skip
TAGS = [
    {"name": "detect", "description": "a picture in, detections out"},
    {"name": "explore", "description": "why something was detected, or was not: see also the page [/explore](explore)"},
    {"name": "status", "description": "how the server is, and which models it has"},
]


def create_app(settings: Settings | None = None) -> FastAPI:
    """The API as an ASGI app, with the routes that the README lists; the default model loads after start-up.

    settings: by default those of the environment and .env, see `Settings`. Raises WrongSetting.
    """
    settings = settings or Settings()
    for sentence in unknown_variables():
        logger.warning(sentence)
    service = DetectionService(settings)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        app.state.stopping = False
        service.queue = service.new_queue()  # a notebook may serve one app again, on another loop
        loading = asyncio.create_task(service.load())
        if settings.workers > 1:
            await loading  # what this process does not accept yet, another one does
        yield
        app.state.stopping = True
        loading.cancel()
        service.queue.close()

    key = [Security(APIKeyHeader(name="X-API-Key", auto_error=False))] if settings.api_key.get_secret_value() else []
    app = FastAPI(
        title="YOLO lab",
        version=__version__,
        summary="Send a picture, get back what is in it.",
        description=INVITATION,
        openapi_tags=TAGS,
        docs_url=None,
        redoc_url=None,
        lifespan=lifespan,
        dependencies=key,
        exception_handlers=cast(Any, HANDLERS),
    )
    app.state.service = service
    app.add_middleware(KeyMiddleware, settings=settings)
    if settings.cors:
        app.add_middleware(
            CORSMiddleware, allow_origins=sorted(settings.cors), allow_methods=CROSS_ORIGIN_METHODS,
            allow_headers=["*"], expose_headers=EXPOSED,
        )  # fmt: skip
    app.add_middleware(AccessMiddleware, settings=settings, metrics=service.metrics)
    for module in [detect, *(import_module(f".routes.{name}", __package__) for name in settings.extras)]:
        app.include_router(module.router(settings))
        for path in module.PATHS:
            service.metrics.requests.labels(path, 500)  # from 0 on, so that an alert on its rate sees the first error
            service.metrics.refused.labels(path)
    app.include_router(health.router)
    add_docs(app)
    return app
