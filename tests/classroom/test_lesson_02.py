"""The checks of lesson 2, both ways: solutions pass; skeletons and typical mistakes get the right hint."""

import asyncio
from time import perf_counter
from uuid import uuid4

import pytest
from fastapi import FastAPI, HTTPException, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field, create_model, model_validator
from starlette.datastructures import MutableHeaders

from classroom.checks import check
from yololab import serve


def overlap(a, b):
    """The arithmetic that the skeleton of exercise 1 gives."""
    width = max(0, min(a.x2, b.x2) - max(a.x1, b.x1))
    height = max(0, min(a.y2, b.y2) - max(a.y1, b.y1))
    areas = sum((box.x2 - box.x1) * (box.y2 - box.y1) for box in (a, b))
    return width * height / (areas - width * height)


def box_model(ordered=True, kind=float, **config):
    class Box(BaseModel):
        model_config = ConfigDict(**{"strict": True, "extra": "forbid"} | config)
        x1: kind = Field(ge=0)
        y1: kind = Field(ge=0)
        x2: kind = Field(ge=0)
        y2: kind = Field(ge=0)

        @model_validator(mode="after")
        def in_order(self):
            if ordered and (self.x2 <= self.x1 or self.y2 <= self.y1):
                raise ValueError("corners out of order")
            return self

    return Box


def iou_app(box=None, extra="forbid", answer=lambda value: {"iou": value}):
    box = box or box_model()
    pair = create_model("Pair", __config__=ConfigDict(extra=extra), a=(box, ...), b=(box, ...))
    app = FastAPI()

    @app.post("/iou")
    def compare(both: pair):
        return answer(overlap(both.a, both.b))

    return app


def test_iou_solution_passes(capsys):
    assert check("02.1", iou_app()).ok
    assert "well done" in capsys.readouterr().out


def test_iou_solution_passes_by_url():
    server = serve(iou_app(), port=0)
    assert check("02.1", server.url).ok
    server.stop()


def test_iou_skeleton_is_told_to_add_the_route(capsys):
    assert not check("02.1", FastAPI()).ok
    out = capsys.readouterr().out
    assert "@iou_app.post('/iou')" in out and out.count("NOT YET") == 1


def forgiving():
    """Equal corners pass, and the area 0 is divided by."""

    class Box(box_model(ordered=False)):
        @model_validator(mode="after")
        def in_order(self):
            if self.x2 < self.x1 or self.y2 < self.y1:
                raise ValueError("corners out of order")
            return self

    return iou_app(Box)


def two_parameters():
    box, app = box_model(), FastAPI()

    @app.post("/iou")
    def compare(a: box, b: box):
        return {"iou": overlap(a, b)}

    return app


def in_the_route():
    """Out of order is refused, but with a sentence instead of a list."""
    box, app = box_model(ordered=False), FastAPI()

    class Pair(BaseModel):
        model_config = ConfigDict(extra="forbid")
        a: box
        b: box

    @app.post("/iou")
    def compare(pair: Pair):
        if any(each.x2 <= each.x1 or each.y2 <= each.y1 for each in (pair.a, pair.b)):
            raise HTTPException(422, "corners out of order")
        return {"iou": overlap(pair.a, pair.b)}

    return app


@pytest.mark.parametrize(
    ("app", "hint"),
    [
        (lambda: iou_app(box_model(strict=False)), "ConfigDict(strict=True)"),
        (lambda: iou_app(box_model(kind=int)), "the route refuses two right boxes: {"),
        (lambda: iou_app(box_model(extra="ignore")), "extra='forbid') in the model of a box"),
        (lambda: iou_app(extra="ignore"), "an outer model, with extra='forbid'"),
        (two_parameters, "an outer model, with extra='forbid'"),
        (forgiving, "equal is wrong, too"),
        (in_the_route, "error.errors() under 'detail'"),
        (lambda: iou_app(answer=lambda value: {"iou": round(value, 2)}), "not rounded"),
        (lambda: iou_app(answer=lambda value: value), "key iou"),
    ],
)
def test_iou_mistakes(app, hint, capsys):
    assert not check("02.1", app()).ok
    assert hint in capsys.readouterr().out


class UnknownCamera(Exception):
    pass


class PublicCamera(BaseModel):
    name: str = Field(min_length=1, max_length=40)
    fps: int = Field(ge=1, le=60)


class Camera(PublicCamera):
    password: str = Field(min_length=8)


def camera_app(
    public=PublicCamera,
    discreet=True,
    handled=True,
    finished=False,
    keep=("type", "loc", "msg"),
    takes=Camera,
    deletes="DELETE",
):
    app, cameras = FastAPI(), {}

    def find(name):
        if name not in cameras:
            raise UnknownCamera(name) if handled else HTTPException(404, f"no camera {name}")
        return cameras[name]

    @app.post("/cameras", status_code=201)
    def add(camera: takes) -> public:
        if cameras.setdefault(camera.name, camera) is not camera:
            raise HTTPException(409, "taken")
        return JSONResponse(camera.model_dump(), 201) if finished else camera

    @app.get("/cameras/{name}")
    def one(name: str) -> public:
        return find(name)

    @app.api_route("/cameras/{name}", status_code=204, methods=[deletes])
    def remove(name: str) -> None:
        find(name)
        cameras.pop(name)

    @app.exception_handler(UnknownCamera)
    def unknown(request: Request, error: UnknownCamera):
        return JSONResponse({"detail": f"no camera {error.args[0]}", "known": sorted(cameras)}, 404)

    def on_invalid(request: Request, error: RequestValidationError):
        return JSONResponse({"detail": [{part: each[part] for part in keep} for each in error.errors()]}, 422)

    if discreet:
        app.add_exception_handler(RequestValidationError, on_invalid)
    return app


