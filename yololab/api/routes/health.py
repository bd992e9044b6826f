"""The routes that say how the server is: /, /health, /ready, /v1/models, /metrics."""

from contextlib import suppress

from fastapi import APIRouter, Request, Response
from prometheus_client import CONTENT_TYPE_LATEST

from ... import __version__
from ...errors import BrokenModel
from ...vision.models import CONFIDENCE, Entry, Model, installed, registry
from ..parameters import Service
from ..schemas import ACCESS, InputSize, KnownModel, Problem, State, Welcome

router = APIRouter(tags=["status"], responses=ACCESS)


@router.get("/", summary="Welcome")
def welcome(request: Request, service: Service) -> Welcome:
    """The version, the default model, and where to go on."""
    root = request.scope.get("root_path", "")
    return Welcome(
        message="Post a picture to /predict, or try it in the browser under /docs.",
        version=__version__,
        model=service.settings.model,
        docs=f"{root}/docs",
    )


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
