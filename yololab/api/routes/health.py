"""The routes that say how the server is: /, /health, /ready, /v1/models, /metrics."""

from contextlib import suppress
from html import escape

from fastapi import APIRouter, Request, Response
from fastapi.responses import HTMLResponse
from prometheus_client import CONTENT_TYPE_LATEST

from ... import __version__
from ...errors import BrokenModel
from ...vision.models import CONFIDENCE, Entry, Model, installed, registry
from ..parameters import Service, preferred
from ..rendering import JSON
from ..schemas import ACCESS, InputSize, KnownModel, Problem, State, Welcome

OPTIONAL_PAGES = {
    "explore": "why something was detected, or was not",
    "live": "what the camera sees",
}
POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'self'"
PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>YOLO lab</title>
<style>:root {{ color-scheme: light dark }}
body {{ font: 1.1rem/1.6 system-ui; max-width: 40rem; margin: 3rem auto }}</style>
<h1>YOLO lab</h1>
<p>Send a picture, get back what is in it. Version {version}, default model {model}.</p>
<ul>{items}</ul>
</html>
"""

router = APIRouter(tags=["status"], responses=ACCESS)


@router.get("/", summary="Welcome", response_model=Welcome, responses={200: {"content": {"text/html": {}}}})
def welcome(request: Request, service: Service) -> Response:
    """The version, the default model, and where to go on: JSON, or for a browser a page with links."""
    root = request.scope.get("root_path", "")
    if preferred(request, ("application/json", "text/html")) == "text/html":
        pages = {"docs": "try it with a picture of yours"}
        pages |= {name: about for name, about in OPTIONAL_PAGES.items() if name in service.settings.extras}
        items = "".join(f'<li><a href="{root}/{name}">/{name}</a>: {about}</li>' for name, about in pages.items())
        page = PAGE.format(version=__version__, model=escape(service.settings.model), items=items)
        return HTMLResponse(page, headers={"Vary": "Accept", "Content-Security-Policy": POLICY})
    answer = Welcome(
        message="Post a picture to /predict, or try it in the browser under /docs.",
        version=__version__,
        model=service.settings.model,
        docs=f"{root}/docs",
    )
    return Response(answer.model_dump_json(), media_type=JSON, headers={"Vary": "Accept"})


@router.get("/health", summary="Is the process alive?")
async def health() -> State:
    """200 at once, under any load: on the event loop, where no picture is ever worked on."""
    return State(status="alive")


@router.get(
    "/ready",
    summary="Is the server ready for pictures?",
    responses={503: {"model": Problem, "description": "still loading, or stopping"}},
)
async def ready(request: Request, service: Service) -> State:
    """200 once the default model answers; 503 before that, and from the moment a stop is asked for."""
    service.check_ready(request.app)
    return State(status="ready")


@router.get("/v1/models", summary="Which models are there?")
def models(service: Service) -> list[KnownModel]:
    """The installed models, then those that can be installed."""
    here = installed(service.settings.model_folders)
    rest = [entry for name, entry in sorted(registry().items()) if name not in here]
    return [_of_model(model, service) for _, model in sorted(here.items())] + [_of_entry(entry) for entry in rest]


@router.get("/metrics", summary="Counters for Prometheus", response_class=Response)
def metrics(service: Service) -> Response:
    """The Prometheus text format; with several workers, of all of them."""
    return Response(service.metrics.text(), media_type=CONTENT_TYPE_LATEST)


def _of_model(model: Model, service: Service) -> KnownModel:
    classes = size = sha256 = None
    confidence, detector = CONFIDENCE, service.detectors.loaded(model.name)
    with suppress(BrokenModel):  # a request for it says why; the list goes on
        sha256, confidence = model.sha256(), model.confidence
        classes, (width, height) = model.classes, model.input_size
        size = InputSize(width=width, height=height)
    return KnownModel(
        name=model.name,
        installed=True,
        classes=classes,
        input_size=size,
        engine=detector.engine.name if detector else None,
        bytes=model.bytes,
        sha256=sha256,
        default_confidence=confidence,
    )


def _of_entry(entry: Entry) -> KnownModel:
    return KnownModel(
        name=entry.name,
        installed=False,
        classes=None,
        input_size=None,
        engine=None,
        bytes=entry.weights.bytes,
        sha256=entry.weights.sha256,
        default_confidence=entry.confidence,
    )
