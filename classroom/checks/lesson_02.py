"""The exercises of lesson 2, FastAPI from the inside: an API that compares boxes, an app without a framework."""

from collections.abc import Iterator
from random import choice, randint, uniform
from secrets import token_hex
from typing import Any

from .answer import Answer
from .probe import Probe, served
from .report import Report, Such, close
from .resources import only_wrong

ORDER = "compare the corners in a model_validator(mode='after') that raises ValueError; equal is wrong, too"
STRICT = "lax mode converts it: ConfigDict(strict=True) in the model of a box"
FROM_0 = "constrain each coordinate: Field(ge=0)"
NO_DEFAULT = "give no coordinate a default value"
JSON = "application/json"
LIST = "let the model find the mistake: the list has type, loc and msg of each of error.errors() under 'detail'"


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
        ("a coordinate below 0", a | {"x1": -a["x1"]}, FROM_0),
        ("a coordinate as text", a | {"x2": str(a["x2"])}, STRICT),
        ("a coordinate that is true", a | {"x1": True}, STRICT),
        ("a box without y2", {key: a[key] for key in ("x1", "y1", "x2")}, NO_DEFAULT),
        ("a box with a field z", a | {"z": 1}, "ConfigDict(extra='forbid') in the model of a box"),
    )
    bodies = [(what, side := choice("ab"), {"a": a, "b": a} | {side: box}, hint) for what, box, hint in boxes]
    bodies.append(("a third box", "c", {"a": a, "b": b, "c": b}, "take an outer model, with extra='forbid' too"))
    bodies.append(("only one box", "b", {"a": a}, "give no box a default value"))
    more = [(what, side, {"a": a, "b": b} | {side: box}, hint) for what, box, hint in _no_boxes(a) for side in "ab"]
    more.append(("only one box", "a", {"b": b}, "give no box a default value"))
    missing = "add a function under @iou_app.post('/iou') whose one parameter is a model with the fields a and b"
    with served(report, target) as api:
        for what, other, expected in (("overlap", b, both / either), ("are the same", a, 1), ("only touch", beside, 0)):
            answer = api.post("/iou", json={"a": a, "b": other}, missing=missing)
            why = f"the route refuses two right boxes: {answer.text}"
            answer.require(200, f"POST /iou answers for boxes that {what}", hints={422: why})
            hint = "answer a dictionary with the key iou: return {'iou': iou(pair.a, pair.b)}, not rounded"
            answer.expect(json={"iou": close(expected)}, what=f"the IoU of boxes that {what}", hint=hint)
        with only_wrong(report):
            _accepted(api)
        failed = set()  # each hint once
        for what, side, body, hint in bodies:
            if not refused(api.post("/iou", json=body, hint=hint), what, ["body", side]):
                failed.add(hint)
        with only_wrong(report):
            for what, side, body, hint in more:
                if hint not in failed and not refused(api.post("/iou", json=body, hint=hint), what, ["body", side]):
                    failed.add(hint)


def _no_boxes(box: dict) -> Iterator[tuple[str, dict, str]]:
    """The same mistakes in each coordinate."""
    for low, high in (("x1", "x2"), ("y1", "y2")):
        yield f"{high} equal to {low}", box | {high: box[low]}, ORDER
        yield f"{high} smaller than {low}", box | {low: box[high], high: box[low]}, ORDER
        yield f"{low} below 0", box | {low: -0.001}, FROM_0
    for each in box:
        yield f"{each} as text", box | {each: str(box[each])}, STRICT
        yield f"{each} that is true", box | {each: True}, STRICT
        yield f"{each} that is null", box | {each: None}, "each coordinate is a number: float, and not float | None"
        yield f"a box without {each}", {key: box[key] for key in box if key != each}, NO_DEFAULT


