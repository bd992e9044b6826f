"""The routes that say how the server is, and the one shape of every error."""

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.exceptions import HTTPException

from . import __version__
from .errors import BrokenModel, Busy, LabError
from .guard import too_large
from .models import Entry, Model, installed, registry
from .schemas import DOOR, InputSize, KnownModel, Problem, State, Welcome

router = APIRouter(tags=["status"], responses=DOOR)


@router.get("/", summary="Welcome")
def welcome(request: Request) -> Welcome:
    """The version, the default model, and where to go on."""
    root = request.scope.get("root_path", "")
    return Welcome(
        message="Post a picture to /predict, or try it in the browser under /docs.",
        version=__version__,
        model=request.app.state.lab.settings.model,
        docs=f"{root}/docs",
    )


@router.get("/health", summary="Does the process live?")
async def health() -> State:
    """200 at once, under any load: on the event loop, where no picture is ever worked on."""
    return State(status="alive")


@router.get(
    "/ready",
    summary="Will a picture be answered?",
    responses={503: {"model": Problem, "description": "still loading, or stopping"}},
)
async def ready(request: Request) -> State:
    """200 once the default model answers; 503 before that, and from the moment a stop is asked for."""
    request.app.state.lab.check_ready(request.app)
    return State(status="ready")


@router.get("/v1/models", summary="Which models are there?")
def models(request: Request) -> list[KnownModel]:
    """The installed models, then those that can be installed."""
    here = installed(request.app.state.lab.settings.model_folders)
    rest = [entry for name, entry in sorted(registry().items()) if name not in here]
    return [_of_model(model) for _, model in sorted(here.items())] + [_of_entry(entry) for entry in rest]


@router.get("/metrics", summary="Counters for Prometheus", response_class=Response)
def metrics(request: Request) -> Response:
    """The Prometheus text format; with several workers, of all of them."""
    return Response(request.app.state.lab.metrics.text(), media_type=CONTENT_TYPE_LATEST)


def _of_model(model: Model) -> KnownModel:
    try:
        classes, (width, height) = model.classes, model.input_size
        size = InputSize(width=width, height=height)
    except BrokenModel:  # a request for it says why; the list goes on
        classes = size = None
    return KnownModel(
        name=model.name,
        installed=True,
        classes=classes,
        input_size=size,
        bytes=model.bytes,
        sha256=model.sha256(),
        default_confidence=model.confidence,
    )


def _of_entry(entry: Entry) -> KnownModel:
    weights = next(file for file in entry.files if file.name.endswith(".weights"))
    return KnownModel(
        name=entry.name,
        installed=False,
        classes=None,
        input_size=None,
        bytes=weights.bytes,
        sha256=weights.sha256,
        default_confidence=entry.confidence,
    )


async def on_lab_error(request: Request, error: LabError) -> JSONResponse:
    """An error of ours, as {"detail": sentence} with its own status and headers."""
    if isinstance(error, Busy):
        request.app.state.lab.metrics.refused.inc()
    return JSONResponse({"detail": str(error)}, error.status, error.headers)


async def on_http_error(request: Request, error: HTTPException) -> JSONResponse:
    """An error of the framework, in a sentence that says what to do."""
    see = "GET /openapi.json, or /docs in a browser, shows what there is."
    sentences = {
        400: f"The request could not be read: {error.detail}. Send one picture as multipart/form-data, field 'file'.",
        404: f"There is no {request.url.path} here. {see}",
        405: f"{request.method} does not work on {request.url.path}. {see}",
        413: too_large(request.app.state.lab.settings.max_upload),
    }
    detail = sentences.get(error.status_code, str(error.detail))
    return JSONResponse({"detail": detail}, error.status_code, error.headers)