def test_cameras_solution_passes(capsys):
    assert check("02.2", camera_app()).ok
    assert "well done" in capsys.readouterr().out


def test_cameras_skeleton_is_told_to_add_the_route(capsys):
    assert not check("02.2", FastAPI()).ok
    out = capsys.readouterr().out
    assert "@camera_app.post('/cameras'" in out and out.count("NOT YET") == 1


@pytest.mark.parametrize(
    ("mistake", "hint"),
    [
        ({"discreet": False}, "repeats what it was sent"),
        ({"public": Camera}, "return type PublicCamera"),
        ({"finished": True}, "return no finished Response"),
        ({"handled": False}, "'known': sorted(cameras)"),
        ({"keep": ("msg",)}, "has type, loc and msg"),
        ({"takes": create_model("Zoned", __base__=Camera, zone=(str, ...))}, "refuses a camera that is right: {"),
        ({"deletes": "PUT"}, "no route for DELETE /cameras/{name} yet"),
    ],
)
def test_cameras_mistakes(mistake, hint, capsys):
    assert not check("02.2", camera_app(**mistake)).ok
    assert hint in capsys.readouterr().out


def named_skeleton():
    app = FastAPI()

    @app.get("/slow")
    async def slow(request: Request):
        await asyncio.sleep(0.1)
        return {"request_id": getattr(request.state, "request_id", None)}

    @app.get("/items/{number}")
    def item(number: int):
        return number

    @app.get("/crash")
    def crash():
        raise RuntimeError("on purpose")

    return app


class Named:
    """The solution; `unit` and `new_id` make it a mistake."""

    def __init__(self, app, unit=1, new_id=lambda: uuid4().hex):
        self.app, self.unit, self.new_id = app, unit, new_id

    async def __call__(self, scope, receive, send):
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        begin, request_id = perf_counter(), self.new_id()
        scope.setdefault("state", {})["request_id"] = request_id

        async def named_send(message):
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers["X-Request-ID"] = request_id
                headers["X-Process-Time"] = f"{(perf_counter() - begin) * self.unit:.6f}"
            await send(message)

        await self.app(scope, receive, named_send)


class NamedInSelf(Named):
    """What belongs to one request is kept in the object that all requests share."""

    async def __call__(self, scope, receive, send):
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        self.begin, self.request_id = perf_counter(), uuid4().hex
        scope.setdefault("state", {})["request_id"] = self.request_id

        async def named_send(message):
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers["X-Request-ID"] = self.request_id
                headers["X-Process-Time"] = f"{perf_counter() - self.begin:.6f}"
            await send(message)

        await self.app(scope, receive, named_send)


def inside(**options):
    app = named_skeleton()
    app.add_middleware(Named, **options)
    return app


def short_form_that_catches():
    """Another solution: the crash is answered by the middleware itself."""
    app = named_skeleton()

    @app.middleware("http")
    async def named(request: Request, call_next):
        begin = perf_counter()
        request.state.request_id = uuid4().hex
        try:
            response = await call_next(request)
        except Exception:
            response = JSONResponse({"detail": "Internal Server Error"}, 500)
        response.headers["X-Request-ID"] = request.state.request_id
        response.headers["X-Process-Time"] = str(perf_counter() - begin)
        return response

    return app


def handler_for_exception():
    """A third one: the handler for Exception, which runs outside of all middleware, sets the headers anew."""
    app = inside()

    @app.exception_handler(Exception)
    def on_crash(request: Request, error: Exception):
        headers = {"X-Request-ID": request.state.request_id, "X-Process-Time": "0.000100"}
        return Response("broken", 500, headers=headers)

    return app


@pytest.mark.parametrize(
    "app",
    [lambda: Named(named_skeleton()), short_form_that_catches, handler_for_exception],
    ids=["outside", "catch", "500"],
)
def test_named_solutions_pass(app, capsys):
    assert check("02.3", app()).ok
    captured = capsys.readouterr()
    assert "well done" in captured.out and captured.err == ""


def test_named_skeleton_is_told_to_set_the_headers(capsys):
    assert not check("02.3", named_skeleton()).ok
    captured = capsys.readouterr()
    assert "http.response.start" in captured.out and captured.out.count("NOT YET") == 1 and captured.err == ""


@pytest.mark.parametrize(
    ("app", "hint"),
    [
        (inside, "ServerErrorMiddleware"),
        (lambda: NamedInSelf(named_skeleton()), "never in self"),
        (lambda: Named(named_skeleton(), unit=1000), "in seconds"),
        (lambda: Named(named_skeleton(), new_id=lambda: "the id"), "uuid4().hex"),
    ],
)
def test_named_mistakes(app, hint, capsys):
    assert not check("02.3", app()).ok
    assert hint in capsys.readouterr().out


def test_a_crash_that_the_exercise_did_not_plan_is_in_the_report_and_nowhere_else(capfd):
    app = Named(named_skeleton())

    @app.app.middleware("http")
    async def broken(request, call_next):
        raise ZeroDivisionError

    assert not check("02.3", app).ok
    captured = capfd.readouterr()
    assert "ZeroDivisionError" in captured.out and "your line" in captured.out and captured.err == ""
