"""A result as JSON or as the annotated picture."""

import json
from typing import Any

from ..vision.drawing import annotate
from ..vision.images import encode
from .result import Result
from .schemas import Answer, ExplainedPicture, Size

JSON = "application/json"


def as_dict(result: Result) -> dict[str, Any]:
    """The content of an `Answer`."""
    size = {"width": result.width, "height": result.height}
    found = [detection.as_dict() for detection in result.detections]
    return {"model": result.model, "image": size, "detections": found}


def as_json(result: Result) -> bytes:
    """The `Answer` of /v1/detections, written as JSON."""
    return json.dumps(as_dict(result)).encode()


def as_answer(result: Result) -> Answer:
    """The same, as the model that FastAPI writes JSON from."""
    return Answer.model_validate(as_dict(result))


def as_picture(result: Result, media_type: str) -> bytes:
    """The annotated picture as image/jpeg or image/png. Raises TooLarge where a JPEG cannot hold it."""
    return encode(annotate(result.picture, result.detections), media_type)


def as_explanation(result: Result) -> bytes:
    """The `ExplainedPicture` of /v1/explain."""
    assert result.explanation is not None  # asked for with Options.explain_from
    size = Size(width=result.width, height=result.height)
    return ExplainedPicture(model=result.model, image=size, **result.explanation.as_dict()).model_dump_json().encode()
