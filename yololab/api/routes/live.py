"""An optional route and its page, YOLOLAB_EXTRAS=live: detections in what a camera, a video or a screen shows."""

from fastapi import APIRouter
from starlette.exceptions import HTTPException
from starlette.websockets import WebSocket

from ...errors import Busy, LabError
from ...vision.models import find
from ..key_subprotocol import SUBPROTOCOL
from ..live import Close, LiveConnections, going_away, shortened
from ..live_connection import LiveConnection
from ..live_options import WrongOptions, changed
from ..page_routes import page_router
from ..result import Options
from ..service import DetectionService
from ..settings import Settings

PATHS = ()  # none takes uploads
ABOUT = """

**`WS /v1/live`** answers each picture of a WebSocket, one binary message each, with JSON; its page is [/live](live).
Model and thresholds stand in the query, and a text message with a JSON object changes them. OpenAPI cannot describe
WebSockets; docs/api.md does."""
POLICY = (  # blob: is a video file that was chosen; connect-src 'self' includes WebSockets of this origin
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; media-src 'self' blob:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'self'; "
    "require-trusted-types-for 'script'; trusted-types 'none'"
)


def router(settings: Settings) -> APIRouter:
    """WS /v1/live, GET /live and what that page is made of."""
    routes = APIRouter()
    routes.add_api_route("/v1/live", not_a_request, include_in_schema=False)
    routes.add_websocket_route("/v1/live", live)  # Starlette's: the key has been checked before the app sees it
    routes.include_router(page_router("live", POLICY))
    return routes


def not_a_request() -> None:
    """Raise 426 Upgrade Required (RFC 9110, 15.5.22) for a plain GET."""
    detail = "This is a WebSocket. Open it with a WebSocket client, e.g. the page /live, as ws://HOST:PORT/v1/live."
    raise HTTPException(426, detail, {"Upgrade": "websocket"})


async def live(websocket: WebSocket) -> None:
    """One connection from its first message to its last."""
    service: DetectionService = websocket.app.state.service
    await websocket.accept(SUBPROTOCOL if SUBPROTOCOL in websocket.scope.get("subprotocols", ()) else None)
    close = _refusal(websocket, service)
    if isinstance(close, Close):
        return await websocket.close(close.code or 1000, shortened(close.reason))
    connection = LiveConnection(websocket, service, close)
    try:
        with _connections(websocket, service).place(connection):
            await connection.run()
    except Busy as error:
        await websocket.close(1013, shortened(str(error)))


def _refusal(websocket: WebSocket, service: DetectionService) -> Close | Options:
    """The options of the query, or why the connection ends at once. A browser shows a code only of one it opened."""
    if getattr(websocket.app.state, "stopping", False):
        return going_away()
    try:
        options = changed(Options(service.settings.model), websocket.query_params)
        find(options.model, service.settings.model_folders)
    except (WrongOptions, LabError) as error:
        return Close(1008, str(error))
    return options


def _connections(websocket: WebSocket, service: DetectionService) -> LiveConnections:
    state = websocket.app.state
    if getattr(state, "live", None) is None:
        state.live = LiveConnections(service)
    connections: LiveConnections = state.live
    return connections
