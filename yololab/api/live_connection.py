"""Live detection over one WebSocket: the newest frame is answered, an older one that still waits is left out."""

import asyncio
import json
import logging
from contextlib import suppress
from time import perf_counter
from typing import Any

from fastapi import FastAPI
from starlette.websockets import WebSocket, WebSocketDisconnect

from ..errors import Busy, LabError, NotReady
from ..vision.drawing import css_color_of
from .live import MAX_FRAME, Close, going_away, shortened
from .live_options import WrongOptions, changed
from .queue import STOPPING, ClientDisconnected
from .rendering import as_dict
from .result import Options, Result
from .service import DetectionService

logger = logging.getLogger(__name__)

IDLE = 60.0  # seconds that a connection may say nothing
SLOW = 10.0  # seconds that one answer may take to be read


class LiveConnection:
    """One connection: a task reads frames, another answers the newest. At most two frames are held at any time:
    one that is worked on, and one that waits and is replaced by the next to come."""

    def __init__(self, websocket: WebSocket, service: DetectionService, options: Options) -> None:
        self._websocket, self._service, self._options = websocket, service, options
        self._app: FastAPI = websocket.app
        self._number = self._skipped = 0
        self._waiting: tuple[int, bytes, float] | None = None  # number, bytes, when it came
        self._come = asyncio.Event()
        loop = asyncio.get_running_loop()
        self._ended: asyncio.Future[Close] = loop.create_future()
        self.told: asyncio.Future[None] = loop.create_future()  # the close frame is on its way

    def end(self, close: Close) -> None:
        """Let the connection end; the first reason counts."""
        if not self._ended.done():
            self._ended.set_result(close)

    async def run(self) -> None:
        """Serve the connection until it ends. What is worked on then is finished, and its answer dropped."""
        tasks = [asyncio.create_task(self._read()), asyncio.create_task(self._answer_frames())]
        for task in tasks:
            task.add_done_callback(self._on_done)
        try:
            close = await self._ended
            if close.code is not None:
                with suppress(TimeoutError, RuntimeError, WebSocketDisconnect):
                    async with asyncio.timeout(SLOW):
                        await self._websocket.close(close.code, shortened(close.reason))
        finally:
            self.told.set_result(None)
            tasks[0].cancel()
            self._come.set()  # the other one may wait for a frame
            await asyncio.gather(*tasks, return_exceptions=True)

    def _on_done(self, task: "asyncio.Task[None]") -> None:
        if not task.cancelled() and (error := task.exception()):
            self._service.metrics.live_frames.labels("failed").inc()
            self.end(Close(1011, "Something broke on our side."))
            logger.error("a live connection failed", exc_info=error)

    async def _read(self) -> None:
        while not self._ended.done():
            try:
                async with asyncio.timeout(IDLE):
                    message = await self._websocket.receive()
            except TimeoutError:
                return self.end(Close(1008, f"Nothing came for {IDLE:g} s."))
            if message["type"] == "websocket.disconnect":
                return self.end(Close(None))
            data, text = message.get("bytes"), message.get("text")
            if data is not None:
                self._take(data)
            elif text is not None:
                await self._change(text)

    def _take(self, data: bytes) -> None:
        if len(data) > MAX_FRAME:
            return self.end(Close(1009, f"A frame may have {MAX_FRAME / 2**20:g} MiB. Send smaller pictures."))
        self._number += 1
        if self._waiting is not None:
            self._skip()
        self._waiting = self._number, data, perf_counter()
        self._come.set()

    def _skip(self) -> None:
        self._skipped += 1
        self._service.metrics.live_frames.labels("skipped").inc()

    async def _change(self, text: str) -> None:
        """Take other options; a wrong value is answered, and what is no JSON object ends the connection."""
        try:
            asked = json.loads(text)
        except (ValueError, RecursionError):  # the second: brackets nested a thousand deep
            asked = None
        if not isinstance(asked, dict):
            return self.end(Close(1003, "A frame is a binary message; a text is a JSON object with options."))
        try:
            self._options = changed(self._options, asked)
        except WrongOptions as error:
            await self._send({"error": {"status": 422, "detail": str(error)}})

    async def _answer_frames(self) -> None:
        while not self._ended.done():
            await self._come.wait()
            self._come.clear()
            if self._waiting is None or self._ended.done():
                continue
            (number, data, came), self._waiting = self._waiting, None
            skipped, self._skipped = self._skipped, 0
            answer = await self._answer(data)
            if answer is None:
                self._skipped += skipped
            else:
                await self._send({"frame": number, "skipped": skipped, **answer})
                self._service.metrics.live_seconds.observe(perf_counter() - came)

    async def _answer(self, data: bytes) -> dict[str, Any] | None:
        """What is said of one frame; None where nothing is: the queue was full, or nobody is left to read it."""
        service, frames = self._service, self._service.metrics.live_frames
        try:
            service.check_stopping(self._app)
            if self._options.model == service.settings.model:
                service.check_model()
            content, seconds = await service.answer(data, self._options, as_live, self._is_over)
        except ClientDisconnected:
            return None
        except Busy:
            self._skip()
            return None
        except LabError as error:
            if isinstance(error, NotReady) and str(error) == STOPPING:
                self.end(going_away())
                return None
            frames.labels("failed").inc()
            return {"error": {"status": error.status, "detail": str(error)}}
        frames.labels("answered").inc()
        return content | {"timings": {stage: round(spent * 1e3, 2) for stage, spent in seconds.items()}}

    async def _is_over(self) -> bool:
        return self._ended.done()

    async def _send(self, content: dict[str, Any]) -> None:
        try:
            async with asyncio.timeout(SLOW):
                await self._websocket.send_json(content)
        except TimeoutError:
            self.end(Close(1008, f"An answer was not read within {SLOW:g} s."))
        except (WebSocketDisconnect, RuntimeError):  # closed while it was written
            self.end(Close(None))


def as_live(result: Result) -> dict[str, Any]:
    """The content of an `Answer`, each detection with the color that `/predict` draws it in."""
    content = as_dict(result)
    for each in content["detections"]:
        each["color"] = css_color_of(each["label"])
    return content
