"""Checks of lesson 5: a fraud API, and recommendations from a table."""

import json
import random
import sqlite3
from contextlib import closing
from functools import partial
from tempfile import TemporaryDirectory
from typing import Any

from .answer import BROKE, Answer
from .forest import trained, unpickled
from .probe import Probe, at_once, made, served
from .report import Report, Such, having

LUNCH = {"amount": 12.5, "hour": 14, "abroad": False, "failed_tries": 0}
NIGHT = {"amount": 4900.0, "hour": 3, "abroad": True, "failed_tries": 4}
LIMIT = "write the limits into the input's class: Field(ge=..., le=...)"
RAISED = "the function is there and raised this error; if it speaks of numpy: .item() for numbers, bool() for choices"
TABLE = """CREATE TABLE IF NOT EXISTS recommendation
           (customer INTEGER PRIMARY KEY, products TEXT, run INTEGER)"""
REFUSALS = (  # changes of LUNCH, and the hint where one is taken, the first of them named otherwise; None: left out
    ([{"amount": "twenty"}], "declare the amount as a float"),
    ([{"amount": 0}, {"amount": -1}], LIMIT),
    ([{"amount": 100_001}, {"amount": 100_000.5}], LIMIT),
    ([{"hour": 24}, {"hour": -1}], LIMIT),
    ([{"failed_tries": 21}, {"failed_tries": -1}], LIMIT),
    ([{"hour": 2.5}, {"failed_tries": 2.5}], "declare the hour as an int, and failed_tries, too"),
    ([{"abroad": "perhaps"}], "declare it as a bool"),
    ([{name: None} for name in reversed(LUNCH)], "give no field a default"),
    ([{"currency": "EUR"}], 'model_config = ConfigDict(extra="forbid")'),
    ([{"amount": float("inf")}], "FastAPI's own 422 repeats the input, and cannot; the handler of part 5 does not"),
)
ALLOWED = [{"amount": 0.01}, {"amount": 100_000}, {"hour": 0}, {"hour": 23}, {"failed_tries": 20}]
ORDER = "ask the trained model: amount, hour, abroad, failed_tries, as in training; the second probability is fraud's"
CLASS = "predict gives a class, true or false: predict_proba gives probabilities, and the second one is fraud's"


def fraud(report: Report, target: Any) -> None:
    """POST /v1/fraud and GET /v1/model: a probability, a decision, one load, 422 for nonsense."""
    with unpickled() as read, served(report, target) as api:
        card = answers(api.get("/v1/model", missing="add a function under @app.get('/v1/model')"), "loads")
        named(report, "fraud", card)
        loads, hint = card["loads"], "load in the lifespan, before its yield, and count there; `global` in a function"
        some = Such("1 or more", lambda number: isinstance(number, int) and number > 0)
        report.expect("loads, before any prediction", some, loads, hint)
        before = len(read)
        first = _pay(api, LUNCH, missing="add a function under @app.post('/v1/fraud')")
        answers(first, "probability", "threshold", "fraud", "model")
        payments = [NIGHT | {"amount": random.randint(1, 9000), "hour": random.randint(0, 23)} for _ in range(4)]
        burst = at_once(partial(_pay, api), payments * 6)
        statuses, hint = {answer.status for answer in burst}, "one alone went well: what do they share?"
        report.require("24 payments at once: statuses", {200}, statuses, hint)
        alone = [_pay(api, payment).json for payment in payments]
        hint = "keep nothing of a request in a global variable"
        report.expect("answers are the same at once as one by one", alone * 6, [each.json for each in burst], hint)
        after, hint = field(api.get("/v1/model"), "loads"), "take the model from request.state"
        if after == loads and len(read) > before:  # it says less than it did
            after = f"{loads}, but the model was loaded {len(read) - before} more times"
        report.expect("loads after all these predictions", loads, after, hint)
        _decides(api)
        _refuses(api)


