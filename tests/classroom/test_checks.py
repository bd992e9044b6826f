"""Each check, both ways: the solution passes; the skeleton and typical mistakes fail with the right hint."""

import asyncio
import sys
from collections import Counter
from contextlib import asynccontextmanager
from threading import Event

import numpy as np
import pytest
import requests
from fastapi import FastAPI, HTTPException, UploadFile
from fastapi.responses import PlainTextResponse, StreamingResponse

from classroom import ROOT
from classroom.checks import check
from classroom.checks.probe import ended, served
from classroom.checks.report import Report, Stop, between, close, having
from yololab import Detector, create_app, decode, serve
from yololab.api.settings import Settings
from yololab.errors import LabError


@pytest.fixture(scope="module")
def detector():
    return Detector("starter")


def app_with(function):
    app = FastAPI()
    app.post("/count")(function)
    return app


def solution(detector):
    def count(file: UploadFile):
        try:
            picture = decode(file.file.read())
        except LabError as error:
            raise HTTPException(error.status, str(error)) from error
        return Counter(found.label for found in detector(picture))

    return count


def test_server_solution_passes(detector, capsys):
    assert check("server", app_with(solution(detector))).ok
    assert "well done" in capsys.readouterr().out


def test_server_solution_passes_by_url(detector):
    server = serve(app_with(solution(detector)), port=0)
    assert check("server", server.url).ok
    server.stop()


def test_server_skeleton_is_told_to_add_the_route(capsys):
    assert not check("server", FastAPI()).ok
    assert "@app.post('/count')" in capsys.readouterr().out


def test_server_that_lists_instead_of_counting(detector, capsys):
    def count(file: UploadFile):
        return [found.label for found in detector(decode(file.file.read()))]

    assert not check("server", app_with(count)).ok
    assert "collections.Counter" in capsys.readouterr().out


def test_server_that_lets_errors_through(detector, capsys):
    def count(file: UploadFile):
        return Counter(found.label for found in detector(decode(file.file.read())))

    assert not check("server", app_with(count)).ok
    assert "HTTPException" in capsys.readouterr().out


def test_server_that_answers_text(capsys):
    def count(file: UploadFile):
        return PlainTextResponse("2 apples")

    assert not check("server", app_with(count)).ok
    assert "FastAPI makes JSON" in capsys.readouterr().out


def test_nobody_there_is_no_exception(capsys):
    assert not check("server", "http://127.0.0.1:9").ok
    assert "is the server running" in capsys.readouterr().out


def test_an_unknown_lesson_is_no_exception(capsys):
    assert not check("99", FastAPI()).ok
    assert "client" in capsys.readouterr().out


@pytest.fixture(scope="module")
def url():
    server = serve(create_app(Settings(keep=False)), port=0)
    yield server.url
    server.stop()


def ask(url, path, **params):
    return requests.post(url + "/v1/detections", params=params, files={"file": path.read_bytes()})


def test_client_solution_passes(url):
    def labels(path, confidence):
        answer = ask(url, path, confidence=confidence)
        answer.raise_for_status()
        return [each["label"] for each in answer.json()["detections"]]

    assert check("client", labels).ok


@pytest.mark.parametrize("error", [RuntimeError, ValueError, AssertionError])
def test_client_may_raise_any_exception(url, error):
    def labels(path, confidence):
        answer = ask(url, path, confidence=confidence)
        if not answer.ok:
            raise error
        return [each["label"] for each in answer.json()["detections"]]

    assert check("client", labels).ok


def test_client_that_ignores_the_path(url, capsys):
    def labels(path, confidence):
        answer = ask(url, ROOT / "images" / "fruit.jpg", confidence=confidence)
        answer.raise_for_status()
        return [each["label"] for each in answer.json()["detections"]]

    assert not check("client", labels).ok
    out = capsys.readouterr().out
    assert "post the file at `path`" in out and out.count("NOT YET") == 1


