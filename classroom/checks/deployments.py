"""Good and broken deployments of the lab's API, for the smoke test of lesson 16."""

import asyncio
import json
from collections.abc import Callable
from random import shuffle
from secrets import token_hex
from threading import Event
from typing import Any

from yololab.api.app import create_app
from yololab.api.settings import Settings
from yololab.vision.machine import free_port

from .pictures import starter
from .probe import Endless, served, within
from .report import Report
from .watched import crash

PATH = "/v1/detections"
STUCK = 8  # seconds that the hanging one takes
LIMIT = 60  # seconds for one deployment, where each request may have to be given up
ENDLESS = "your function does not end: is there a loop without an end, or one that tries again for ever?"

Change = Callable[[str, int, str, bytes], tuple[int, str, bytes]]


class _Deployment:
    """The lab's API, in whose answers `change` may put something wrong; `let_go` is cleared where it shall hang."""

    def __init__(self) -> None:
        self.app = create_app(Settings(keep=False))
        self.state = self.app.state  # so that its server waits for the model
        self.change, self.let_go = _as_it_is, Event()
        self.let_go.set()

    async def __call__(self, scope: dict, receive: Callable, send: Callable) -> None:
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        messages = []

        async def keep(message: dict) -> None:
            messages.append(message)

        await self.app(scope, receive, keep)
        if scope["path"] == PATH:
            await asyncio.to_thread(self.let_go.wait, STUCK)
        media_type = dict(messages[0]["headers"]).get(b"content-type", b"").decode()
        body = b"".join(message.get("body", b"") for message in messages)
        status, media_type, body = self.change(scope["path"], messages[0]["status"], media_type, body)
        headers = [(b"content-type", media_type.encode()), (b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})


def _as_it_is(path: str, status: int, media_type: str, body: bytes) -> tuple[int, str, bytes]:
    return status, media_type, body


def _on(route: str, **other: Any) -> Change:
    """Another status, type or body for one route."""
    return lambda path, *parts: tuple(
        other.get(name, part) if path == route else part
        for name, part in zip(("status", "media_type", "body"), parts, strict=True)
    )


def _json(change: Callable[[dict], Any]) -> Change:
    """Another JSON of /v1/detections."""

    def altered(path: str, status: int, media_type: str, body: bytes) -> tuple[int, str, bytes]:
        if path != PATH or status != 200 or media_type != "application/json":
            return status, media_type, body
        answer = json.loads(body)
        return status, media_type, json.dumps(change(answer) or answer).encode()

    return altered


def _another_build(answer: dict) -> dict:
    found = [{**each, "confidence": 0.999 * each["confidence"]} for each in answer["detections"]]
    return {**answer, "detections": found, "build": token_hex(4)}


def _shifted(answer: dict) -> dict:
    names = starter().labels
    found = [{**each, "label": names[names.index(each["label"]) - 1]} for each in answer["detections"]]
    return {**answer, "detections": found}


def _first_again() -> Callable[[dict], dict]:
    first = []
    return lambda answer: first.append(answer) or first[0]


BROKEN = {
    "/ready says 503": (_on("/ready", status=503), "ask GET /ready, and take nothing but 200"),
    "every picture is answered 500": (_on(PATH, status=500), "look at the status of the answer"),
    "JSON that calls itself text/html": (_on(PATH, media_type="text/html"), "look at the header Content-Type"),
    "a page of HTML instead of JSON": (_on(PATH, body=b"<html>Welcome</html>"), "it is no JSON: that is a finding too"),
    "labels shifted by one": (_json(_shifted), "you know what is in apple.jpg: compare the labels"),
    "nothing is ever found": (
        _json(lambda answer: {**answer, "detections": []}),
        "send a picture that shows something",
    ),
    "every picture gets the first one's answer": (None, "send two pictures that show different things"),
    "no answer to a picture": (_as_it_is, "give each request a timeout, of 5 seconds for example, and catch its error"),
}
GOOD = {"the lab's API": _as_it_is, "another build: confidences a little lower, a field more": _json(_another_build)}


def _verdict(function: Callable[[str], Any], url: str) -> str:
    """What the student's function says of the deployment at this address; or its error, or that it does not end."""
    try:
        problems = within(LIMIT, function, url)
    except Endless:
        return f"no end within {LIMIT:g} s"
    except (Exception, SystemExit) as error:
        return crash(error)
    return f"broken: {problems}"[:120] if problems else "good"


def smoke(report: Report, function: Callable[[str], Any]) -> None:
    """function(url): a list of what is wrong with the deployment, empty for a good one."""
    deployment = _Deployment()

    def broken(url: str) -> str:
        said = _verdict(function, url)
        return "broken" if said.startswith("broken: ") else said

    def ends(name: str, actual: str) -> str:
        if actual.startswith("no end"):
            report.require(name, "an end", actual, ENDLESS)
        return actual

    with served(report, deployment) as api:
        for name, change in GOOD.items():
            deployment.change = change
            actual = ends(f"good: {name}", _verdict(function, api.url))
            hint = "compare what a user relies on (status, type, labels), not every byte"
            hint = hint if actual.startswith("broken") else "your function raised this error: put that line right"
            report.expect(f"good: {name}", "good", actual, hint)
        cases = list(BROKEN.items())
        shuffle(cases)
        for name, (change, hint) in cases:
            deployment.change = change or _json(_first_again())
            if name == "no answer to a picture":
                deployment.let_go.clear()
            actual = broken(api.url)
            deployment.let_go.set()
            ends(f"broken: {name}", actual)
            report.expect(f"broken: {name}", "broken", actual, hint)
    hint = "requests raises an error where nobody answers: catch requests.RequestException, and report it"
    actual = ends("broken: nobody answers at all", broken(f"http://127.0.0.1:{free_port()}"))
    report.expect("broken: nobody answers at all", "broken", actual, hint)
