"""The web API as one ASGI app: settings, middleware, routes and documentation, joined."""

import asyncio
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
from .bodies import BodyMiddleware
from .docs import add_docs
from .error_handlers import on_http_error, on_invalid_parameter, on_lab_error
from .middleware import CROSS_ORIGIN_METHODS, EXPOSED, AccessMiddleware, KeyMiddleware
from .routes import detect, health
from .service import DetectionService
from .settings import Settings
from .startup import check_default_model, log_warnings

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
    """The API as an ASGI app, with the routes that docs/api.md lists; the default model loads after start-up.

    settings: by default those of the environment and .env, see `Settings`. Raises WrongSetting, also for a default
    model that nobody knows; one that is known and cannot be loaded is answered 503, with the reason.
    """
    settings = (settings or Settings()).model_copy()  # `serve` notes here on which address the app is served
    check_default_model(settings)
    if settings.workers == 1:  # for several processes the supervisor has said it
        log_warnings(settings)
    service = DetectionService(settings)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        app.state.stopping = False
        service.queue = service.new_queue()  # a notebook may serve one app again, on another loop
        service.start_loading()
        if settings.workers > 1 and not service.loaded.is_set():
            await asyncio.to_thread(service.loaded.wait)  # what this process does not accept yet, another one does
        yield
        app.state.stopping = True
        service.queue.close()
        service.metrics.save()

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
    app.add_middleware(BodyMiddleware, timeout=settings.upload_timeout)
    app.add_middleware(KeyMiddleware, settings=settings)
    if settings.cors:
        app.add_middleware(
            CORSMiddleware, allow_origins=sorted(settings.cors), allow_methods=CROSS_ORIGIN_METHODS,
            allow_headers=["*"], expose_headers=EXPOSED, allow_private_network=True,
        )  # fmt: skip
    app.add_middleware(AccessMiddleware, settings=settings, metrics=service.metrics)
    for module in [detect, *(import_module(f".routes.{name}", __package__) for name in settings.extras)]:
        app.include_router(module.router(settings))
        app.description += getattr(module, "ABOUT", "")  # what OpenAPI cannot describe
        for path in module.PATHS:
            service.metrics.requests.labels(path, 500)  # from 0 on, so that an alert on its rate sees the first error
            service.metrics.refused.labels(path)
    app.include_router(health.router)
    add_docs(app)
    return app
