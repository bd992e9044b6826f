"""The exercises of lesson 16: a Dockerfile put right, a service that starts and stops well, a smoke test."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from secrets import token_hex
from threading import Event, Timer
from time import monotonic, sleep
from typing import Any

from .answer import NO_ANSWER, Answer
from .deployments import smoke
from .dockerfile import dockerfile
from .probe import SECONDS, Probe, made
from .report import Report

LIMIT = 5  # seconds for what takes milliseconds where it is right
AT_ONCE = "load in a task: asyncio.create_task(asyncio.to_thread(...)) in the lifespan, and yield at once"
TOO_EARLY = "HTTPException(503, ..., headers={'Retry-After': '1'}) as long as there is no model"
CLOSED = "model.close() belongs after the yield of the lifespan: there all requests have been answered"


class _Model:
    """What the check lets the student's app load: takes its time until it is let go, and notes what happens."""

    def __init__(self) -> None:
        self.may_load, self.may_answer, self.working = Event(), Event(), Event()
        self.labels, self.notes = [f"w{token_hex(3)}", f"w{token_hex(3)}"], []

    def load(self) -> "_Model":
        self.may_load.wait(SECONDS)
        return self

    def __call__(self, data: bytes) -> list[str]:
        if data == b"held":
            self.working.set()
            self.may_answer.wait(SECONDS)
        self.notes.append("answered")
        return self.labels

    def close(self) -> None:
        self.notes.append("closed")

    @contextmanager
    def loads_in_the_end(self) -> Iterator[None]:
        """A start that waits for the model shall not wait for ever."""
        timer = Timer(3, self.may_load.set)
        timer.start()
        try:
            yield
        finally:
            timer.cancel()
            self.may_load.set()
            self.may_answer.set()


def service(report: Report, make_service: Callable[[Callable], Any]) -> None:
    """make_service(load_model): an app with /health, /ready, POST /labels and POST /drain, watched to its end."""
    model = _Model()
    with model.loads_in_the_end(), made(report, make_service, model.load, seconds=LIMIT) as api:
        _check_start(api, model)
        _check_stop(api, model)
    right = model.notes[-1:] == ["closed"] and model.notes.count("closed") == 1
    actual = "once, at the end" if right else model.notes
    report.expect("stopped: when model.close() was called", "once, at the end", actual, CLOSED)


def _post(api: Probe, data: bytes) -> Answer:
    return api.post("/labels", files={"file": data})


def _check_start(api: Probe, model: _Model) -> None:
    """What the app says while the model loads, and after that."""
    start = "after the model" if model.may_load.is_set() else "before the model"
    api.report.require("when it starts", "before the model", start, AT_ONCE)
    health = api.get("/health", missing="add the route, which asks for nothing", hint=AT_ONCE)
    health.require(200, "while the model loads: GET /health")
    hint, missing = "there is no model yet: say 503", "add the route: 503 as long as there is no model, then 200"
    api.get("/ready", hint=hint, missing=missing).require(503, "while the model loads: GET /ready")
    early = _post(api, b"early")
    early.expect(503, "while the model loads: POST /labels", TOO_EARLY, headers=("Retry-After",))
    model.may_load.set()
    ready = _await(lambda: api.get("/ready"), 200)
    ready.require(200, "once it is loaded: GET /ready", "keep what load_model() returns")
    labels = _post(api, b"a picture")
    hint = "return model(data), as a list"
    labels.require(200, "once it is loaded: POST /labels", hint, json=model.labels)


def _check_stop(api: Probe, model: _Model) -> None:
    """A picture is in work when /drain comes, and still when the server is stopped."""
    late = "it only changes what /ready says: not everybody has heard of it, so go on answering"
    with ThreadPoolExecutor(2) as pool:
        held = pool.submit(_post, api, b"held")
        try:
            model.working.wait(LIMIT)
            hint = "the model must not work on the event loop: def, or await asyncio.to_thread(model, data)"
            api.get("/health", hint=hint).require(200, "while a picture is in work: GET /health")
            hint = "it answers at once, and waits for nobody"
            api.post("/drain").require(range(200, 300), "POST /drain answers with a 2..", hint)
            api.get("/ready", hint=late).expect(503, "after /drain: GET /ready")
            api.get("/health", hint=late).expect(200, "after /drain: GET /health")
            _post(api, b"a late one").expect(200, "after /drain: POST /labels", late, json=model.labels)
            stop = pool.submit(api.stop)
            _await(lambda: api.get("/health"), NO_ANSWER)
            model.may_answer.set()
            hint = "nothing may take the model away while a picture is in work"
            held.result().expect(200, "stopped: the picture in work is answered", hint, json=model.labels)
            stop.result()
        finally:
            model.may_answer.set()


def _await(ask: Callable[[], Answer], status: int | str) -> Answer:
    """The first answer with this status, or the last one when time is up."""
    deadline = monotonic() + LIMIT
    while (answer := ask()).status != status and monotonic() < deadline:
        sleep(0.01)
    return answer


EXERCISES = {"1": dockerfile, "2": service, "3": smoke}
