"""The exercises of lesson 6: a log of requests, a model loaded once, two versions side by side."""

import inspect
import json
import random
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from secrets import token_hex
from time import monotonic, sleep
from typing import Any
from urllib.parse import unquote

import requests

from classroom import ROOT
from yololab.vision.detector import Detector
from yololab.vision.images import decode

from .report import SECONDS, Report, served

AT_ONCE = 8
GOODBYE = {"Deprecation": "@1793491200", "Sunset": "Sat, 01 May 2027 00:00:00 GMT"}  # since 2026-11-01


def request_log(report: Report, target: Any) -> None:
    """One JSON line with method, path, status, ms and id for each request; the id in X-Request-ID as well."""
    word = token_hex(4)
    cases = [("GET", "/wait/40", 200), ("GET", f"/{word}", 404), ("POST", "/wait/1", 405)]
    cases += [("GET", f"/wait/{word}%0A{word}", 422), ("GET", f"/divide/{random.randint(1, 99)}/0?x={word}", 500)]
    with served(target) as url:
        for method, path, status in cases:
            answer = requests.request(method, url + path, timeout=SECONDS)
            what = f"{method} {path.replace('%0A', ' + line break + ')}"
            number = answer.headers.get("x-request-id")
            hint = "a function around send adds the header as http.response.start passes; the status stays as it is"
            if status == 500:
                hint = "the 500 is made outside of your middleware: catch the error in it, and send a 500 of your own"
            came = (answer.status_code, "an id" if number else "no id")
            if not report.expect(f"{what}: the status, and X-Request-ID in the answer", (status, "an id"), came, hint):
                return
            found = [each for each in _entries(url, number) if each.get("request_id") == number and "status" in each]
            hint = "write it with log() in a finally:, so that it comes for every status, with the id as request_id"
            if not report.expect(f"{what}: one line with its id and a status", 1, len(found), hint):
                return
            wanted = {"method": method, "path": _plain(path.partition("?")[0]), "status": status}
            came = {key: _plain(found[0].get(key)) for key in wanted}
            report.expect(f"{what}: the line says so", wanted, came, "method and path are in scope, the path without ?")
            ms, least, most = found[0].get("ms"), 30 if status == 200 else 0, 1e3 * answer.elapsed.total_seconds() + 999
            came = "in between" if isinstance(ms, int | float) and least <= ms <= most else ms
            hint = "milliseconds, as a number: 1000 * (perf_counter() after the app - perf_counter() before it)"
            report.expect(f"{what}: ms, between {least} and what the client measured", "in between", came, hint)
        _check_concurrent(report, url)


def _check_concurrent(report: Report, url: str) -> None:
    """Requests at once must not mix up their ids."""
    waits = random.sample(range(50, 90), AT_ONCE)
    with ThreadPoolExecutor(AT_ONCE) as pool:
        answers = list(pool.map(lambda ms: requests.get(f"{url}/wait/{ms}", timeout=SECONDS), waits))
    entries, paths, routes = _entries(url, *[each.headers.get("x-request-id") for each in answers]), {}, {}
    for ms, answer in zip(waits, answers, strict=True):
        mine = [each for each in entries if each.get("request_id") == answer.headers.get("x-request-id")]
        paths[ms] = [_plain(each.get("path")) for each in mine if "status" in each]
        routes[ms] = [each.get("waited") for each in mine if each.get("event") == "waited"]
    hint, wanted = "keep what is one request's in local variables, not in self", {ms: [f"/wait/{ms}"] for ms in waits}
    report.expect(f"{AT_ONCE} requests at once: each id has the line of its own request", wanted, paths, hint)
    hint = "set the ContextVar current_id in the middleware before you call self.app: log() reads it"
    report.expect("the lines of /wait carry the id of their request", {ms: [ms] for ms in waits}, routes, hint)


def _entries(url: str, *ids: str) -> list[dict]:
    """The lines of GET /logs, each a JSON object; they may be written a moment after the answers were sent."""
    for _ in range(20):
        entries = [json.loads(line) for line in requests.get(f"{url}/logs", timeout=SECONDS).json() if "\n" not in line]
        entries = [entry for entry in entries if isinstance(entry, dict)]
        if all(each in [entry.get("request_id") for entry in entries if "status" in entry] for each in ids):
            break
    return entries


