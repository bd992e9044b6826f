"""Lesson 7: each exercise makes an app around a slow function that the check can hold."""

import threading
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from random import randint

from . import held
from .answer import Answer
from .held import Held
from .probe import SECONDS, at_once, made
from .report import Report, Such

ON_LOOP = "it ran on the event loop's own thread"
COUNTED = "no two requests may look at the count before one of them changes it: look and take under one lock"
ROUTE = "write a function under @app.{}, in the function that makes the app"
OWN_NUMBER = "a request that failed must not cost a place: put back its own number, not the count by one, then say 422"


def fix(report: Report, make: Callable) -> None:
    """make(slow): GET /health answers while five requests for GET /slow/{number} run at the same time."""
    salt = randint(1000, 9999)
    slow = Held(lambda number: salt * number)
    with made(report, make, slow, seconds=held.LIMIT) as api, ThreadPoolExecutor(5) as pool:
        asked = [pool.submit(api.get, f"/slow/{number}", timeout=SECONDS) for number in range(5)]
        try:
            hint = "call slow(number) in the route GET /slow/{number}; asyncio.to_thread calls nothing without an await"
            called = slow.wait(inside=1)
            _settle([each.result() for each in asked if each.done() and not called], [200], 'get("/slow/{number}")')
            report.require("GET /slow/0 calls slow", True, called, hint)
            actual = ON_LOOP if slow.on_loop else api.get("/health").said
            hint = "nothing that blocks belongs on the loop: a plain def, or await asyncio.to_thread(slow, number)"
            if report.expect("GET /health answers while slow requests run", "200", actual, hint):
                slow.wait(inside=5)
                hint = "is there a lock, or a pool with too few workers, around slow()?"
                report.expect("five slow requests run at the same time", 5, slow.most, hint)
        finally:
            slow.release()
        hint = "the route has to wait for slow() and return what it gave: is an await missing?"
        for number, each in enumerate(asked):
            each.result().expect(200, json={"result": salt * number}, hint=hint)


def trial(report: Report, make: Callable) -> None:
    """make(quota, detect): POST /trial for 50 at once gives exactly `quota` answers, each with its own number."""
    quota = randint(5, 9)
    detect = Held(lambda: 7, until=lambda held: held.most > quota, patience=0.3)
    with made(report, make, quota, detect) as api:
        answers = at_once(api.post, ["/trial"] * 50)
    _settle(answers, [200, 429], 'post("/trial")')
    statuses = dict(Counter(answer.status for answer in answers))
    report.require("50 requests at once", {200: quota, 429: 50 - quota}, statuses, COUNTED)
    numbers = sorted(answer.json.get("number", 0) for answer in answers if answer.status == 200)
    hint = "take the number in the same locked step that looks at the count"
    report.expect("each number is given once", list(range(1, quota + 1)), numbers, hint)
    hint = "do not hold the lock, or the loop, while detect() runs: only while you count"
    report.require("several detect() run at the same time", True, detect.most > 1, hint)
    failure(report, make)


def failure(report: Report, make: Callable) -> None:
    """A quota of 2: a request fails after another has taken a number; the failed number, and no other, is free."""
    works, fail = threading.Event(), threading.Event()

    def detect() -> int:
        if works.is_set():
            return 7
        works.set()
        fail.wait(held.LIMIT)
        raise ValueError("not a picture")

    with made(report, make, 2, detect) as api, ThreadPoolExecutor(1) as pool:
        failing = pool.submit(api.post, "/trial")
        works.wait(held.LIMIT)
        answers = [api.post("/trial", timeout=held.LIMIT)]
        fail.set()
        failing.result().expect(422, "a request that fails", "catch the ValueError of detect()")
        answers.append(api.post("/trial", timeout=held.LIMIT))
    actual = sorted(((answer.json or {}).get("number", answer.status) for answer in answers), key=str)
    report.expect("quota 2, the first fails during the second: the others' numbers", [1, 2], actual, OWN_NUMBER)


def bounded(report: Report, make: Callable) -> None:
    """make(places, work): GET /tasks/{number}, `places` at once; more get 503 and Retry-After straight away."""
    places, salt = randint(2, 4), randint(1000, 9999)
    work = Held(partial(_product, salt), until=lambda held: held.most > places)
    with made(report, make, places, work, seconds=held.LIMIT) as api, ThreadPoolExecutor(24) as pool:
        first = [pool.submit(api.get, f"/tasks/{number}", timeout=SECONDS) for number in range(1, places + 1)]
        try:
            if not work.wait(inside=places):
                done = [each.result() for each in first if each.done()]
                _settle(done, [200, 503], 'get("/tasks/{number}")')
            actual = ON_LOOP if work.on_loop else work.most
            hint = "call work(number) in a thread, as in exercise 1, for each of the first requests"
            report.require(f"{places} places: so many run at the same time", places, actual, hint)
            more = at_once(api.get, [f"/tasks/{number}" for number in range(1, 21)])
            hint = "look whether a place is free; if not, raise HTTPException(503) at once rather than wait for one"
            statuses = dict(Counter(answer.status for answer in more))
            if report.expect("20 more are refused at once", {503: 20}, statuses, hint):
                waits = [answer.headers.get("Retry-After", "none") for answer in more]
                seconds = Such("whole seconds", lambda waits: all(wait.isdigit() and int(wait) for wait in waits))
                hint = 'HTTPException(503, "...", headers={"Retry-After": "1"}): whole seconds, at least 1'
                report.expect("Retry-After says when to come again", seconds, waits, hint)
        finally:
            work.release()
        for number, each in enumerate(first, 1):
            hint = 'return {"result": ...} with what work(number) gave'
            each.result().expect(200, json={"result": salt * number}, hint=hint)
        actual = [api.get(f"/tasks/{number}").status for number in [1] * 5 + [0] * 5 + [1]]
        hint = "give the place back whatever happens, after a ValueError too: with, or try ... finally"
        report.expect("later, one by one, all find a place", [200] * 5 + [422] * 5 + [200], actual, hint)


def _settle(answers: list[Answer], statuses: list[int], route: str) -> None:
    """Raise Stop for the first answer with another status: it says more than what is counted afterwards."""
    for answer in answers:
        if answer.status not in statuses:
            answer.missing = ROUTE.format(route)
            answer.require(statuses)


def _product(salt: int, number: int) -> int:
    if not number:
        raise ValueError("not a picture")
    return salt * number


EXERCISES = {"1": fix, "2": trial, "3": bounded}
