"""The probe: sends requests to the API under check, and notes in the report what was expected and what was answered."""

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partialmethod
from http import HTTPStatus
from typing import Any
from urllib.parse import unquote, urljoin

import requests

from yololab.errors import ServerFailed
from yololab.serving.kernel import serve

from .report import Report, Stop
from .watched import CRASHED, Watched, says_more, twice

SECONDS = 30  # for one answer
ANY = object()  # whatever the answer holds
NO_ANSWER = "no answer"
AGAIN = "run the cell that makes the app again, then your cell: the first function is the one that answers"
RAISED = "your function raised this error"
BROKE = "the function is there and raised this error: put that line right"
AWAIT = "an await is missing: calling an async function, or asyncio.to_thread, only makes a coroutine"
BROKE_THERE = "the route raised an exception, which its server has printed: the last line says most"
STUCK = "the route waits for something that does not come: a lock, an event, a loop without an end?"
FACTORY = "the check needs the function, not its app; the function's last line is: return app"


class Answer:
    """What came back for one request: `status` (or "no answer"), `headers`, `text`, `json`, `seconds`.

    `json` is None where the body is no JSON. True in a condition as long as everything expected of it held.
    """

    def __init__(self, report: Report, name: str, response: requests.Response | None, hint: str, missing: str):
        self.report, self.name, self.hint, self.missing, self.right = report, name, hint, missing, True
        self.status: int | str = NO_ANSWER if response is None else response.status_code
        self.headers: Mapping[str, str] = {} if response is None else response.headers
        self.text = "" if response is None else response.text
        self.seconds = 0.0 if response is None else response.elapsed.total_seconds()
        self.location = urljoin(response.url, self.headers.get("location", "")) if response is not None else ""
        self.crash, self.may_crash = unquote(self.headers.get(CRASHED, "")), False
        try:
            self.json = None if response is None else response.json()
        except requests.JSONDecodeError:
            self.json = None

    def __bool__(self) -> bool:
        return self.right

    @property
    def media_type(self) -> str:
        """The type of the body without its parameters, for example application/json."""
        return self.headers.get("content-type", "").partition(";")[0]

    @property
    def said(self) -> str:
        """The status, and where it tells of a problem what the answer says of it."""
        if self.crash:
            return f"{self.status}: {self.crash}"
        if self.absent:
            return f"{self.status}: there is no route for {self.name.partition('?')[0]}"
        return f"{self.status}: {self.text[:200]}" if self.status in range(400, 600) and self.text else f"{self.status}"

    @property
    def absent(self) -> bool:
        """Whether the app has no such route: the framework's own 404 or 405."""
        return self.status in (404, 405) and self.json in (None, {"detail": HTTPStatus(self.status).phrase})

    def expect(
        self,
        status: int | Sequence[int] | None = None,
        what: str = "",
        hint: str = "",
        *,
        headers: Sequence[str] = (),
        json: Any = ANY,
        hints: Mapping[int, str] | None = None,
    ) -> "Answer":
        """Note one comparison: the status (or one of several), then the headers that must be there, then the JSON.

        what: the line's text, by default method and path. hint: by default the request's. hints: others, by the
        status that came. After something unexpected, nothing more is noted of this answer.
        """
        if not self.right:
            return self
        allowed = (status,) if isinstance(status, int) else status or ()
        self.may_crash |= 500 in allowed
        lacking = [name for name in headers if name not in self.headers]
        if allowed and self.status not in allowed:
            hint = self._hint(allowed, hint or self.hint, hints or {})
            expected = f"{allowed[0]} to {allowed[-1]}" if len(allowed) > 2 else " or ".join(map(str, allowed))
            actual = self.said
        elif lacking:
            expected, actual = f"the headers {', '.join(headers)}", f"no {', '.join(lacking)}"
        elif json is not ANY:
            expected, actual = json, self.text[:200] if self.json is None else self.json
        else:
            expected = actual = self.said
        self.right = self.report.expect(what or self.name, expected, actual, hint or self.hint)
        return self

    def require(self, *args: Any, **named: Any) -> "Answer":
        """As `expect`, for what the rest of the exercise builds on. Raises Stop where it is not as expected."""
        if not self.expect(*args, **named):
            raise Stop
        return self

    def _hint(self, allowed: Sequence[int], hint: str, hints: Mapping[int, str]) -> str:
        if self.status in hints:
            return hints[self.status]
        if self.absent:
            return self.missing or hint
        if self.crash and min(allowed) < 400:
            return AWAIT if "'coroutine' object" in self.crash else BROKE
        if self.crash and hint:  # perhaps the very error that should become this status
            return f"{RAISED}; {hint}"
        guess = f"the decorator says which status a success has: status_code={allowed[0]}"
        refused = f"the route refuses what the exercise sends: {self.text[:300]}"
        return hint or {422: refused, 500: BROKE_THERE, NO_ANSWER: STUCK}.get(self.status, guess)


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
        except requests.Timeout:
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


def at_once(function: Callable[[Any], Any], arguments: Iterable[Any]) -> list[Any]:
    """The function's results for all arguments, called at the same time from a thread each."""
    arguments = list(arguments)
    with ThreadPoolExecutor(len(arguments)) as pool:
        return list(pool.map(function, arguments))


@contextmanager
def served(report: Report, target: Any, seconds: float = SECONDS) -> Iterator[Probe]:
    """A probe of a target: the URL of a running API, or an ASGI app, served on a free port while the block lasts."""
    if isinstance(target, str):
        yield Probe(report, target.rstrip("/"), seconds)
        return
    before, app, wrong = len(report.lines), Watched(target), True
    try:
        server = serve(app, port=0, quiet=True)
    except ServerFailed:
        report.require("the app starts", "it starts", app.not_started or "it does not", "its lifespan raised an error")
    try:
        with Probe(report, server.url, seconds, server.stop).telling() as api:
            yield api
        wrong = not all(right for right, _ in report.lines[before:])
    finally:
        log = logging.getLogger("uvicorn.error")
        log.addFilter(says_more)
        server.stop()
        log.removeFilter(says_more)
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
