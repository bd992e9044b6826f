"""The checks of lesson 15, both ways: solutions pass; skeletons and typical mistakes fail with the right hint."""

import hashlib
import re
import threading
import time
from collections import OrderedDict
from concurrent.futures import Future
from secrets import token_hex

import pytest
import requests
from fastapi import FastAPI, HTTPException, Request, Response, UploadFile

from classroom.checks import check
from yololab import Detector, decode, serve
from yololab.errors import LabError

# exercise 1: a trace that goes on


def front(given=True, own=True, new=True, says=True, sends=True, strict=True, shared=False, last=False):
    """A factory that does everything right, or one thing not."""
    state, fixed = {}, token_hex(8)

    def make_front(backend):
        app = FastAPI()

        @app.get("/labels/{name}")
        def labels(name: str, request: Request, response: Response):
            header = request.headers.get("traceparent", "")
            found = re.fullmatch("00-([0-9a-f]{32})-([0-9a-f]{16})-[0-9a-f]{2}", header)
            trace = found[1] if found and given else token_hex(16)
            if header and not strict:
                trace = header.split("-")[1]
            state["trace"] = trace
            time.sleep(0.05 if shared else 0)
            trace = state["trace"] if shared else trace
            span = (token_hex(8) if new else fixed) if own or not found else found[2]
            headers = {"traceparent": f"00-{trace}-{span}-01"} if sends else {}
            answer = requests.get(f"{backend}/labels/{name}", headers=headers, timeout=30).json()
            if says:
                response.headers["X-Trace-ID"] = state["trace"] if last else trace
            return answer

        return app

    return make_front


def test_a_trace_goes_on_after_a_wrong_attempt_in_the_same_process(capsys):
    assert not check("15.1", front(given=False)).ok
    assert check("15.1", front()).ok
    assert "well done" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("mistake", "hint"),
    [
        ({"sends": False}, "send headers={'traceparent'"),
        ({"says": False}, "response.headers['X-Trace-ID'] = trace"),
        ({"given": False}, "take the trace out of request.headers"),
        ({"own": False}, "not the caller's"),
        ({"new": False}, "for each request anew"),
        ({"strict": False}, "begin a new trace"),
        ({"last": True}, "not be kept in a global"),
        ({"shared": True}, "not be kept in a global"),
    ],
)
def test_a_trace_with_one_mistake(mistake, hint, capsys):
    assert not check("15.1", front(**mistake)).ok
    assert hint in capsys.readouterr().out


def test_the_skeleton_of_the_trace(capsys):
    def make_front(backend):
        return FastAPI()

    assert not check("15.1", make_front).ok
    out = capsys.readouterr().out
    assert "there is no route for GET /labels/" in out and out.count("NOT YET") == 1


def test_a_crash_is_shown_with_its_line(capsys):
    def make_front(backend):
        app = FastAPI()

        @app.get("/labels/{name}")
        def labels(name: str):
            return requests.get(backend / name, timeout=30).json()

        return app

    assert not check("15.1", make_front).ok
    out = capsys.readouterr().out
    assert "return requests.get(backend / name, timeout=30).json()" in out and "Traceback" not in out


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
    assert check("15.2", labels_api(detector, cache())).ok
    assert "well done" in capsys.readouterr().out


def test_a_cache_passes_by_url_and_twice(detector):
    server = serve(labels_api(detector, ComputeOnce()), port=0)
    assert check("15.2", server.url).ok and check("15.2", server.url).ok
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

    assert check("15.2", labels_api(detector, Pieces())).ok


def test_the_skeleton_has_no_x_cache(detector, capsys):
    assert not check("15.2", labels_api(detector)).ok
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
    assert not check("15.2", labels_api(detector, **made)).ok
    assert hint in capsys.readouterr().out


def test_a_cache_that_says_hit_and_computes(detector, capsys):
    class Liar(ComputeOnce):
        def get(self, key, compute):
            if key in self.answers:
                compute()
            return super().get(key, compute)

    assert not check("15.2", labels_api(detector, Liar())).ok
    assert "a hit never does" in capsys.readouterr().out


@pytest.mark.parametrize("stats", [None, [], {"computations": "3"}])
def test_stats_that_were_changed(detector, stats, capsys):
    app = FastAPI()
    app.get("/stats")(lambda: stats)
    app.mount("/", labels_api(detector, ComputeOnce()))
    assert not check("15.2", app).ok
    out = capsys.readouterr().out
    assert "leave /stats as it is" in out and out.count("NOT YET") == 1


def test_a_wrong_cache_and_then_a_right_one_in_one_process(detector, capsys):
    assert not check("15.2", labels_api(detector)).ok
    assert check("15.2", labels_api(detector, ComputeOnce())).ok
