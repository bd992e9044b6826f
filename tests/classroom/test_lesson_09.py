"""The checks of lesson 9, both ways: solutions pass; skeletons and typical mistakes fail with the right hint."""

import asyncio
import json
import threading
import time
from collections import Counter, deque
from contextlib import asynccontextmanager
from contextvars import ContextVar
from functools import cache, partial
from pathlib import Path
from uuid import UUID, uuid4

import pytest
from fastapi import APIRouter, Depends, FastAPI, HTTPException, Response, UploadFile
from fastapi.responses import JSONResponse
from helpers import ROOT, cell_with
from starlette.datastructures import MutableHeaders

from classroom.checks import check
from yololab import Detector, decode, serve

current_id: ContextVar[str | None] = ContextVar("current_id", default=None)


STARTER = cache(lambda: Detector("starter"))  # what a load gives: the tests count loads, and need not wait for them


@pytest.fixture(scope="module")
def detector():
    return STARTER()


# exercise 1: the log of requests


def make_app():
    lines = deque(maxlen=1000)
    app = FastAPI()
    app.state.lines = lines

    def log(**fields):
        lines.append(json.dumps({"request_id": current_id.get(), **fields}))

    app.state.log = log

    @app.get("/logs")
    def logs():
        return list(lines)

    @app.get("/wait/{ms}")
    def wait(ms: int):
        time.sleep(min(ms, 1000) / 1000)
        log(event="waited", waited=ms)

    @app.get("/divide/{a}/{b}")
    def divide(a: int, b: int):
        return {"quotient": a / b}

    return app


def logged(
    catches=True,
    sets=True,
    shared=False,
    scale=1e3,
    finally_=True,
    method=None,
    query=False,
    header=True,
    dumps=json.dumps,
):
    """The app with a middleware that has, or lacks, one thing or another."""
    app, held = make_app(), {}

    class RequestLog:
        def __init__(self, app):
            self.app = app

        async def __call__(self, scope, receive, send):
            if scope["type"] != "http":
                return await self.app(scope, receive, send)
            mine = held if shared else {}
            mine |= {"number": uuid4().hex, "status": None}
            before = time.perf_counter()
            token = current_id.set(mine["number"] if sets else None)

            async def watched(message):
                if message["type"] == "http.response.start":
                    mine["status"] = message["status"]
                    if header:
                        MutableHeaders(scope=message)["X-Request-ID"] = mine["number"]
                await send(message)

            def write():
                path = scope["path"] + (f"?{scope['query_string'].decode()}" if query else "")
                entry = {"request_id": mine["number"], "method": method or scope["method"], "path": path}
                entry |= {"status": mine["status"], "ms": scale * (time.perf_counter() - before)}
                app.state.lines.append(dumps(entry))

            try:
                await self.app(scope, receive, watched)
                if not finally_ and mine["status"] < 400:
                    write()
            except Exception:
                if not catches:
                    raise
                await JSONResponse({"detail": "broken"}, 500)(scope, receive, watched)
            finally:
                if finally_:
                    write()
                current_id.reset(token)

    app.add_middleware(RequestLog)
    return app


def test_a_request_log_passes(capsys):
    assert check("09.1", logged()).ok
    assert "well done" in capsys.readouterr().out


def test_a_request_log_passes_by_url_and_twice():
    server = serve(logged(), port=0)
    assert check("09.1", server.url).ok
    assert check("09.1", server.url).ok
    server.stop()


def test_the_short_form_of_a_middleware_passes():
    app = make_app()

    @app.middleware("http")
    async def note(request, call_next):
        number, before = str(uuid4()), time.time()
        current_id.set(number)
        try:
            answer = await call_next(request)
        except Exception:
            answer = JSONResponse({"detail": "broken"}, 500)
        answer.headers["X-Request-ID"] = number
        ms = int(1000 * (time.time() - before))
        app.state.log(method=request.method, path=request.url.path, status=answer.status_code, ms=ms)
        return answer

    assert check("09.1", app).ok


def test_no_middleware_at_all(capsys):
    assert not check("09.1", make_app()).ok
    out = capsys.readouterr().out
    assert "http.response.start" in out and out.count("NOT YET") == 1


@pytest.mark.parametrize(
    ("mistake", "hint"),
    [
        ({"sets": False}, "ContextVar current_id"),
        ({"shared": True}, "local variables, not in self"),
        ({"scale": 1}, "milliseconds, as a number"),
        ({"finally_": False}, "in a finally:"),
        ({"method": "GET"}, "method and path are in scope"),
        ({"dumps": lambda entry: json.dumps({**entry, "status": str(entry["status"])})}, "the status as a number"),
        ({"dumps": lambda entry: f"{entry['method']} {entry['path']} {entry['status']}"}, "write it with log()"),
        ({"query": True}, "the path without ?"),
        ({"header": False}, "a function around send"),
        ({"dumps": lambda entry: json.dumps(entry).replace("\\n", "\n")}, "with log()"),
    ],
)
def test_mistakes_in_the_request_log(mistake, hint, capsys):
    assert not check("09.1", logged(**mistake)).ok
    assert hint in capsys.readouterr().out


