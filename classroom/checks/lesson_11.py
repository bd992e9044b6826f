"""The exercises of lesson 11: a Dockerfile put right, a service that starts and stops well, a smoke test."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from secrets import token_hex
from threading import Event, Timer
from time import monotonic
from typing import Any

import requests

from yololab.serving.kernel import serve

from .deployments import smoke
from .dockerfile import dockerfile
from .report import SECONDS, Report


class _Model:
    """What the check lets the student's app load: takes its time until it is let go, and notes what happens."""

    def __init__(self):
        self.may_load, self.may_answer, self.working = Event(), Event(), Event()
        self.labels, self.notes = [token_hex(3), token_hex(3)], []

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

    def asked(self, url: str, data: bytes | None = None) -> str:
        """What comes of a GET, or of a POST with this data as the file."""
        try:
            method, files = ("GET", None) if data is None else ("POST", {"file": data})
            answer = requests.request(method, url, files=files, timeout=5)
        except requests.RequestException as error:
            return type(error).__name__
        more = " with Retry-After" if "retry-after" in answer.headers else ""
        right = answer.status_code == 200 and data and answer.json() == self.labels
        return f"{answer.status_code}{more}{' and the labels' if right else ''}"


def service(report: Report, make_service: Callable[[Callable], Any]) -> None:
    """make_service(load_model): an app with /health, /ready, POST /labels and POST /drain, watched to its end."""
    model = _Model()
    timer = Timer(3, model.may_load.set)  # a start that waits for the model shall not wait for ever
    timer.start()
    try:
        server = serve(make_service(model.load), port=0)
    finally:
        timer.cancel()
    try:
        if _check_start(report, model, server.url):
            _check_stop(report, model, server)
    finally:
        model.may_load.set()
        model.may_answer.set()
        server.stop()


def _check_start(report: Report, model: _Model, url: str) -> bool:
    """What the app says while the model loads, and after that."""
    came = model.asked(f"{url}/health") if not model.may_load.is_set() else "no start before the model was there"
    hint = "load in a task: asyncio.create_task(asyncio.to_thread(...)) in the lifespan, and yield at once"
    hint = "add the route, which asks for nothing" if came == "404" else hint
    if not report.expect("while the model loads: GET /health", "200", came, hint):
        return False
    came = model.asked(f"{url}/ready")[:3]
    if not report.expect("while the model loads: GET /ready", "503", came, "there is no model yet: say 503"):
        return False
    hint = "HTTPException(503, ..., headers={'Retry-After': '1'}) as long as there is no model"
    came = model.asked(f"{url}/labels", b"early")
    report.expect("while the model loads: POST /labels", "503 with Retry-After", came, hint)
    model.may_load.set()
    deadline = monotonic() + 10
    while (came := model.asked(f"{url}/ready")) != "200" and monotonic() < deadline:
        pass
    if not report.expect("once it is loaded: GET /ready", "200", came, "keep what load_model() returns"):
        return False
    came = model.asked(f"{url}/labels", b"a picture")
    return report.expect("once it is loaded: POST /labels", "200 and the labels", came, "return model(data), as a list")


def _check_stop(report: Report, model: _Model, server: Any) -> None:
    """A picture is in work when /drain comes, and still when the server is stopped."""
    url, late = server.url, "it only changes what /ready says: not everybody has heard of it, so go on answering"
    with ThreadPoolExecutor(2) as pool:
        held = pool.submit(model.asked, f"{url}/labels", b"held")
        model.working.wait(5)
        hint = "the model must not work on the event loop: def, or await asyncio.to_thread(model, data)"
        well = report.expect("while a picture is in work: GET /health", "200", model.asked(f"{url}/health"), hint)
        came = model.asked(f"{url}/drain", b"")[:1] if well else ""
        if well and report.expect(
            "POST /drain answers with a 2..", "2", came, "it answers at once, and waits for nobody"
        ):
            for what, wanted, came in (
                ("GET /ready", "503", model.asked(f"{url}/ready")[:3]),
                ("GET /health", "200", model.asked(f"{url}/health")),
                ("POST /labels", "200 and the labels", model.asked(f"{url}/labels", b"a late one")),
            ):
                report.expect(f"after /drain: {what}", wanted, came, late)
            deadline, stop = monotonic() + 3, pool.submit(server.stop)
            while model.asked(f"{url}/health") != "ConnectionError" and monotonic() < deadline:
                pass
            model.may_answer.set()
            hint = "nothing may take the model away while a picture is in work"
            report.expect("stopped: the picture in work is answered", "200 and the labels", held.result(), hint)
            stop.result()
            hint = "model.close() belongs after the yield of the lifespan: there all requests have been answered"
            came = "so it is" if model.notes[-1:] == ["closed"] and model.notes.count("closed") == 1 else model.notes
            report.expect("stopped: model.close() was called, once and last", "so it is", came, hint)
        model.may_answer.set()


EXERCISES = {"1": dockerfile, "2": service, "3": smoke}
