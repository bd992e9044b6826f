"""The checks of lesson 14, both ways: solutions pass; skeletons and typical mistakes fail with the right hint."""

import hashlib
import threading
import time
from collections import OrderedDict
from concurrent.futures import Future

import prometheus_client as prom
import pytest
from fastapi import FastAPI, HTTPException, Request, Response, UploadFile
from fastapi.responses import JSONResponse

from classroom.checks import check
from yololab import Detector, decode, serve
from yololab.errors import LabError

# exercise 1: metrics for an API


def make_app():
    app = FastAPI()

    @app.get("/pictures/{number}")
    def picture(number: int):
        return {"number": number}

    @app.get("/wait/{ms}")
    def wait(ms: int):
        time.sleep(min(ms, 1000) / 1000)

    @app.get("/divide/{a}/{b}")
    def divide(a: int, b: int):
        return {"quotient": a / b}

    return app


def template(request):
    return getattr(request.scope.get("route"), "path", "other")


def measured(
    route_of=template, catches=True, scale=1, labels=("route", "status"), times=1, observes=True, kind=prom.Counter
):
    """The app with metrics that are right, or wrong in one thing or another."""
    app, registry = make_app(), prom.CollectorRegistry()
    counter = kind("requests" if kind is prom.Counter else "requests_total", "Requests.", labels, registry=registry)
    seconds = prom.Histogram("request_seconds", "Time for an answer.", ["route"], registry=registry)

    @app.middleware("http")
    async def measure(request, call_next):
        before = time.perf_counter()
        try:
            answer = await call_next(request)
        except ZeroDivisionError:
            answer = JSONResponse({}, 500)
            if not catches:
                return answer
        values = {"route": route_of(request), "status": answer.status_code, "method": request.method}
        counter.labels(*[values[label] for label in labels]).inc(times)
        if observes:
            seconds.labels(values["route"]).observe(scale * (time.perf_counter() - before))
        return answer

    @app.get("/metrics")
    def metrics():
        return Response(prom.generate_latest(registry), media_type=prom.CONTENT_TYPE_LATEST)

    return app


def test_metrics_pass(capsys):
    assert check("14.1", measured()).ok
    assert "well done" in capsys.readouterr().out


def test_metrics_pass_by_url_and_twice():
    server = serve(measured(), port=0)
    assert check("14.1", server.url).ok and check("14.1", server.url).ok
    server.stop()


def test_metrics_pass_without_the_library():
    """A pure ASGI middleware, counts in a dictionary, and the text written by hand."""
    app, lock, counts = make_app(), threading.Lock(), {}
    borders = (0.01, 0.1, 1)

    class Measure:
        def __init__(self, app):
            self.app = app

        async def __call__(self, scope, receive, send):
            before, status = time.perf_counter(), 500

            async def watched(message):
                nonlocal status
                status = message.get("status", status)
                await send(message)

            try:
                await self.app(scope, receive, watched)
            except ZeroDivisionError:
                await JSONResponse({}, 500)(scope, receive, watched)
            finally:
                spent, route = time.perf_counter() - before, getattr(scope.get("route"), "path", "nowhere")
                fitting = [f"{border}" for border in borders if spent <= border]
                names = [f'requests_total{{route="{route}",status="{status}"}}']
                names += [f'request_seconds_bucket{{le="{le}",route="{route}"}}' for le in [*fitting, "+Inf"]]
                with lock:
                    for name in [*names, f'request_seconds_count{{route="{route}"}}']:
                        counts[name] = counts.get(name, 0) + 1
                    name = f'request_seconds_sum{{route="{route}"}}'
                    counts[name] = counts.get(name, 0) + spent

    @app.get("/metrics")
    def metrics():
        with lock:
            lines = [f"{name} {number}\n" for name, number in counts.items()]
        text = "# TYPE requests_total counter\n" + "".join(line for line in lines if "requests_total" in line)
        text += "# TYPE request_seconds histogram\n" + "".join(line for line in lines if "requests_total" not in line)
        return Response(text, media_type="text/plain; version=0.0.4")

    app.add_middleware(Measure)
    assert check("14.1", app).ok


def test_metrics_skeleton_is_told_to_add_the_route(capsys):
    assert not check("14.1", make_app()).ok
    out = capsys.readouterr().out
    assert "a route /metrics" in out and out.count("NOT YET") == 1


def test_metrics_as_json(capsys):
    app = make_app()
    app.get("/metrics")(lambda: 'requests_total{route="/",status="200"} 1\n')
    assert not check("14.1", app).ok
    assert "not JSON of it" in capsys.readouterr().out


