"""The body and the parameters of a detection route, read and checked: a form or a raw picture."""

from collections.abc import Collection
from dataclasses import dataclass, field
from difflib import get_close_matches
from urllib.parse import urlencode

from python_multipart.multipart import parse_options_header
from starlette.datastructures import FormData, MutableHeaders, UploadFile
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.types import Message, Receive

from ..errors import LabError, Refused, Unsupported
from ..vision.formats import media_type

FORM = "multipart/form-data"
RAW = "application/octet-stream"
MAX_FILES = 8  # in one request
MAX_FIELDS = 8
END = 1024  # bytes at a body's end in which the last boundary must stand
MEANT = {
    "conf": "confidence", "conf_thres": "confidence", "score": "confidence", "threshold": "confidence",
    "iou": "nms_threshold", "iou_threshold": "nms_threshold", "nms": "nms_threshold", "weights": "model",
}  # fmt: skip


@dataclass
class Sent:
    """What a request brought: its pictures, each with the name of its file, and the form's fields beside them."""

    pictures: list[tuple[str, bytes]] = field(default_factory=list)
    fields: list[tuple[str, str]] = field(default_factory=list)


def check_content_type(request: Request, name: str, raw: bool) -> bool:
    """Whether the body is a form and not a raw picture. Raises Refused with 415, or 400 for a form without boundary."""
    coding = request.headers.get("content-encoding", "identity").strip().lower()
    if coding not in ("", "identity"):
        raise Refused(f"The body is compressed (Content-Encoding: {coding[:40]}). Send the picture as it is.", 415)
    given = request.headers.get("content-type", "")
    kind, options = parse_options_header(given.encode("latin-1"))
    text = kind.decode("latin-1").strip().lower()
    if text == FORM:
        if options.get(b"boundary"):
            return True
        raise Refused(
            f"Content-Type is {FORM} without its boundary. Leave this header out: "
            "the program that makes the multipart form writes it, with the boundary.",
            400,
        )
    if raw and (text.startswith("image/") or text == RAW):
        return False
    came = f"The Content-Type is {text[:80]}" if text else "The request has no Content-Type"
    ways = f"Send the picture as {FORM}, in the field {name!r} (curl -F {name}=@photo.jpg)"
    body = "curl -H 'Content-Type: image/jpeg' --data-binary @photo.jpg"
    ways += f", or as the body itself with Content-Type: image/jpeg or {RAW} ({body})" if raw else ""
    raise Refused(f"{came}. {ways}.", 415)


async def read_form(request: Request, name: str, max_part_size: int) -> Sent:
    """The files in the field `name`, with or without a filename, and the fields beside them.

    Raises Refused with 422 where the form has no such file, with 400 where it is cut off before that, and
    HTTPException 400 where it cannot be parsed.
    """
    _, options = parse_options_header(request.headers["content-type"].encode("latin-1"))
    boundary = options[b"boundary"].decode("latin-1").replace("\\", "\\\\").replace('"', '\\"')
    scope = {**request.scope, "headers": list(request.scope["headers"])}
    # latin-1 gives every byte back; the charset that a client names may be one that cannot (RFC 7578, 5.1.2)
    MutableHeaders(scope=scope)["content-type"] = f'{FORM}; boundary="{boundary}"; charset=latin-1'
    limits = {"max_files": MAX_FILES, "max_fields": MAX_FIELDS, "max_part_size": max_part_size}
    body = _End(request.receive)
    async with Request(scope, body.receive).form(**limits) as form:
        return await _sent(form, name, not body.last or b"--" + options[b"boundary"] + b"--" in body.last)


class _End:
    """Keeps the last bytes of a body that is read."""

    def __init__(self, receive: Receive) -> None:
        self._receive, self.last = receive, b""

    async def receive(self) -> Message:
        message = await self._receive()
        self.last = (self.last + message.get("body", b"")[-END:])[-END:]
        return message


async def _sent(form: FormData, name: str, whole: bool) -> Sent:
    sent, others = Sent(), []
    for key, value in form.multi_items():
        key = _utf8(key)
        if isinstance(value, UploadFile):
            if key == name:
                sent.pictures.append((_utf8(value.filename or ""), await value.read()))
            else:
                others.append(key)
        elif key == name:
            data = value.encode("latin-1")
            if _is_text(data):
                raise Refused(
                    f"The field {name!r} holds text, not a picture. Send the content of the file: with curl "
                    f"-F {name}=@photo.jpg, with requests files={{{name!r}: open('photo.jpg', 'rb')}}.",
                    422,
                )
            sent.pictures.append(("", data))
        elif value:  # a browser sends what nobody has filled in, too
            sent.fields.append((key, _utf8(value)))
    names = sorted({*others, *(key for key, _ in sent.fields)})
    if not sent.pictures and not whole:
        raise Refused("The form is cut off: the boundary that ends it did not come. Send it again, whole.", 400)
    if not sent.pictures:
        came = f"It has {_listed(names)}" if names else "It is empty"
        raise Refused(f"The form has no field {name!r}. {came}. Send the picture in the field {name!r}.", 422)
    if others:
        raise Refused(f"The form has a second file, in {_listed(others)}. Send one picture, in {name!r}.", 422)
    return sent


def with_parameters(request: Request, fields: list[tuple[str, str]], known: Collection[str]) -> Request:
    """The request with the form's fields in its query, so that both are validated alike.

    Raises Refused with 422 for a parameter that is not known, or that is given twice with different values.
    """
    given: dict[str, str] = {}
    for name, value in [*request.query_params.multi_items(), *fields]:
        if name not in known:
            close = MEANT.get(name.lower()) or next(iter(get_close_matches(name, known, 1)), None)
            hint = f"Is {close!r} meant? " if close in known else ""
            raise Refused(f"There is no parameter {_listed([name])}. {hint}Known are {', '.join(known)}.", 422)
        if not _equal(given.setdefault(name, value), value):
            raise Refused(
                f"The parameter {name!r} is given twice: {_listed([given[name]])} and {_listed([value])}. "
                "Give it once, in the query or in the form.",
                422,
            )
    query = urlencode(given, errors="replace").encode()
    request.state.form_fields = {name for name, _ in fields}
    return Request({**request.scope, "query_string": query}, request.receive)


def only_picture(sent: Sent, name: str, limit: int) -> bytes:
    """The one picture of a request. Raises Refused (422) for several, HTTPException 413 for over `limit` bytes."""
    if len(sent.pictures) > 1:
        raise Refused(f"The form has {len(sent.pictures)} files in the field {name!r}. Send one for each request.", 422)
    data = sent.pictures[0][1]
    if len(data) > limit:
        raise HTTPException(413)
    return data


def _is_text(data: bytes) -> bool:
    """Whether a part without a filename is something typed, and no picture."""
    try:
        media_type(data)
    except Unsupported:
        try:
            return "\0" not in data.decode()
        except UnicodeDecodeError:
            return False
    except LabError:  # empty, which is told as for a file
        return False
    return False


def _equal(one: str, other: str) -> bool:
    try:
        return one == other or float(one) == float(other)
    except ValueError:
        return False


def _utf8(text: str) -> str:
    return text.encode("latin-1").decode(errors="replace")


def _listed(names: list[str]) -> str:
    """At most some of what a client wrote: an error must not send an upload back."""
    return ", ".join(repr(name[:40]) for name in names[:5])
