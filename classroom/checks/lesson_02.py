"""The exercises of lesson 2, FastAPI from the inside."""

import logging
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from random import choice, randint, uniform
from secrets import token_hex
from typing import Any

import requests

from .report import SECONDS, Report, served


def iou(report: Report, target: Any) -> None:
    """POST /iou: two boxes in, their intersection over union out; 422 for whatever is no box."""
    a = {"x1": randint(1, 50), "y1": uniform(1, 50), "x2": randint(100, 150), "y2": uniform(100, 150)}
    b = {"x1": uniform(51, 99), "y1": randint(51, 99), "x2": uniform(151, 200), "y2": randint(151, 200)}
    both = (a["x2"] - b["x1"]) * (a["y2"] - b["y1"])
    either = sum((box["x2"] - box["x1"]) * (box["y2"] - box["y1"]) for box in (a, b)) - both
    beside = a | {"x1": a["x2"], "x2": a["x2"] + randint(1, 50)}
    order = "compare the corners in a model_validator(mode='after') that raises ValueError; equal is wrong, too"
    strict = "lax mode converts it: ConfigDict(strict=True) in the model of a box"
    wrong = [
        ("x2 equal to x1", a | {"x2": a["x1"]}, order),
        ("y2 smaller than y1", a | {"y1": a["y2"], "y2": a["y1"]}, order),
        ("a coordinate below 0", a | {"x1": -a["x1"]}, "constrain each coordinate: Field(ge=0)"),
        ("a coordinate as text", a | {"x2": str(a["x2"])}, strict),
        ("a coordinate that is true", a | {"x1": True}, strict),
        ("a box without y2", {key: a[key] for key in ("x1", "y1", "x2")}, "give no coordinate a default value"),
        ("a box with a field z", a | {"z": 1}, "ConfigDict(extra='forbid') in the model of a box"),
    ]
    bodies = [(what, side := choice("ab"), {"a": a, "b": a} | {side: box}, hint) for what, box, hint in wrong]
    bodies.append(("a third box", "c", {"a": a, "b": b, "c": b}, "take an outer model, with extra='forbid' too"))
    bodies.append(("only one box", "b", {"a": a}, "give no box a default value"))
    with served(target) as url:
        answers = [_ask("POST", f"{url}/iou", {"a": a, "b": other}) for other in (b, a, beside)]
        hint = "add a function under @iou_app.post('/iou') whose one parameter is a model with the fields a and b"
        hint = f"the route refuses two right boxes: {answers[0].text}" if answers[0].status_code == 422 else hint
        if not report.expect("POST /iou answers for two boxes", 200, answers[0].status_code, hint):
            return
        wanted = [{"iou": round(both / either, 9)}, {"iou": 1.0}, {"iou": 0.0}]
        hint = "answer a dictionary with the key iou: return {'iou': iou(pair.a, pair.b)}, not rounded"
        report.expect("the IoU of boxes that overlap, are the same, only touch", wanted, [*map(_json, answers)], hint)
        for what, side, body, hint in bodies:
            _refused(report, what, _ask("POST", f"{url}/iou", body), ["body", side], hint)


def cameras(report: Report, target: Any) -> None:
    """/cameras: the password goes in and never out; one handler answers for a camera that nobody has."""
    public = {"name": f"camera-{token_hex(4)}", "fps": randint(1, 60)}
    whole = public | {"password": (secret := token_hex(8))}
    with served(target) as url:
        one = f"{url}/cameras/{public['name']}"
        made = _ask("POST", f"{url}/cameras", whole)
        hint = "@camera_app.post('/cameras', status_code=201), with a model as its one parameter"
        hint = f"the route refuses a camera that is right: {made.text}" if made.status_code == 422 else hint
        if not report.expect("POST /cameras makes a camera", 201, made.status_code, hint):
            return
        found, again = _ask("GET", one), _ask("POST", f"{url}/cameras", whole)
        came = [_json(made), found.status_code, _json(found)]
        hint = "return type: a model with name and fps only; and return no finished Response, which passes it by"
        report.expect("POST, and GET /cameras/{name}, answer name and fps", [public, 200, public], came, hint)
        report.expect("the same name once more", 409, again.status_code, "raise HTTPException(409, ...) if it is taken")
        _unknown(report, f"{url}/cameras", public["name"])
        answers = [made, found, again]
        for what, body, field in (
            ("fps 0", whole | {"fps": 0}, "fps"),
            ("no fps", {"name": token_hex(4), "password": secret}, "fps"),
            ("a short password", whole | {"password": secret[:7]}, "password"),
        ):
            answers.append(_ask("POST", f"{url}/cameras", body))
            hint = "constrain the fields: Field(ge=1, le=60), Field(min_length=8), no default values"
            _refused(report, what, answers[-1], ["body", field], hint)
        leaks = sorted({answer.status_code for answer in answers if secret[:7] in answer.text})
        hint = "annotate each route with the return type PublicCamera"
        if 422 in leaks:
            hint = "the standard 422 repeats what it was sent, as `input`: answer RequestValidationError without it"
        report.expect("answers that hold the password, by status", [], leaks, hint)
        came = [(gone := _ask("DELETE", one)).status_code, gone.text, _ask("GET", one).status_code]
        hint = "@camera_app.delete('/cameras/{name}', status_code=204) takes it out of the dictionary, returns nothing"
        report.expect("DELETE /cameras/{name}: 204, no body; then GET: 404", [204, "", 404], came, hint)