def _plain(value: Any) -> Any:  # a path may be escaped; `request.url.path` has lost its line breaks
    return unquote(value).replace("\n", "") if isinstance(value, str) else value


def _some_labels(count: int) -> dict[str, list[str]]:
    """What the detector finds in some of the sample pictures."""
    detector, paths = Detector("starter"), random.sample(sorted((ROOT / "images").glob("*.jpg")), count)
    return {path.stem: [found.label for found in detector(decode(path.read_bytes()))] for path in paths}


def one_model(report: Report, target: Any) -> None:
    """POST /labels answers as before, and the model is loaded once, however many come first."""
    wanted = _some_labels(AT_ONCE)
    with served(target() if inspect.isfunction(target) else target) as url, ThreadPoolExecutor(AT_ONCE) as pool:

        def ask(name):
            data, deadline = (ROOT / "images" / f"{name}.jpg").read_bytes(), monotonic() + SECONDS
            while True:
                answer = requests.post(f"{url}/labels", files={"file": data}, timeout=SECONDS)
                if answer.status_code != 503 or monotonic() > deadline:
                    return answer.json() if answer.status_code == 200 else answer.status_code
                sleep(0.05)  # it is loading: come again

        def loads():
            return requests.get(f"{url}/stats", timeout=SECONDS).json().get("loads")

        came, first = dict(zip(wanted, pool.map(ask, wanted), strict=True)), loads()
        hint = "the labels in the order of the detections; the model must be there before it is asked"
        if not report.expect(f"POST /labels answers {AT_ONCE} requests at once", wanted, came, hint):
            return
        for name in list(wanted)[:3]:
            ask(name)
        hint = "load_model() must not be called for each request: keep the model in app.state, load it at the start"
        if report.expect("later requests load no model (GET /stats)", first, loads(), hint):
            hint = "several requests saw that there was no model: load in a lifespan, or look and load under one lock"
            report.expect("the model was loaded once (GET /stats)", 1, first, hint)


def two_versions(report: Report, target: Any) -> None:
    """/v1/count stays as it was and says goodbye; /v2/count answers an ordered list."""
    labels, unknown = _some_labels(4), "x" + token_hex(4)
    error = "an error is a new response, without the headers of a dependency: add them in a middleware"
    form = "Deprecation is @ and seconds since 1970; Sunset an HTTP date: format_datetime(..., usegmt=True)"
    with served(target) as url:
        for name, found in labels.items():
            counts = Counter(found)
            came = _get(url, "v1", name)[:2]
            report.expect(f"GET /v1/count/{name} answers as ever", (200, dict(counts)), came, "old clients rely on it")
            listed = [{"label": each, "count": counts[each]} for each in sorted(counts, key=lambda x: (-counts[x], x))]
            wanted = (200, {"picture": name, "total": len(found), "counts": listed})
            hint = "a second router with the prefix /v2; the most objects first, and equal numbers by label"
            if not report.expect(f"GET /v2/count/{name} has the new form", wanted, _get(url, "v2", name)[:2], hint):
                return
        for each, status, hint in ((name, 200, form), (unknown, 404, error)):
            what, came = f"GET /v1/count/{each}: Deprecation and Sunset", _get(url, "v1", each)[::2]
            report.expect(what, (status, GOODBYE), came, hint)
            what, came = f"GET /v2/count/{each}: neither of them", _get(url, "v2", each)[::2]
            report.expect(what, (status, {}), came, "only /v1 ends: let the headers depend on the path")
        paths = requests.get(f"{url}/openapi.json", timeout=SECONDS).json()["paths"].items()
        marks = {path[:3]: item["get"].get("deprecated", False) for path, item in paths if "/count" in path}
        hint = "deprecated=True, for the old version only"
        report.expect("/openapi.json: which is deprecated", {"/v1": True, "/v2": False}, marks, hint)


def _get(url: str, version: str, name: str) -> tuple[int, Any, dict]:
    answer = requests.get(f"{url}/{version}/count/{name}", timeout=SECONDS)
    body = answer.json() if answer.status_code == 200 else answer.text[:80]
    return answer.status_code, body, {key: answer.headers[key] for key in GOODBYE if key in answer.headers}


EXERCISES = {"1": request_log, "2": one_model, "3": two_versions}
