"""Lesson 1: a request written by hand, an API for notes, an API for alarms repaired."""

import random
import re
from collections.abc import Callable
from secrets import token_hex
from typing import Any

from .answer import Answer
from .pictures import starter
from .probe import Probe, served
from .report import Report, Such

CLOSED = r"put \r\n after each line of the head, and one more \r\n behind it, even where no body follows"
LENGTH = "count the bytes that you send, not the characters of the text: they differ where UTF-8 takes several"


def by_hand(report: Report, write: Callable) -> None:
    """write(method, target, host, text) -> the bytes of a request."""
    host, word = f"{token_hex(4)}.example:8000", f"w{token_hex(4)}"
    cases = [("GET", f"/cameras/{word}?limit=5", ""), ("POST", f"/notes?by={word}", f"{word} 3 °C")]
    for method, target, text in cases:
        data = write(method, target, host, text)
        report.require(f"{method}: what is returned", "bytes", type(data).__name__, "encode head and text")
        head, end, body = data.partition(b"\r\n\r\n")
        ended = "an empty line" if end else "no empty line"
        ended = r"\r or \n alone" if re.search(rb"(?<!\r)\n|\r(?!\n)", head) else ended
        report.require(f"{method}: the head is closed", "an empty line", ended, CLOSED)
        first, *lines = head.decode(errors="replace").split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        length = headers.get("content-length", "0" if method == "GET" else "no such header")
        kind = headers.get("content-type", "no such header").lower().replace(" ", "")
        first_hint = "three words with single spaces between them; the target is encoded already"
        for what, expected, actual, hint in (
            ("the first line", f"{method} {target} HTTP/1.1", first, first_hint),
            ("the header Host", host, headers.get("host"), "'Host: ' and the argument as it comes"),
            ("the body", text, body.decode(errors="replace"), "the text in UTF-8, and nothing else"),
            ("Content-Length", str(len(body)), length, LENGTH),
            *[("Content-Type", "text/plain;charset=utf-8", kind, "it says what the bytes mean")] * bool(text),
        ):
            report.expect(f"{method}: {what}", expected, actual, hint)


def notes(report: Report, target: Any) -> None:
    """GET, POST /notes; GET, PUT, DELETE /notes/{id}."""
    texts = first, second, third, fourth = [f"note {token_hex(4)}" for _ in range(4)]

    def listed() -> list[str]:
        return sorted(text for each in _json(api.get("/notes"), []) if (text := each.get("text")) in texts)

    with served(report, target) as api:
        one, two = (_created(api, "/notes", "text", text) for text in (first, second))
        _deleted(api, one)
        api.post("/notes", json={"text": third})
        hint = "an id must be free: after a DELETE, len(notes) + 1 is another note's; take the next of ids not in notes"
        report.expect("POST after a DELETE overwrites nothing", sorted([second, third]), listed(), hint)
        new = f"/notes/{random.randint(10**6, 10**7)}"
        hint = "PUT makes the note where there is none, and says so: response.status_code = 201"
        api.put(new, json={"text": third}, hint=hint).require(201)
        hint = "201 is for a new note only: look whether it is there before you write it"
        api.put(new, json={"text": fourth}).expect((200, 204), "PUT once more: the status", hint)
        hint = "PUT replaces what stands under the id of the URL; it takes no new id, and adds nothing a second time"
        report.expect("two PUTs leave one note, the last", sorted([second, third, fourth]), listed(), hint)
        hint = "PUT may have taken the id that comes next: take the next of ids that is not in notes"
        number = _json(api.post("/notes", json={"text": first}), {}).get("id")
        if isinstance(number, int):
            api.put(f"/notes/{number + 1}", json={"text": second})
            later = _json(api.post("/notes", json={"text": first}), {}).get("id")
            kept = _json(api.get(f"/notes/{number + 1}"), {}).get("text")
            report.expect("POST overwrites no note that PUT has made", second, kept, hint)
            for each in (number, number + 1, later):
                api.delete(f"/notes/{each}")
        hint = "take your route for PATCH away: FastAPI then answers 405 by itself"
        api.patch(two, hint=hint).expect(405, "PATCH of a note: status and header", headers=("Allow",))
        hint = "text: str = Body(embed=True), without a default value"
        api.post("/notes", json={"txt": first}, hint=hint).expect(422, "POST /notes without text")