MISTAKES = {
    "the path as a label": ({"route_of": lambda request: request.url.path}, "the template then"),
    "lost paths by themselves": (
        {"route_of": lambda request: getattr(request.scope.get("route"), "path", request.url.path)},
        "all lost paths share one route",
    ),
    "a break is not counted": ({"catches": False}, "call_next raises when a route breaks"),
    "milliseconds": ({"scale": 1000}, "in seconds, not in milliseconds"),
    "nothing observed": ({"observes": False}, "observed once for each request"),
    "counted twice": ({"times": 2}, "count each request in a middleware"),
    "one more label": ({"labels": ("route", "status", "method")}, "each label more multiplies"),
    "a gauge": ({"kind": prom.Gauge}, "writes # TYPE"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_metrics_mistakes(mistake, capsys):
    wrong, hint = MISTAKES[mistake]
    assert not check("14.1", measured(**wrong)).ok
    assert hint in capsys.readouterr().out


# exercise 2: labels from a cache


@pytest.fixture(scope="module")
def detector():
    return Detector("starter")


class ComputeOnce:
    """A right cache, or one with something missing."""

    def __init__(self, size=8, lru=True, flies=True):
        self.size, self.lru, self.flies = size, lru, flies
        self.answers, self.flights, self.lock = OrderedDict(), {}, threading.Lock()

    def get(self, key, compute):
        with self.lock:
            if key in self.answers:
                if self.lru:
                    self.answers.move_to_end(key)
                return self.answers[key], "hit"
            leads = not self.flies or key not in self.flights
            flight = Future() if leads else self.flights[key]
            self.flights[key] = flight
        if leads:
            try:
                flight.set_result(compute())
            except BaseException as error:
                flight.set_exception(error)
            with self.lock:
                self.flights.pop(key, None)
                if not flight.exception():
                    self.answers[key] = flight.result()
                while self.size and len(self.answers) > self.size:
                    self.answers.popitem(last=False)
        return flight.result(), "miss" if leads else "hit"


class OneLock(ComputeOnce):
    """The short way: look, compute and keep under one lock."""

    def __init__(self):
        super().__init__()
        self.everything = threading.Lock()

    def get(self, key, compute):
        with self.everything:
            return super().get(key, compute)


def hashed(data, name, confidence, request_text):
    return hashlib.sha256(data).hexdigest(), confidence


def labels_api(detector, cache=None, key_of=hashed, errors=LabError, keeps_errors=False):
    computations, app = [], FastAPI()

    def compute(data, confidence):
        computations.append(confidence)
        time.sleep(0.05)
        return [found.label for found in detector(decode(data), confidence)]

    @app.get("/stats")
    def stats():
        return {"computations": len(computations)}

    @app.post("/labels")
    def labels_of(request: Request, file: UploadFile, response: Response, confidence: float = 0.35):
        data = file.file.read()
        try:
            if cache is None:
                return compute(data, confidence)
            key = key_of(data, file.filename, confidence, request.url.query)
            answer, response.headers["X-Cache"] = cache.get(key, lambda: compute(data, confidence))
        except errors as error:
            if keeps_errors:
                return []
            raise HTTPException(error.status, str(error)) from error
        return answer

    return app


@pytest.mark.parametrize("cache", [ComputeOnce, OneLock])
def test_a_cache_passes(detector, cache, capsys):
    assert check("14.2", labels_api(detector, cache())).ok
    assert "well done" in capsys.readouterr().out


def test_a_cache_passes_by_url_and_twice(detector):
    server = serve(labels_api(detector, ComputeOnce()), port=0)
    assert check("14.2", server.url).ok and check("14.2", server.url).ok
    server.stop()


def test_the_lessons_own_pieces_pass(detector):
    """The way that the hint describes: a cache, and SingleFlight, apart from each other."""

    class Pieces:
        def __init__(self):
            self.answers, self.flights, self.lock = OrderedDict(), {}, threading.Lock()

        def look(self, key):
            with self.lock:
                if key in self.answers:
                    self.answers.move_to_end(key)
                return self.answers.get(key)

        def keep(self, key, answer):
            with self.lock:
                self.answers[key] = answer
                while len(self.answers) > 8:
                    self.answers.popitem(last=False)

        def fly(self, key, compute):
            with self.lock:
                flight = self.flights.get(key)
                leads = flight is None
                if leads:
                    flight = self.flights[key] = Future()
            if leads:
                try:
                    flight.set_result(compute())
                except BaseException as error:
                    flight.set_exception(error)
                finally:
                    with self.lock:
                        del self.flights[key]
            return flight.result()

        def get(self, key, compute):
            fresh = []

            def compute_and_keep():
                answer = self.look(key)
                if answer is None:
                    answer = compute()
                    fresh.append(True)
                    self.keep(key, answer)
                return answer

            answer = self.look(key)
            if answer is None:
                answer = self.fly(key, compute_and_keep)
            return answer, "miss" if fresh else "hit"

    assert check("14.2", labels_api(detector, Pieces())).ok


def test_the_skeleton_has_no_x_cache(detector, capsys):
    assert not check("14.2", labels_api(detector)).ok
    out = capsys.readouterr().out
    assert "set response.headers['X-Cache']" in out and out.count("NOT YET") == 1


WRONG = {
    "the name as the key": (
        {"key_of": lambda data, name, confidence, query: (name, confidence)},
        "the key must come from the content",
    ),
    "the confidence forgotten": (
        {"key_of": lambda data, name, confidence, query: hashlib.sha256(data).digest()},
        "everything that the answer depends on belongs to the key",
    ),
    "the query as text": (
        {"key_of": lambda data, name, confidence, query: (hashlib.sha256(data).digest(), query)},
        "put the value into the key, not the text",
    ),
    "no limit": ({"cache": lambda: ComputeOnce(size=0)}, "8 answers at most"),
    "one too few": ({"cache": lambda: ComputeOnce(size=7)}, "8 answers must fit"),
    "first in, first out": ({"cache": lambda: ComputeOnce(lru=False)}, "move_to_end"),
    "a stampede": ({"cache": lambda: ComputeOnce(flies=False)}, "single-flight"),
    "errors as answers": ({"keeps_errors": True}, "set the error in the flight"),
}


@pytest.mark.parametrize("mistake", WRONG)
def test_cache_mistakes(mistake, detector, capsys):
    wrong, hint = WRONG[mistake]
    made = {"cache": wrong.get("cache", ComputeOnce)(), **{k: v for k, v in wrong.items() if k != "cache"}}
    assert not check("14.2", labels_api(detector, **made)).ok
    assert hint in capsys.readouterr().out


def test_a_cache_that_says_hit_and_computes(detector, capsys):
    class Liar(ComputeOnce):
        def get(self, key, compute):
            if key in self.answers:
                compute()
            return super().get(key, compute)

    assert not check("14.2", labels_api(detector, Liar())).ok
    assert "a hit never does" in capsys.readouterr().out
