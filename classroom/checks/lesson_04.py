"""Checks of lesson 4: a fraud API, and an upload of digits that says no."""

import json
import random
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import cv2
import numpy as np
import requests

from yololab.vision.images import encode

from .report import SECONDS, Report, served

LUNCH = {"amount": 12.5, "hour": 14, "abroad": False, "failed_tries": 0}
NIGHT = {"amount": 4900.0, "hour": 3, "abroad": True, "failed_tries": 4}
LIMIT = "write the limits into the input's class: Field(ge=..., le=...)"
OWN_ERROR = "decode() raises a LabError that knows its .status: answer with that"
RAISED = "it raised an error: read its last line, above; if it speaks of numpy: .item() for numbers, bool() for choices"


def fraud(report: Report, target: Any) -> None:
    """POST /v1/fraud and GET /v1/model: a probability, a decision, one load, 422 for nonsense."""
    with served(target) as url:
        card = requests.get(f"{url}/v1/model", timeout=SECONDS)
        if not _answers(report, card, "@app.get('/v1/model')", {"name", "version", "loads"}):
            return
        _named(report, "fraud", card.json())
        before = card.json()["loads"]
        hint = "load in the lifespan, before its yield, and count there; inside a function that takes `global`"
        wanted = before if isinstance(before, int) and before > 0 else "1 or more"
        report.expect("loads, before any prediction", wanted, before, hint)
        fields = {"probability", "threshold", "fraud", "model"}
        if not _answers(report, _pay(url, LUNCH), "@app.post('/v1/fraud')", fields):
            return
        payments = [NIGHT | {"amount": random.randint(1, 9000), "hour": random.randint(0, 23)} for _ in range(4)]
        with ThreadPoolExecutor(12) as pool:
            burst = list(pool.map(lambda payment: _pay(url, payment), payments * 6))
        statuses = {each.status_code for each in burst}
        if not report.expect(
            "24 payments at once: statuses", {200}, statuses, "one alone went well: what do they share?"
        ):
            return
        alone = [_pay(url, payment).json() for payment in payments]
        hint = "keep nothing of a request in a global variable"
        report.expect("answers are the same at once as one by one", alone * 6, [each.json() for each in burst], hint)
        after = requests.get(f"{url}/v1/model", timeout=SECONDS).json().get("loads")
        report.expect("loads after all these predictions", before, after, "take the model from request.state")
        _decides(report, url)
        _refuses(report, url)


def _decides(report: Report, url: str) -> None:
    low, high = (_pay(url, payment).json() for payment in (LUNCH, NIGHT))
    _named(report, "fraud", low["model"])
    hint = "the numbers go in as in training: amount, hour, abroad, failed_tries; the second probability is fraud's"
    fine = 0 <= low["probability"] < high["probability"] <= 1
    report.expect("a lunch at home is less suspicious than a night abroad with 4 failed tries", True, fine, hint)
    report.expect("the threshold if left out", 0.5, low["threshold"], "give the parameter a default")
    hint = "fraud is: the probability that you answer >= the threshold of this request"
    for threshold in (0, round(random.uniform(0.01, 0.99), 3), high["probability"], 1):
        came = _pay(url, NIGHT, threshold).json()
        wanted = {"threshold": threshold, "fraud": high["probability"] >= threshold}
        report.expect(f"at threshold {threshold:.3f}", wanted, {key: came.get(key) for key in wanted}, hint)


def _refuses(report: Report, url: str) -> None:
    for change, hint in (
        ({"amount": "twenty"}, "declare the amount as a float"),
        *(({name: n}, LIMIT) for name, n in (("amount", 0), ("amount", 100_001), ("hour", 24), ("failed_tries", 21))),
        ({"hour": 2.5}, "declare the hour as an int"),
        ({"abroad": "perhaps"}, "declare it as a bool"),
        ({"failed_tries": None}, "give no field a default"),  # None: left out
        ({"currency": "EUR"}, 'model_config = ConfigDict(extra="forbid")'),
        ({"amount": float("inf")}, "FastAPI's own 422 repeats the input, and cannot; the handler of part 5 does not"),
    ):
        body = {key: value for key, value in (LUNCH | change).items() if value is not None}
        what = f"422 for {_text(change)}".replace("null", "left out")
        report.expect(what, 422, _pay(url, body).status_code, hint)
    hint = "declare the threshold as a float with Query(ge=0, le=1)"
    report.expect("422 for the threshold 1.5", 422, _pay(url, LUNCH, 1.5).status_code, hint)


