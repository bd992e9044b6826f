"""Lesson 12: each exercise makes an app around a function that the check can hold; events are compared, not times."""

from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from math import ceil
from random import randint, sample, uniform
from time import monotonic
from typing import Any

from . import held
from .held import Held
from .probe import SECONDS, Probe, at_once, made
from .report import Report

ALONE = 0.5  # seconds that the first number of a batch is alone: less than the window
ANY_X = "x is any number, 2.5 too: x: float in the model"
AS_IT_IS = "y is what compute returned for this x, as it is: a number, not a text, not a list, not rounded"
EMPTY = {"running": 0, "waiting": 0}
SMALL = "the window is the longest wait, not the shortest: a full batch goes at once; results keep the order"
ONE = "work runs for one at a time: await it inside of `async with lock:`, one asyncio.Lock() for all requests"
FIT = "everybody in the line ({}) times seconds ({:.2f}), rounded up: math.ceil"


def batches(report: Report, make: Callable) -> None:
    """make(compute, largest, window): POST /predict merges concurrent requests into calls of compute; GET /stats."""
    salt, largest = randint(1000, 9999), randint(4, 6)

    def compute(numbers: list) -> list:
        if min(numbers) < 0:
            raise ValueError("a number is negative")
        return [salt + 3 * number for number in numbers]

    def answers(numbers: list) -> dict:
        return {number: (200, {"y": salt + 3 * number}) for number in numbers}

    calls = Held(compute, until=lambda held: True)
    with made(report, make, calls, largest, 0.1, seconds=held.LIMIT) as api:
        hint = "add GET /stats; before the first call of compute both numbers are 0"
        stats = api.get("/stats", hint=hint)
        stats.require(200, "GET /stats at first", json={"calls": 0, "largest": 0})
        hint = f"a lone request goes when the window is over, though fewer than {largest} wait"
        actual = _together(api, [half := randint(1, 99) + 0.5])
        hint = {422: ANY_X, 200: AS_IT_IS}.get(actual[half][0], hint)
        report.require("a lone request is answered", answers([half]), actual, hint)
        report.expect("... by one call, with one number", [[half]], calls.calls, "compute takes a list, here of one")
        api.post("/predict", json={"x": "seven"}, hint="x: float in the model").expect(422, "x that is no number")
        hint = "compute runs on the event loop; await asyncio.to_thread(compute, numbers) does not hold it up"
        report.expect("compute runs in a thread", False, calls.on_loop, hint)
        actual = _together(api, [-1, *(numbers := sample(range(9, 999), 3))])
        status = actual.pop(-1)[0]
        hint = "answer 422 where compute raised ValueError for this very number; a 500 blames the server"
        report.expect("a negative number gets 422 (or 400)", 422, 422 if status == 400 else status, hint)
        hint = "a failed batch says nothing about its other numbers: ask again, for parts of it"
        report.expect("... its neighbours get their answers", answers(numbers), actual, hint)
        hint = "the task that collects must outlive an error: catch it there"
        report.expect("... and so does the next request", answers([1]), _together(api, [1]), hint)
    calls, expected = Held(compute, until=lambda held: True), answers(sample(range(999), 2 * largest))
    with made(report, make, calls, largest, SECONDS, seconds=held.LIMIT) as api:
        what = f"{2 * largest} requests at once, batches of {largest}, a very long window: each gets its answer"
        report.require(what, expected, _one_then_all(api, list(expected), calls), SMALL)
        hint = "collect until the batch is full or `window` seconds are over; then call compute once for all of it"
        report.expect("the sizes of the batches", [largest] * 2, [len(each) for each in calls.calls], hint)
        stats = api.get("/stats", hint="count where compute is called")
        stats.expect(200, "GET /stats afterwards", json={"calls": 2, "largest": largest})


def _together(api: Probe, numbers: list[int]) -> dict[int, tuple[Any, Any]]:
    """Status and JSON of POST /predict for each number, asked at the same time."""
    answers = at_once(lambda x: api.post("/predict", json={"x": x}), numbers)
    return {number: (answer.status, answer.json) for number, answer in zip(numbers, answers, strict=True)}


def _one_then_all(api: Probe, numbers: list[int], calls: Held) -> dict[int, tuple[Any, Any]]:
    """As `_together`, but the first comes alone: a batch that does not wait for the window goes without the others."""
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(_together, api, numbers[:1])
        with calls.changed:
            calls.changed.wait_for(lambda: calls.calls, ALONE)
        return _together(api, numbers[1:]) | first.result()


def line(report: Report, make: Callable) -> None:
    """make(work, seconds, places): GET /jobs/{number}, one at a time, `places` may wait; GET /line counts them."""
    places, salt = randint(3, 5), randint(1000, 9999)
    seconds = (randint(8, 40) + uniform(0.05, 0.45)) / (1 + places)  # round() would round the wait down
    work, numbers = Held(partial(_product, salt)), sample(range(1, 99), 1 + places)
    pool = ThreadPoolExecutor(1 + places)
    with made(report, make, work, seconds, places, seconds=held.LIMIT) as api, pool:
        api.get("/line", hint="add GET /line; both are 0").require(200, "GET /line at the start", json=EMPTY)
        asked = []
        try:
            for waiting, number in enumerate(numbers):
                asked.append(pool.submit(api.get, f"/jobs/{number}", timeout=SECONDS))
                if (actual := _line_of(api, waiting, work)) != {"running": 1, "waiting": waiting}:
                    break
            expected, what = {"running": 1, "waiting": places}, f"GET /line when 1 runs and {places} wait"
            hint = "work runs in a thread, behind a lock: running is 0 or 1, waiting is everybody else in the line"
            report.require(what, expected, "work ran on the event loop" if work.on_loop else actual, hint)
            more = at_once(api.get, [f"/jobs/{number}" for number in range(1, 6)])
            hint = "before the wait for the lock: is a place left? If not, raise HTTPException(503)"
            statuses = dict(Counter(answer.status for answer in more))
            if report.expect("5 more are refused at once", {503: 5}, statuses, hint):
                waits = {answer.headers.get("Retry-After") for answer in more}
                hint = FIT.format(1 + places, seconds)
                report.expect("... with Retry-After", {str(ceil((1 + places) * seconds))}, waits, hint)
        finally:
            work.release()
        for number, each in zip(numbers, asked, strict=True):
            hint = 'return {"result": ...} with what work gave'
            each.result().expect(200, json={"result": salt * number}, hint=hint)
        actual, hint = work.calls, "asyncio.Lock keeps the order"
        if work.most > 1:
            actual, hint = f"{work.most} of {work.calls} ran at the same time", ONE
        report.expect("... first come, first served", numbers, actual, hint)
        hint = "answer 422 for work's ValueError, and give the place back whatever happens: try ... finally"
        actual = [api.get("/jobs/0").status for _ in range(places + 2)]
        report.expect("work raises ValueError, again and again", [422] * (places + 2), actual, hint)
        api.get("/line", hint=hint).expect(200, "GET /line after that", json=EMPTY)


def _line_of(api: Probe, waiting: int, work: Held) -> Any:
    """What GET /line says, once it is as expected or time is up."""
    actual, end = None, monotonic() + held.LIMIT
    while actual != {"running": 1, "waiting": waiting} and not work.on_loop and monotonic() < end:
        actual = api.get("/line").json
    return actual


def _product(salt: int, number: int) -> int:
    if not number:
        raise ValueError("there is no job 0")
    return salt * number


EXERCISES = {"1": batches, "2": line}
