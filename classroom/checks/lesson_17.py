"""The capstone: a fraud API in a package of the student's own. Each check serves what the folder holds."""

import csv
import hashlib
import io
import json
import time
from collections.abc import Callable
from pathlib import Path
from secrets import token_hex
from typing import Any

from .answer import Answer
from .delivery import image, load, project, samples, tests, total
from .probe import Probe
from .report import Report, Such, close

LUNCH = {"amount": 12.5, "hour": 14, "abroad": False, "failed_tries": 0}
NIGHT = {"amount": 4900.0, "hour": 3, "abroad": True, "failed_tries": 4}
NONSENSE = ({"amount": 0}, {"hour": 24}, {"abroad": "perhaps"}, {"failed_tries": -1}, {"currency": "EUR"})
FROM_ENV = "read the keys from the environment variable FRAUD_KEYS when the service starts, separated by commas"


def predict(report: Report, folder: Any) -> None:
    """POST /v1/fraud and GET /v1/model: loaded once, traceable to a file, 422 for nonsense."""
    with project(report, folder) as (api, key, _):
        missing = "add a function under @app.get('/v1/model')"
        card = api.get("/v1/model", headers=key, missing=missing).require(200).json
        version = hashlib.sha256((Path(folder) / "fraudapi/model.joblib").read_bytes()).hexdigest()[:12]
        hint = "hashlib.sha256(path.read_bytes()).hexdigest()[:12], computed where the model is loaded"
        report.expect("GET /v1/model: the version", version, card.get("version"), hint)
        missing = "add a function under @app.post('/v1/fraud')"
        low, high = (_pay(api, key, each, missing).require(200).json for each in (LUNCH, NIGHT))
        fields = Such("probability, threshold, fraud, model", lambda found: {*found} == {*low} >= {
            "probability", "threshold", "fraud", "model"})  # fmt: skip
        report.require("the fields of an answer", fields, low, "return a Decision of schemas.py")
        order = 0 <= low["probability"] < high["probability"] <= 1
        hint = "the columns go in as in training, and the second probability is that of fraud"
        report.expect("a lunch is less suspicious than a night abroad", True, order, hint)
        answer = api.post("/v1/fraud?threshold=0", json=LUNCH, headers=key, hint="fraud: probability >= threshold")
        answer.expect(200, json=low | {"threshold": 0, "fraud": True}, what="POST /v1/fraud?threshold=0")
        for change in NONSENSE:
            hint = 'limits stand in the class: Field(gt=0), ge=0, le=23; ConfigDict(extra="forbid")'
            answer = api.post("/v1/fraud", json=LUNCH | change, headers=key, hint=hint)
            answer.expect(422, f"422 for {json.dumps(change)}")
        loads = api.get("/v1/model", headers=key).json.get("loads")
        report.expect("loads after all of these", 1, loads, "load in the lifespan, before its yield, and count there")


def _pay(api: Probe, key: dict, payment: dict, missing: str = "") -> Answer:
    return api.post("/v1/fraud", json=payment, headers=key, missing=missing)


def keys(report: Report, folder: Any) -> None:
    """X-API-Key: from the environment, and for every route but /health and /metrics."""
    with project(report, folder) as (api, key, _):
        api.get("/health", hint="no key is needed there: whoever restarts the service has none").expect(200)
        api.get("/v1/model", headers=key, hint=FROM_ENV).expect(200, "a key of FRAUD_KEYS is accepted")
        for what, sent in (("no key", {}), ("a wrong key", {"X-API-Key": token_hex(8)})):
            hint = "a dependency of the router: Depends(check_key), HTTPException(401, ...)"
            for answer in (api.get("/v1/model", headers=sent), _pay(api, sent, LUNCH)):
                answer.expect(401, f"{answer.name} with {what}", hint)
            told = api.get("/v1/model", headers=sent)
            hint = 'HTTPException(401, ..., headers={"WWW-Authenticate": "APIKey"}): RFC 9110 asks for it'
            told.expect(401, f"a 401 for {what} says how to log in", hint, headers=("WWW-Authenticate",))
        hint = "check the key before the body: a dependency of the router comes first, one among the arguments may not"
        api.post("/v1/fraud", json={}, hint=hint).expect(401, "no key and nonsense")
    with project(report, folder, keys="") as (api, _, _):
        hint = "no key is set, so nobody may in: ''.split(',') gives one empty key"
        api.get("/v1/model", headers={"X-API-Key": ""}).expect(401, "FRAUD_KEYS is empty, and so is the key", hint)


def logs(report: Report, folder: Any) -> None:
    """A line of JSON for each request on standard output, with the id that the response names."""
    with project(report, folder) as (api, key, service):
        word = f"w{token_hex(4)}"
        sent = [api.get("/health"), _pay(api, key, LUNCH | {"amount": 4321.25}), _pay(api, {}, LUNCH),
                _pay(api, key, {}), api.get(f"/nothing/{word}")]  # fmt: skip
        ids = [answer.headers.get("x-request-id", "") for answer in sent]
        hint = 'in the middleware: response.headers["X-Request-ID"] = ..., for errors as well'
        report.require("responses without X-Request-ID", [], [each.name for each in sent if "x-request-id" not in
                       each.headers], hint)  # fmt: skip
        report.expect("ids that differ", len(ids), len({*ids}), "uuid4().hex, made anew for each request")
        lines = _lines(service.log, lambda found: {*ids} <= {each.get("request_id") for each in found})
        by_id = {each.get("request_id"): each for each in lines}
        hint = "print(json.dumps({...}), flush=True) in the middleware, after the response is there"
        report.require("a line for each of these ids", 5, len({*ids} & {*by_id}), hint)
        for answer, each in zip(sent, ids, strict=True):
            method, path = answer.name.split(" ")
            expected = {"method": method, "path": path, "status": answer.status}
            actual = {name: by_id[each].get(name) for name in expected}
            report.expect(f"the line of {answer.name}", expected, actual, "request.method, request.url.path, ...")
            ms = by_id[each].get("ms")
            time_taken = Such("a number over 0", lambda ms: not isinstance(ms, bool) and ms > 0)
            report.expect("its ms", time_taken, ms, "1000 * (time.perf_counter() - started)")
        text = service.log.read_text()
        secret = [what for what, mark in (("the key", key["X-API-Key"]), ("an amount", "4321.25")) if mark in text]
        report.expect(
            "what must not be in a log", [], secret, "log the names of fields if you must, never their values"
        )


