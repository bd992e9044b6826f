"""Lesson 7: each exercise makes an app around a slow function that the check can hold."""

import threading
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from random import randint

from . import held
from .answer import BROKE, Answer
from .held import Held
from .lesson_05 import field
from .probe import SECONDS, Probe, at_once, made
from .report import Report, Such, having

ON_LOOP = "it ran on the event loop's own thread"
COUNTED = "no two requests may look at the count before one of them changes it: look and take under one lock"
ROUTE = "write a function under @app.{}, in the function that makes the app"
IN_TURN = "also one after another, {} of {} requests are answered 200: with a quota of {}, so many, and then 429"
NUMBERED = 'answer {"number": n, "result": ...}: n is a whole number, and the result is what detect() returned'
TYPED = "the path is text: number: int in the route's parameters makes a number of it"
FAILURES = ("quota 2, the first fails during the second", "quota 3, the second fails during the third")
OWN_NUMBER = "a request that failed must not cost a place: put back its own number, not the count by one, then say 422"


def fix(report: Report, make: Callable) -> None:
    """make(slow): GET /health answers while five requests for GET /slow/{number} run at the same time."""
    salt = randint(1000, 9999)
    slow = Held(partial(_times, salt))
    with made(report, make, slow, seconds=held.LIMIT) as api, ThreadPoolExecutor(5) as pool:
        asked = [pool.submit(api.get, f"/slow/{number}", timeout=SECONDS) for number in range(5)]
        try:
            hint = "call slow(number) in the route GET /slow/{number}; asyncio.to_thread calls nothing without an await"
            called = slow.wait(inside=1)
            _settle([each.result() for each in asked if each.done() and not called], [200], 'get("/slow/{number}")')
            report.require("GET /slow/0 calls slow", True, called, hint)
            hint = "nothing that blocks belongs on the loop: a plain def, or await asyncio.to_thread(slow, number)"
            actual, hint = health(api, slow, hint)
            if report.expect("GET /health answers while slow requests run", "200", actual, hint):
                slow.wait(inside=5)
                hint = "is there a lock, or a pool with too few workers, around slow()?"
                report.expect("five slow requests run at the same time", 5, slow.most, hint)
        finally:
            slow.release()
        hint = "the route has to wait for slow() and return what it gave: is an await missing?"
        for number, each in enumerate(asked):
            each.result().expect(200, json={"result": salt * number}, hint=TYPED if _texts(slow) else hint)


def health(api: Probe, slow: Held, hint: str) -> tuple[str, str]:
    """What GET /health answers while `slow` is held, and the hint where that is not 200."""
    if slow.on_loop:
        return ON_LOOP, hint
    answer = api.get("/health")
    return answer.said, ROUTE.format('get("/health")') if answer.absent else BROKE if answer.crash else hint


def trial(report: Report, make: Callable) -> None:
    """make(quota, detect): POST /trial for 50 at once gives exactly `quota` answers, each with its own number."""
    quota, salt = randint(5, 9), randint(1000, 9999)
    detect = Held(lambda: salt, until=lambda held: held.most > quota, patience=0.3)
    with made(report, make, quota, detect) as api:
        answers = at_once(api.post, ["/trial"] * 50)
    _settle(answers, [200, 429], 'post("/trial")')
    statuses = dict(Counter(answer.status for answer in answers))
    expected = {200: quota, 429: 50 - quota}
    hint = COUNTED if statuses == expected else in_turn(report, make, quota)
    report.require("50 requests at once", expected, statuses, hint)
    given = [answer for answer in answers if answer.status == 200]
    form = having({"number": Such("a whole number", lambda number: type(number) is int), "result": salt})
    for answer in [each for each in given if each.json != form][:1]:
        answer.require(json=form, hint=NUMBERED)
    numbers = sorted(answer.json["number"] for answer in given)
    hint = "take the number in the same locked step that looks at the count"
    report.expect("each number is given once", list(range(1, quota + 1)), numbers, hint)
    hint = "do not hold the lock, or the loop, while detect() runs: only while you count"
    report.require("several detect() run at the same time", True, detect.most > 1, hint)
    failure(report, make)


def in_turn(report: Report, make: Callable, quota: int) -> str:
    """The hint for a wrong number of answers: whether it is as wrong without two requests at a time."""
    with made(report, make, quota, int) as api:
        count = sum(api.post("/trial").status == 200 for _ in range(quota + 3))
    return COUNTED if count == quota else IN_TURN.format(count, quota + 3, quota)


def failure(report: Report, make: Callable) -> None:
    """The failed number, and no other, is free again: of a quota of 2, and in the middle of 3."""
    tried = [_failing(report, make, before) for before in (0, 1)]
    wrong = [n for n, (failed, numbers) in enumerate(tried) if (failed.status, numbers) != (422, [*range(1, n + 3)])]
    which = (wrong or [0])[0]
    failed, numbers = tried[which]
    failed.expect(422, "a request that fails", "catch the ValueError of detect()")
    what = f"{FAILURES[which]}: the others' numbers"
    report.expect(what, list(range(1, which + 3)), numbers, OWN_NUMBER)


def _failing(report: Report, make: Callable, before: int) -> tuple[Answer, list]:
    """So many requests, then one that fails after the next has taken a number, and one more; the others' numbers."""
    works, fail = threading.Event(), threading.Event()

    def detect() -> int:
        if works.is_set() or len(answers) < before:
            return 7
        works.set()
        fail.wait(held.LIMIT)
        raise ValueError("not a picture")

    answers: list[Answer] = []
    with made(report, make, 2 + before, detect) as api, ThreadPoolExecutor(1) as pool:
        answers += [api.post("/trial", timeout=held.LIMIT) for _ in range(before)]
        failing = pool.submit(api.post, "/trial")
        works.wait(held.LIMIT)
        answers.append(api.post("/trial", timeout=held.LIMIT))
        fail.set()
        failed = failing.result()
        answers.append(api.post("/trial", timeout=held.LIMIT))
    numbers = [field(answer, "number") if answer.status == 200 else answer.status for answer in answers]
    return failed, sorted(numbers, key=str)


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
            hint = TYPED if _texts(work) else 'return {"result": ...} with what work(number) gave'
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


def _product(salt: int, number: int) -> int | str:
    if not number:
        raise ValueError("not a picture")
    return _times(salt, number)


def _times(salt: int, number: int) -> int | str:
    """The product; of a text, which Python would repeat thousands of times, a short one."""
    return f"no product: it got {number!r:.50}" if isinstance(number, str) else salt * number


def _texts(function: Held) -> bool:
    return any(isinstance(call, str) for call in function.calls)


EXERCISES = {"1": fix, "2": trial, "3": bounded}
