"""The exercises of lesson 2, FastAPI from the inside."""

from random import choice, randint, uniform
from secrets import token_hex
from typing import Any

from .probe import Answer, at_once, served
from .report import Report, Such, between, close

ORDER = "compare the corners in a model_validator(mode='after') that raises ValueError; equal is wrong, too"
STRICT = "lax mode converts it: ConfigDict(strict=True) in the model of a box"
LIST = "let the model find the mistake: the list has type, loc and msg of each of error.errors() under 'detail'"
NAMES = ("X-Request-ID", "X-Process-Time")


def iou(report: Report, target: Any) -> None:
    """POST /iou: two boxes in, their intersection over union out; 422 for whatever is no box."""
    a = {"x1": randint(1, 50), "y1": uniform(1, 50), "x2": randint(100, 150), "y2": uniform(100, 150)}
    b = {"x1": uniform(51, 99), "y1": randint(51, 99), "x2": uniform(151, 200), "y2": randint(151, 200)}
    both = (a["x2"] - b["x1"]) * (a["y2"] - b["y1"])
    either = sum((box["x2"] - box["x1"]) * (box["y2"] - box["y1"]) for box in (a, b)) - both
    beside = a | {"x1": a["x2"], "x2": a["x2"] + randint(1, 50)}
    boxes = (
        ("x2 equal to x1", a | {"x2": a["x1"]}, ORDER),
        ("y2 smaller than y1", a | {"y1": a["y2"], "y2": a["y1"]}, ORDER),
        ("a coordinate below 0", a | {"x1": -a["x1"]}, "constrain each coordinate: Field(ge=0)"),
        ("a coordinate as text", a | {"x2": str(a["x2"])}, STRICT),
        ("a coordinate that is true", a | {"x1": True}, STRICT),
        ("a box without y2", {key: a[key] for key in ("x1", "y1", "x2")}, "give no coordinate a default value"),
        ("a box with a field z", a | {"z": 1}, "ConfigDict(extra='forbid') in the model of a box"),
    )
    bodies = [(what, side := choice("ab"), {"a": a, "b": a} | {side: box}, hint) for what, box, hint in boxes]
    bodies.append(("a third box", "c", {"a": a, "b": b, "c": b}, "take an outer model, with extra='forbid' too"))
    bodies.append(("only one box", "b", {"a": a}, "give no box a default value"))
    missing = "add a function under @iou_app.post('/iou') whose one parameter is a model with the fields a and b"
    with served(report, target) as api:
        for what, other, expected in (("overlap", b, both / either), ("are the same", a, 1), ("only touch", beside, 0)):
            answer = api.post("/iou", json={"a": a, "b": other}, missing=missing)
            refused = f"the route refuses two right boxes: {answer.text}"
            answer.require(200, f"POST /iou answers for boxes that {what}", hints={422: refused})
            hint = "answer a dictionary with the key iou: return {'iou': iou(pair.a, pair.b)}, not rounded"
            answer.expect(json={"iou": close(expected)}, what=f"the IoU of boxes that {what}", hint=hint)
        for what, side, body, hint in bodies:
            _refused(api.post("/iou", json=body, hint=hint), what, ["body", side])


