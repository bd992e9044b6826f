"""What the API's JSON looks like; read by OpenAPI, and so by /docs."""

from typing import Any

from pydantic import BaseModel, Field

from ..vision.explain import Candidate
from ..vision.formats import SERVED

PICTURES = {"image/jpeg": {"schema": {"type": "string", "format": "binary"}}}
PICTURES["image/png"] = PICTURES["image/jpeg"]


Responses = dict[int | str, dict[str, Any]]
"""What FastAPI's `responses` takes: by status, how the response is described."""


class Welcome(BaseModel):
    message: str
    version: str
    model: str = Field(description="the default model")
    docs: str


class State(BaseModel):
    status: str


class InputSize(BaseModel):
    width: int
    height: int


class KnownModel(BaseModel):
    """A model that is installed, or that `python -m yololab fetch NAME` installs."""

    name: str
    installed: bool
    classes: int | None = Field(description="number of classes; null where it is not installed, or broken")
    input_size: InputSize | None = Field(description="of what the network is fed, pixels; null as `classes`")
    engine: str | None = Field(description="what runs it; null until its first use")
    bytes: int | None = Field(description="size of the weights")
    sha256: str | None = Field(description="of the weights")
    default_confidence: float


class Box(BaseModel):
    """Corners in pixels of the upright picture, clipped to it."""

    x1: float
    y1: float
    x2: float
    y2: float


class FoundObject(BaseModel):
    label: str
    confidence: float = Field(ge=0, le=1)
    box: Box


class Size(BaseModel):
    width: int
    height: int


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


class Answer(BaseModel):
    """Detections, highest confidence first."""

    model: str
    image: Size
    detections: list[FoundObject]

    model_config = {
        "json_schema_extra": {
            "examples": [
                {
                    "model": "starter",
                    "image": {"width": 640, "height": 480},
                    "detections": [
                        {
                            "label": "apple",
                            "confidence": 0.83,
                            "box": {"x1": 201.5, "y1": 90.2, "x2": 433, "y2": 388.1},
                        }
                    ],
                }
            ]
        }
    }


class InvalidParameter(BaseModel):
    """One mistake: where it is (`body` or `query`, then the name), what it is, and the start of the actual input."""

    type: str
    loc: list[str | int]
    msg: str
    input: Any = None
    ctx: dict[str, Any] | None = None


class HTTPValidationError(BaseModel):
    """Values that are out of range, one entry each; or one sentence about what is missing, unknown or given twice."""

    detail: list[InvalidParameter] | str


class Problem(BaseModel):
    """Every error: a sentence that says what was wrong and what to do."""

    detail: str


def _problem(text: str, detail: str) -> dict[str, Any]:
    return {
        "model": Problem,
        "description": text,
        "content": {"application/json": {"example": {"detail": detail}}},
    }


HOST = (
    "This server does not answer to the host 'evil.example'. "
    "Use 127.0.0.1 or localhost, or add the name to YOLOLAB_ALLOWED_HOSTS."
)
NO_MODEL = "The model 'yolov3-tiny' is known but not installed. Install it with: python -m yololab fetch yolov3-tiny"
LARGE = "The picture has more than 64 megapixels. Make it smaller and send it again."
NO_PICTURE = f"The file is not a {SERVED} picture, by its first bytes. Save it as one of these and send it again."
LATE = "The body did not arrive within 60 s. Send it again, or a smaller picture."
BUSY = "The server is busy: 64 requests wait already. Try again in 2 s."
NO_KIND = "Accept allows none of application/json, image/jpeg, image/png. Name one of them, or leave the header out."
OUT_OF_RANGE = {
    "type": "less_than_equal", "loc": ["query", "confidence"], "msg": "Input should be less than or equal to 1",
    "input": "30", "ctx": {"le": 1.0},
}  # fmt: skip

ACCESS: Responses = {
    400: _problem("A Host that is not ours", HOST),
    401: _problem("No key, where one is set", "This server wants a key. Send it in the header X-API-Key."),
    403: _problem("A wrong key", "The key in X-API-Key is wrong."),
}
DETECTION: Responses = {
    400: _problem("An empty or damaged picture; a foreign Host", f"The file is empty. Send a {SERVED} picture."),
    401: ACCESS[401],
    403: _problem("A wrong key; a page of another site", "The key in X-API-Key is wrong."),
    404: _problem("No such model, or not installed", NO_MODEL),
    408: _problem("The body did not arrive in time", LATE),
    413: _problem("More than 20 MiB or 64 megapixels", LARGE),
    415: _problem("Neither a form nor a picture; a format that is not served", NO_PICTURE),
    422: {
        "model": HTTPValidationError,
        "description": "A parameter out of range, unknown or given twice; no file",
        "content": {"application/json": {"example": {"detail": [OUT_OF_RANGE]}}},
    },
    503: _problem("Busy or not ready; `Retry-After` says when", BUSY),
}
NOT_ACCEPTABLE: Responses = {406: _problem("Accept allows none of JSON, JPEG, PNG", NO_KIND)}
