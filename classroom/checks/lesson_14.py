"""The exercises of lesson 14: metrics for an API, a cache by content hash."""

import random
from collections import Counter
from secrets import token_hex
from time import sleep
from typing import Any

import cv2
from prometheus_client.parser import text_string_to_metric_families

from yololab.vision.images import decode, encode

from .pictures import labels, sample
from .probe import SECONDS, Answer, Probe, at_once, served
from .report import Report, between

AT_ONCE, KEPT = 12, 8  # requests at the same time; answers that the cache keeps
PICTURES, WAIT, DIVIDE = "/pictures/{number}", "/wait/{ms}", "/divide/{a}/{b}"


def metrics_api(report: Report, target: Any) -> None:
    """requests_total{route,status} and request_seconds{route}: exact, in seconds, with templates as routes."""
    word, ids = token_hex(6), random.sample(range(10**6, 10**9), 50)
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
        for path in [f"/pictures/{each}" for each in ids[20:]] + [f"/{token_hex(6)}" for _ in range(30)]:
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


def cached_labels(report: Report, target: Any) -> None:
    """POST /labels with X-Cache: the same bytes and confidence are computed once, in a bounded cache."""
    first, second = _picture("fruit"), _picture("crowd")
    content = "the key must come from the content, not from the file's name: hashlib.sha256(data).hexdigest()"
    key = "everything that the answer depends on belongs to the key: the confidence, too"
    value = "put the value into the key, not the text of the query: 0.350, 0.35 and the default are one number"
    hint = "set response.headers['X-Cache'] to 'miss' where the answer was computed, and to 'hit' where it was not"
    with served(report, target) as api:
        computed = _stats(api)
        new = _post(api, first).require(200, "POST /labels: a new picture", json=labels(first, 0.35))
        report.require("its header X-Cache", "miss", new.headers.get("x-cache"), hint)
        for what, data, name, params, found, hint in (
            ("the same bytes, another name", first, f"{token_hex(4)}.png", {}, "hit", content),
            ("other bytes, the first name", second, "photo.jpg", {}, "miss", content),
            ("the first, at 0.05", first, "photo.jpg", {"confidence": 0.05}, "miss", key),
            ("the first, at 0.6", first, "photo.jpg", {"confidence": 0.6}, "miss", key),
            ("the first, at 0.350", first, "photo.jpg", {"confidence": "0.350"}, "hit", value),
        ):
            answer = _post(api, data, name, **params)
            answer.expect(200, f"POST /labels: {what}", hint, json=labels(data, float(params.get("confidence", 0.35))))
            report.expect(f"... X-Cache for {what}", found, answer.headers.get("x-cache"), hint)
        hint = "each miss calls compute once, and a hit never does (compute itself stays as it was)"
        report.expect("computations so far (GET /stats)", 4, _stats(api) - computed, hint)
        _check_bound(api)
        _check_at_once(api)


def _check_bound(api: Probe) -> None:
    """Eight answers, then the first again, then a ninth: the second has to go."""
    data = [_picture("apple") for _ in range(KEPT + 1)]
    cached = [_post(api, data[each]).headers.get("x-cache") for each in [*range(KEPT), 0, KEPT, 0, 1]]
    hint = "8 answers must fit, the newest too"
    if api.report.expect(f"{KEPT} new pictures, then the first again", "hit", cached[KEPT], hint):
        hint = "a hit must move its answer to the end of the order (move_to_end), so that another one goes"
        api.report.expect("after a ninth one, the first is still there", "hit", cached[-2], hint)
        hint = "8 answers at most: while there are more, let the one go that was not used for the longest"
        api.report.expect("and the second, not used for the longest, is gone", "miss", cached[-1], hint)


def _check_at_once(api: Probe) -> None:
    """Identical requests at the same time: good ones, then broken ones."""
    data, broken, computed = _picture("bowl"), token_hex(20).encode(), _stats(api)
    answers = at_once(lambda _: _post(api, data), range(AT_ONCE))
    computed = _stats(api) - computed
    failed = at_once(lambda _: _post(api, broken, timeout=SECONDS / 3), range(4))
    failed.append(_post(api, broken, timeout=SECONDS / 3))
    hint = "look and compute as one step for each key: those who come meanwhile wait for the result (single-flight)"
    if api.report.expect(f"{AT_ONCE} identical requests at once: computations", 1, computed, hint):
        found = labels(data, 0.35)
        expected = {f"200 {found} miss": 1, f"200 {found} hit": AT_ONCE - 1}
        actual = dict(Counter(f"{each.status} {each.json} {each.headers.get('x-cache')}" for each in answers))
        api.report.expect(
            "their answers", expected, actual, "the one that computed says miss, those that waited say hit"
        )
    hint = "set the error in the flight, and take the flight out in a finally:, so that nobody waits for ever"
    statuses = [answer.status for answer in failed]
    api.report.expect("a broken file, four times at once and once more", [415] * 5, statuses, hint)


def _picture(name: str) -> bytes:
    """A sample picture as a file that nobody has sent before."""
    picture = cv2.resize(decode(sample(name)), (320, 240))
    picture[0, :8] = [[*random.randbytes(3)] for _ in range(8)]
    return encode(picture, "image/png")


def _post(api: Probe, data: bytes, name: str = "photo.jpg", timeout: float = SECONDS, **params: Any) -> Answer:
    return api.post("/labels", files={"file": (name, data)}, params=params, timeout=timeout)


def _stats(api: Probe) -> int:
    return (api.get("/stats").json or {}).get("computations", 0)


EXERCISES = {"1": metrics_api, "2": cached_labels}