def digits(report: Report, target: Any) -> None:
    """POST /v1/digits: digits that are read; 415, 400 and 422 where they belong."""
    pictures, classes = _digits(30)
    png, blank = pictures[0], encode(np.full((80, 80, 3), 255, np.uint8), "image/png")
    with served(target) as url:
        first = _upload(url, png)
        if not _answers(report, first, "@app.post('/v1/digits')", {"digit", "top", "model"}):
            return
        _named(report, "digits", first.json()["model"])
        report.expect("entries in top if it is left out", 3, len(first.json()["top"]), "top: ... = 3, and [:top]")
        full = _upload(url, png, top=10).json()
        fine = isinstance(full["top"], list) and all({"digit", "probability"} <= {*each} for each in full["top"])
        hint = 'answer a list, with one {"digit": 3, "probability": 0.8} for each of the best'
        if not report.expect("top is a list of objects", True, fine, hint):
            return
        chances = [entry["probability"] for entry in full["top"]]
        report.expect("ten probabilities add up to", 1, round(sum(chances), 3), "take them from predict_proba")
        report.expect("most probable first", sorted(chances, reverse=True), chances, "np.argsort(-probabilities)")
        report.expect("digit is the first of top", full["top"][0]["digit"], full["digit"], "take it from there")
        read = [_upload(url, picture, top=1).json()["digit"] for picture in pictures]
        right = sum(one == other for one, other in zip(read, classes, strict=True))
        hint = "prepare an upload with the function that the training used, and with nothing besides"
        report.expect(f"26 or more of 30 digits are read ({right} are)", True, right >= 26, hint)
        for what, status, answer, hint in (
            ("a text called photo.png", 415, _upload(url, b"I am a picture.", "photo.png"), OWN_ERROR),
            ("a PNG called notes.txt", 200, _upload(url, png, "notes.txt"), "look at the bytes only"),
            ("half a PNG", 400, _upload(url, png[: len(png) // 2]), OWN_ERROR),
            ("a blank paper", 422, _upload(url, blank), "features() raises a ValueError: say 422 then"),
            *((f"top={top}", 422, _upload(url, png, top=top), "an int with Query(ge=1, le=10)") for top in (0, 11)),
            ("no file", 422, requests.post(f"{url}/v1/digits", timeout=SECONDS), "give file no default value"),
        ):
            report.expect(f"{status} for {what}", status, answer.status_code, hint)


def _answers(report: Report, answer: requests.Response, decorator: str, fields: set) -> bool:
    hints = {404: f"add a function under {decorator}", 405: f"it must be {decorator}", 500: RAISED}
    hint = hints.get(answer.status_code, f"the request keeps the contract; the answer says {answer.text[:200]}")
    if not report.expect(f"{decorator} answers", 200, answer.status_code, hint):
        return False
    missing = fields - set(answer.json() or ())
    return report.expect("fields missing in the answer", set(), missing, "return a dictionary with all of them")


def _named(report: Report, name: str, model: Any) -> None:
    wanted = {"name": name, "version": "1"}
    came = {key: model.get(key) for key in wanted} if isinstance(model, dict) else model
    report.expect("the model's name and version", wanted, came, f"answer {json.dumps(wanted)}; both are texts")


def _text(value: dict) -> str:
    return json.dumps(value).replace("Infinity", "1e999")  # JSON has no other way to say it


def _pay(url: str, payment: dict, threshold: Any = None) -> requests.Response:
    head, params = {"Content-Type": "application/json"}, {"threshold": threshold}
    return requests.post(f"{url}/v1/fraud", _text(payment), params=params, headers=head, timeout=SECONDS)


def _upload(url: str, data: bytes, name: str = "a.png", **params) -> requests.Response:
    return requests.post(f"{url}/v1/digits", params=params, files={"file": (name, data)}, timeout=SECONDS)


def _digits(count: int) -> tuple[list[bytes], list[int]]:
    """PNG files of randomly chosen handwritten digits, dark on light, and what they are."""
    from sklearn.datasets import load_digits

    data = load_digits()
    chosen = random.sample(range(len(data.target)), count)
    papers = [cv2.resize((255 - data.images[n] * 255 / 16).astype(np.uint8), (64, 64)) for n in chosen]
    return [encode(cv2.cvtColor(paper, cv2.COLOR_GRAY2BGR), "image/png") for paper in papers], data.target[chosen]


EXERCISES = {"1": fraud, "2": digits}
