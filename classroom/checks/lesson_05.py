"""Checks of lesson 5: a fraud API, and an upload of digits that says no."""

import json
import random
from functools import partial
from typing import Any

import cv2
import numpy as np

from yololab.vision.images import encode

from .probe import Answer, Probe, at_once, served
from .report import Report, Such, between, having

LUNCH = {"amount": 12.5, "hour": 14, "abroad": False, "failed_tries": 0}
NIGHT = {"amount": 4900.0, "hour": 3, "abroad": True, "failed_tries": 4}
LIMIT = "write the limits into the input's class: Field(ge=..., le=...)"
OWN_ERROR = "decode() raises a LabError that knows its .status: answer with that"
RAISED = "the function is there and raised this error; if it speaks of numpy: .item() for numbers, bool() for choices"
REFUSALS = (  # a change of LUNCH, and the hint where it is taken; None: left out
    ({"amount": "twenty"}, "declare the amount as a float"),
    *(({name: n}, LIMIT) for name, n in (("amount", 0), ("amount", 100_001), ("hour", 24), ("failed_tries", 21))),
    ({"hour": 2.5}, "declare the hour as an int"),
    ({"abroad": "perhaps"}, "declare it as a bool"),
    ({"failed_tries": None}, "give no field a default"),
    ({"currency": "EUR"}, 'model_config = ConfigDict(extra="forbid")'),
    ({"amount": float("inf")}, "FastAPI's own 422 repeats the input, and cannot; the handler of part 5 does not"),
)


def fraud(report: Report, target: Any) -> None:
    """POST /v1/fraud and GET /v1/model: a probability, a decision, one load, 422 for nonsense."""
    with served(report, target) as api:
        card = _answers(api.get("/v1/model", missing="add a function under @app.get('/v1/model')"), "loads")
        _named(report, "fraud", card)
        loads, hint = card["loads"], "load in the lifespan, before its yield, and count there; `global` in a function"
        some = Such("1 or more", lambda number: isinstance(number, int) and number > 0)
        report.expect("loads, before any prediction", some, loads, hint)
        first = _pay(api, LUNCH, missing="add a function under @app.post('/v1/fraud')")
        _answers(first, "probability", "threshold", "fraud", "model")
        payments = [NIGHT | {"amount": random.randint(1, 9000), "hour": random.randint(0, 23)} for _ in range(4)]
        burst = at_once(partial(_pay, api), payments * 6)
        statuses, hint = {answer.status for answer in burst}, "one alone went well: what do they share?"
        report.require("24 payments at once: statuses", {200}, statuses, hint)
        alone = [_pay(api, payment).json for payment in payments]
        hint = "keep nothing of a request in a global variable"
        report.expect("answers are the same at once as one by one", alone * 6, [each.json for each in burst], hint)
        after, hint = api.get("/v1/model").json.get("loads"), "take the model from request.state"
        report.expect("loads after all these predictions", loads, after, hint)
        _decides(api)
        for change, hint in REFUSALS:
            body = {key: value for key, value in (LUNCH | change).items() if value is not None}
            _pay(api, body, hint=hint).expect(422, what=f"422 for {_text(change)}".replace("null", "left out"))
        hint = "declare the threshold as a float with Query(ge=0, le=1)"
        _pay(api, LUNCH, 1.5, hint=hint).expect(422, "422 for the threshold 1.5")


def _decides(api: Probe) -> None:
    low, high = _pay(api, LUNCH).json, _pay(api, NIGHT).json
    _named(api.report, "fraud", low["model"])
    hint = "the numbers go in as in training: amount, hour, abroad, failed_tries; the second probability is fraud's"
    right = 0 <= low["probability"] < high["probability"] <= 1
    api.report.expect("a lunch at home is less suspicious than a night abroad with 4 failed tries", True, right, hint)
    api.report.expect("the threshold if left out", 0.5, low["threshold"], "give the parameter a default")
    hint = "fraud is: the probability that you answer >= the threshold of this request"
    for threshold in (0, round(random.uniform(0.01, 0.99), 3), high["probability"], 1):
        decision = having({"threshold": threshold, "fraud": high["probability"] >= threshold})
        _pay(api, NIGHT, threshold).expect(json=decision, what=f"at threshold {threshold:.3f}", hint=hint)


