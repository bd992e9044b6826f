"""Lesson 3: albums with a unique name, PUT against PATCH, a list that can be asked."""

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from random import uniform
from typing import Any
from urllib.parse import urljoin
from uuid import uuid4

import requests

from .report import SECONDS, Report, served

ROUNDS, CLIENTS = 5, 8  # how often so many send the same name at once
UNKNOWN = 987_654_321  # no new database gives such an id
RAISED = "the route raised an exception, which the server has printed: its last line says most"
LOADS = "answer all of the row: a commit empties its object, and session.refresh, or a response_model, loads it again"


def ask(method: str, url: str, body: Any = None, **params: Any) -> tuple[int, Any]:
    """Status and JSON of an answer; its text where it is no JSON."""
    answer = requests.request(method, url, json=body, params=params, timeout=SECONDS)
    is_json = answer.content and answer.headers.get("content-type", "").startswith("application/json")
    return answer.status_code, answer.json() if is_json else answer.text


def make(report: Report, url: str, body: dict) -> dict | None:
    """What POST made; None, after a line that says why, where nothing was made."""
    status, made = ask("POST", url, body)
    path = "/" + url.rpartition("/")[2]
    came = {key: made.get(key) for key in body} if isinstance(made, dict) and "id" in made else made
    hint = f"add a function under .post('{path}', status_code=201) of your app, that takes a model of the body"
    what = f"POST {path} creates, and answers what was sent with an id"
    hint = {201: LOADS, 500: RAISED}.get(status, hint)
    return made if report.expect(what, (201, body), (status, came), hint) else None


def albums(report: Report, target: Any) -> None:
    """POST, GET, DELETE of albums; a name is there once, also under eight posts at the same moment."""
    with served(target) as server:
        url, name = f"{server}/albums", f"album {uuid4().hex}"
        if (album := make(report, url, {"name": name})) is None:
            return
        own, unknown = f"{url}/{album['id']}", f"{url}/{UNKNOWN}"
        hint = 'with a parameter response: Response, set response.headers["Location"] to the path of the new album'
        answer = requests.post(url, json={"name": name[:-1]}, timeout=SECONDS)
        came = ask("GET", urljoin(url, answer.headers.get("location", "no-location")))
        report.expect("Location leads to the new album", (200, answer.json()), came, hint)
        came, hint = [ask(how, unknown)[0] for how in ("GET", "DELETE")], "session.get gives None: answer 404"
        report.expect("GET and DELETE of an unknown album are 404", [404, 404], came, hint)
        hint = "min_length=1 and max_length=50, in the model of the body: a table model checks nothing"
        came = [ask("POST", url, {"name": "x" * length})[0] for length in (0, 51)]
        report.expect("a name of 0 or of 51 characters is refused", [422, 422], came, hint)
        hint = "unique=True in the table; catch sqlalchemy.exc.IntegrityError around the commit, and roll back"
        came = [ask("POST", url, {"name": each})[0] for each in (name, name, f"not {name}"[:50])]
        if report.expect("a taken name is a conflict, and the next new one is none", [409, 409, 201], came, hint):
            race(report, url)
        hint = "status_code=204 in the decorator; session.delete, commit, return nothing; 404 when it is gone"
        came = [ask("DELETE", own), ask("GET", own)[0], ask("DELETE", own)[0]]
        report.expect("DELETE: 204 and no body, then GET and DELETE are 404", [(204, ""), 404, 404], came, hint)
        report.expect("its name is free again", 201, ask("POST", url, {"name": name})[0], "delete the row, and commit")


def race(report: Report, url: str) -> None:
    """One new name from all clients at once, some rounds; ends at the first that goes wrong."""
    wanted = {201: 1, 409: CLIENTS - 1}
    with ThreadPoolExecutor(CLIENTS) as pool:
        for _ in range(ROUNDS):
            bodies = [{"name": f"race {uuid4().hex}"}] * CLIENTS
            answers = pool.map(ask, ["POST"] * CLIENTS, [url] * CLIENTS, bodies)
            if (came := dict(Counter(status for status, _ in answers))) != wanted:
                break
    hint = "a look before the insert proves nothing: let the unique constraint decide, and turn its error into 409"
    report.expect(f"{CLIENTS} clients send one new name at once; how often each status", wanted, came, hint)


def cameras(report: Report, target: Any) -> None:
    """PUT replaces all of a camera, PATCH changes what was sent."""
    body = {"name": f"camera {uuid4().hex[:8]}", "place": f"room {uuid4().hex[:8]}", "active": False}
    with served(target) as server:
        if (camera := make(report, url := f"{server}/cameras", body)) is None:
            return
        own = f"{url}/{camera['id']}"
        put(report, own, camera)
        ask("PUT", own, body)
        patch(report, own, ask("GET", own)[1])
        came = [ask(how, f"{url}/{UNKNOWN}", {"name": "x"})[0] for how in ("PUT", "PATCH")]
        report.expect("PUT and PATCH of an unknown camera are 404", [404, 404], came, "as in read_camera")


