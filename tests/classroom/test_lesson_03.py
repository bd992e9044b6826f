"""The checks of lesson 3, both ways: solutions pass; skeletons and typical mistakes get the right hint."""

import asyncio
from time import perf_counter
from uuid import uuid4

import pytest
from fastapi import FastAPI, HTTPException, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field, create_model
from starlette.datastructures import MutableHeaders

from classroom.checks import check


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
    assert check("03.1", camera_app()).ok
    assert "well done" in capsys.readouterr().out


def test_cameras_skeleton_is_told_to_add_the_route(capsys):
    assert not check("03.1", FastAPI()).ok
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
    assert not check("03.1", camera_app(**mistake)).ok
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
    assert check("03.2", app()).ok
    captured = capsys.readouterr()
    assert "well done" in captured.out and captured.err == ""


def test_named_skeleton_is_told_to_set_the_headers(capsys):
    assert not check("03.2", named_skeleton()).ok
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
    assert not check("03.2", app()).ok
    assert hint in capsys.readouterr().out


def test_a_crash_that_the_exercise_did_not_plan_is_in_the_report_and_nowhere_else(capfd):
    app = Named(named_skeleton())

    @app.app.middleware("http")
    async def broken(request, call_next):
        raise ZeroDivisionError

    assert not check("03.2", app).ok
    captured = capfd.readouterr()
    assert "ZeroDivisionError" in captured.out and "your line" in captured.out and captured.err == ""


@pytest.mark.parametrize(
    ("exercise", "wrong", "right"),
    [
        ("03.1", lambda: camera_app(discreet=False), camera_app),
        ("03.2", inside, lambda: Named(named_skeleton())),
    ],
)
def test_wrong_then_right_in_one_process(exercise, wrong, right):
    """A student corrects the cell and checks again: no restart is needed."""
    assert not check(exercise, wrong()).ok
    assert check(exercise, right()).ok