def alarms(report: Report, target: Any) -> None:
    """GET, POST /alarms; GET, PATCH, DELETE /alarms/{id}; nothing under the old paths."""
    with served(report, target) as api:
        hint = "the list is a resource: put a noun into the path, @alarm_app.get('/alarms')"
        taken = {each.get("label") for each in _json(api.get("/alarms", missing=hint).require(200), [])}
        label, other = random.sample([each for each in starter().labels if each not in taken], 2)
        one = _created(api, "/alarms", "label", label)
        hint = "an error is a status, not a success with {'error': ...}: raise HTTPException(422, ...)"
        api.post("/alarms", json={"label": token_hex(4)}, hint=hint).expect(422, "POST of an unknown label")
        hint = "look through the labels in alarms.values() before you make an alarm; 409 is for what clashes"
        api.post("/alarms", json={"label": label}, hint=hint).expect(409, "POST of the same label again")
        hint = "take muted: bool = Body(embed=True), store it, and return the alarm"
        for muted in (True, False):
            api.patch(one, json={"muted": muted}, hint=hint).expect(200)
            report.expect(f"GET shows muted {muted}", muted, _json(api.get(one), {}).get("muted"), hint)
        before, number = _json(api.get("/alarms"), []), _json(api.get(one), {}).get("id")
        for old in (f"createAlarm?label={other}", f"muteAlarm?id={number}", f"deleteAlarm?id={number}", "getAlarms"):
            api.get(f"/{old}").expect(404, hint="take the old route away: it has a verb in its path")
        hint = "a client may send any GET at any time: move what changes something to POST, PATCH and DELETE"
        report.expect("no GET has changed the alarms", before, _json(api.get("/alarms"), []), hint)
        _deleted(api, one)
        api.patch(one, json={"muted": True}).expect(404, hint="no alarm, nothing to change: HTTPException(404, ...)")


def _json(answer: Answer, default: Any) -> Any:
    """The answer's JSON, where it has the type of `default`."""
    return answer.json if isinstance(answer.json, type(default)) else default


def _created(api: Probe, path: str, field: str, value: str) -> str:
    """POST something new, and find it where Location says; its URL."""
    missing = f"write a function under @app.post('{path}', status_code=201) that returns what it has made"
    refused = f"the route refuses {{'{field}': '{value}'}}: take it with {field}: str = Body(embed=True)"
    posted = api.post(path, json={field: value}, missing=missing, hint=missing).require(201, hints={422: refused})
    location = posted.headers.get("location", "no such header")
    hint = f"take response: Response as an argument, and set response.headers['Location'] = f'{path}/...'"
    api.report.require("its header Location", Such(f"{path}/...", lambda text: "/" in text), location, hint)
    hint = f"Location must lead to what was made, so this route is needed: @app.get('{path}/{{id}}')"
    found = api.get(posted.location, hint=hint).require(200)
    hint = f"store a dictionary with id and {field}, and return it from POST and from GET"
    api.report.expect(f"it has the {field} that was sent", value, _json(found, {}).get(field), hint)
    return posted.location


def _deleted(api: Probe, url: str) -> None:
    """DELETE twice: 204, then 404."""
    hint = "put status_code=204 into the decorator, and return nothing"
    api.delete(url, hint=hint).require(204)
    hint = "where the id is not in the dictionary (any more), raise HTTPException(404, ...)"
    api.delete(url, hint=hint).require(404, "DELETE once more")
    api.get(url, hint=hint).require(404, "GET of what was deleted")


EXERCISES = {"1": by_hand, "2": notes, "3": alarms}
