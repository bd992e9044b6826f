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

from classroom.checks import check, lesson_03


class UnknownCamera(Exception):
    pass


class PublicCamera(BaseModel):
    name: str = Field(min_length=1, max_length=40)
    fps: int = Field(ge=1, le=60)


class Camera(PublicCamera):
    password: str = Field(min_length=8)


def camera(**fields):
    """The model of a camera with other limits."""
    return create_model("Other", __base__=Camera, **fields)


def camera_in_public(**fields):
    """What is told of such a camera."""
    return create_model("OtherInPublic", __base__=PublicCamera, **fields)


FRACTION = (float, Field(ge=1, le=60))


def camera_app(
    public=PublicCamera,
    discreet=True,
    handled=True,
    finished=False,
    keep=("type", "loc", "msg"),
    takes=Camera,
    deletes="DELETE",
    known=sorted,
    clears=False,
    hasty=False,
):
    app, cameras = FastAPI(), {}

    def find(name):
        if name not in cameras:
            raise UnknownCamera(name) if handled else HTTPException(404, f"no camera {name}")
        return cameras[name]

    @app.post("/cameras", status_code=201)
    def add(camera: takes) -> public:
        if cameras.setdefault(camera.name, camera) is not camera:
            cameras.update({camera.name: camera} if hasty else {})
            raise HTTPException(409, "taken")
        return JSONResponse(camera.model_dump(), 201) if finished else camera

    @app.get("/cameras/{name}")
    def one(name: str) -> public:
        return find(name)

    @app.api_route("/cameras/{name}", status_code=204, methods=[deletes])
    def remove(name: str) -> None:
        find(name)
        cameras.clear() if clears else cameras.pop(name)

    @app.exception_handler(UnknownCamera)
    def unknown(request: Request, error: UnknownCamera):
        return JSONResponse({"detail": f"no camera {error.args[0]}", "known": known(cameras)}, 404)

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


def other_frames(least, most):
    """A model of both kinds whose fps has other limits, so that the answer has no more than the question."""
    fps = (int, Field(ge=least, le=most))
    return {"takes": camera(fps=fps), "public": camera_in_public(fps=fps)}


@pytest.mark.parametrize("frames", [(1, 59), (2, 60)])
def test_cameras_at_the_limits_of_fps(frames, capsys, monkeypatch):
    monkeypatch.setattr(lesson_03, "randint", lambda least, most: 30)
    assert not check("03.1", camera_app(**other_frames(*frames))).ok
    assert "both ends count" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("mistake", "hint"),
    [
        ({"discreet": False}, "repeats what it was sent"),
        ({"public": Camera}, "return type PublicCamera"),
        ({"finished": True}, "return no finished Response"),
        ({"handled": False}, "'known': sorted(cameras)"),
        ({"keep": ("msg",)}, "has type, loc and msg"),
        ({"takes": create_model("Zoned", __base__=Camera, zone=(str, ...))}, "refuses a camera that is right: {"),
        ({"known": list}, "'known': sorted(cameras)"),
        ({"known": lambda cameras: sorted(cameras)[::-1]}, "'known': sorted(cameras)"),
        ({"known": lambda cameras: sorted(cameras)[:2]}, "'known': sorted(cameras)"),
        ({"clears": True}, "the DELETE leaves the other cameras"),
        ({"hasty": True}, "GET after the 409"),
        ({"takes": camera(name=(str, ...))}, "an empty name is refused"),
        ({"takes": camera(name=(str, Field(min_length=1)))}, "a name of 41 characters is refused"),
        ({"takes": camera(name=(str, Field(min_length=2, max_length=40)))}, "a name of one character is right"),
        ({"takes": camera(name=(str, Field(min_length=1, max_length=39)))}, "a name of 40 characters is right"),
        ({"takes": camera(fps=(int, Field(ge=1)))}, "fps 61 is refused"),
        ({"takes": camera(fps=(int, Field(le=60)))}, "fps 0 is refused"),
        ({"takes": camera(fps=FRACTION), "public": camera_in_public(fps=FRACTION)}, "fps 1.5 is refused"),
        ({"takes": camera(password=(str, Field(min_length=9)))}, "a password of 8 characters is right"),
        ({"takes": camera(password=(str, Field("none at all", min_length=8)))}, "no password is refused"),
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

    def __init__(self, app, unit=1, new_id=lambda: uuid4().hex, form="{:.6f}"):
        self.app, self.unit, self.new_id, self.form = app, unit, new_id, form

    async def __call__(self, scope, receive, send):
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        begin, request_id = perf_counter(), self.new_id()
        scope.setdefault("state", {})["request_id"] = request_id

        async def named_send(message):
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers["X-Request-ID"] = request_id
                headers["X-Process-Time"] = self.form.format((perf_counter() - begin) * self.unit)
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


class BeginInSelf(NamedInSelf):
    """The id is a local variable, the start is not."""

    async def __call__(self, scope, receive, send):
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        self.begin, request_id = perf_counter(), uuid4().hex
        scope.setdefault("state", {})["request_id"] = request_id

        async def named_send(message):
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers["X-Request-ID"] = request_id
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
        (lambda: BeginInSelf(named_skeleton()), "the start, too, belongs to one request"),
        (lambda: Named(named_skeleton(), unit=1000), "in seconds"),
        (lambda: Named(named_skeleton(), form="{:.6f} s"), "as a decimal number and nothing else"),
        (lambda: Named(named_skeleton(), form="soon"), "as a decimal number and nothing else"),
        (lambda: Named(named_skeleton(), new_id=lambda: "the id"), "uuid4().hex"),
    ],
)
def test_named_mistakes(app, hint, capsys):
    assert not check("03.2", app()).ok
    assert hint in (out := capsys.readouterr().out) and "runs to its end" not in out


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
