"""Lesson 5: each exercise makes an app around a slow function that the check can hold: it compares events, no times."""

import threading
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from random import randint
from typing import Any

import requests

from .report import SECONDS, Report, served

LIMIT = 5  # seconds for what takes milliseconds where it is right


class Work:
    """A slow function: counts who is inside; lets nobody out before `until(work)` is true or `patience` is over."""

    def __init__(self, answer: Callable, until: Callable = lambda work: False, patience: float = SECONDS):
        self.answer, self.until, self.patience = answer, until, patience
        self.inside = self.most = self.loop_thread = 0
        self.on_loop, self.changed = False, threading.Condition()

    def __call__(self, *args: int) -> Any:
        with self.changed:
            self.inside += 1
            self.most = max(self.most, self.inside)
            self.on_loop |= threading.get_ident() == self.loop_thread
            self.changed.notify_all()
            self.changed.wait_for(lambda: self.on_loop or self.until(self), self.patience)
            self.inside -= 1
        if (result := self.answer(*args)) is None:
            raise ValueError("not a picture")
        return result

    def wait(self, inside: int) -> bool:
        """Whether so many came in together, in good time; at once where the loop itself came in and stands still."""
        with self.changed:
            return self.changed.wait_for(lambda: self.on_loop or self.most >= inside, LIMIT)

    def release(self) -> None:
        """Let everybody out, now and later."""
        with self.changed:
            self.until = lambda work: True
            self.changed.notify_all()


def mend(report: Report, make: Callable) -> None:
    """make(slow): GET /health answers while five requests for GET /slow/{number} run at the same time."""
    salt = randint(1000, 9999)
    work = Work(lambda number: salt * number)
    with served(_made(work, make, work)) as url, ThreadPoolExecutor(5) as pool:
        asked = [pool.submit(_ask, f"{url}/slow/{number}", SECONDS) for number in range(5)]
        try:
            hint = "call slow(number) in the route GET /slow/{number}; asyncio.to_thread calls nothing without an await"
            if not report.expect("GET /slow/0 calls slow", True, work.wait(inside=1), hint):
                return
            came = "none: slow() ran on the event loop's own thread" if work.on_loop else _ask(f"{url}/health")[0]
            hint = "nothing that blocks belongs on the loop: a plain def, or await asyncio.to_thread(slow, number)"
            if report.expect("GET /health answers while slow requests run", 200, came, hint):
                work.wait(inside=5)
                hint = "is there a lock, or a pool with too few workers, around slow()?"
                report.expect("five slow requests run at the same time", 5, work.most, hint)
        finally:
            work.release()
        wanted = [(200, {"result": salt * number}) for number in range(5)]
        hint = "the route has to wait for slow() and return what it gave: is an await missing?"
        report.expect("each got its own result", wanted, [each.result()[:2] for each in asked], hint)


def trial(report: Report, make: Callable) -> None:
    """make(quota, detect): POST /trial for 50 at once gives exactly `quota` answers, each with its own number."""
    quota = randint(5, 9)
    work = Work(lambda: 7, until=lambda work: work.most > quota, patience=0.3)
    with served(_made(work, make, quota, work)) as url, ThreadPoolExecutor(50) as pool:
        answers = list(pool.map(lambda _: _ask(f"{url}/trial", SECONDS, "POST"), range(50)))
    wanted = {200: quota, 429: 50 - quota}
    hint = "no two requests may look at the count before one of them changes it: look and take under one lock"
    if not report.expect("50 requests at once", wanted, dict(Counter(status for status, *_ in answers)), hint):
        return
    numbers = sorted(body.get("number", 0) for status, body, _ in answers if status == 200)
    hint = "take the number in the same locked step that looks at the count"
    report.expect("each number is given once", list(range(1, quota + 1)), numbers, hint)
    hint = "do not hold the lock, or the loop, while detect() runs: only while you count"
    if report.expect("several detect() run at the same time", True, work.most > 1, hint):
        failure(report, make)


