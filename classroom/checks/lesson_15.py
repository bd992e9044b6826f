"""The exercises of lesson 15: a trace handed on to the next service, a cache by content hash."""

import random
import re
import threading
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from secrets import token_hex
from typing import Any

import cv2
from fastapi import FastAPI, Request

from yololab.serving.kernel import serve
from yololab.vision.images import decode, encode

from .answer import Answer
from .pictures import labels, sample
from .probe import SECONDS, Probe, at_once, made, served
from .report import Report, Such, having

AT_ONCE, KEPT = 12, 8  # requests at the same time; answers that the cache keeps
COUNTED = Such("a number", lambda number: isinstance(number, int))
PARENT = re.compile("00-([0-9a-f]{32})-([0-9a-f]{16})-[0-9a-f]{2}")


class _Backend:
    """The service behind the student's: answers labels for a name, and keeps the traceparent that came with it."""

    def __init__(self) -> None:
        self.came: dict[str, str] = {}
        self.together = threading.Barrier(1)
        app = FastAPI()

        @app.get("/labels/{name}")
        def labels_of(name: str, request: Request) -> list[str]:
            self.came[name] = request.headers.get("traceparent", "nothing")
            with suppress(threading.BrokenBarrierError):
                self.together.wait(2)  # until all that are sent at once are here
            return [name, "apple"]

        self.app = app


def traced(report: Report, make_front: Callable[[str], Any]) -> None:
    """make_front(backend): GET /labels/{name} calls the backend with a traceparent of its caller's trace."""
    backend = _Backend()
    server = serve(backend.app, port=0, quiet=True)
    try:
        with made(report, make_front, server.url) as api:
            _check_trace(api, backend)
    finally:
        server.stop()


def _check_trace(api: Probe, backend: _Backend) -> None:
    report, names = api.report, iter(f"w{token_hex(4)}" for _ in range(99))

    def ask(given: str | None, name: str = "") -> tuple[Answer, str]:
        """The answer to a request with this traceparent, and the one that the backend got."""
        name = name or next(names)
        answer = api.get(f"/labels/{name}", headers={"traceparent": given} if given else {})
        return answer, backend.came.get(name, "no request")

    name = next(names)
    hint = "return requests.get(f'{backend}/labels/{name}', headers=..., timeout=30).json()"
    answer, came = ask(None, name)
    answer.require(200, "GET /labels/{name} answers what the backend answers", hint, json=[name, "apple"])
    hint = "send headers={'traceparent': f'00-{trace}-{span}-01'}: 32 and 16 characters, token_hex(16) and token_hex(8)"
    shape = "00-(32 hex)-(16 hex)-(2 hex)"
    report.require("the backend gets a traceparent", shape, shape if PARENT.fullmatch(came) else came, hint)
    hint = "the same trace that goes to the backend: response.headers['X-Trace-ID'] = trace"
    report.expect("... and X-Trace-ID says which trace", _trace(came), answer.headers.get("x-trace-id"), hint)
    trace, span = token_hex(16), token_hex(8)
    answer, came = ask(f"00-{trace}-{span}-01")
    hint = "take the trace out of request.headers['traceparent'], where there is one, and make none of your own then"
    report.expect("called with a traceparent: the trace goes on", trace, _trace(came), hint)
    hint = "the third part is the id of your own step: a new token_hex(8), not the caller's"
    report.expect("... with a span of your own", True, span not in came, hint)
    spans = {PARENT.sub(r"\2", ask(f"00-{trace}-{span}-01")[1]) for _ in range(3)}
    hint = "make the ids inside of the function, for each request anew"
    report.expect("three requests: three spans", 3, len(spans), hint)
    traces = {_trace(ask(given)[1]) for given in (None, None, "hello", f"00-{trace[:9]}-{span}-01")}
    hint = "where the header is missing or not as it should be (re.fullmatch), begin a new trace with token_hex(16)"
    report.expect("no or a broken traceparent, four times: new traces", 4, len(traces - {"no trace", trace}), hint)
    together = [(token_hex(16), next(names)) for _ in range(8)]
    backend.together = threading.Barrier(len(together))
    answers = at_once(lambda each: ask(f"00-{each[0]}-{span}-01", each[1]), together)
    mixed = sum(
        {_trace(came), answer.headers.get("x-trace-id")} != {trace} or answer.json != [name, "apple"]
        for (trace, name), (answer, came) in zip(together, answers, strict=True)
    )
    hint = "what belongs to one request must not be kept in a global: use local variables, or a ContextVar"
    report.expect("eight requests at once: traces mixed up", 0, mixed, hint)


def _trace(traceparent: str) -> str:
    """The trace in a header."""
    found = PARENT.fullmatch(traceparent)
    return found[1] if found else "no trace"