@pytest.mark.parametrize("form", [np.array, tuple, lambda labels: None, lambda labels: [np.array(labels)]])
def test_client_that_returns_no_list_of_texts(url, form, capsys):
    def labels(path, confidence):
        answer = ask(url, path, confidence=confidence)
        answer.raise_for_status()
        return form([each["label"] for each in answer.json()["detections"]])

    assert not check("client", labels).ok
    out = capsys.readouterr().out
    assert "return a list with the text of each label" in out and "the check runs to its end" not in out


def test_client_skeleton_fails(capsys):
    assert not check("client", lambda path, confidence: []).ok
    assert 'params={"confidence": confidence}' in capsys.readouterr().out


def test_client_that_ignores_the_confidence(url, capsys):
    assert not check("client", lambda path, confidence: [e["label"] for e in ask(url, path).json()["detections"]]).ok
    assert 'params={"confidence": confidence}' in capsys.readouterr().out


def test_client_that_ignores_the_status(url, capsys):
    def labels(path, confidence):
        answer = ask(url, path, confidence=confidence)
        return [each["label"] for each in answer.json().get("detections", [])]

    assert not check("client", labels).ok
    assert "raise_for_status" in capsys.readouterr().out


# what became of the route: not there, there and crashed, answers otherwise


def test_a_crash_is_told_with_the_students_line_and_without_a_traceback(capfd):
    def count(file: UploadFile):
        return {"apple": 1 + "one"}

    assert not check("server", app_with(count)).ok
    captured = capfd.readouterr()
    assert "actual:   500: TypeError: unsupported operand" in captured.out
    assert ': return {"apple": 1 + "one"})' in captured.out and "raised this error" in captured.out
    assert "UploadFile" not in captured.out and "Traceback" not in captured.out + captured.err


def answering(function):
    app = FastAPI()
    app.get("/")(function)
    return app


def test_a_crash_that_no_line_tells_of_stands_above_what_it_caused(capsys):
    report = Report("")
    with served(report, answering(lambda: 1 + "one")) as api:
        report.expect("the sum", 2, api.get("/").json, "add")
    (wrong, first), (_, second) = report.lines
    assert not wrong and first.startswith("GET / answers") and "TypeError" in first and "(your line " in first
    assert second.startswith("the sum")


def test_a_crash_that_was_expected_or_did_no_harm_is_not_told():
    report = Report("")
    with served(report, answering(lambda: 1 / 0)) as api:
        api.get("/").expect(500)
        report.expect("another thing", 1, 2, "look there")
    assert len(report.lines) == 2
    with served(report := Report(""), answering(lambda: 1 / 0)) as api:
        report.expect("whether it answers", 500, api.get("/").status, "")
    assert len(report.lines) == 1


def test_a_crash_in_place_of_an_error_status_is_told_with_the_hint_for_that_status():
    with served(report := Report(""), answering(lambda: {}["key"])) as api:
        api.get("/", hint="answer 404").expect(404)
    assert "KeyError: 'key'" in str(report) and "your function raised this error; answer 404" in str(report)


def test_a_request_that_waits_for_ever_prints_nothing_above_the_report(capfd, monkeypatch):
    monkeypatch.setattr("yololab.serving.kernel_server.GRACE", 1)

    async def stuck():
        await asyncio.Event().wait()

    with served(report := Report(""), answering(stuck), seconds=0.2) as api:
        api.get("/").expect(200)
    assert "no answer" in str(report) and "without an end" in str(report)
    assert capfd.readouterr() == ("", "")


def test_a_missing_await_is_told():
    async def forgets():
        return {"nap": Nap()}

    class Nap:
        """Is refused as a coroutine is; a real one that nobody awaits warns."""

        __slots__ = ()

        def __iter__(self):
            raise TypeError("'coroutine' object is not iterable")

    with served(report := Report(""), answering(forgets)) as api:
        api.get("/").expect(200)
    assert "an await is missing" in str(report)


