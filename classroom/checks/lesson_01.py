"""Lesson 1: a request written by hand, an API for notes, an API for alarms repaired."""

import random
import re
from collections.abc import Callable
from secrets import token_hex
from typing import Any
from urllib.parse import urljoin, urlsplit

import requests

from classroom import ROOT

from .report import SECONDS, Report, served


def by_hand(report: Report, write: Callable) -> None:
    """write(method, target, host, text) -> the bytes of a request."""
    host, word = f"{token_hex(4)}.example:8000", token_hex(4)
    cases = [("GET", f"/cameras/{word}?limit=5", ""), ("POST", f"/notes?by={word}", f"{word} 3 °C")]
    for method, target, text in cases:
        data = write(method, target, host, text)
        if not report.expect(f"{method}: what is returned", "bytes", type(data).__name__, "encode head and text"):
            return
        head, end, body = data.partition(b"\r\n\r\n")
        ended = "an empty line" if end else "no empty line"
        ended = r"\r or \n alone" if re.search(rb"(?<!\r)\n|\r(?!\n)", head) else ended
        hint = r"put \r\n after each line of the head, and one more \r\n behind it, even where no body follows"
        if not report.expect(f"{method}: the head is closed", "an empty line", ended, hint):
            return
        first, *lines = head.decode(errors="replace").split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        hint = "three words with single spaces between them; the target is encoded already"
        report.expect(f"{method}: the first line", f"{method} {target} HTTP/1.1", first, hint)
        report.expect(f"{method}: the header Host", host, headers.get("host"), "'Host: ' and the argument as it comes")
        report.expect(f"{method}: the body", text, body.decode(errors="replace"), "the text in UTF-8, and nothing else")
        hint = "count the bytes that you send, not the characters of the text: they differ where UTF-8 takes several"
        length = headers.get("content-length", "0" if method == "GET" else "no such header")
        report.expect(f"{method}: Content-Length", str(len(body)), length, hint)
        if text:
            kind = headers.get("content-type", "no such header").lower().replace(" ", "")
            report.expect("POST: Content-Type", "text/plain;charset=utf-8", kind, "it says what the bytes mean")


def notes(report: Report, target: Any) -> None:
    """GET, POST /notes; GET, PUT, DELETE /notes/{id}."""
    with served(target) as url:
        first, second, third, fourth = (f"note {token_hex(4)}" for _ in range(4))
        one = _created(report, f"{url}/notes", "text", first)
        two = one and _created(report, f"{url}/notes", "text", second)
        if not two or not _deleted(report, one):
            return
        requests.post(f"{url}/notes", json={"text": third}, timeout=SECONDS)
        hint = "an id must be free: after a DELETE, len(notes) + 1 belongs to another note; take next(ids)"
        wanted = sorted([second, third])
        report.expect("POST after a DELETE overwrites nothing", wanted, _texts(url, first, *wanted), hint)
        new = f"{url}/notes/{random.randint(10**6, 10**7)}"
        hint = "PUT makes the note where there is none, and says so: response.status_code = 201"
        if not _status(report, "PUT", new, 201, hint, {"text": third}):
            return
        hint = "201 is for a new note only: look whether it is there before you write it"
        again = requests.put(new, json={"text": fourth}, timeout=SECONDS).status_code
        report.expect("PUT once more: the status", again if again in (200, 204) else "200 or 204", again, hint)
        hint = "PUT replaces what stands under the id of the URL; it takes no new id, and adds nothing a second time"
        wanted = sorted([second, third, fourth])
        report.expect("two PUTs leave one note, the last", wanted, _texts(url, *wanted), hint)
        hint = "FastAPI answers so by itself, as long as no route of yours takes PATCH"
        answer = requests.patch(two, timeout=SECONDS)
        came = (answer.status_code, "Allow" if "allow" in answer.headers else "no Allow")
        report.expect("PATCH: status and header", (405, "Allow"), came, hint)
        hint = "text: str = Body(embed=True), without a default value"
        _status(report, "POST", f"{url}/notes", 422, hint, {"txt": first}, " without text")


