"""Lesson 8's checks, both ways: the solutions pass; the skeletons and typical mistakes fail with the right hint."""

import asyncio
import json
from functools import partial

import pytest
from fastapi import FastAPI, WebSocket, WebSocketDisconnect
from fastapi.responses import StreamingResponse
from helpers import cell_with

from classroom.checks import check, held, lesson_08

LESSON = "08_streaming_and_websockets.ipynb"
NAMES = {"1": "make_progress", "2": "make_detector", "3": "make_limited"}


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """What takes milliseconds where it is right gets two seconds."""
    monkeypatch.setattr(held, "LIMIT", 2)


def streaming(media_type="text/event-stream", form="data: {}\n\n", buffered=False, dumps=json.dumps):
    def make(steps):
        app = FastAPI()

        @app.get("/progress")
        async def progress():
            async def events():
                names = [step async for step in steps()] if buffered else steps()
                if buffered:
                    for name in names:
                        yield form.format(dumps(name))
                else:
                    async for name in names:
                        yield form.format(dumps(name))

            return StreamingResponse(events(), media_type=media_type)

        return app

    return make


@pytest.mark.parametrize(
    "form", ["data: {}\n\n", "data:{}\r\n\r\n", "event: step\ndata: {}\n\n", ": note\n\ndata: {}\n\n"]
)
def test_progress_solutions_pass(form):
    assert check("08.1", streaming(form=form)).ok


@pytest.mark.parametrize(
    ("make", "hint"),
    [
        (streaming(buffered=True), "as soon as its step is there"),
        (streaming(media_type="text/plain"), 'media_type="text/event-stream"'),
        (streaming(form="{}\n"), 'an event begins with "data: "'),
        (streaming(form="data: {}\n"), "two newlines at its end"),
        (streaming(dumps=str), "is JSON, where a text has quotes around it"),
        (streaming(dumps=repr), "is JSON, where a text has quotes around it"),
        (streaming(dumps='"{}"'.format), "is JSON, where a text has quotes around it"),
        (lambda steps: FastAPI(), 'the route is @app.get("/progress")'),
    ],
)
def test_progress_mistakes_get_a_hint(make, hint, capsys):
    assert not check("08.1", make).ok
    assert hint in capsys.readouterr().out


def test_progress_may_keep_its_umlauts():
    assert check("08.1", streaming(dumps=partial(json.dumps, ensure_ascii=False))).ok


def detector(threads=True, count=True, text=True, errors=True, shared=False, once=False):
    def make(detect):
        app, everybody = FastAPI(), [0]

        @app.get("/health")
        async def health():
            return {"status": "alive"}

        @app.websocket("/detect")
        async def route(websocket: WebSocket):
            await websocket.accept()
            number = everybody if shared else [0]
            while True:
                message = await websocket.receive()
                if message["type"] == "websocket.disconnect":
                    return
                if message.get("bytes") is None:
                    if text:
                        await websocket.close(1003)
                        return
                    continue
                number[0] += 1
                data = message["bytes"]
                try:
                    result = await asyncio.to_thread(detect, data) if threads else detect(data)
                    answer = {"frame": number[0] if count else 1, "result": result}
                except ValueError as error:
                    if not errors:
                        raise
                    answer = {"frame": number[0], "error": str(error)}
                await websocket.send_json(answer)
                if once:
                    return

        return app

    return make


def test_a_detector_without_health_is_told_to_add_it(capsys):
    def make(detect):
        app = FastAPI()
        app.websocket("/detect")(detector()(detect).routes[-1].endpoint)
        return app

    assert not check("08.2", make).ok
    out = capsys.readouterr().out
    assert 'under @app.get("/health")' in out and "detect blocks" not in out


def test_the_detector_solution_passes():
    assert check("08.2", detector()).ok


@pytest.mark.parametrize(
    ("make", "hint"),
    [
        (detector(threads=False), "await asyncio.to_thread(detect, data)"),
        (detector(count=False), "the second answer"),
        (detector(shared=True), "each connection counts its own frames"),
        (detector(text=False), "close with code=1003"),
        (detector(errors=False), "ValueError: no picture"),
        (detector(once=True), "a loop, while True"),
        (lambda detect: FastAPI(), 'the route is @app.websocket("/detect")'),
    ],
)
def test_detector_mistakes_get_a_hint(make, hint, capsys):
    assert not check("08.2", make).ok
    assert hint in capsys.readouterr().out


