"""Who is let in, and what every response carries. Plain ASGI, in front of everything else."""

import logging
from hmac import compare_digest
from uuid import uuid4

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ..errors import LabError, Refused, TooLarge
from .hosts import LOOPBACK, host_of, is_in, is_ip, is_one_of, prefix_of
from .key_subprotocol import key_in
from .metrics import Metrics
from .settings import Settings

logger = logging.getLogger(__name__)

# a browser cannot open a page with a key
KEYLESS = ("/health", "/ready", "/docs", "/redoc", "/openapi.json", "/explore", "/live")
ASSETS = ("/docs-assets/", "/explore-assets/", "/live-assets/")  # what those pages are made of
FORM_OVERHEAD = 2**16  # bytes that a form may add to its file: boundaries, headers, small fields
SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
CROSS_ORIGIN_METHODS = ("GET", "HEAD", "POST")
EXPOSED = ("X-Request-ID", "Server-Timing", "Retry-After", "WWW-Authenticate")  # headers that foreign pages may read


class AccessMiddleware:
    """Checks host and origin before anything else sees a request, and applies the prefix that a trusted proxy names.

    Each response gets an X-Request-ID of ours and `nosniff`; an error that nobody caught becomes JSON, too.
    """

    def __init__(self, app: ASGIApp, settings: Settings, metrics: Metrics) -> None:
        self._app, self._settings, self._metrics = app, settings, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            return await self._websocket(scope, receive, send)
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
            self._apply_prefix(scope)
            await self._app(scope, receive, send_labelled)
        except LabError as error:
            await problem(str(error), error.status, error.headers)(scope, receive, send_labelled)
        except Exception:
            logger.exception("request %s failed", request_id)
            if status:
                raise
            detail = f"Something broke on our side. The server's log has it under {request_id}."
            await problem(detail, 500)(scope, receive, send_labelled)
        finally:
            route = getattr(scope.get("route"), "path", "other")  # the template, not what a stranger typed
            self._metrics.requests.labels(route, status).inc()

    async def _websocket(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The same checks and the same answers; a server that cannot send those answers 403 to an early close."""
        try:
            self._check(scope)
            check_key(scope, self._settings)
        except LabError as error:
            if "websocket.http.response" in scope.get("extensions", {}):  # ASGI: a response instead of the upgrade
                return await problem(str(error), error.status, error.headers)(scope, receive, send)
            return await send({"type": "websocket.close", "code": 1008})
        self._apply_prefix(scope)
        await self._app(scope, receive, send)

    def _check(self, scope: Scope) -> None:
        headers = Headers(scope=scope)
        given = headers.get("host", "")
        host = host_of(f"//{given}")
        if not given:
            raise Refused(
                "The request has no Host header, which HTTP requires. If a proxy sends it, let the proxy pass the "
                "header on; for nginx: proxy_set_header Host $host;",
                400,
            )
        if not self._is_ours(host):
            raise Refused(
                f"This server does not answer to the host {host or given!r}. "
                "Use 127.0.0.1 or localhost, or add the name to YOLOLAB_ALLOWED_HOSTS.",
                400,
            )
        if scope["type"] == "websocket" or scope["method"] not in SAFE:
            self._check_origin(headers, host)
        elif scope["method"] == "OPTIONS" and self._settings.cors:
            self._check_preflight(headers)

    def _is_ours(self, host: str) -> bool:
        if host in LOOPBACK or is_one_of(host, self._settings.hosts) or self._settings.behind_hub:
            return True
        return is_ip(host) and self._settings.host not in LOOPBACK  # a name may be rebound, a literal address not

    def _check_origin(self, headers: Headers, host: str) -> None:
        origin = headers.get("origin")  # its port is left aside: JupyterLab's pages are on another one
        if origin in self._settings.cors:
            return
        if origin is not None and not is_one_of(host_of(origin), {host, *self._settings.hosts}):
            raise Refused(
                f"A page of {origin} may not post here. Open this server's own page, use a client, "
                "or add the origin to YOLOLAB_CORS_ORIGINS."
            )
        if origin is None and headers.get("sec-fetch-site") == "cross-site":
            raise Refused("A page of another site may not post here. Open this server's own page, or use a client.")

    def _check_preflight(self, headers: Headers) -> None:
        """Refuse here what CORSMiddleware would refuse in plain text."""
        method, origin = headers.get("access-control-request-method"), headers.get("origin")
        if origin is None or method is None:
            return
        if origin not in self._settings.cors:
            raise Refused(f"Pages of {origin} may not ask here. Add the origin to YOLOLAB_CORS_ORIGINS to let them.")
        if method not in CROSS_ORIGIN_METHODS:
            raise Refused(f"Pages of other origins may use {', '.join(CROSS_ORIGIN_METHODS)} here, not {method}.")

    def _apply_prefix(self, scope: Scope) -> None:
        """Let pages link to what lies under the prefix that a proxy in front has stripped."""
        address, port = scope.get("client") or ("", None)
        # port 0: uvicorn has put the address of X-Forwarded-For here, since it trusts the proxy that sent it
        trusted = is_in(address, self._settings.proxies) or (port == 0 and self._settings.proxies)
        if scope.get("root_path") or not trusted:
            return
        prefix = prefix_of(Headers(scope=scope).get("x-forwarded-prefix", ""))
        if prefix:
            scope["root_path"] = prefix
            if not scope["path"].startswith(f"{prefix}/"):  # ASGI: the path includes the root_path
                scope["path"] = prefix + scope["path"]


class KeyMiddleware:
    """Checks key and declared size; behind CORSMiddleware, so that a page of a listed origin can read what it says."""

    def __init__(self, app: ASGIApp, settings: Settings) -> None:
        self._app, self._settings = app, settings

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            try:
                check_key(scope, self._settings)
                length = Headers(scope=scope).get("content-length", "")
                if (
                    length.isascii()
                    and length.isdigit()
                    and int(length[:20]) > self._settings.max_upload + FORM_OVERHEAD
                ):
                    raise TooLarge(too_large(self._settings.max_upload))
            except LabError as error:
                return await problem(str(error), error.status, error.headers)(scope, receive, send)
        await self._app(scope, receive, send)


def check_key(scope: Scope, settings: Settings) -> None:
    """Raise Refused where a key is set and the request does not bring it."""
    key, path = settings.api_key.get_secret_value(), scope["path"].removeprefix(scope.get("root_path", ""))
    if not key or (scope["type"] == "http" and (path in KEYLESS or path.startswith(ASSETS))):
        return
    given = Headers(scope=scope).get("x-api-key")
    if given is None and scope["type"] == "websocket":
        given = key_in(scope.get("subprotocols", ()))
    if given is None:
        raise Refused("This server wants a key. Send it in the header X-API-Key.", 401)
    if not compare_digest(given.encode(), key.encode()):
        raise Refused("The key in X-API-Key is wrong.", 403)


def too_large(limit: int) -> str:
    """The sentence for a body of more than `limit` bytes."""
    return f"The upload is larger than {limit / 2**20:g} MiB. Make the picture smaller and send it again."


def problem(detail: str, status: int, headers: dict[str, str] | None = None) -> JSONResponse:
    """{"detail": sentence}; what a client sent may hold lone surrogates, which UTF-8 cannot write."""
    return JSONResponse({"detail": detail.encode(errors="replace").decode()}, status, headers)