def test_one_id_for_all_requests(capsys, monkeypatch):
    monkeypatch.setitem(globals(), "uuid4", lambda: UUID(int=7))
    assert not check("09.1", logged()).ok
    assert "a new id for each" in capsys.readouterr().out


def test_an_error_that_is_let_through(capsys):
    assert not check("09.1", logged(catches=False)).ok
    assert "catch the error in it" in capsys.readouterr().out


# exercise 2: the model, loaded once


def labels_api(how):
    """`how(app, load_model)` returns the function by which the route gets its model."""

    def create():
        loads = []

        def load_model():
            loads.append(1)
            time.sleep(0.2)  # so that requests meet while it loads
            return STARTER()

        app = FastAPI()
        get_model = how(app, load_model)

        @app.get("/stats")
        def stats():
            return {"loads": len(loads)}

        @app.post("/labels")
        def labels(file: UploadFile):
            return [found.label for found in get_model()(decode(file.file.read()))]

        return app

    return create


def for_each_request(app, load_model):
    return load_model


def lazily(app, load_model):
    kept = []

    def get_model():
        if not kept:
            kept.append(load_model())
        return kept[-1]

    return get_model


def lazily_with_a_lock(app, load_model):
    lock, get = threading.Lock(), lazily(app, load_model)

    def get_model():
        with lock:
            return get()

    return get_model


def in_a_lifespan(app, load_model):
    kept = []

    @asynccontextmanager
    async def lifespan(app):
        kept.append(await asyncio.to_thread(load_model))
        yield

    app.router.lifespan_context = lifespan
    return lambda: kept[-1]


def in_the_background(app, load_model):
    kept = []

    @asynccontextmanager
    async def lifespan(app):
        async def load():
            kept.append(await asyncio.to_thread(load_model))

        task = asyncio.create_task(load())
        yield
        task.cancel()

    def get_model():
        if not kept:
            raise HTTPException(503, "loading")
        return kept[-1]

    app.router.lifespan_context = lifespan
    return get_model


def always_apples(app, load_model):
    load_model()
    apple = decode((ROOT / "images" / "apple.jpg").read_bytes())
    model = STARTER()
    return lambda: lambda picture: model(apple)


@pytest.mark.parametrize("how", [lazily_with_a_lock, in_a_lifespan, in_the_background])
def test_one_model_passes(how):
    create = labels_api(how)
    assert check("09.2", create).ok
    assert check("09.2", create).ok


class Factory:
    def __call__(self):
        return labels_api(in_a_lifespan)()


class Middleware:
    """An app, though it has no routes."""

    def __init__(self, app):
        self.app = app

    async def __call__(self, scope, receive, send):
        await self.app(scope, receive, send)


@pytest.mark.parametrize(
    "target",
    [
        partial(labels_api(in_a_lifespan)),
        partial(lambda how: labels_api(how)(), in_a_lifespan),
        Factory(),
        Factory().__call__,
        Middleware(labels_api(in_a_lifespan)()),
    ],
)
def test_one_model_passes_however_the_app_is_made(target):
    assert check("09.2", target).ok


def test_a_function_that_returns_no_app(capsys):
    assert not check("09.2", lambda: None).ok
    assert "return app" in capsys.readouterr().out


def test_one_model_passes_as_an_app_too():
    assert check("09.2", labels_api(in_a_lifespan)()).ok


@pytest.mark.parametrize(
    ("how", "hint"),
    [
        (for_each_request, "must not be called for each request"),
        (lazily, "under one lock"),
        (always_apples, "in the order of the detections"),
    ],
)
def test_models_loaded_too_often_or_wrong(how, hint, capsys):
    assert not check("09.2", labels_api(how)).ok
    assert hint in capsys.readouterr().out


# exercise 3: two versions

GOODBYE = {"Deprecation": "@1793491200", "Sunset": "Sat, 01 May 2027 00:00:00 GMT"}


