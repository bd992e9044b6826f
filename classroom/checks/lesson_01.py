"""Lesson 1: a request written by hand, an API for notes, an API for alarms repaired."""

import random
import re
from collections.abc import Callable
from inspect import signature
from secrets import token_hex
from typing import Any

from .pictures import starter
from .probe import Probe, ended, served
from .report import Report, Such
from .resources import all_of, answers, created, deleted, json_of, only_wrong, thing

CLOSED = r"put \r\n after each line of the head, and one more \r\n behind it, even where no body follows"
LENGTH = "count the bytes that you send, not the characters of the text: they differ where UTF-8 takes several"
ABSENT = "no such header"
NO_TEXT = "only where there is a text: ask for the text, not for the method"
RETURNED = {
    "NoneType": "end with return and the bytes: a function that only prints, or has no return, returns None",
    "coroutine": "write def, not async def: the function is called, and nobody awaits it",
    "str": "encode head and text: these are characters, and bytes are sent",
}


def by_hand(report: Report, write: Callable) -> None:
    """write(method, target, host, text) -> the bytes of a request."""
    host, word = f"{token_hex(4)}.example:8000", f"w{token_hex(4)}"
    _written(report, write, "GET", "GET", f"/cameras/{word}%201?limit=5", host)
    _written(report, write, "POST", "POST", f"/notes?by={word}", host, f"{word} 3 °C")
    with only_wrong(report):  # whether there is a body, the text says, and not the method
        _written(report, write, "POST without a text", "POST", f"/{word}", host, "")
        _written(report, write, "DELETE with a text", "DELETE", f"/{word}", host, f"Zürich\r\n\r\n{word}")


def _written(report: Report, write: Callable, name: str, *request: str) -> None:
    """What the function writes for method, target, host and perhaps a text."""
    method, target, host, text = (*request, "")[:4]
    try:
        signature(write).bind(*request)
    except TypeError as error:
        hint = 'def write_request(method, target, host, text=""): text may be left out'
        report.require(f"{name}: called with {len(request)} arguments", "bytes", f"TypeError: {error}", hint)
    data = ended(report, write, *request)
    kind = type(data).__name__
    report.require(f"{name}: what is returned", "bytes", kind, RETURNED.get(kind, "encode head and text"))
    head, end, body = data.partition(b"\r\n\r\n")
    closed = "an empty line" if end else "no empty line"
    closed = r"\r or \n alone" if re.search(rb"(?<!\r)\n|\r(?!\n)", head) else closed
    report.require(f"{name}: the head is closed", "an empty line", closed, CLOSED)
    first, *lines = head.decode(errors="replace").split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    length, kind = (headers.get(f"content-{what}", ABSENT) for what in ("length", "type"))
    lengths = (
        str(len(body)) if text else ABSENT if method == "GET" else Such(f"0, or {ABSENT}", {"0", ABSENT}.__contains__)
    )
    first_hint = "three words with single spaces between them; the target is encoded already"
    for what, expected, actual, hint in (
        ("the first line", f"{method} {target} HTTP/1.1", first, first_hint),
        ("the header Host", host, headers.get("host"), "'Host: ' and the argument as it comes"),
        ("the body", text, body.decode(errors="replace"), "the text in UTF-8, and nothing else"),
        ("Content-Length", lengths, length, LENGTH if text else NO_TEXT),
    ):
        report.expect(f"{name}: {what}", expected, actual, hint)
    if text:
        kind = kind if kind == ABSENT else kind.lower().replace(" ", "")
        report.expect(f"{name}: Content-Type", "text/plain;charset=utf-8", kind, "it says what the bytes mean")
    elif kind != ABSENT:
        report.expect(f"{name}: Content-Type", ABSENT, kind, NO_TEXT)


