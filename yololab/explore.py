"""An optional route and its page, YOLOLAB_EXTRAS=explore: why something was detected, or was not."""

from itertools import pairwise
from pathlib import Path
from time import perf_counter
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import FileResponse
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException

from .detector import NMS_THRESHOLD
from .explain import FLOOR, Candidate, explain
from .guard import FORM_OVERHEAD
from .images import decode_small
from .inputs import Confidence, DetectionRoute, Overlap, Upload, content, model_name
from .lab import Lab
from .metrics import server_timing
from .schemas import DETECTION, Size
from .settings import ROOT, Settings

PAGE = Path(__file__).parent / "explore_page"
TYPES = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}  # Windows may think otherwise
IMAGES = ROOT / "images"
SAMPLES = ("fruit.jpg", "crowd.jpg", "ball.jpg", "car.jpg", "cup_and_bottle.jpg")
FRESH = {"Cache-Control": "no-cache"}
POLICY = (  # W3C Content Security Policy 3; blob: is the picture that was chosen
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'self'; "
    "require-trusted-types-for 'script'; trusted-types 'none'"
)


class ExplainedPicture(BaseModel):
    """Candidates, highest confidence first; boxes in pixels of the upright picture."""

    model: str
    image: Size
    confidence: float = Field(description="the threshold that decided")
    nms_threshold: float
    candidates: list[Candidate]
    objectness: list[list[list[float]]] = Field(
        description="for each YOLO head the best objectness of each cell: rows of columns, coarse grid first or last "
        "as the network has it"
    )


def router(settings: Settings) -> APIRouter:
    """POST /v1/explain, GET /explore and what that page is made of."""
    routes = APIRouter()
    routes.include_router(_explain_router(settings))
    routes.include_router(_page_router())
    return routes


def _explain_router(settings: Settings) -> APIRouter:
    routes = APIRouter(route_class=DetectionRoute, tags=["explore"], responses=DETECTION)
    Name = model_name(settings)
    Floor = Annotated[float, Query(ge=0, le=1, description="candidates with less confidence are left out")]

    @routes.post("/v1/explain", summary="A picture in, every candidate and its fate out",
                 response_model=ExplainedPicture, max_body_size=settings.max_upload + FORM_OVERHEAD)  # fmt: skip
    async def explain_picture(
        request: Request, file: Upload, model: Name = settings.model, confidence: Confidence = None,
        nms_threshold: Overlap = NMS_THRESHOLD, floor: Floor = FLOOR,
    ) -> Response:  # fmt: skip
        """What the network proposed and what became of it: detected, suppressed by which, or below the threshold."""
        lab: Lab = request.app.state.lab
        data = await content(file, settings)
        (body, spent), waited = await lab.admission.run(
            _explained, lab, data, model, confidence, nms_threshold, floor, gone=request.is_disconnected
        )
        timing = server_timing({"queue": waited, **spent})
        return Response(body, media_type="application/json", headers={"Server-Timing": timing})

    return routes


def _explained(
    lab: Lab, data: bytes, model: str, confidence: float | None, nms: float, floor: float
) -> tuple[bytes, dict[str, float]]:
    """The whole way of one upload, in a worker thread: the answer's JSON, seconds by stage."""
    clock = [perf_counter()]
    detector = lab.detectors[model]  # its first use loads it, which would look like slow decoding
    clock.append(perf_counter())
    picture, (width, height) = decode_small(data, detector.size, lab.settings.max_pixels)
    clock.append(perf_counter())
    found = explain(detector, picture, confidence, nms, (width, height), floor)
    clock.append(perf_counter())
    answer = ExplainedPicture(model=model, image=Size(width=width, height=height), **found.as_dict())
    body = answer.model_dump_json().encode()
    clock.append(perf_counter())
    spent = (after - before for before, after in pairwise(clock))
    return body, dict(zip(("load", "decode", "detect", "encode"), spent, strict=True))


def _page_router() -> APIRouter:
    routes = APIRouter(include_in_schema=False)

    @routes.get("/explore")
    def page() -> Response:
        return FileResponse(PAGE / "explore.html", headers={**FRESH, "Content-Security-Policy": POLICY})

    @routes.get("/explore-assets/samples")
    def samples() -> list[str]:
        return [name for name in SAMPLES if (IMAGES / name).is_file()]

    @routes.get("/explore-assets/samples/{name}")
    def sample(name: str) -> Response:
        if name not in samples():
            raise HTTPException(404)
        return FileResponse(IMAGES / name, media_type="image/jpeg", headers=FRESH)

    @routes.get("/explore-assets/{name}")
    def asset(name: str) -> Response:
        if name not in {each.name for each in PAGE.iterdir()}:
            raise HTTPException(404)
        return FileResponse(PAGE / name, media_type=TYPES.get(Path(name).suffix), headers=FRESH)

    return routes