def put(report: Report, own: str, camera: dict) -> None:
    """A name alone resets the rest; twice is as once; a part is refused."""
    reset = camera | {"name": f"new {camera['name']}", "place": "", "active": True}
    hint = "@cameras.put('/cameras/{number}') takes the model of POST: copy all its fields, those left out as well"
    came = [ask("PUT", own, {"name": reset["name"]}) for _ in range(2)]
    hint = LOADS if came[0] == (200, {}) else hint
    if report.expect("PUT of a name alone resets the rest, also twice", [(200, reset)] * 2, came, hint):
        report.expect("what PUT answered is stored", (200, reset), ask("GET", own), "commit the session")
        report.expect("PUT without a name is refused", 422, ask("PUT", own, {"place": "x"})[0], "as in POST")


def patch(report: Report, own: str, camera: dict) -> None:
    """Only what was sent changes; false and "" count; null is refused."""
    moved, empty = camera | {"place": "in the hall"}, camera | {"active": False, "place": ""}
    hint = "@cameras.patch(...): model_dump(exclude_unset=True) holds the fields that came, and no others"
    came = ask("PATCH", own, {"place": moved["place"]})
    hint = LOADS if came == (200, {}) else hint
    if not report.expect("PATCH of place changes place alone", (200, moved), came, hint):
        return
    came = [ask("PATCH", own, {"active": True})[0], ask("PATCH", own, {"active": False, "place": ""})]
    hint = "false and an empty text are values, too: do not ask `if value:`, ask which fields were set"
    report.expect("PATCH to false and to an empty text counts", [200, (200, empty)], came, hint)
    hint = "keep the types str and bool, without | None, and give Field(default=None): defaults are not checked"
    came = [ask("PATCH", own, {each: None})[0] for each in ("name", "place", "active")]
    report.expect("PATCH of name, place or active to null is refused", [422] * 3, came, hint)
    report.expect("PATCH with {} changes nothing", ask("GET", own), ask("PATCH", own, {}), "{} is no mistake")


def hits(report: Report, target: Any) -> None:
    """GET /detections: filter, sort and page."""
    with served(target) as server:
        url, label = f"{server}/detections", f"label-{uuid4().hex}"
        values = [0.1, 0.2, *(round(uniform(0.1, 0.9), 4) for _ in range(16)), 0.5, 0.95, 0.95, 0.95, 0.3]
        rows = [make(report, url, {"label": label, "confidence": each}) for each in values[:1]]
        rows += [ask("POST", url, {"label": label, "confidence": each})[1] for each in values[1:] if rows[0]]
        if len(rows) < len(values):
            return
        ask("POST", url, {"label": f"{label}-2", "confidence": 0.97})
        wanted, came = (200, {"total": len(rows), "items": rows[:1]}), ask("GET", url, label=label, limit=1)
        hint = 'answer {"total": ..., "items": [...]}; total counts all that fit, an item has id, label and confidence'
        if not report.expect("GET /detections, one item of one label", wanted, came, hint):
            return
        sure = [each for each in rows if each["confidence"] >= 0.5]
        rising = sorted(rows, key=lambda each: each["confidence"])
        falling = sorted(rows, key=lambda each: -each["confidence"])  # stable: equal ones stay by id
        two = "order_by takes two columns: the second one, Hit.id, is for those that are equal in the first"
        for query, total, part, hint in (
            ("", rows, rows[:20], "limit is 20 where it is left out, and sort is id"),
            ("min_confidence=0.5", sure, sure, "at least means >=; total counts what fits"),
            ("sort=-id&limit=100", rows, rows[::-1], "order_by(Hit.id.desc())"),
            ("sort=confidence&limit=100", rows, rising, two),
            ("sort=-confidence&limit=100", rows, falling, two),
            *((f"sort=-confidence&limit=8&offset={n}", rows, falling[n : n + 8], two) for n in (0, 8, 16, 24)),
        ):
            page = ask("GET", f"{url}?label={label}&{query}")[1]
            came = (page.get("total"), [each["id"] for each in page["items"]]) if "items" in page else page
            wanted = (len(total), [each["id"] for each in part])
            report.expect(f"total and ids for label=...&{query}", wanted, came, hint)
        came = ask("GET", url, label=f"{label}' OR '1'='1")
        report.expect("an injected label", (200, {"total": 0, "items": []}), came, "never build SQL from a text")
        hint = "Query(ge=..., le=...) for the numbers, Literal[...] for sort"
        for bad in ("limit=0", "limit=101", "offset=-1", "min_confidence=1.5", "sort=label"):
            report.expect(f"{bad} is refused", 422, ask("GET", f"{url}?{bad}")[0], hint)


EXERCISES = {"1": albums, "2": cameras, "3": hits}