def counter(
    detector,
    second=True,
    prefix="/v1/",
    headers=GOODBYE,
    dependency=False,
    ordered=True,
    marked=True,
    old=None,
    ties=True,
):
    """The app with both versions, or with a mistake."""
    app = FastAPI()

    def say(response: Response):
        response.headers.update(headers)

    if not dependency:

        @app.middleware("http")
        async def farewell(request, call_next):
            answer = await call_next(request)
            if request.url.path.startswith(prefix):
                answer.headers.update(headers)
            return answer

    def counts(name):
        path: Path = ROOT / "images" / f"{name}.jpg"
        if not path.is_file():
            raise HTTPException(404, "no such picture")
        return Counter(each.label for each in detector(decode(path.read_bytes())))

    v1 = APIRouter(prefix="/v1", deprecated=marked or None, dependencies=[Depends(say)] if dependency else [])
    v2 = APIRouter(prefix="/v2")

    @v1.get("/count/{name}")
    def count_v1(name: str):
        return old(counts(name)) if old else counts(name)

    @v2.get("/count/{name}")
    def count_v2(name: str):
        found = counts(name)
        pairs = sorted(found.items(), key=lambda pair: (-pair[1], pair[0]) if ordered else (pair[1], pair[0]))
        pairs = pairs if ties else found.most_common()
        listed = [{"label": label, "count": count} for label, count in pairs]
        return {"picture": name, "total": found.total(), "counts": listed}

    app.include_router(v1)
    if second:
        app.include_router(v2)
    return app


def test_two_versions_pass(detector):
    app = counter(detector)
    assert check("09.3", app).ok
    assert check("09.3", app).ok


def test_the_skeleton_of_the_second_version(detector, capsys):
    assert not check("09.3", counter(detector, second=False, headers={}, marked=False)).ok
    out = capsys.readouterr().out
    assert "a second router" in out and out.count("NOT YET") == 1


@pytest.mark.parametrize(
    ("mistake", "hint"),
    [
        ({"ties": False}, "equal numbers by label"),
        ({"dependency": True}, "add them in a middleware"),
        ({"prefix": "/"}, "only /v1 ends"),
        ({"headers": {"Deprecation": "Sun, 01 Nov 2026 00:00:00 GMT", "Sunset": GOODBYE["Sunset"]}}, "@ and seconds"),
        ({"headers": {"Deprecation": "@1793491200", "Sunset": "2027-05-01T00:00:00Z"}}, "an HTTP date"),
        ({"marked": False}, "for the old version only"),
        ({"old": lambda counts: {"counts": counts}}, "old clients rely on it"),
    ],
)
def test_mistakes_in_the_versions(detector, mistake, hint, capsys):
    assert not check("09.3", counter(detector, **mistake)).ok
    assert hint in capsys.readouterr().out


def test_a_second_version_in_the_wrong_order(detector, capsys, monkeypatch):
    from classroom.checks import lesson_09

    found = ["orange", "apple", "apple"]  # whichever pictures the check draws, this one has an order
    monkeypatch.setattr(lesson_09, "_some_labels", lambda *asked: {"crowd": found})
    assert not check(
        "09.3", counter(lambda picture: [type("Found", (), {"label": each}) for each in found], ordered=False)
    ).ok
    assert "the most objects first" in capsys.readouterr().out


# the notebook's own cells


@pytest.mark.parametrize(
    ("number", "skeleton", "solution"),
    [
        ("1", ["def make_app", "class RequestLog"], ["class RequestLog", "app = make_app()"]),
        ("2", ["def create_labels_api"], ["def create_labels_api"]),
        ("3", ["def find(", "def make_counter"], ["class Farewell", "def make_counter"]),
    ],
)
def test_the_skeleton_fails_and_the_solution_passes_in_one_process(number, skeleton, solution):
    lesson, solutions = "09_production_habits.ipynb", "solutions/09_production_habits.ipynb"
    space: dict = {}
    exec(cell_with(solutions, "from contextvars import"), space)

    def ok():
        last = {"1": "app", "2": "create_labels_api", "3": "make_counter"}[number]
        return check(f"09.{number}", space[last]() if number == "3" else space[last]).ok

    for text in skeleton:
        exec(cell_with(lesson, text), space)
    assert not ok()
    for text in solution:
        exec(cell_with(solutions, text), space)
    assert ok()


def broken_app(method, path):
    app = FastAPI()

    @app.api_route(path, methods=[method])
    def route():
        return 1 + "one"

    return app


@pytest.mark.parametrize(
    ("number", "method", "path"),
    [("1", "GET", "/wait/{ms}"), ("2", "POST", "/labels"), ("3", "GET", "/v1/count/{name}")],
)
def test_an_error_of_the_students_own_is_shown_with_its_line(number, method, path, capsys):
    assert not check(f"09.{number}", broken_app(method, path)).ok
    out = capsys.readouterr().out
    assert "TypeError: unsupported operand" in out and "(your line " in out
    assert "this error: put that line right" in out and "Traceback" not in out
