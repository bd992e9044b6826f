"""Lesson 8: each exercise makes an app; the check reads its stream, or speaks with it over WebSockets."""

import asyncio
import json
from collections.abc import Callable
from contextlib import ExitStack
from random import randint
from threading import Event
from typing import Any

import requests

from . import held
from .answer import BROKE, NO_ANSWER
from .held import Held
from .lesson_07 import health
from .probe import Probe, made
from .report import Report, Stop, Such
from .watched import CRASHED
from .websocket import expect, opened, said, send

STREAM = 'yield each event as soon as its step is there: StreamingResponse(events(), media_type="text/event-stream")'
NO_JSON = "(no JSON)"
TEXT = 'websocket.receive() gives a dictionary: where it has no "bytes", close with code=1003 and return'


def progress(report: Report, make: Callable) -> None:
    """make(steps): GET /progress sends each step as a server-sent event, as soon as it is there."""
    forms, gate = ("step {}", 'the "step" {}', "Prüfung {}"), Event()  # a quote and an umlaut: JSON, not just text
    names = [form.format(randint(100, 999)) for form in forms]

    async def steps():
        yield names[0]
        while not gate.is_set():
            await asyncio.sleep(0.005)
        for name in names[1:]:
            yield name

    with made(report, make, steps) as api:
        try:
            _read_events(report, api, names, gate)
        finally:
            gate.set()


def _read_events(report: Report, api: Probe, names: list[str], gate: Event) -> None:
    first, too_early = "", "the first event comes before the second step"
    try:
        with requests.get(f"{api.url}/progress", stream=True, timeout=held.LIMIT) as response:
            if response.status_code == 200:
                media_type = response.headers.get("content-type", "").partition(";")[0]
                report.require("the media type", "text/event-stream", media_type, STREAM)
                pieces = response.iter_content(None)
                while not _events(first) and (piece := next(pieces, b"")):
                    first += piece.decode()
                _require_whole(report, first)
                report.require(too_early, [names[0]], _events(first), _format(first))
                gate.set()
                whole = first + b"".join(pieces).decode()
                _require_whole(report, whole)
                report.expect("all events", names, _events(whole), _format(whole))
                return
    except requests.RequestException:  # nothing came, or not enough, before the second step was allowed
        gate.set()
    if not first:
        gate.set()
        api.get("/progress", missing='the route is @app.get("/progress")').require(200)
    report.require(too_early, [names[0]], first or NO_ANSWER, _format(first) if first else STREAM)


def _require_whole(report: Report, text: str) -> None:
    """Raise Stop where the stream ends in an error of the student's."""
    if CRASHED in text:
        report.require("GET /progress", "events", text.partition(f"{CRASHED}: ")[2], BROKE)


def _events(text: str) -> list[Any]:
    """The data of the events in a stream (WHATWG HTML, 9.2.6), each read from JSON; where it is none, words."""
    events = []
    for block in text.replace("\r\n", "\n").split("\n\n")[:-1]:
        lines = [line.partition(":")[2].removeprefix(" ") for line in block.split("\n") if line.startswith("data:")]
        if lines:
            events.append(_read("\n".join(lines)))
    return events


def _read(data: str) -> Any:
    try:
        return json.loads(data)
    except ValueError:
        return f"{data} {NO_JSON}"


def _format(text: str) -> str:
    if "data:" not in text:
        return 'an event begins with "data: "'
    if any(isinstance(event, str) and event.endswith(NO_JSON) for event in _events(text)):
        return "the data of an event is JSON, where a text has quotes around it: json.dumps(step)"
    return "an event is one line, data: and the step as JSON, then an empty line: two newlines at its end"


def detect(report: Report, make: Callable) -> None:
    """make(detect): WS /detect answers each binary frame, closes at a text, and never blocks the loop."""
    salt = randint(100, 999)
    slow = Held(lambda data: [salt, len(data)])
    with made(report, make, slow, seconds=held.LIMIT) as api:
        with opened(report, api, "/detect") as websocket:
            send(websocket, b"12345")
            if not slow.wait(inside=1):
                slow.release()
                expect(
                    report, websocket, "a frame calls detect", "a call of detect(data)", "call detect with the bytes"
                )
                raise Stop
            actual, hint = health(api, slow, "detect blocks: await asyncio.to_thread(detect, data)")
            slow.release()
            report.require("GET /health answers while a frame is worked on", "200", actual, hint)
            hint = 'number the frames of a connection from 1: {"frame": 1, "result": ...}, with send_json'
            expect(report, websocket, "the first answer", {"frame": 1, "result": [salt, 5]}, hint)
            send(websocket, b"1234567")
            hint = "one connection brings many frames: a loop, while True"
            expect(report, websocket, "the second answer", {"frame": 2, "result": [salt, 7]}, hint)
        with opened(report, api, "/detect") as websocket:
            send(websocket, b"1")
            hint = "each connection counts its own frames: the number is a variable of the route"
            expect(report, websocket, "another connection", {"frame": 1, "result": [salt, 1]}, hint)
            send(websocket, "a text")
            expect(report, websocket, "a text message", "closed with 1003", TEXT)
    with made(report, make, _picky, seconds=held.LIMIT) as api, opened(report, api, "/detect") as websocket:
        hint = 'except ValueError as error: send {"frame": number, "error": str(error)}, and go on'
        for data, expected in ((b"bad", {"frame": 1, "error": "no picture"}), (b"good", {"frame": 2, "result": "ok"})):
            send(websocket, data)
            expect(report, websocket, f"detect(data) for {data!r}", expected, hint)


def _picky(data: bytes) -> str:
    if data == b"bad":
        raise ValueError("no picture")
    return "ok"


def limited(report: Report, make: Callable) -> None:
    """make(places): WS /echo for so many connections at once; one more is closed with 1013."""
    places = randint(2, 4)
    reason = Such("closed with 1013 and a reason", lambda said: said.startswith("closed with 1013: "))
    with made(report, make, places, seconds=held.LIMIT) as api, ExitStack() as stack:
        inside = [stack.enter_context(opened(report, api, "/echo")) for _ in range(places)]
        for websocket in inside:
            send(websocket, "hello")
            expect(report, websocket, "a connection that has a place", "hello", "send back each text that comes")
        with opened(report, api, "/echo") as websocket:
            hint = "accept it first, since nobody sees the code otherwise; then close(code=1013, reason=...) and return"
            expect(report, websocket, "one connection too many", reason, hint, with_reason=True)
        _try_again(report, api, "one more, after one was refused", reason, "who was refused has no place to give back")
        inside.pop().close()
        hint = "give the place back however the connection ends: try, and finally"
        _try_again(report, api, "a new one, after another has left", "hello", hint)
        for websocket in inside:
            send(websocket, "still here?")
            expect(report, websocket, "those that were there before", "still here?", "they keep their places")


def _try_again(report: Report, api: Probe, what: str, expected: Any, hint: str) -> None:
    """Connect until the answer is as expected: what the server does after a client has left takes a moment."""
    for last in (False,) * 20 + (True,):
        with opened(report, api, "/echo") as websocket:
            send(websocket, "hello")
            actual = said(websocket, with_reason=expected != "hello")
            if last or actual == expected:
                report.require(what, expected, actual, hint)
                return
        Event().wait(0.02)


EXERCISES = {"1": progress, "2": detect, "3": limited}
