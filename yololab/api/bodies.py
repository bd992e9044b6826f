"""Bounds on bodies: the bytes of all that one process holds at a time, and the time that each may take to arrive."""

import asyncio

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ..errors import Busy, Late

ROOM = 256 * 2**20  # bytes; a dozen of the largest uploads, and thousands of photos
LEAST_RATE = 64 * 2**10  # bytes a second that a body must keep up; 20 MiB may take 5 minutes more than a photo


class BodyMiddleware:
    """Counts what has come of each body until its request is answered; what comes beyond `room` bytes is answered 503.

    No place of the queue counts a body that is still arriving, and 2,000 connections of 20 MiB each would be 40 GB.
    A body that has not come after `timeout` seconds, and one more for each 64 KiB of it, is answered 408.
    """

    def __init__(self, app: ASGIApp, timeout: float, room: int = ROOM) -> None:
        self._app, self._timeout, self._free = app, timeout, room

    @property
    def free(self) -> int:
        """Bytes that may come now."""
        return self._free

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        held, ended, began = 0, False, asyncio.get_running_loop().time()

        async def counted() -> Message:
            nonlocal held, ended
            if ended:  # what comes now is that the client hangs up, and may take long
                return await receive()
            try:
                async with asyncio.timeout_at(began + self._timeout + held / LEAST_RATE):
                    message = await receive()
            except TimeoutError:
                raise Late(
                    f"The body did not arrive within {self._timeout:g} s, and {LEAST_RATE // 2**10} KiB in each "
                    "further second. Send it again, or a smaller picture."
                ) from None
            ended = not message.get("more_body", False)
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