def _refuses(api: Probe) -> None:
    for changes, hint in REFUSALS:
        tried = [(change, _pay(api, _changed(change), hint=hint)) for change in changes]
        change, answer = next((each for each in tried if each[1].status != 422), tried[0])
        answer.expect(422, what=f"422 for {_text(change)}".replace("null", "left out"))
    for change in ALLOWED:
        if (answer := _pay(api, _changed(change), hint=LIMIT)).status != 200:
            answer.expect(200, what=f"200 for {_text(change)}")
    hint = "declare the threshold as a float with Query(ge=0, le=1)"
    tried = [(threshold, _pay(api, LUNCH, threshold, hint=hint)) for threshold in (1.5, -0.5)]
    threshold, answer = next((each for each in tried if each[1].status != 422), tried[0])
    answer.expect(422, f"422 for the threshold {threshold}")


def _changed(change: dict) -> dict:
    return {key: value for key, value in (LUNCH | change).items() if value is not None}


def _decides(api: Probe) -> None:
    low, high = _pay(api, LUNCH).json, _pay(api, NIGHT).json
    named(api.report, "fraud", low["model"])
    night = NIGHT | {"amount": random.randint(3000, 6000)}
    mixed = [base | {key: other[key]} for base, other in ((LUNCH, night), (night, LUNCH)) for key in LUNCH]
    payments = [LUNCH, NIGHT, *mixed]
    chances = trained().predict_proba([[*payment.values()] for payment in payments])[:, 1]
    expected = [_near(chance) for chance in chances.tolist()]
    actual = [field(_pay(api, payment), "probability") for payment in payments]
    hint = CLASS if all(number in (0, 1) for number in actual) else ORDER
    what = "a lunch at home is less suspicious than a night abroad with 4 failed tries"
    if not api.report.expect(what, expected, actual, hint):
        return
    api.report.expect("the threshold if left out", 0.5, low["threshold"], "give the parameter a default")
    hint = "fraud is: the probability that you answer >= the threshold of this request"
    for threshold in (0, round(random.uniform(0.01, 0.99), 3), high["probability"], 1):
        decision = having({"threshold": threshold, "fraud": high["probability"] >= threshold})
        _pay(api, NIGHT, threshold).expect(json=decision, what=f"at threshold {threshold:.3f}", hint=hint)


def _near(number: float) -> Such:
    """Equal to this number, also where it is rounded to two digits."""
    return Such(f"{number:.3f}", lambda other: not isinstance(other, bool) and abs(other - number) < 0.0051)


def field(answer: Answer, name: str) -> Any:
    """A field of the answer's JSON; where there is none, what came instead."""
    return answer.json.get(name, f"no {name}") if isinstance(answer.json, dict) else answer.said


def answers(answer: Answer, *fields: str) -> dict:
    """The JSON of a first request, which must have these fields."""
    answer.require(200, hints={500: RAISED} if answer.crash else {})
    missing = [name for name in fields if not isinstance(answer.json, dict) or name not in answer.json]
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
    popular, known, new = random.sample(range(40), 5), random.randint(1, 900), random.randint(1000, 9999)
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
            _cut(api, url, expected, table, "... with top={}", hint, 5)
            fallback = {"products": popular[:3], "source": "popular", "run": None}
            hint = "fetchone() gives None for a customer who is not in the table: answer popular then, cut to top"
            _cut(
                api, f"/v1/customers/{new}/recommendations", fallback, popular, "a new customer gets the fallback", hint
            )
            again = {"products": _nightly(path, known, run=2)[:3], "source": "batch", "run": 2}
            hint = "read the row in the route, at each request: what is read once is as old as the server"
            api.get(url).expect(200, "after the next night", hint, json=again)
            hint = "top is an int with Query(ge=1, le=5), customer an int"
            for bad in (f"{url}?top=0", f"{url}?top=6", "/v1/customers/anna/recommendations"):
                api.get(bad, hint=hint).expect(422, f"{bad.partition('customers')[2]} is refused")


def _cut(api: Probe, url: str, whole: dict, products: list, what: str, hint: str, first: int | None = None) -> None:
    """One line for several values of `top`: of the one that is answered wrong, or of the first."""
    tops = (first, 1, 4, 5)
    tried = [(api.get(url, params={"top": top}), whole | {"products": products[: top or 3]}, top) for top in tops]
    wrong = [each for each in tried if (each[0].status, each[0].json) != (200, each[1])]
    answer, expected, top = (wrong or tried)[0]
    answer.expect(200, what.format(top), hint, json=expected)


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