def failure(report: Report, make: Callable) -> None:
    """A quota of 2: a request fails after another has taken a number; the failed number, and no other, is free."""
    works, fail = threading.Event(), threading.Event()

    def detect() -> int:
        if works.is_set():
            return 7
        works.set()
        fail.wait(LIMIT)
        raise ValueError("not a picture")

    with served(_made(Work(detect), make, 2, detect)) as url, ThreadPoolExecutor(1) as pool:
        failing = pool.submit(_ask, f"{url}/trial", SECONDS, "POST")
        works.wait(LIMIT)
        answers = [_ask(f"{url}/trial", method="POST")]
        fail.set()
        report.expect("a request that fails gets", 422, failing.result()[0], "catch the ValueError of detect()")
        answers.append(_ask(f"{url}/trial", method="POST"))
    came = sorted((body.get("number", status) for status, body, _ in answers), key=str)
    hint = "a request that failed must not cost a place: put back its own number, not the count by one, then answer 422"
    report.expect("quota 2, the first fails during the second: numbers of the second and third", [1, 2], came, hint)


def bounded(report: Report, make: Callable) -> None:
    """make(places, work): GET /tasks/{number}, `places` at once; more get 503 and Retry-After straight away."""
    places, salt = randint(2, 4), randint(1000, 9999)
    work = Work(lambda number: salt * number if number else None, until=lambda work: work.most > places)
    with served(_made(work, make, places, work)) as url, ThreadPoolExecutor(24) as pool:
        first = [pool.submit(_ask, f"{url}/tasks/{n}", SECONDS) for n in range(1, places + 1)]
        try:
            work.wait(inside=places)
            came = "work() ran on the event loop's own thread" if work.on_loop else work.most
            hint = "call work(number) in a thread, as in exercise 1, for each of the first requests"
            if not report.expect(f"{places} places: so many run at the same time", places, came, hint):
                return
            more = list(pool.map(lambda n: _ask(f"{url}/tasks/{n}"), range(1, 21)))
            hint = "look whether a place is free; if not, raise HTTPException(503) at once rather than wait for one"
            if report.expect("20 more are refused at once", {503: 20}, dict(Counter(each[0] for each in more)), hint):
                waits = {headers.get("Retry-After", "none") for *_, headers in more}
                right = all(wait.isdigit() and int(wait) for wait in waits)
                hint = 'HTTPException(503, "...", headers={"Retry-After": "1"}): whole seconds, at least 1'
                report.expect("Retry-After says when to come again", "seconds", "seconds" if right else waits, hint)
        finally:
            work.release()
        wanted = [(200, {"result": salt * n}) for n in range(1, places + 1)]
        came = [each.result()[:2] for each in first]
        report.expect("the first got their results", wanted, came, 'return {"result": ...} with what work(number) gave')
        came = [_ask(f"{url}/tasks/{n}")[0] for n in [1] * 5 + [0] * 5 + [1]]
        hint = "give the place back whatever happens, after a ValueError too: with, or try ... finally"
        report.expect("later, one by one, all find a place", [200] * 5 + [422] * 5 + [200], came, hint)


def _made(work: Work, make: Callable, *args: Any) -> Callable:
    app = make(*args) if callable(make) and not hasattr(make, "routes") else None
    if not callable(app):
        raise TypeError("check needs the function, not its app; the function's last line is: return app")

    async def watched(scope, receive, send) -> None:
        work.loop_thread = threading.get_ident()
        await app(scope, receive, send)

    return watched


def _ask(url: str, timeout: float | None = None, method: str = "GET") -> tuple[int | str, Any, Any]:
    try:
        answer = requests.request(method, url, timeout=timeout or LIMIT)
    except requests.RequestException:
        return "no answer", {}, {}
    kind = answer.headers.get("content-type", "")
    return answer.status_code, answer.json() if kind.startswith("application/json") else {}, answer.headers


EXERCISES = {"1": mend, "2": trial, "3": bounded}
