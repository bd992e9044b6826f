"""The options of a live connection: from the query of its URL, and from the text messages that change them."""

from collections.abc import Mapping
from dataclasses import fields, replace
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from .result import Options

Share = Annotated[float, Field(ge=0, le=1)]


class WrongOptions(ValueError):
    """An option is unknown or out of range; the message is one sentence for each."""


class LiveOptions(BaseModel):
    """What a client may set. confidence: None for the model's own."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True, allow_inf_nan=False)

    model: Annotated[str, Field(min_length=1, max_length=200)]
    confidence: Share | None
    nms_threshold: Share


NAMES = tuple(LiveOptions.model_fields)


def changed(options: Options, asked: Mapping[str, Any]) -> Options:
    """The options with those values replaced that are asked for. Raises WrongOptions."""
    now = {field.name: getattr(options, field.name) for field in fields(options) if field.name in NAMES}
    try:
        return replace(options, **LiveOptions(**{**now, **asked}).model_dump())
    except ValidationError as error:
        raise WrongOptions(" ".join(_sentence(each) for each in error.errors(include_url=False))) from None
    except TypeError:  # a name that is no text
        raise WrongOptions(f"The options are {', '.join(NAMES)}.") from None


def _sentence(error: Any) -> str:
    name = ".".join(str(part) for part in error["loc"])[:40]
    if error["type"] == "extra_forbidden":
        return f"There is no option {name!r}, only {', '.join(NAMES)}."
    return f"{name}: {error['msg'].replace('Input should', 'it should')}."