def notes(report: Report, target: Any) -> None:
    """GET, POST /notes; GET, PUT, DELETE /notes/{id}."""
    texts = first, second, third, fourth = [f"note {token_hex(4)}" for _ in range(4)]

    def listed() -> list[str]:
        return sorted(text for each in all_of(api, "/notes") if (text := each.get("text")) in texts)

    with served(report, target) as api:
        one, two = (created(api, "/notes", {"text": text}) for text in (first, second))
        deleted(api, one)
        api.post("/notes", json={"text": third})
        hint = "an id must be free: after a DELETE, len(notes) + 1 is another note's; take the next of ids not in notes"
        report.expect("POST after a DELETE overwrites nothing", sorted([second, third]), listed(), hint)
        new = f"/notes/{random.randint(10**6, 10**7)}"
        missing = "write a function under @app.put('/notes/{id}'), with id: int and text: str = Body(embed=True)"
        hint = "PUT makes the note where there is none, and says so: response.status_code = 201"
        put = api.put(new, json={"text": third}, hint=hint, missing=missing).require(201)
        answers(api, put, new, {"text": third})
        hint = "201 is for a new note only: look whether it is there before you write it"
        put = api.put(new, json={"text": fourth}).expect((200, 204), "PUT once more: the status", hint)
        answers(api, put, new, {"text": fourth})
        hint = "PUT replaces what stands under the id of the URL; it takes no new id, and adds nothing a second time"
        report.expect("two PUTs leave one note, the last", sorted([second, third, fourth]), listed(), hint)
        hint = "PUT may have taken the id that comes next: take the next of ids that is not in notes"
        number = json_of(api.post("/notes", json={"text": first}), {}).get("id")
        if isinstance(number, int):
            api.put(f"/notes/{number + 1}", json={"text": second})
            again = api.post("/notes", json={"text": first}, hint=hint)
            kept = json_of(api.get(f"/notes/{number + 1}"), {}).get("text")
            report.expect("POST overwrites no note that PUT has made", second, kept, hint)
            with only_wrong(report):
                again.expect(201, "POST where PUT has taken the next id")
            for each in (number, number + 1, json_of(again, {}).get("id")):
                api.delete(f"/notes/{each}")
        hint = "take your route for PATCH away: FastAPI then answers 405 by itself"
        api.patch(two, hint=hint).expect(405, "PATCH of a note: status and header", headers=("Allow",))
        hint = "text: str = Body(embed=True), without a default value"
        api.post("/notes", json={"txt": first}, hint=hint).expect(422, "POST /notes without text")
        with only_wrong(report):
            api.put(two, json={"txt": first}, hint=hint).expect(422, "PUT of a note without text")


def alarms(report: Report, target: Any) -> None:
    """GET, POST /alarms; GET, PATCH, DELETE /alarms/{id}; nothing under the old paths."""
    with served(report, target) as api:
        hint = "the list is a resource: put a noun into the path, @alarm_app.get('/alarms')"
        api.get("/alarms", missing=hint).require(200)
        taken = {each.get("label") for each in all_of(api, "/alarms")}
        label, other, third = random.sample([each for each in starter().labels if each not in taken], 3)
        one = created(api, "/alarms", {"label": label}, {"muted": False})
        before = all_of(api, "/alarms")
        hint = "an error is a status, not a success with {'error': ...}: raise HTTPException(422, ...)"
        api.post("/alarms", json={"label": f"w{token_hex(4)}"}, hint=hint).expect(422, "POST of an unknown label")
        hint = "look through the labels in alarms.values() before you make an alarm; 409 is for what clashes"
        api.post("/alarms", json={"label": label}, hint=hint).expect(409, "POST of the same label again")
        with only_wrong(report):
            report.expect("a POST that is refused makes no alarm", before, all_of(api, "/alarms"), hint)
            beside = created(api, "/alarms", {"label": other}, {"muted": False})  # nothing below may change this one
        for muted in (True, False):
            _muted(api, one, label, muted)
        before, number = all_of(api, "/alarms"), json_of(api.get(one), {}).get("id")
        for old in (f"createAlarm?label={third}", f"muteAlarm?id={number}", f"deleteAlarm?id={number}", "getAlarms"):
            api.get(f"/{old}").expect(404, hint="take the old route away: it has a verb in its path")
        hint = "a client may send any GET at any time: move what changes something to POST, PATCH and DELETE"
        report.expect("no GET has changed the alarms", before, all_of(api, "/alarms"), hint)
        deleted(api, one)
        api.patch(one, json={"muted": True}).expect(404, hint="no alarm, nothing to change: HTTPException(404, ...)")
        with only_wrong(report):
            deleted(api, beside)


def _muted(api: Probe, url: str, label: str, muted: bool) -> None:
    """PATCH sets muted, also where it is so already, and changes no other alarm."""
    hint = "take muted: bool = Body(embed=True), store it as it comes, and return the alarm"
    others = [each for each in all_of(api, "/alarms") if each.get("label") != label]
    first = api.patch(url, json={"muted": muted}, hint=hint).expect(200)
    again = api.patch(url, json={"muted": muted}, hint=hint)  # whoever toggles is wrong now
    api.report.expect(f"GET shows muted {muted}", muted, json_of(api.get(url), {}).get("muted"), hint)
    with only_wrong(api.report):
        for patched in (first, again):
            patched.expect(200, json=thing(url, {"label": label, "muted": muted}), what="PATCH answers the alarm")
        left = [each for each in all_of(api, "/alarms") if each.get("label") != label]
        api.report.expect("PATCH leaves the other alarms as they were", others, left, hint)


EXERCISES = {"1": by_hand, "2": notes, "3": alarms}
