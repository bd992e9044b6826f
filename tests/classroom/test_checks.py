"""Each check, both ways: the solution passes; the skeleton and typical mistakes fail with the right hint."""

from collections import Counter

import pytest
import requests
from fastapi import FastAPI, HTTPException, UploadFile

from classroom.checks import check
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
    from fastapi.responses import PlainTextResponse

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
