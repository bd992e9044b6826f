"""An answer of the API under check: what came, what was expected of it, and the hint where the two differ."""

from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any
from urllib.parse import unquote, urljoin

import requests

from .report import Report, Stop
from .watched import CRASHED

ANY = object()  # whatever the answer holds
NO_ANSWER = "no answer"
RAISED = "your function raised this error"
BROKE = "the function is there and raised this error: put that line right"
AWAIT = "an await is missing: calling an async function, or asyncio.to_thread, only makes a coroutine"
BROKE_THERE = "the route raised an exception, which its server has printed: the last line says most"
STUCK = "the route waits for something that does not come: a lock, an event, a loop without an end?"


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