def named(report: Report, target: Any) -> None:
    """X-Request-ID and X-Process-Time on every answer, the 500 of a crash included."""
    headers, ids, log = ["X-Request-ID", "X-Process-Time"], [], logging.getLogger("uvicorn.error")
    with ExitStack() as stack:  # Uvicorn logs every crash but the one that the exercise makes on purpose
        log.addFilter(unplanned := lambda record: "on purpose" not in str(record.exc_info))
        stack.callback(log.removeFilter, unplanned)
        url = stack.enter_context(served(target))
        for path, status in (("/items/1", 200), ("/nowhere", 404), ("/items/one", 422), ("/crash", 500)):
            answer = _ask("GET", url + path)
            hint = "set both headers on the message http.response.start; and is `api` the app with your middleware?"
            if status == 500:
                hint = "ServerErrorMiddleware makes it, outside of your middleware: wrap the whole app, or catch it"
            came = [answer.status_code, *[header for header in headers if answer.headers.get(header)]]
            if not report.expect(f"GET {path}: status and headers", [status, *headers], came, hint) and status == 200:
                return
            ids.append(answer.headers.get("X-Request-ID"))
        with ThreadPoolExecutor(8) as pool:
            answers = list(pool.map(lambda _: _ask("GET", f"{url}/slow"), range(8)))
    ids += [answer.headers.get("X-Request-ID") for answer in answers]
    hint = "make an id for each request, inside of __call__: uuid4().hex; keep it in a local variable"
    report.expect("the ids of twelve requests are different", 12, len(set(ids)), hint)
    same = sum((_json(answer) or {}).get("request_id") == answer.headers.get("X-Request-ID") for answer in answers)
    hint = "keep what belongs to one request in local variables and in scope['state'], never in self or a global"
    report.expect("eight requests at once: /slow answers the id of its header", 8, same, hint)
    hint = "in seconds, as a decimal number; from the arrival of the request until its answer begins"
    times = [(float(each.headers.get("X-Process-Time", "nan")), each.elapsed.total_seconds()) for each in answers]
    right = sum(0.09 <= told <= measured for told, measured in times)  # a sleep of 0.1, by a coarse clock
    report.expect("eight requests at once: times between the wait and what the client measures", 8, right, hint)


def _refused(report: Report, what: str, answer: requests.Response, loc: list, hint: str) -> None:
    """A 422 whose entries have type and msg and a loc that begins with `loc`."""
    if report.expect(f"{what} is refused", 422, answer.status_code, hint):
        entries = body.get("detail") if isinstance(body := _json(answer), dict) else None
        whole = [each for each in entries if {"type", "loc", "msg"} <= set(each)] if isinstance(entries, list) else []
        hint = "let the model find the mistake: the list has type, loc and msg of each of error.errors() under 'detail'"
        report.expect(f"{what}: loc begins with {loc}", [loc], [each["loc"][:2] for each in whole], hint)


def _unknown(report: Report, url: str, known: str) -> None:
    for method in ("GET", "DELETE"):
        answer = _ask(method, f"{url}/{(name := token_hex(4))}")
        hint = "let find() raise, and answer with a function under @camera_app.exception_handler(UnknownCamera)"
        hint = f"there is no route for {method} /cameras/{{name}} yet" if answer.status_code == 405 else hint
        if report.expect(f"{method} of an unknown camera", 404, answer.status_code, hint):
            body = body if isinstance(body := _json(answer), dict) else {}
            names = body.get("known") or []
            came = [name in str(body.get("detail")), known in names and names == sorted(names)]
            hint = "error.args[0] is the name; JSONResponse({'detail': ..., 'known': sorted(cameras)}, 404)"
            report.expect(f"{method}: detail has the name, known is the sorted list", [True, True], came, hint)


def _ask(method: str, url: str, body: Any = None) -> requests.Response:
    return requests.request(method, url, json=body, timeout=SECONDS)


def _json(answer: requests.Response) -> Any:
    """What the answer holds, its numbers rounded to nine digits; None where that is no JSON."""
    try:
        return answer.json(parse_float=lambda text: round(float(text), 9))
    except requests.JSONDecodeError:
        return None


EXERCISES = {"1": iou, "2": cameras, "3": named}