def alarms(report: Report, target: Any) -> None:
    """GET, POST /alarms; GET, PATCH, DELETE /alarms/{id}; nothing under the old paths."""
    with served(target) as url:
        hint = "the list is a resource: put a noun into the path, @alarm_app.get('/alarms')"
        if not _status(report, "GET", f"{url}/alarms", 200, hint):
            return
        taken = {each.get("label") for each in _json(f"{url}/alarms", [])}
        known = (ROOT / "yololab/vision" / "starter.names").read_text().splitlines()
        label, other = random.sample([each for each in known if each not in taken], 2)
        one = _created(report, f"{url}/alarms", "label", label)
        if not one:
            return
        hint = "an error is a status, not a success with {'error': ...}: raise HTTPException(422, ...)"
        _status(report, "POST", f"{url}/alarms", 422, hint, {"label": token_hex(4)}, " of an unknown label")
        hint = "look through the labels in alarms.values() before you make an alarm; 409 is for what clashes"
        _status(report, "POST", f"{url}/alarms", 409, hint, {"label": label}, " of the same label again")
        hint = "take muted: bool = Body(embed=True), store it, and return the alarm"
        for muted in (True, False):
            _status(report, "PATCH", one, 200, hint, {"muted": muted})
            report.expect(f"GET shows muted {muted}", muted, _json(one, {}).get("muted"), hint)
        before, number = _json(f"{url}/alarms", []), _json(one, {}).get("id")
        for old in (f"createAlarm?label={other}", f"muteAlarm?id={number}", f"deleteAlarm?id={number}", "getAlarms"):
            _status(report, "GET", f"{url}/{old}", 404, "take the old route away: it has a verb in its path")
        hint = "a client may send any GET at any time: move what changes something to POST, PATCH and DELETE"
        report.expect("no GET has changed the alarms", before, _json(f"{url}/alarms", []), hint)
        if _deleted(report, one):
            _status(report, "PATCH", one, 404, "no alarm, nothing to change: HTTPException(404, ...)", {"muted": True})


def _status(report: Report, method: str, url: str, wanted: int, hint: str, body: Any = None, what: str = "") -> bool:
    came = requests.request(method, url, json=body, timeout=SECONDS).status_code
    return report.expect(f"{method} {urlsplit(url).path}{what}: the status", wanted, came, hint)


def _json(url: str, default: Any) -> Any:
    """What GET answers, where it is JSON of the same type as `default`."""
    answer = requests.get(url, timeout=SECONDS)
    found = answer.json() if "json" in answer.headers.get("content-type", "") else default
    return found if isinstance(found, type(default)) else default


def _texts(url: str, *texts: str) -> list[str]:
    """Those of `texts` that GET /notes lists, as often as it does."""
    return sorted(each.get("text") for each in _json(f"{url}/notes", []) if each.get("text") in texts)


def _created(report: Report, url: str, field: str, value: str) -> str | None:
    """POST something new; its URL, or None where it was not made or cannot be found."""
    path, answer = urlsplit(url).path, requests.post(url, json={field: value}, timeout=SECONDS)
    hint = f"write a function under @app.post('{path}', status_code=201) that returns what it has made"
    if answer.status_code == 422:
        hint = f"the route refuses {{'{field}': '{value}'}}: take it with {field}: str = Body(embed=True)"
    if not report.expect(f"POST {path}: the status", 201, answer.status_code, hint):
        return None
    location = answer.headers.get("location", "no such header")
    hint = f"take response: Response as an argument, and set response.headers['Location'] = f'{path}/...'"
    if not report.expect("its header Location", location if "/" in location else f"{path}/...", location, hint):
        return None
    there = urljoin(url, location)
    hint = f"Location must lead to what was made, so this route is needed: @app.get('{path}/{{id}}')"
    if not _status(report, "GET", there, 200, hint):
        return None
    hint = f"store a dictionary with id and {field}, and return it from POST and from GET"
    report.expect(f"it has the {field} that was sent", value, _json(there, {}).get(field), hint)
    return there


def _deleted(report: Report, url: str) -> bool:
    """DELETE twice: 204, then 404."""
    if not _status(report, "DELETE", url, 204, "put status_code=204 into the decorator, and return nothing"):
        return False
    hint = "where the id is not in the dictionary (any more), raise HTTPException(404, ...)"
    return _status(report, "DELETE", url, 404, hint, what=" again") and _status(report, "GET", url, 404, hint)


EXERCISES = {"1": by_hand, "2": notes, "3": alarms}
