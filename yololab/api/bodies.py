"""A bound on the bytes of all bodies that one process holds at a time, those that are still arriving among them."""

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ..errors import Busy

ROOM = 256 * 2**20  # bytes; a dozen of the largest uploads, and thousands of photos


class BodyMiddleware:
    """Counts what has come of each body until its request is answered; what comes beyond `room` bytes is answered 503.

    No place of the queue counts a body that is still arriving, and 2,000 connections of 20 MiB each would be 40 GB.
    """

    def __init__(self, app: ASGIApp, room: int = ROOM) -> None:
        self._app, self._free = app, room

    @property
    def free(self) -> int:
        """Bytes that may come now."""
        return self._free

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        held = 0

        async def counted() -> Message:
            nonlocal held
            message = await receive()
            size = len(message.get("body", b""))
            if size > self._free:
                raise Busy("Too many uploads are arriving at the same time. Send this one again in a moment.", 5)
            held += size
            self._free -= size
            return message

        try:
            await self._app(scope, counted, send)
        finally:
            self._free += held
