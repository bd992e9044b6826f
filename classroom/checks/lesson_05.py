"""Checks of lesson 5: a fraud API, and recommendations from a table."""

import json
import random
import sqlite3
from contextlib import closing
from functools import partial
from tempfile import TemporaryDirectory
from typing import Any

from .answer import BROKE, Answer
from .probe import Probe, at_once, made, served
from .report import Report, Such, having

LUNCH = {"amount": 12.5, "hour": 14, "abroad": False, "failed_tries": 0}
NIGHT = {"amount": 4900.0, "hour": 3, "abroad": True, "failed_tries": 4}
LIMIT = "write the limits into the input's class: Field(ge=..., le=...)"
RAISED = "the function is there and raised this error; if it speaks of numpy: .item() for numbers, bool() for choices"
TABLE = """CREATE TABLE IF NOT EXISTS recommendation
           (customer INTEGER PRIMARY KEY, products TEXT, run INTEGER)"""
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
        card = answers(api.get("/v1/model", missing="add a function under @app.get('/v1/model')"), "loads")
        named(report, "fraud", card)
        loads, hint = card["loads"], "load in the lifespan, before its yield, and count there; `global` in a function"
        some = Such("1 or more", lambda number: isinstance(number, int) and number > 0)
        report.expect("loads, before any prediction", some, loads, hint)
        first = _pay(api, LUNCH, missing="add a function under @app.post('/v1/fraud')")
        answers(first, "probability", "threshold", "fraud", "model")
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
    named(api.report, "fraud", low["model"])
    hint = "the numbers go in as in training: amount, hour, abroad, failed_tries; the second probability is fraud's"
    right = 0 <= low["probability"] < high["probability"] <= 1
    api.report.expect("a lunch at home is less suspicious than a night abroad with 4 failed tries", True, right, hint)
    api.report.expect("the threshold if left out", 0.5, low["threshold"], "give the parameter a default")
    hint = "fraud is: the probability that you answer >= the threshold of this request"
    for threshold in (0, round(random.uniform(0.01, 0.99), 3), high["probability"], 1):
        decision = having({"threshold": threshold, "fraud": high["probability"] >= threshold})
        _pay(api, NIGHT, threshold).expect(json=decision, what=f"at threshold {threshold:.3f}", hint=hint)


def answers(answer: Answer, *fields: str) -> dict:
    """The JSON of a first request, which must have these fields."""
    answer.require(200, hints={500: RAISED} if answer.crash else {})
    missing = [name for name in fields if name not in (answer.json or ())]
    answer.report.require("fields missing in the answer", [], missing, "return a dictionary with all of them")
    return answer.json


def named(report: Report, name: str, model: Any) -> None:
    expected = {"name": name, "version": "1"}
    hint = f"answer {json.dumps(expected)}; both are texts"
    report.expect("the model's name and version", having(expected), model, hint)


def _text(value: dict) -> str:
    return json.dumps(value).replace("Infinity", "1e999")  # JSON has no other way to say it


def _pay(api: Probe, payment: dict, threshold: Any = None, **hints: str) -> Answer:
    head = {"Content-Type": "application/json"}
    return api.post("/v1/fraud", data=_text(payment), params={"threshold": threshold}, headers=head, **hints)


def shop(report: Report, make: Any) -> None:
    """A table that was computed before: known customers, new ones, a table that is replaced, `top`."""
    popular, known, new = [3, 1, 4, 15, 9], random.randint(1, 900), random.randint(1000, 9999)
    with TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        path = f"{folder}/shop.db"
        table = _nightly(path, known, run=1)
        with made(report, make, path, popular) as api:
            url = f"/v1/customers/{known}/recommendations"
            missing = "add a function under @app.get('/v1/customers/{customer}/recommendations') inside make_shop"
            expected = {"products": table[:3], "source": "batch", "run": 1}
            hint = "json.loads makes a list of the column products; [:top] cuts it, and top is 3 if it is left out"
            answer = api.get(url, missing=missing)
            answer.require(200, json=expected, what="a known customer", hint=BROKE if answer.crash else hint)
            api.get(f"{url}?top=5").expect(200, "... with top=5", hint, json=expected | {"products": table[:5]})
            fallback = {"products": popular[:3], "source": "popular", "run": None}
            hint = "fetchone() gives None for a customer who is not in the table: answer popular then, cut to top"
            unknown = api.get(f"/v1/customers/{new}/recommendations")
            unknown.expect(200, "a new customer gets the fallback", hint, json=fallback)
            again = {"products": _nightly(path, known, run=2)[:3], "source": "batch", "run": 2}
            hint = "read the row in the route, at each request: what is read once is as old as the server"
            api.get(url).expect(200, "after the next night", hint, json=again)
            hint = "top is an int with Query(ge=1, le=5), customer an int"
            for bad in (f"{url}?top=0", f"{url}?top=6", "/v1/customers/anna/recommendations"):
                api.get(bad, hint=hint).expect(422, f"{bad.partition('customers')[2]} is refused")


def _nightly(path: str, customer: int, run: int) -> list[int]:
    """Replace the table, as the batch job does; the products of the customer."""
    products = random.sample(range(40), 5)
    rows = [(customer, json.dumps(products), run), (0, "[1, 2, 3, 4, 5]", run)]
    with closing(sqlite3.connect(path, timeout=30)) as database, database:
        database.execute(TABLE)
        database.execute("DELETE FROM recommendation")
        database.executemany("INSERT INTO recommendation VALUES (?, ?, ?)", rows)
    return products


EXERCISES = {"1": fraud, "2": shop}