def test_a_route_with_another_method_is_said_to_be_missing(capsys):
    app = FastAPI()
    app.get("/count")(lambda: {})
    assert not check("server", app).ok
    out = capsys.readouterr().out
    assert "405: there is no route for POST /count" in out and "@app.post('/count')" in out


def test_a_route_that_takes_something_else_is_told_what_it_refused(capsys):
    assert not check("server", app_with(lambda picture: {})).ok
    out = capsys.readouterr().out
    assert "the route refuses what the exercise sends" in out and '"picture"' in out


def test_a_crash_behind_a_url_points_to_the_server(capsys):
    server = serve(app_with(lambda: 1 / 0), port=0)
    try:
        assert not check("server", server.url).ok
    finally:
        server.stop()
    assert "which its server has printed" in capsys.readouterr().out


def test_an_app_whose_start_fails_is_told_why(capfd):
    @asynccontextmanager
    async def lifespan(app):
        raise KeyError("no model")
        yield

    assert not check("server", FastAPI(lifespan=lifespan)).ok
    captured = capfd.readouterr()
    assert "KeyError: 'no model' (your line " in captured.out and "Traceback" not in captured.out + captured.err


@pytest.mark.parametrize(("ends", "says"), [
    ("sys.exit('x')", "SystemExit: x"), ("return", "sent no response: is an await missing"),
    ("send({'type': 'http.response.start', 'status': 200})", "sent no response: is an await missing"),
    ("await send({'type': 'http.response.start', 'status': '200'})", "status is '200', and should be a whole number"),
    ("await send({'type': 'http.response.start', 'status': 200, 'headers': [('a', 'b')]})", "a pair of bytes"),
])  # fmt: skip
@pytest.mark.filterwarnings("ignore:coroutine .* was never awaited:RuntimeWarning")  # `check` itself filters it
def test_an_app_that_sends_nothing_is_told_why_and_nothing_stands_above(ends, says, capfd):
    space = {}
    exec(f"import sys\nasync def app(scope, receive, send):\n    if scope['type'] == 'http':\n        {ends}", space)
    report = Report("x")
    with served(report, space["app"]) as api:
        api.get("/").expect(200)
    assert says in str(report)
    out, err = capfd.readouterr()
    assert not out and "ERROR" not in err and "Traceback" not in err


def test_a_response_without_an_end_is_no_crash_of_the_check(capfd):
    async def app(scope, receive, send):
        if scope["type"] == "http":
            await send({"type": "http.response.start", "status": 200})
            await send({"type": "http.response.body", "body": b"x", "more_body": True})

    report = Report("x")
    with served(report, app) as api:
        assert "has no end" in api.get("/").text
    assert "ERROR" not in capfd.readouterr().err


@pytest.mark.parametrize("target", [None, 7, {"app": 1}])
def test_what_is_no_app_is_told(target):
    report = Report("x")
    with pytest.raises(Stop), served(report, target):
        pass
    assert f"actual:   {target!r}" in str(report) and "return app" in str(report)


def test_a_lifespan_that_exits_is_told(capfd):
    @asynccontextmanager
    async def lifespan(app):
        sys.exit("no")
        yield

    report = Report("x")
    with pytest.raises(Stop), served(report, FastAPI(lifespan=lifespan)):
        pass
    assert "SystemExit: no" in str(report)
    out, err = capfd.readouterr()
    assert not out and not err


def test_a_function_that_does_not_end_is_told():
    report, go = Report("x"), Event()
    with pytest.raises(Stop):
        ended(report, go.wait, seconds=0.1)
    go.set()
    assert "it still runs" in str(report) and "loop" in str(report)
    assert ended(report, int, "7") == 7
    with pytest.raises(ValueError):
        ended(report, int, "x")


