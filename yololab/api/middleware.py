"""Who is let in, and what every response carries. Plain ASGI, in front of everything else."""

import logging
from hmac import compare_digest
from ipaddress import ip_address
from urllib.parse import urlsplit
from uuid import uuid4

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ..errors import LabError, Refused, TooLarge
from .metrics import Metrics
from .settings import Settings

logger = logging.getLogger(__name__)

LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
# a browser cannot open a page with a key
KEYLESS = ("/health", "/ready", "/docs", "/redoc", "/openapi.json", "/explore")
ASSETS = ("/docs-assets/", "/explore-assets/")  # what those pages are made of
FORM_OVERHEAD = 2**16  # bytes that a form may add to its file: boundaries, headers, small fields
SAFE = frozenset({"GET", "HEAD", "OPTIONS"})


class AccessMiddleware:
    """Checks host, origin, key and declared size before the app sees a request.

    Each response gets an X-Request-ID of ours and `nosniff`; an error that nobody caught becomes JSON, too.
    """

    def __init__(self, app: ASGIApp, settings: Settings, metrics: Metrics) -> None:
        self._app, self._settings, self._metrics = app, settings, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        request_id = uuid4().hex
        scope.setdefault("state", {})["request_id"] = request_id
        status = 0
        bodiless = scope["method"] == "HEAD"
        if bodiless:  # what GET answers, without the body (RFC 9110, 9.3.2); FastAPI's routes know only GET
            scope = {**scope, "method": "GET"}

        async def send_labelled(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                headers["X-Request-ID"] = request_id
                headers["X-Content-Type-Options"] = "nosniff"
            await send({**message, "body": b""} if bodiless and message["type"] == "http.response.body" else message)

        try:
            self._check(scope)
            await self._app(scope, receive, send_labelled)
        except LabError as error:
            await _answer(send_labelled, error.status, str(error), error.headers)
        except Exception:
            logger.exception("request %s failed", request_id)
            if status:
                raise
            await _answer(
                send_labelled, 500, f"Something broke on our side. The server's log has it under {request_id}."
            )
        finally:
            route = getattr(scope.get("route"), "path", "other")  # the template, not what a stranger typed
            self._metrics.requests.labels(route, status).inc()

    def _check(self, scope: Scope) -> None:
        headers = Headers(scope=scope)
        host = _host("//" + headers.get("host", ""))
        if not self._is_ours(host):
            raise Refused(
                f"This server does not answer to the host {host!r}. "
                "Use 127.0.0.1 or localhost, or add the name to YOLOLAB_ALLOWED_HOSTS.",
                400,
            )
        if scope["method"] not in SAFE:
            self._check_origin(headers, host)
        self._check_key(headers, scope["path"].removeprefix(scope.get("root_path", "")))
        length = headers.get("content-length", "")
        if length.isdigit() and int(length) > self._settings.max_upload + FORM_OVERHEAD:
            raise TooLarge(too_large(self._settings.max_upload))

    def _is_ours(self, host: str) -> bool:
        if host in LOOPBACK or host in self._settings.hosts:
            return True
        return _is_ip(host) and self._settings.host not in LOOPBACK  # a name may be rebound, a literal address not

    def _check_origin(self, headers: Headers, host: str) -> None:
        origin = headers.get("origin")  # its port is left aside: JupyterLab's pages are on another one
        if origin is not None and _host(origin) not in {host, *self._settings.hosts}:
            raise Refused(f"A page of {origin} may not post here. Open this server's own page, or use a client.")
        if origin is None and headers.get("sec-fetch-site") == "cross-site":
            raise Refused("A page of another site may not post here. Open this server's own page, or use a client.")

    def _check_key(self, headers: Headers, path: str) -> None:
        key = self._settings.api_key.get_secret_value()
        if not key or path in KEYLESS or path.startswith(ASSETS):
            return
        given = headers.get("x-api-key")
        if given is None:
            raise Refused("This server wants a key. Send it in the header X-API-Key.", 401)
        if not compare_digest(given.encode(), key.encode()):
            raise Refused("The key in X-API-Key is wrong.", 403)


def too_large(limit: int) -> str:
    """The sentence for a body of more than `limit` bytes."""
    return f"The upload is larger than {limit / 2**20:g} MiB. Make the picture smaller and send it again."


def _host(url: str) -> str:
    """The host of a URL, without port and brackets, in lower case; '' where there is none."""
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""


def _is_ip(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


async def _answer(send: Send, status: int, detail: str, headers: dict[str, str] | None = None) -> None:
    response = JSONResponse({"detail": detail}, status, headers)
    await send({"type": "http.response.start", "status": status, "headers": response.raw_headers})
    await send({"type": "http.response.body", "body": response.body})
