"""Lesson 11: a load balancer in front of three small servers that count what reaches them."""

from collections.abc import Callable
from contextlib import ExitStack
from random import randint
from secrets import token_hex
from threading import Lock
from typing import Any

from fastapi import FastAPI, HTTPException

from yololab import serve

from .probe import made
from .report import Report, Such

TURN = "the next target for each request: itertools.count() and % len(targets), made once, outside the route"
BODY = "answer the target's own body: Response(answer.content, answer.status_code, media_type=...)"
EACH = "try each of the targets before you give up, however many are gone: for shift in range(len(targets))"
NEXT = "catch requests.ConnectionError and go on with the next target in a loop"


class Backend:
    """A server that counts its calls: GET /who/{word} answers its name and the word, GET /missing 404."""

    def __init__(self, number: int):
        self.name, self.calls, self._lock = f"server {number}", 0, Lock()
        app = FastAPI()

        @app.get("/who/{word}")
        def who(word: str) -> dict[str, Any]:
            self._count()
            return {"name": self.name, "word": word}

        @app.get("/missing")
        def missing() -> None:
            self._count()
            raise HTTPException(404, self.name)

        self.server = serve(app, port=0, quiet=True)

    def _count(self) -> None:
        with self._lock:
            self.calls += 1


def balancer(report: Report, make: Callable) -> None:
    """make(targets): an app whose GET /{path} goes to the targets in turn and leaves out those that are gone."""
    word, rounds = f"w{token_hex(4)}", randint(2, 4)
    with ExitStack() as stack:
        backends = [Backend(number) for number in (1, 2, 3)]
        for each in backends:
            stack.callback(each.server.stop)
        with made(report, make, [each.server.url for each in backends]) as api:
            hint = "a route @app.get('/{path:path}') that requests the same path from a target"
            first = api.get(f"/who/{word}", hint=hint)
            first.require(200, "a request is passed on")
            names = [each.name for each in backends]
            name = Such("a target's name", lambda name: name in names)
            actual = first.text[:200] if first.json is None else first.json
            report.require("... and the target's body comes back", {"name": name, "word": word}, actual, BODY)
            for _ in range(3 * rounds - 1):
                api.get(f"/who/{word}")
            counts = {each.name: each.calls for each in backends}
            report.expect(f"{3 * rounds} requests, one after the other", dict.fromkeys(names, rounds), counts, TURN)
            before = sum(each.calls for each in backends)
            missing = api.get("/missing", hint="the target's status is the answer's status")
            hint = BODY if missing.status == 404 else missing.hint
            missing.expect(404, "a target's 404 comes back", hint, json={"detail": name})
            calls = sum(each.calls for each in backends) - before
            report.expect(
                "... from one target", 1, calls, "an answer, 404 too, is an answer: return it, ask nobody else"
            )
            backends[1].server.stop()
            actual = [api.get(f"/who/{word}").status for _ in range(6)]
            if report.expect("one target is stopped: 6 requests", [200] * 6, actual, NEXT):
                backends[2].server.stop()
                actual = [api.get(f"/who/{word}").status for _ in range(6)]
                if actual != [200] * 6:  # a line for what is wrong only
                    report.expect("two targets are stopped: 6 requests", [200] * 6, actual, EACH)
            for each in backends:
                each.server.stop()
            hint = "when no target answered, after the loop: raise HTTPException(503)"
            api.get(f"/who/{word}", hint=hint).expect(503, "all targets are stopped")


EXERCISES = {"1": balancer}
