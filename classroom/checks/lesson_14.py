"""The exercises of lesson 14: metrics for an API, and a rule that says when to wake somebody."""

import random
from collections.abc import Callable
from secrets import token_hex
from time import sleep
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

from .answer import RAISED
from .probe import SECONDS, Probe, at_once, ended, served
from .report import Report, Stop, between
from .watched import crash

NO_ANSWER = {
    "NoneType": "the function returns nothing: return the answer, True or False, in each case; print only shows it",
    "coroutine": "a plain def, no async: calling an async function only makes a coroutine",
    "async_generator": "a plain def, no async and no yield: return True or False",
    "generator": "no yield: it makes a generator, which is always true; return True or False",
}
EXACT = "more than 5 %, however little more: compare the share itself, without // or round()"
NEARLY = ("5.01 %", True, [{"200": 0}, {"200": 9499, "500": 501}], EXACT)
PICTURES, WAIT, DIVIDE = "/pictures/{number}", "/wait/{ms}", "/divide/{a}/{b}"


def metrics_api(report: Report, target: Any) -> None:
    """requests_total{route,status} and request_seconds{route}: exact, in seconds, with templates as routes."""
    # with a letter: twelve hexadecimal digits may all be decimal ones, and then they are a number
    word, ids = f"w{token_hex(6)}", random.sample(range(10**6, 10**9), 50)
    with served(report, target) as api:
        hint = "a route /metrics that answers the text itself, not JSON of it: Response(prom.generate_latest(registry))"
        api.get("/metrics", hint=hint).require(200)
        try:
            readable, before = "readable", _scrape(api)[0]
        except ValueError as error:
            readable = f"{error}"[:80]
        report.require("GET /metrics answers the Prometheus format", "readable", readable, hint)
        paths = [*(f"/pictures/{each}" for each in ids[:20]), *(f"/pictures/{word}{each}" for each in range(3))]
        paths += [*(f"/{word}/{each}" for each in range(5)), f"/divide/{ids[0]}/7", "/wait/1", "/wait/300"]
        at_once(api.get, paths)
        counts = {(PICTURES, "200"): 20, (PICTURES, "422"): 3, (DIVIDE, "200"): 1, (WAIT, "200"): 2, ("any", "404"): 5}
        hint = "count each request in a middleware, after the app: request.scope['route'].path is the template then"
        report.require("requests_total after some traffic", counts, _settled(api, before, counts), hint)
        _check_histogram(report, before, *_scrape(api))
        before, _ = _scrape(api)
        for path in [f"/pictures/{each}" for each in ids[20:]] + [f"/w{token_hex(6)}" for _ in range(30)]:
            api.get(path)
        new = [labels for _, labels in _scrape(api)[0].keys() - before.keys() if ("route", "/metrics") not in labels]
        hint = "a series stays for ever: nothing that a client types may be a label, and all lost paths share one route"
        report.expect("60 more ids and lost paths make no new series", 0, len(new), hint)
        before, counts = _scrape(api)[0], {(DIVIDE, "500"): 1}
        hint = "call_next raises when a route breaks: catch it there, count a 500, and answer a 500"
        api.get(f"/divide/{ids[0]}/0").expect(500, "a broken route answers 500", hint)
        report.expect("... and is counted once", counts, _settled(api, before, counts), hint)


def _check_histogram(report: Report, before: dict, after: dict, kinds: dict) -> None:
    """Types and labels, and request_seconds{route} of two requests, which waited 1 ms and 300 ms."""
    buckets, hint = "request_seconds_bucket", "the library writes # TYPE and le; each label more multiplies the series"
    expected = {"requests_total": ["counter", "route", "status"], buckets: ["histogram", "le", "route"]}
    report.expect("types and labels", expected, {name: kinds.get(name) for name in expected}, hint)
    count, spent = (_grown(before, after, f"request_seconds_{part}", WAIT) for part in ("count", "sum"))
    hint = "a Histogram('request_seconds', ..., ['route']), observed once for each request, with the template as route"
    if report.expect(f"request_seconds_count for two requests to {WAIT}", 2, count, hint):
        hint = "perf_counter() after the app minus before it: the whole request, in seconds, not in milliseconds"
        report.expect("its sum: they waited 0.3 s, in seconds", between(0.28, 2 * SECONDS), round(spent, 4), hint)


def _scrape(api: Probe) -> tuple[dict, dict]:
    """{(name, labels): number} under /metrics without _created, and {name: [type, *labels]}. Raises ValueError."""
    families = list(text_string_to_metric_families(api.get("/metrics").text))
    pairs = [(each, family.type) for family in families for each in family.samples]
    values = [each for each, _ in pairs if not each.name.endswith("_created")]
    numbers = {(each.name, frozenset(each.labels.items())): each.value for each in values}
    return numbers, {each.name: [kind, *sorted(each.labels)] for each, kind in pairs}


