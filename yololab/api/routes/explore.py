"""An optional route and its page, YOLOLAB_EXTRAS=explore: why something was detected, or was not."""

from dataclasses import replace
from pathlib import Path
from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request, Response
from fastapi.responses import FileResponse
from starlette.exceptions import HTTPException

from ...paths import repository
from ...vision.explain import FLOOR
from ..metrics import server_timing
from ..page_routes import FRESH, page_router
from ..parameters import DetectionRoute, Service, Upload, body_limit, options_dependency, request_body
from ..rendering import JSON, as_explanation
from ..result import Options
from ..schemas import DETECTION, ExplainedPicture
from ..settings import Settings

PATHS = ("/v1/explain",)  # that take pictures
SAMPLES = ("fruit.jpg", "crowd.jpg", "ball.jpg", "car.jpg", "cup_and_bottle.jpg")
FLOOR_ABOUT = "candidates with less confidence are left out"
POLICY = (  # W3C Content Security Policy 3; blob: is the picture that was chosen
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'self'; "
    "require-trusted-types-for 'script'; trusted-types 'none'"
)


def router(settings: Settings) -> APIRouter:
    """POST /v1/explain, GET /explore and what that page is made of."""
    routes = APIRouter()
    routes.include_router(_explain_router(settings))
    routes.include_router(_samples_router())
    routes.include_router(page_router("explore", POLICY))
    return routes


def _explain_router(settings: Settings) -> APIRouter:
    routes = APIRouter(route_class=DetectionRoute, tags=["explore"], responses=DETECTION)
    options_of = options_dependency(settings)
    Floor = Annotated[float, Query(ge=0, le=1, description=FLOOR_ABOUT)]

    @routes.post("/v1/explain", summary="A picture in, every candidate and its verdict out",
                 response_model=ExplainedPicture, max_body_size=body_limit(settings),
                 openapi_extra=request_body("file"))  # fmt: skip
    async def explain_picture(
        request: Request,
        service: Service,
        data: Upload,
        options: Annotated[Options, Depends(options_of)],
        floor: Floor = FLOOR,
    ) -> Response:
        """What the network proposed and what became of it: detected, suppressed by which, or below the threshold."""
        asked = replace(options, explain_from=floor)
        body, seconds = await service.answer(data, asked, as_explanation, request.is_disconnected)
        return Response(body, media_type=JSON, headers={"Server-Timing": server_timing(seconds)})

    return routes


def _samples_router() -> APIRouter:
    routes = APIRouter(include_in_schema=False)

    @routes.get("/explore-assets/samples")
    def samples() -> list[str]:
        return [path.name for path in _samples()]

    @routes.get("/explore-assets/samples/{name}")
    def sample(name: str) -> Response:
        for path in _samples():
            if path.name == name:
                return FileResponse(path, media_type="image/jpeg", headers=FRESH)
        raise HTTPException(404)

    return routes


def _samples() -> list[Path]:
    """The pictures that the page offers: those of the lab's repository, none where it is not."""
    here = repository()
    return [path for name in SAMPLES if here and (path := here / "images" / name).is_file()]