def _accepted(api: Probe) -> None:
    """Right boxes at the limits: from 0 on, thin, one inside of the other, far apart."""
    thin = {"x1": 0, "y1": 0, "x2": 0.001, "y2": 0.001}
    large, far = {"x1": 0, "y1": 0, "x2": 1000, "y2": 500}, {"x1": 2000, "y1": 1000, "x2": 2001.5, "y2": 1001}
    for what, a, b, expected in (
        ("begin at 0", large, large, 1),
        ("are thin", thin, thin, 1),
        ("lie one inside of the other", large, large | {"x1": 500}, 0.5),
        ("lie far apart", large, far, 0),
    ):
        hint = "a coordinate may be 0 and any number above, whole or not: Field(ge=0), and x2 > x1, y2 > y1"
        answer = api.post("/iou", json={"a": a, "b": b}, hint=hint)
        answer.expect(200, f"POST /iou answers for boxes that {what}", json={"iou": close(expected)})


def refused(answer: Answer, what: str, loc: list) -> Answer:
    """A 422 with one entry or more, each with type and msg and a loc that begins with `loc`."""

    def fits(each: dict) -> bool:
        return {"type", "msg"} <= set(each) and each["loc"][:2] == loc

    entries = Such(
        f"[[type, msg, loc {loc}...]]", lambda found: isinstance(found, list) and found and all(map(fits, found))
    )
    answer.expect(422, f"{what} is refused")
    return answer.expect(json={"detail": entries}, what=f"{what}: where it is wrong", hint=LIST)


def by_hand(report: Report, target: Any) -> None:
    """An ASGI function with GET /hello?name= and POST /length, and JSON for whatever else is sent."""
    word = f"w{token_hex(4)}"
    with served(report, target) as api:
        missing = 'if scope["path"] == "/hello" and scope["method"] == "GET": set status and data'
        hint = (
            'parse_qs(scope["query_string"].decode()) is a dictionary of lists, with names decoded: {"name": ["Ann"]}'
        )
        for name in (f"Ann-{word}", f"Zoë & Co. {word}"):
            answer = api.get("/hello", params={"name": name}, hint=hint)
            answer.require(200, f"GET /hello with the name {name}", json={"hello": name}, hints={404: missing})
        kinds = "the header is a pair of bytes, in every answer: (b'content-type', b'application/json')"
        report.expect("its content type", JSON, answer.media_type, kinds)
        detail = Such('{"detail": a text}', lambda each: isinstance(each["detail"], str))
        hint = 'a name that was not sent is missing in the dictionary: .get("name")'
        answers = [api.get("/hello", hint=hint).expect(422, "GET /hello without a name", json=detail)]
        with only_wrong(report):
            other = api.get("/hello", params={"nick": word}, hint=hint)
            other.expect(422, "GET /hello with something else than a name", json=detail)
        missing = (
            'if scope["path"] == "/length" and scope["method"] == "POST": await receive() gives a piece of the body'
        )
        more = 'one message is one piece: await receive() again, as long as message.get("more_body") is true'
        for what, size in (("a short body", randint(1, 99)), ("no body", 0), ("a long body", randint(10**6, 10**7))):
            body = ("é" * size).encode()[: size or None]  # bytes are counted, not characters
            answers.append(api.post("/length", data=body))
            answers[-1].require(200, f"POST /length with {what}", more, json={"bytes": size}, hints={404: missing})
        hint = "compare the path first, 404 where it is neither of the two; then the method, 405"
        for method, path, status in (("POST", "/hello", 405), ("GET", "/length", 405), ("GET", f"/{word}", 404)):
            answers.append(api.request(method, path, hint=hint).expect(status, json=detail))
        others = (
            ("PUT", "/hello", 405),
            ("DELETE", "/length", 405),
            ("POST", f"/{word}", 404),
            ("GET", f"/hello{word}", 404),
        )
        with only_wrong(report):
            for method, path, status in others:
                answers.append(api.request(method, path, hint=hint).expect(status, json=detail))
            wrong = [f"{answer.media_type} for {answer.name}" for answer in answers if answer.media_type != JSON]
            report.expect("the content type of all other answers", JSON, wrong[0] if wrong else JSON, kinds)


EXERCISES = {"1": iou, "2": by_hand}