def cameras(report: Report, target: Any) -> None:
    """/cameras: the password goes in and never out; one handler answers for a camera that nobody has."""
    public = {"name": f"camera-{token_hex(4)}", "fps": randint(1, 60)}
    whole = public | {"password": (secret := token_hex(8))}
    one = f"/cameras/{public['name']}"
    missing = "@camera_app.post('/cameras', status_code=201), with a model as its one parameter"
    form = "return type: a model with name and fps only; and return no finished Response, which passes it by"
    limits = "constrain the fields: Field(ge=1, le=60), Field(min_length=8), no default values"
    with served(report, target) as api:
        answers = [made := api.post("/cameras", json=whole, missing=missing)]
        refused = f"the route refuses a camera that is right: {made.text}"
        made.require(201, "POST /cameras makes a camera", hints={422: refused})
        made.expect(json=public, what="POST /cameras answers name and fps", hint=form)
        answers.append(api.get(one, hint=form).expect(200, "GET /cameras/{name} answers the same", json=public))
        answers.append(api.post("/cameras", json=whole, hint="raise HTTPException(409, ...) if it is taken"))
        answers[-1].expect(409, "the same name once more")
        for method in ("GET", "DELETE"):
            absent = f"there is no route for {method} /cameras/{{name}} yet"
            hint = "let find() raise, and answer with a function under @camera_app.exception_handler(UnknownCamera)"
            answer = api.request(method, f"/cameras/{(name := token_hex(4))}", hint=hint)
            answer.expect(404, f"{method} of an unknown camera", hints={405: absent})
            known = Such("the sorted names", lambda names: public["name"] in names and names == sorted(names))
            body = {"detail": Such(f"a text with {name}", lambda text, name=name: name in text), "known": known}
            hint = "error.args[0] is the name; JSONResponse({'detail': ..., 'known': sorted(cameras)}, 404)"
            answer.expect(json=body, what=f"{method} of it: the name, and what is known", hint=hint)
        for what, body, field in (
            ("fps 0", whole | {"fps": 0}, "fps"),
            ("no fps", {"name": token_hex(4), "password": secret}, "fps"),
            ("a short password", whole | {"password": secret[:7]}, "password"),
        ):
            answers.append(_refused(api.post("/cameras", json=body, hint=limits), what, ["body", field]))
        leaks = sorted({answer.status for answer in answers if secret[:7] in answer.text})
        hint = "annotate each route with the return type PublicCamera"
        if 422 in leaks:
            hint = "the standard 422 repeats what it was sent, as `input`: answer RequestValidationError without it"
        report.expect("answers that hold the password, by status", [], leaks, hint)
        hint = "@camera_app.delete('/cameras/{name}', status_code=204) takes it out of the dictionary, returns nothing"
        api.delete(one, hint=hint).expect(204)
        api.get(one, hint=hint).expect(404, "GET after the DELETE")


def named(report: Report, target: Any) -> None:
    """X-Request-ID and X-Process-Time on every answer, the 500 of a crash included."""
    set_both = "set both headers on the message http.response.start; and is `api` the app with your middleware?"
    outside = "ServerErrorMiddleware makes it, outside of your middleware: wrap the whole app, or catch it"
    with served(report, target) as api:
        answers = [api.get("/items/1", hint=set_both).require(200, headers=NAMES)]
        for path, status, hint in (
            ("/nowhere", 404, set_both),
            ("/items/one", 422, set_both),
            ("/crash", 500, outside),
        ):
            answers.append(api.get(path, hint=hint).expect(status, headers=NAMES))
        slow = at_once(api.get, ["/slow"] * 8)
    ids = [answer.headers.get("X-Request-ID") for answer in [*answers, *slow]]
    hint = "make an id for each request, inside of __call__: uuid4().hex; keep it in a local variable"
    report.expect("the ids of twelve requests are different", 12, len(set(ids)), hint)
    same = sum((answer.json or {}).get("request_id") == answer.headers.get("X-Request-ID") for answer in slow)
    hint = "keep what belongs to one request in local variables and in scope['state'], never in self or a global"
    report.expect("eight requests at once: /slow answers the id of its header", 8, same, hint)
    hint = "in seconds, as a decimal number; from the arrival of the request until its answer begins"
    times = [(float(each.headers.get("X-Process-Time", "nan")), each.seconds) for each in slow]
    right = sum(between(0.09, measured) == told for told, measured in times)  # a sleep of 0.1, by a coarse clock
    report.expect("eight requests at once: times between the wait and what the client measures", 8, right, hint)


def _refused(answer: Answer, what: str, loc: list) -> Answer:
    """A 422 whose entries have type and msg and a loc that begins with `loc`."""
    entry = Such(f"[type, msg, loc {loc}...]", lambda each: {"type", "msg"} <= set(each) and each["loc"][:2] == loc)
    answer.expect(422, f"{what} is refused")
    return answer.expect(json={"detail": [entry]}, what=f"{what}: where it is wrong", hint=LIST)


EXERCISES = {"1": iou, "2": cameras, "3": named}