def test_a_route_that_holds_the_loop_does_not_hold_the_check(monkeypatch):
    monkeypatch.setattr("classroom.checks.probe.STOP", 0.1)
    go, report = Event(), Report("x")

    async def app(scope, receive, send):
        if scope["type"] == "http":
            go.wait(60)

    with served(report, app, seconds=0.1) as api:
        api.get("/").expect(200)
    go.set()
    assert "no answer" in str(report)


def test_a_function_that_crashes_is_told_its_line(capsys):
    def labels(path, confidence):
        return [each["label"] for each in {}["detections"]]

    assert not check("client", labels).ok
    out = capsys.readouterr().out
    assert "KeyError: 'detections' (your line " in out and 'in {}["detections"]]' in out


def test_a_function_that_ends_the_process_ends_only_its_check(capsys):
    assert not check("client", lambda path, confidence: exit(3)).ok
    assert "SystemExit: 3" in capsys.readouterr().out


def test_two_functions_for_one_route_come_first(detector, capsys):
    app = app_with(lambda: {"apple": 0})
    app.post("/count")(solution(detector))
    assert not check("server", app).ok
    out = capsys.readouterr().out
    assert "this app has two functions for POST /count" in out and "makes the app again" in out
    assert out.count("NOT YET") == 1


def test_the_same_right_cell_run_twice_passes(detector):
    app = app_with(solution(detector))
    app.post("/count")(solution(detector))
    assert check("server", app).ok


def test_an_error_on_purpose_is_no_crash(capsys):
    def count(file: UploadFile):
        raise HTTPException(500, "our mistake")

    assert not check("server", app_with(count)).ok
    assert 'actual:   500: {"detail":"our mistake"}' in capsys.readouterr().out


def test_a_watched_app_answers_and_streams_as_it_would_alone():
    app = FastAPI()
    app.get("/stream")(lambda: StreamingResponse(iter(["a", "b"]), 206, {"X-Own": "1"}))
    with served(Report("any"), app) as api:
        answer = api.get("/stream")
    assert (answer.status, answer.text, answer.headers["x-own"], answer.crash) == (206, "ab", "1", "")


def test_a_request_without_an_answer_is_noted_as_such():
    held = Event()
    app = FastAPI()
    app.get("/slow")(lambda: held.wait(60))
    report = Report("any")
    with served(report, app, seconds=0.1) as api:
        assert not api.get("/slow").expect(200)
        held.set()
    assert "actual:   no answer" in str(report) and "waits for something that does not come" in str(report)


def test_a_value_given_by_words():
    assert between(1, 2) == 1.5 and between(1, 2) != 3 and between(1, 2) != "1" and between(0, 1) != True  # noqa: E712
    assert close(0.1 + 0.2) == 0.3 and {"iou": close(0.3)} == {"iou": 0.1 + 0.2}
    assert having({"a": 1}) == {"a": 1, "b": 2} and having({"a": 1}) != {"b": 2} and having({"a": 1}) != None  # noqa: E711
    assert str(between(1, 2)) == "1 to 2"


def test_an_error_by_chance_is_no_error_of_the_api(url, capsys):
    def labels(path, confidence):
        with open(path, "rb") as file:
            answer = requests.post(f"{url}/v1/detections", params={"confidence": confidence}, files={"file": file})
        return [each["label"] for each in answer.json()["detections"]]

    assert not check("client", labels).ok
    out = capsys.readouterr().out
    assert "KeyError" in out and "raise_for_status" in out and "2 of 3 right" in out


@pytest.mark.parametrize("number", ["01.1", "14.2", "client"])
def test_a_loop_without_an_end_ends_the_check(number, monkeypatch, capsys):
    monkeypatch.setattr(ended, "__kwdefaults__", {"seconds": 0.2})
    go = Event()

    def loops(*given, **named):
        while not go.is_set():
            pass

    try:
        assert not check(number, loops).ok
    finally:
        go.set()
    assert "it still runs after 0.2 s" in capsys.readouterr().out