def digits(report: Report, target: Any) -> None:
    """POST /v1/digits: digits that are read; 415, 400 and 422 where they belong."""
    pictures, classes = _digits(30)
    png, blank = pictures[0], encode(np.full((80, 80, 3), 255, np.uint8), "image/png")

    def upload(data: bytes, name: str = "a.png", **more: Any) -> Answer:
        params = {key: more.pop(key) for key in ("top",) if key in more}
        return api.post("/v1/digits", params=params, files={"file": (name, data)}, **more)

    with served(report, target) as api:
        first = upload(png, missing="add a function under @app.post('/v1/digits')")
        first = _answers(first, "digit", "top", "model")
        _named(report, "digits", first["model"])
        report.expect("entries in top if it is left out", 3, len(first["top"]), "top: ... = 3, and [:top]")
        full = upload(png, top=10)
        hint = 'answer a list, with one {"digit": 3, "probability": 0.8} for each of the best'
        entry = having({"digit": Such("a digit", str), "probability": Such("a number", str)})
        report.require("top is a list of objects", [entry] * 10, top := full.json["top"], hint)
        chances, best = [entry["probability"] for entry in top], top[0]["digit"]
        report.expect("ten probabilities add up to", 1, round(sum(chances), 3), "take them from predict_proba")
        report.expect("most probable first", sorted(chances, reverse=True), chances, "np.argsort(-probabilities)")
        report.expect("digit is the first of top", best, full.json["digit"], "take it from there")
        read = [upload(picture, top=1).json["digit"] for picture in pictures]
        right = sum(one == other for one, other in zip(read, classes, strict=True))
        hint = "prepare an upload with the function that the training used, and with nothing besides"
        report.expect("how many of 30 digits are read", between(26, 30), right, hint)
        for what, status, data, more, hint in (
            ("a text called photo.png", 415, b"I am a picture.", {"name": "photo.png"}, OWN_ERROR),
            ("a PNG called notes.txt", 200, png, {"name": "notes.txt"}, "look at the bytes only"),
            ("half a PNG", 400, png[: len(png) // 2], {}, OWN_ERROR),
            ("a blank paper", 422, blank, {}, "features() raises a ValueError: say 422 then"),
            ("top=0", 422, png, {"top": 0}, "an int with Query(ge=1, le=10)"),
            ("top=11", 422, png, {"top": 11}, "an int with Query(ge=1, le=10)"),
        ):
            upload(data, **more, hint=hint).expect(status, f"{status} for {what}")
        api.post("/v1/digits", hint="give file no default value").expect(422, "422 for no file")


def _answers(answer: Answer, *fields: str) -> dict:
    """The JSON of a first request, which must have these fields."""
    answer.require(200, hints={500: RAISED} if answer.crash else {})
    missing = [name for name in fields if name not in (answer.json or ())]
    answer.report.require("fields missing in the answer", [], missing, "return a dictionary with all of them")
    return answer.json


def _named(report: Report, name: str, model: Any) -> None:
    expected = {"name": name, "version": "1"}
    hint = f"answer {json.dumps(expected)}; both are texts"
    report.expect("the model's name and version", having(expected), model, hint)


def _text(value: dict) -> str:
    return json.dumps(value).replace("Infinity", "1e999")  # JSON has no other way to say it


def _pay(api: Probe, payment: dict, threshold: Any = None, **hints: str) -> Answer:
    head = {"Content-Type": "application/json"}
    return api.post("/v1/fraud", data=_text(payment), params={"threshold": threshold}, headers=head, **hints)


def _digits(count: int) -> tuple[list[bytes], list[int]]:
    """PNG files of randomly chosen handwritten digits, dark on light, and what they are."""
    from sklearn.datasets import load_digits

    data = load_digits()
    chosen = random.sample(range(len(data.target)), count)
    papers = [cv2.resize((255 - data.images[n] * 255 / 16).astype(np.uint8), (64, 64)) for n in chosen]
    return [encode(cv2.cvtColor(paper, cv2.COLOR_GRAY2BGR), "image/png") for paper in papers], data.target[chosen]


EXERCISES = {"1": fraud, "2": digits}
