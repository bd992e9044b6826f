"""An optional route and its page, YOLOLAB_EXTRAS=explore: why something was detected, or was not."""

from pathlib import Path
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import FileResponse
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException

from .admission import Gone
from .detector import NMS_THRESHOLD
from .explain import FLOOR, Candidate, explain
from .guard import FORM_OVERHEAD
from .images import decode_small
from .inputs import Confidence, DetectionRoute, Overlap, Upload, content, model_name
from .lab import Lab
from .schemas import DETECTION, Size
from .settings import Settings

PAGE = Path(__file__).parent / "explore_page"


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
    """POST /v1/explain, GET /explore."""
    routes = APIRouter()
    detect = APIRouter(route_class=DetectionRoute, tags=["explore"], responses=DETECTION)
    Name = model_name(settings)
    Floor = Annotated[float, Query(ge=0, le=1, description="candidates with less confidence are left out")]

    def explained(lab: Lab, data: bytes, model: str, confidence: float, nms: float, floor: float) -> ExplainedPicture:
        detector = lab.detectors[model]
        picture, (width, height) = decode_small(data, detector.size, settings.max_pixels)
        found = explain(detector, picture, confidence, nms, (width, height), floor)
        return ExplainedPicture(model=model, image=Size(width=width, height=height), **found.as_dict())

    @detect.post("/v1/explain", summary="A picture in, every candidate and its fate out",
                 max_body_size=settings.max_upload + FORM_OVERHEAD)  # fmt: skip
    async def explain_picture(
        request: Request, file: Upload, model: Name = settings.model, confidence: Confidence = None,
        nms_threshold: Overlap = NMS_THRESHOLD, floor: Floor = FLOOR,
    ) -> ExplainedPicture:  # fmt: skip
        """What the network proposed and what became of it: detected, suppressed by which, or below the threshold."""
        lab: Lab = request.app.state.lab
        data = await content(file, settings)
        try:
            answer, _ = await lab.admission.run(
                explained, lab, data, model, confidence, nms_threshold, floor, gone=request.is_disconnected
            )
        except Gone:
            return Response(status_code=499)
        return answer

    @routes.get("/explore", include_in_schema=False)
    def page() -> Response:
        return FileResponse(PAGE / "explore.html", headers={"Cache-Control": "no-cache"})

    @routes.get("/explore-assets/{name}", include_in_schema=False)
    def asset(name: str) -> Response:
        if name not in {each.name for each in PAGE.iterdir()}:
            raise HTTPException(404)
        return FileResponse(PAGE / name, headers={"Cache-Control": "no-cache"})

    routes.include_router(detect)
    return routes