def limited(bound=True, accept=True, code=1013, reason="full", give_back=True, greedy=False):
    def make(places):
        app, taken = FastAPI(), [0]

        @app.websocket("/echo")
        async def echo(websocket: WebSocket):
            if accept or taken[0] < places:
                await websocket.accept()
            if bound and taken[0] >= places:
                taken[0] += greedy
                return await websocket.close(code, reason)
            taken[0] += 1
            try:
                while True:
                    await websocket.send_text(await websocket.receive_text())
            except WebSocketDisconnect:
                pass
            finally:
                taken[0] -= give_back

        return app

    return make


def test_the_limited_solution_passes():
    assert check("08.3", limited()).ok


@pytest.mark.parametrize(
    ("make", "hint"),
    [
        (limited(bound=False), "then close(code=1013, reason=...)"),
        (limited(accept=False), "await websocket.accept()"),
        (limited(code=1000), "closed with 1000"),
        (limited(reason=""), "closed with 1013 and a reason"),
        (limited(give_back=False), "give the place back however the connection ends"),
        (limited(greedy=True), "give the place back however the connection ends"),
        (lambda places: FastAPI(), 'the route is @app.websocket("/echo")'),
    ],
)
def test_limited_mistakes_get_a_hint(make, hint, capsys):
    assert not check("08.3", make).ok
    assert hint in capsys.readouterr().out


@pytest.mark.parametrize(("number", "path"), [("2", "/detect"), ("3", "/echo")])
def test_an_error_of_the_students_own_is_shown_with_its_line(number, path, capfd):
    def make(*args):
        app = FastAPI()

        @app.websocket(path)
        async def route(websocket: WebSocket):
            await websocket.accept()
            await websocket.receive()
            return 1 + "one"

        return app

    assert not check(f"08.{number}", make).ok
    out, err = capfd.readouterr()
    assert "TypeError: unsupported operand" in out and "(your line " in out and "put that line right" in out
    assert "Traceback" not in out + err


@pytest.mark.parametrize("events", [0, 1])
def test_an_error_in_a_stream_that_has_begun_is_shown_with_its_line(events, capfd):
    def make(steps):
        app = FastAPI()

        @app.get("/progress")
        def progress():
            async def stream():
                async for number, step in numbered(steps):
                    yield "data: " + (json.dumps(step) if number < events else number) + "\n\n"

            return StreamingResponse(stream(), media_type="text/event-stream")

        return app

    async def numbered(steps):
        number = 0
        async for step in steps():
            yield number, step
            number += 1

    assert not check("08.1", make).ok
    out, err = capfd.readouterr()
    assert "TypeError: can only concatenate" in out and ': yield "data: "' in out and "put that line right" in out
    assert "Traceback" not in out + err and "ERROR" not in out + err


@pytest.mark.parametrize("target", [FastAPI(), "http://127.0.0.1:9", lambda *args: None])
@pytest.mark.parametrize("number", lesson_08.EXERCISES)
def test_what_is_no_function_that_makes_an_app(number, target, capsys):
    assert not check(f"08.{number}", target).ok
    assert "check needs the function" in capsys.readouterr().out


@pytest.mark.parametrize("number", lesson_08.EXERCISES)
def test_the_skeleton_fails_and_the_solution_passes_in_one_process(number):
    name = NAMES[number]
    space = {"asyncio": asyncio, "json": json, "FastAPI": FastAPI, "WebSocket": WebSocket,
             "WebSocketDisconnect": WebSocketDisconnect, "StreamingResponse": StreamingResponse}  # fmt: skip
    exec(cell_with(LESSON, f"def {name}("), space)
    assert not check(f"08.{number}", space[name]).ok
    exec(cell_with(f"solutions/{LESSON}", f"def {name}("), space)
    assert check(f"08.{number}", space[name]).ok