def cached_labels(report: Report, target: Any) -> None:
    """POST /labels with X-Cache: the same bytes and confidence are computed once, in a bounded cache."""
    first, second = _picture("fruit"), _picture("crowd")
    content = "the key must come from the content, not from the file's name: hashlib.sha256(data).hexdigest()"
    key = "everything that the answer depends on belongs to the key: the confidence, too"
    value = "put the value into the key, not the text of the query: 0.350, 0.35 and the default are one number"
    hint = "set response.headers['X-Cache'] to 'miss' where the answer was computed, and to 'hit' where it was not"
    with served(report, target) as api:
        computed = _stats(api)
        new = _post(api, first).require(200, "POST /labels: a new picture", json=labels(first, 0.35))
        report.require("its header X-Cache", "miss", new.headers.get("x-cache"), hint)
        for what, data, name, params, found, hint in (
            ("the same bytes, another name", first, f"{token_hex(4)}.png", {}, "hit", content),
            ("other bytes, the first name", second, "photo.jpg", {}, "miss", content),
            ("the first, at 0.05", first, "photo.jpg", {"confidence": 0.05}, "miss", key),
            ("the first, at 0.6", first, "photo.jpg", {"confidence": 0.6}, "miss", key),
            ("the first, at 0.350", first, "photo.jpg", {"confidence": "0.350"}, "hit", value),
        ):
            answer = _post(api, data, name, **params)
            answer.expect(200, f"POST /labels: {what}", hint, json=labels(data, float(params.get("confidence", 0.35))))
            report.expect(f"... X-Cache for {what}", found, answer.headers.get("x-cache"), hint)
        hint = "each miss calls compute once, and a hit never does (compute itself stays as it was)"
        report.expect("computations so far (GET /stats)", 4, _stats(api) - computed, hint)
        _check_bound(api)
        _check_at_once(api)


def _check_bound(api: Probe) -> None:
    """Eight answers, then the first again, then a ninth: the second has to go."""
    data = [_picture("apple") for _ in range(KEPT + 1)]
    cached = [_post(api, data[each]).headers.get("x-cache") for each in [*range(KEPT), 0, KEPT, 0, 1]]
    hint = "8 answers must fit, the newest too"
    if api.report.expect(f"{KEPT} new pictures, then the first again", "hit", cached[KEPT], hint):
        hint = "a hit must move its answer to the end of the order (move_to_end), so that another one goes"
        api.report.expect("after a ninth one, the first is still there", "hit", cached[-2], hint)
        hint = "8 answers at most: while there are more, let the one go that was not used for the longest"
        api.report.expect("and the second, not used for the longest, is gone", "miss", cached[-1], hint)


def _check_at_once(api: Probe) -> None:
    """Identical requests at the same time: good ones, then broken ones."""
    data, broken, computed = _picture("bowl"), token_hex(20).encode(), _stats(api)
    answers = at_once(lambda _: _post(api, data), range(AT_ONCE))
    computed = _stats(api) - computed
    failed = at_once(lambda _: _post(api, broken, timeout=SECONDS / 3), range(4))
    failed.append(_post(api, broken, timeout=SECONDS / 3))
    hint = "look and compute as one step for each key: those who come meanwhile wait for the result (single-flight)"
    if api.report.expect(f"{AT_ONCE} identical requests at once: computations", 1, computed, hint):
        found = labels(data, 0.35)
        expected = {f"200 {found} miss": 1, f"200 {found} hit": AT_ONCE - 1}
        actual = dict(Counter(f"{each.status} {each.json} {each.headers.get('x-cache')}" for each in answers))
        api.report.expect(
            "their answers", expected, actual, "the one that computed says miss, those that waited say hit"
        )
    hint = "set the error in the flight, and take the flight out in a finally:, so that nobody waits for ever"
    statuses = [answer.status for answer in failed]
    api.report.expect("a broken file, four times at once and once more", [415] * 5, statuses, hint)


def _picture(name: str) -> bytes:
    """A sample picture as a file that nobody has sent before."""
    picture = cv2.resize(decode(sample(name)), (320, 240))
    picture[0, :8] = [[*random.randbytes(3)] for _ in range(8)]
    return encode(picture, "image/png")


def _post(api: Probe, data: bytes, name: str = "photo.jpg", timeout: float = SECONDS, **params: Any) -> Answer:
    return api.post("/labels", files={"file": (name, data)}, params=params, timeout=timeout)


def _stats(api: Probe) -> int:
    stats = api.get("/stats", hint="leave /stats as it is: it answers how often compute was called")
    if having({"computations": COUNTED}) != stats.json:  # a line for what is wrong only
        stats.require(200, json={"computations": COUNTED})
    return stats.json["computations"]


EXERCISES = {"1": traced, "2": cached_labels}
