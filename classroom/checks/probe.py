"""The probe: sends requests to the API under check, and notes in the report what was expected and what was answered."""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from functools import partialmethod
from threading import Thread
from typing import Any

import requests

from yololab.errors import ServerFailed
from yololab.serving.kernel import serve, serving

from .answer import BROKE, Answer
from .report import Report
from .watched import Watched, quiet, twice

SECONDS = 30  # for one answer
STOP = 10  # seconds in which the app's server should have ended
AGAIN = "run the cell that makes the app again, then your cell: the first function is the one that answers"
ENDLESS = "is there a loop whose condition never becomes false? Restart the kernel, where it still runs"
FACTORY = "the check needs the function, not its app; the function's last line is: return app"


class Probe:
    """Sends requests to the API at `url`. Each method takes what `requests` takes, with a hint for all that follows.

    missing: the hint where the app has no such route. A request that gets no answer within `seconds` is noted as such.
    """

    def __init__(self, report: Report, url: str, seconds: float = SECONDS, stop: Callable[[], None] | None = None):
        self.report, self.url, self.seconds, self.stop = report, url, seconds, stop  # stop: where the check serves
        self.printed: Callable[[], str] = str  # the last error that the server has printed, if that is how to know
        self.crashed: list[Answer] = []

    def request(self, method: str, path: str, *, hint: str = "", missing: str = "", **sent: Any) -> Answer:
        """Raises requests.ConnectionError where nobody listens at a URL that the student gave."""
        response, url = None, path if path.startswith("http") else self.url + path
        try:
            response = requests.request(method, url, **{"timeout": self.seconds, **sent})
        except requests.ConnectionError:
            if self.stop is None:
                raise
        except (requests.Timeout, requests.exceptions.ChunkedEncodingError):
            pass
        answer = Answer(self.report, f"{method} {url.removeprefix(self.url)}", response, hint, missing)
        if answer.status == 500:
            answer.crash = answer.crash or self.printed()
            self.crashed += [answer] if answer.crash else []
        return answer

    @contextmanager
    def telling(self) -> Iterator["Probe"]:
        """This probe. Afterwards, an error of the student's code that no line tells of stands above what it caused."""
        before, wrong = len(self.report.lines), True
        try:
            yield self
            wrong = not all(right for right, _ in self.report.lines[before:])
        finally:
            crashed, text = [each for each in self.crashed if wrong and not each.may_crash], str(self.report)
            if crashed and not any(each.crash in text for each in crashed):
                self.report.expect(f"{crashed[0].name} answers", "no error", crashed[0].said, BROKE)
                self.report.lines.insert(before, self.report.lines.pop())

    get = partialmethod(request, "GET")
    post = partialmethod(request, "POST")
    put = partialmethod(request, "PUT")
    patch = partialmethod(request, "PATCH")
    delete = partialmethod(request, "DELETE")


class Endless(Exception):
    """A function that has not ended in its time."""


def within(seconds: float, function: Callable[..., Any], *args: Any) -> Any:
    """`function(*args)`, raising what it raises; Endless where it does not end in time: it is left to itself then."""
    outcome: Future[Any] = Future()

    def run() -> None:
        try:
            outcome.set_result(function(*args))
        except BaseException as error:
            outcome.set_exception(error)

    thread = Thread(target=run, daemon=True)
    thread.start()
    thread.join(seconds)
    if thread.is_alive():
        raise Endless
    return outcome.result()


def ended(report: Report, function: Callable[..., Any], *args: Any, seconds: float = SECONDS) -> Any:
    """`function(*args)`, raising what it raises. Notes it, and raises Stop, where it does not end in time."""
    try:
        return within(seconds, function, *args)
    except Endless:
        return report.require("your function ends", "it ends", f"it still runs after {seconds:g} s", ENDLESS)


def at_once(function: Callable[[Any], Any], arguments: Iterable[Any]) -> list[Any]:
    """The function's results for all arguments, called at the same time from a thread each."""
    arguments = list(arguments)
    with ThreadPoolExecutor(len(arguments)) as pool:
        return list(pool.map(function, arguments))


@contextmanager
def served(report: Report, target: Any, seconds: float = SECONDS) -> Iterator[Probe]:
    """A probe of a target: the URL of a running API, or an ASGI app, served on a free port while the block lasts."""
    there = None if isinstance(target, str) else serving(target)
    if there or isinstance(target, str):
        yield Probe(report, there.url if there else target.rstrip("/"), seconds)
        return
    if not callable(target):
        report.require("an app", "an app", repr(target), FACTORY)
    before, app, wrong = len(report.lines), Watched(target), True
    try:
        with quiet():
            server = serve(app, port=0, quiet=True)
    except ServerFailed:
        hint = "its lifespan raised an error; is there a yield in it?"
        report.require("the app starts", "it starts", app.not_started or "it does not", hint)
    try:
        with Probe(report, server.url, seconds, server.stop).telling() as api:
            yield api
        wrong = not all(right for right, _ in report.lines[before:])
    finally:
        with quiet():
            server.ask_to_stop()
            server.wait(STOP)  # no longer: a route may hold the loop for ever
        if wrong and (routes := twice(target)):
            del report.lines[before:]  # what the older function answers would only confuse
            actual = f"this app has two functions for {', '.join(routes)}"
            report.require("one function for each route", "one", actual, AGAIN)


@contextmanager
def made(report: Report, make: Any, *args: Any, seconds: float = SECONDS) -> Iterator[Probe]:
    """A probe of the app that the student's function makes of `args`."""
    is_function = callable(make) and not hasattr(make, "routes")
    app = make(*args) if is_function else None
    actual = "an app" if callable(app) else f"it returned {app!r}" if is_function else f"{make!r} is no function"
    if actual != "an app":
        report.require("the function makes an app", "an app", actual, FACTORY)
    with served(report, app, seconds) as api:
        yield api
