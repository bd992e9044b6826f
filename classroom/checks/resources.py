"""What the exercises ask of a resource: made, found under its URL, listed, deleted; and cases that print no line."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from .answer import Answer
from .probe import Probe
from .report import Report, Such, having


@contextmanager
def only_wrong(report: Report) -> Iterator[None]:
    """Of what is noted inside, only what is wrong stays: more cases of what lines before have said."""
    first = len(report.lines)
    try:
        yield
    finally:
        report.lines[first:] = [line for line in report.lines[first:] if not line[0]]


def json_of(answer: Answer, default: Any) -> Any:
    """The answer's JSON, where it has the type of `default`."""
    return answer.json if isinstance(answer.json, type(default)) else default


def all_of(api: Probe, path: str) -> list[dict]:
    """What GET of the path lists: whole dictionaries."""
    name = path.strip("/")
    hint = f"return list({name}.values()): a list, and in it the whole dictionaries, as GET {path}/{{id}} answers them"
    whole = Such("a list of dictionaries", lambda found: found == [each for each in found if isinstance(each, dict)])
    with only_wrong(api.report):
        return api.get(path, hint=hint).require(200, f"GET {path} answers a list", json=whole).json


def thing(url: str, fields: dict) -> Such:
    """A dictionary with the id of the URL and these fields."""
    number = url.rpartition("/")[2]
    words = f"{{'id': {number}, {str(fields)[1:]}"
    return Such(words, lambda found: f"{found['id']}" == number and having(fields) == found)


def answers(api: Probe, answer: Answer, url: str, fields: dict) -> None:
    """The answer holds what was made or changed, as GET shows it then; a 204 holds nothing."""
    hint = f"return what you have stored, a dictionary with {' and '.join(['id', *fields])}"
    with only_wrong(api.report):
        if answer and answer.status != 204:
            answer.expect(json=thing(url, fields), what=f"{answer.name} answers what it has stored", hint=hint)
        hint = f"store it under the id of the URL, which is a number, id: int; {hint}"
        found = api.get(url, hint=hint).expect(200, "GET of it", json=thing(url, fields))
        if found and answer and answer.status != 204:
            api.report.expect(f"{answer.name} answers what GET shows", found.json, answer.json, hint)


def created(api: Probe, path: str, sent: dict, more: dict | None = None) -> str:
    """POST something new, and find it where Location says; its URL. more: what it has besides."""
    field, fields = next(iter(sent)), sent | (more or {})
    missing = f"write a function under @app.post('{path}', status_code=201) that returns what it has made"
    refused = f"the route refuses {sent}: take it with {field}: str = Body(embed=True)"
    posted = api.post(path, json=sent, missing=missing, hint=missing).require(201, hints={422: refused})
    location = posted.headers.get("location", "no such header")
    hint = f"take response: Response as an argument, and set response.headers['Location'] = f'{path}/...'"
    api.report.require("its header Location", Such(f"{path}/...", lambda text: "/" in text), location, hint)
    found = _found(api, posted.location, path)
    hint = f"store a dictionary with {' and '.join(['id', *fields])}, and return it from POST and from GET"
    api.report.expect(f"it has the {field} that was sent", thing(posted.location, fields), found, hint)
    with only_wrong(api.report):
        posted.expect(json=found, what=f"POST {path} answers what GET shows", hint=hint)
        hint = f"return list({path.strip('/')}.values()): all of them, as GET {path}/{{id}} answers each"
        has = Such(f"a list with {found}", lambda listed: found in listed)
        api.report.require(f"GET {path} lists it", has, all_of(api, path), hint)
    return posted.location


def _found(api: Probe, url: str, path: str) -> Any:
    """What GET answers where Location leads."""
    found, there = api.get(url), False
    if found.status == 404:  # from the student's function, or is there none? Only a path that is there has methods
        there = api.request("OPTIONS", url).status == 405
    if there:
        hint = "the id in the path is a text where the signature does not say id: int, and 1 is not '1'"
        api.report.require(found.name, 200, f"{found.status}: {found.text[:200]}", hint)
    hint = f"Location must lead to what was made, so this route is needed: @app.get('{path}/{{id}}')"
    return found.require(200, hint=hint).json


def deleted(api: Probe, url: str) -> None:
    """DELETE twice: 204, then 404."""
    number = "take id: int, as in GET: where the signature says nothing, the path's id is a text, and 1 is not '1'"
    hint = "put status_code=204 into the decorator, and return nothing"
    missing = "write a function under .delete('.../{id}', status_code=204) that takes it out of the dictionary"
    api.delete(url, hint=hint, missing=missing).require(204, hints={404: number})
    hint = "where the id is not in the dictionary (any more), raise HTTPException(404, ...)"
    api.delete(url, hint=hint).require(404, "DELETE once more")
    api.get(url, hint=hint).require(404, "GET of what was deleted")