def _lines(path: Path, enough: Callable[[list[dict]], bool]) -> list[dict]:
    """The lines of JSON in a log, as soon as there are enough, or after a few seconds."""
    deadline = time.monotonic() + 5
    while True:
        found = []
        for line in path.read_text(errors="replace").splitlines():
            try:
                each = json.loads(line)
            except ValueError:
                continue
            found += [each] if isinstance(each, dict) else []
        if enough(found) or time.monotonic() > deadline:
            return found
        time.sleep(0.02)


def batch(report: Report, folder: Any) -> None:
    """POST /v1/fraud/batch: a CSV file in, a decision for each good row, the number of each bad one."""
    with project(report, folder) as (api, key, _):

        def upload(data: bytes, **more: Any) -> Answer:
            missing = "add a function under @router.post('/v1/fraud/batch') with file: UploadFile"
            return api.post(
                "/v1/fraud/batch", files={"file": ("payments.csv", data)}, headers=key, missing=missing, **more
            )

        rows = [LUNCH, NIGHT, LUNCH | {"hour": 25}, NIGHT | {"amount": 800.0}]
        answer = upload(_csv(rows)).require(200)
        alone = [_pay(api, key, rows[number]).json["probability"] for number in (0, 1, 3)]
        found = answer.json if isinstance(answer.json, dict) else {}
        results = [{"row": row, "probability": close(each), "fraud": each >= 0.5}
                   for row, each in zip((1, 2, 4), alone, strict=True)]  # fmt: skip
        hint = "number the rows from 1, as they stand in the file; validate each with Payment"
        report.expect("results: what each payment gets alone", results, found.get("results"), hint)
        errors = [each.get("row") for each in found.get("errors", []) if isinstance(each, dict)]
        report.expect("errors: the rows that are no payment", [3], errors, "except ValidationError: append, go on")
        counted = (found.get("rows"), found.get("frauds"))
        frauds = sum(each >= 0.5 for each in alone)
        report.expect("rows and frauds", (4, frauds), counted, "rows: all of them; frauds: the results with fraud")
        hint = "compare reader.fieldnames with the fields of Payment before the first row"
        upload(b"amount,hour\n1,2\n", hint=hint).expect(422, "422 for a file without two of the columns")
        upload(b"\x89PNG\r\n\x1a\n\xff", hint="except UnicodeDecodeError").expect(422, "422 for bytes that are no text")
        upload(b"", hint="a file without a line has no columns").expect(422, "422 for an empty file")
        upload(_csv([LUNCH] * 1001), hint="count before you predict").expect(413, "413 for 1,001 rows")
        api.post("/v1/fraud/batch", files={"file": b""}, hint="use the router of /v1/fraud").expect(
            401, "401 without a key"
        )


def _csv(rows: list[dict]) -> bytes:
    out = io.StringIO()
    writer = csv.DictWriter(out, LUNCH)
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue().encode()


def metrics(report: Report, folder: Any) -> None:
    """GET /metrics: fraud_requests_total and fraud_request_seconds, by route."""
    with project(report, folder) as (api, key, _):
        api.get("/metrics", missing="add a route /metrics").require(200)
        before = samples(api)
        for _ in range(3):
            _pay(api, key, LUNCH)
        _pay(api, {}, LUNCH)
        _pay(api, key, {})
        for _ in range(2):
            api.get(f"/nothing/{token_hex(4)}")
        after = samples(api)

        def grown(name: str, **labels: str) -> float:
            return total(after, name, **labels) - total(before, name, **labels)

        hint = 'Counter("fraud_requests", "...", ["route", "status"]); the middleware counts, whatever the status is'
        for status, count in (("200", 3), ("401", 1), ("422", 1)):
            actual = grown("fraud_requests_total", route="/v1/fraud", status=status)
            report.expect(f'fraud_requests_total{{route="/v1/fraud",status="{status}"}} grew by', count, actual, hint)
        routes = {pairs["route"] for name, pairs, _ in after if name == "fraud_requests_total" and "route" in pairs}
        hint = 'the route\'s template: getattr(request.scope.get("route"), "path", "none")'
        report.expect("labels made of what clients send", [], [each for each in routes if "nothing/" in each], hint)
        report.expect("404s", 2, grown("fraud_requests_total", status="404"), "paths without a route count as well")
        hint = 'Histogram("fraud_request_seconds", "...", ["route"]) and .observe(seconds)'
        actual = grown("fraud_request_seconds_count", route="/v1/fraud")
        report.expect('fraud_request_seconds_count{route="/v1/fraud"} grew by', 5, actual, hint)


EXERCISES = {"1": predict, "2": keys, "3": logs, "4": batch, "5": metrics, "6": tests, "7": image, "8": load}
