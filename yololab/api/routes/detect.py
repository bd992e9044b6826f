"""POST /predict and POST /v1/detections."""

from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response

from ..metrics import server_timing
from ..parameters import (
    DetectionRoute,
    Service,
    Upload,
    body_limit,
    drawn,
    options_dependency,
    request_body,
    response_media_type,
)
from ..rendering import JSON, as_json, as_picture
from ..result import Options, Result
from ..schemas import DETECTION, NOT_ACCEPTABLE, PICTURES, Answer, Responses
from ..settings import Settings

PATHS = ("/predict", "/v1/detections")  # that take pictures
PICTURE: Responses = {200: {"content": PICTURES, "description": "the annotated picture"}}
EITHER: Responses = {200: {"content": PICTURES, "description": "detections, or the annotated picture: as Accept says"}}


def router(settings: Settings) -> APIRouter:
    """The two routes, with the settings' default model and limits."""
    routes = APIRouter(route_class=DetectionRoute, tags=["detect"], responses=DETECTION)
    options_of = options_dependency(settings)
    limit, body = body_limit(settings), request_body("file")

    @routes.post("/predict", summary="A picture in, the annotated picture out", response_class=Response,
                 responses=PICTURE, max_body_size=limit, openapi_extra=body)  # fmt: skip
    async def predict(
        request: Request, service: Service, data: Upload, options: Annotated[Options, Depends(options_of)]
    ) -> Response:
        """The classic lab's route: answers image/jpeg, or image/png for a PNG, and keeps a copy on the server."""

        def render(result: Result) -> tuple[bytes, str]:
            media_type = "image/png" if result.media_type == "image/png" else "image/jpeg"
            picture = as_picture(result, media_type)
            service.keep(picture, media_type)
            return picture, media_type

        (body, media_type), seconds = await service.answer(data, drawn(options), render, request.is_disconnected)
        return Response(body, media_type=media_type, headers={"Server-Timing": server_timing(seconds)})

    @routes.post("/v1/detections", summary="A picture in, detections out", response_model=Answer,
                 responses=EITHER | NOT_ACCEPTABLE, max_body_size=limit, openapi_extra=body)  # fmt: skip
    async def detections(
        request: Request, service: Service, data: Upload, options: Annotated[Options, Depends(options_of)],
        media_type: Annotated[str, Depends(response_media_type)],
    ) -> Response:  # fmt: skip
        """JSON by default; `Accept: image/jpeg` or `image/png` asks for the annotated picture instead."""
        if media_type == JSON:
            body, seconds = await service.answer(data, options, as_json, request.is_disconnected)
        else:
            body, seconds = await service.answer(
                data, drawn(options), lambda result: as_picture(result, media_type), request.is_disconnected
            )
        return Response(body, media_type=media_type, headers={"Server-Timing": server_timing(seconds)})

    return routes
