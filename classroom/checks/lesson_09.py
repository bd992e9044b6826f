"""The exercises of lesson 9: a log of requests, a model loaded once, two versions side by side."""

import inspect
import json
import random
from collections import Counter
from contextlib import suppress
from secrets import token_hex
from time import monotonic, sleep
from typing import Any
from urllib.parse import unquote

from classroom import ROOT

from .answer import Answer
from .pictures import labels, sample
from .probe import SECONDS, Probe, at_once, made, served
from .report import Report, between

AT_ONCE = 8
GOODBYE = {"Deprecation": "@1793491200", "Sunset": "Sat, 01 May 2027 00:00:00 GMT"}  # since 2026-11-01
HEADER = "a function around send adds the header as http.response.start passes; the status stays as it is"
OUTSIDE = "the 500 is made outside of your middleware: catch the error in it, and send a 500 of your own"
ONE_ID = "one line for each request, and a new id for each: uuid4().hex, made inside of __call__"
STATUS = "the status as a number, as it is: message['status'] of http.response.start, kept with nonlocal"
LINE = "write it with log() in a finally:, so that it comes for every status, with the id as request_id"
MS = "milliseconds, as a number: 1000 * (perf_counter() after the app - perf_counter() before it)"
FORM = "Deprecation is @ and seconds since 1970; Sunset an HTTP date: format_datetime(..., usegmt=True)"
ONLY = "only /v1 ends: let the headers depend on the path"
ERROR = "an error is a new response, without the headers of a dependency: add them in a middleware"


def request_log(report: Report, target: Any) -> None:
    """One JSON line with method, path, status, ms and id for each request; the id in X-Request-ID as well."""
    word = f"w{token_hex(4)}"
    cases = [("GET", "/wait/40", 200), ("GET", f"/{word}", 404), ("POST", "/wait/1", 405)]
    cases += [("GET", f"/wait/{word}%0A{word}", 422), ("GET", f"/divide/{random.randint(1, 99)}/0?x={word}", 500)]
    with served(report, target) as api:
        for method, path, status in cases:
            answer = api.request(method, path, hint=OUTSIDE if status == 500 else HEADER)
            answer.require(status, headers=("X-Request-ID",))
            number, what = answer.headers["x-request-id"], answer.name.replace("%0A", " + line break + ")
            found = [each for each in _entries(api, number) if each.get("request_id") == number and "status" in each]
            hint = ONE_ID if len(found) > 1 else LINE
            report.require(f"{what}: one line with its id and a status", 1, len(found), hint)
            expected = {"method": method, "path": _plain(path.partition("?")[0]), "status": status}
            actual = {key: _plain(found[0].get(key)) for key in expected}
            rest = {**actual, "status": status} == expected
            hint = STATUS if rest else "method and path are in scope, the path without ?"
            report.expect(f"{what}: the line says so", expected, actual, hint)
            measured = between(30 if status == 200 else 0, 1e3 * answer.seconds + 999)
            report.expect(f"{what}: ms, at most what the client measured", measured, found[0].get("ms"), MS)
        _check_concurrent(api)


def _check_concurrent(api: Probe) -> None:
    """Requests at once must not mix up their ids."""
    waits = random.sample(range(50, 90), AT_ONCE)
    answers = at_once(lambda ms: api.get(f"/wait/{ms}"), waits)
    ids = [answer.headers.get("x-request-id") for answer in answers]
    entries, paths, waited = _entries(api, *ids), {}, {}
    for ms, number in zip(waits, ids, strict=True):
        mine = [each for each in entries if each.get("request_id") == number]
        paths[ms] = [_plain(each.get("path")) for each in mine if "status" in each]
        waited[ms] = [each.get("waited") for each in mine if each.get("event") == "waited"]
    hint, expected = "keep what is one request's in local variables, not in self", {ms: [f"/wait/{ms}"] for ms in waits}
    api.report.expect(f"{AT_ONCE} requests at once: each id has the line of its own request", expected, paths, hint)
    hint = "set the ContextVar current_id in the middleware before you call self.app: log() reads it"
    api.report.expect("the lines of /wait carry the id of their request", {ms: [ms] for ms in waits}, waited, hint)