def _grown(before: dict, after: dict, name: str, route: str, status: str = "any") -> float:
    labels = {key: value for key, value in (("route", route), ("status", status)) if value != "any"}.items()
    return sum(after[key] - before.get(key, 0) for key in after if key[0] == name and labels <= dict(key[1]).items())


def _settled(api: Probe, before: dict, expected: dict) -> dict:
    """How much requests_total grew for each (route, status); a count may come a moment after its answer."""
    for _ in range(60):
        after, _ = _scrape(api)
        actual = {pair: int(_grown(before, after, "requests_total", *pair)) for pair in expected}
        if actual == expected:
            break
        sleep(0.05)
    return actual


def too_many_errors(report: Report, function: Callable[[list[str]], bool]) -> None:
    """too_many_errors(scrapes): True where more than 5 % of the requests between the scrapes ended in a 5xx."""
    hint = "the check needs the function, not what it returns: check('14.2', too_many_errors)"
    report.require("a function", True, callable(function), hint)
    for what, expected, counts, hint in _minutes():
        actual, hint = _answer(report, function, counts, hint)
        (report.require if hint in NO_ANSWER.values() else report.expect)(what, expected, actual, hint)
    if report.ok:  # a line for a wrong rule only
        what, expected, counts, hint = NEARLY
        actual, hint = _answer(report, function, counts, hint)
        if actual != expected:
            report.expect(what, expected, actual, hint)


def _answer(report: Report, function: Callable, counts: list[dict[str, int]], hint: str) -> tuple[Any, str]:
    """What the function returns or raises, and the hint: another one where that is no answer."""
    try:
        actual = ended(report, function, [_page(each) for each in counts])
    except Stop:
        raise
    except Exception as error:
        return crash(error), f"{RAISED}; {hint}"
    kind = type(actual).__name__
    if kind in ("coroutine", "generator"):
        actual.close()
    return (f"it made a {kind}" if kind in NO_ANSWER and actual is not None else actual), NO_ANSWER.get(kind, hint)


def _minutes() -> list[tuple[str, bool, list[dict[str, int]], str]]:
    """For each case: what it is, the right answer, the counts by status in each scrape, and a hint."""
    before, other = random.randrange(5000, 9000), "only requests_total counts, whatever else is on the page"
    old = "compare what came between the scrapes, the growth: not all that was ever counted"
    server = "each status of 500 or more is an error: 502 and 503, too"
    client = "only a status of 500 or more is an error of ours"
    new = "a series that is missing in a scrape is 0 there: page.get(series, 0)"
    fallen = "where a counter falls, it was restarted, and has grown from 0 to what it is now: increase() of part 1"
    nobody = "there is nothing to divide by: compare only where there were requests, or without a division"
    return [
        ("errors long ago, 1 % now", False, [{"200": 99, "500": before}, {"200": 1089, "500": before + 10}], old),
        ("10 % now", True, [{"200": before, "500": 7}, {"200": before + 90, "500": 17}], old),
        ("3 % with 502, 3 % with 503", True, [{"200": 0}, {"200": 94, "502": 3, "503": 3}], server),
        ("half are 404 and 422", False, [{"200": 0}, {"200": 100, "404": 50, "422": 50}], client),
        ("exactly 5 %", False, [{"200": 0}, {"200": 950, "500": 50}], "more than 5 %: 5 % itself is still allowed"),
        ("the first errors ever", True, [{"200": before}, {"200": before + 90}, {"200": before + 100, "500": 9}], new),
        ("errors, then a restart", True, [{"200": before}, {"200": before + 9, "500": 9}, {"200": 30}], fallen),
        ("a restart, then errors", True, [{"200": before, "500": 99}, {"200": 50, "500": 6}], fallen),
        ("a restart, no errors", False, [{"200": before, "500": 99}, {"200": 50, "500": 0}], fallen),
        ("no requests at all", False, [{"200": before}] * 3, nobody),
        ("retries of others fail", False, [{"200": 1, "retries": 0}, {"200": 101, "retries": 50}], other),
    ]


def _page(counts: dict[str, int]) -> str:
    """A page as under /metrics; the routes hold what a reader that splits at spaces and braces stumbles over."""
    lines = ["# HELP requests_total Requests answered.", "# TYPE requests_total counter"]
    for status, count in counts.items():
        if status != "retries":
            lines.append(f'requests_total{{route="/two words/{{number}}",status="{status}"}} {float(count)}')
    lines += ["# TYPE retries_total counter", f'retries_total{{status="500"}} {float(counts.get("retries", 0))}']
    return "\n".join([*lines, "# TYPE waiting gauge", f"waiting {random.randrange(9)}.0", ""])


EXERCISES = {"1": metrics_api, "2": too_many_errors}