def _entries(api: Probe, *ids: str) -> list[dict]:
    """The lines of GET /logs, each a JSON object; they may be written a moment after the answers were sent."""
    for _ in range(20):
        lines = api.get("/logs").json
        entries = [_entry(line) for line in lines] if isinstance(lines, list) else []
        entries = [entry for entry in entries if isinstance(entry, dict)]
        if set(ids) <= {entry.get("request_id") for entry in entries if "status" in entry}:
            break
    return entries


def _entry(line: Any) -> Any:
    """What is in one line of JSON; None where it is no JSON, or more than one line."""
    with suppress(ValueError, TypeError):
        return json.loads(line) if "\n" not in line else None


def _plain(value: Any) -> Any:  # a path may be escaped; `request.url.path` has lost its line breaks
    return unquote(value).replace("\n", "") if isinstance(value, str) else value


def _some_labels(count: int, *always: str) -> dict[str, list[str]]:
    """What the detector finds in some of the sample pictures, and in those that always have to be there."""
    names = sorted(path.stem for path in (ROOT / "images").glob("*.jpg") if path.stem not in always)
    return {name: labels(sample(name)) for name in [*random.sample(names, count), *always]}


def _is_factory(target: Any) -> bool:
    """Whether it makes an app, and is none: a function, a partial, an object that can be called with nothing."""
    if not callable(target) or hasattr(target, "routes"):
        return False
    try:
        inspect.signature(target).bind()
    except TypeError:
        return inspect.isfunction(target)
    return True


def one_model(report: Report, target: Any) -> None:
    """POST /labels answers as before, and the model is loaded once, however many come first."""
    expected = _some_labels(AT_ONCE)

    def post(name: str) -> Answer:
        data, deadline = sample(name), monotonic() + SECONDS
        while (answer := api.post("/labels", files={"file": data})).status == 503 and monotonic() < deadline:
            sleep(0.05)  # it is loading: come again
        return answer

    def loads() -> int | None:
        stats = api.get("/stats").json
        return stats.get("loads") if isinstance(stats, dict) else stats

    with made(report, target) if _is_factory(target) else served(report, target) as api:
        answers = at_once(post, expected)
        for broken in [answer for answer in answers if answer.status != 200][:1]:
            broken.require(200)  # it says why, which a comparison of all would not
        actual, first = dict(zip(expected, (answer.json for answer in answers), strict=True)), loads()
        hint = "the labels in the order of the detections; the model must be there before it is asked"
        report.require(f"POST /labels answers {AT_ONCE} requests at once", expected, actual, hint)
        for name in list(expected)[:3]:
            post(name)
        hint = "load_model() must not be called for each request: keep the model in app.state, load it at the start"
        report.require("later requests load no model (GET /stats)", first, loads(), hint)
        hint = "several requests saw that there was no model: load in a lifespan, or look and load under one lock"
        report.expect("the model was loaded once (GET /stats)", 1, first, hint)


def two_versions(report: Report, target: Any) -> None:
    """/v1/count stays as it was and says goodbye; /v2/count answers an ordered list."""
    second = "a second router with the prefix /v2; the most objects first, and equal numbers by label"
    with served(report, target) as api:
        for name, found in _some_labels(3, "crowd").items():  # whose equal numbers are not found in order
            counts = Counter(found)
            api.get(f"/v1/count/{name}", hint="old clients rely on it").expect(200, json=dict(counts))
            listed = [{"label": each, "count": counts[each]} for each in sorted(counts, key=lambda x: (-counts[x], x))]
            expected = {"picture": name, "total": len(found), "counts": listed}
            api.get(f"/v2/count/{name}", hint=second).require(200, json=expected)
        for each, status, hint in ((name, 200, FORM), ("x" + token_hex(4), 404, ERROR)):
            for version, headers, why in (("v1", GOODBYE, hint), ("v2", {}, ONLY)):
                answer = api.get(f"/{version}/count/{each}", hint=why)
                actual = {key: answer.headers[key] for key in GOODBYE if key in answer.headers}
                report.expect(f"{answer.name}: Deprecation and Sunset", (status, headers), (answer.status, actual), why)
        paths = api.get("/openapi.json").json["paths"].items()
        marks = {path[:3]: item["get"].get("deprecated", False) for path, item in paths if "/count" in path}
        hint = "deprecated=True, for the old version only"
        report.expect("/openapi.json: which is deprecated", {"/v1": True, "/v2": False}, marks, hint)


EXERCISES = {"1": request_log, "2": one_model, "3": two_versions}
