"""The exercises of lesson 10: metrics for an API, a cache by content hash."""

import random
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import cache
from secrets import token_hex
from time import sleep
from typing import Any

import cv2
import requests
from prometheus_client.parser import text_string_to_metric_families

from classroom import ROOT
from yololab.vision.detector import Detector
from yololab.vision.images import decode, encode

from .report import SECONDS, Report, served

AT_ONCE, KEPT = 12, 8  # requests at the same time; answers that the cache keeps
PICTURES, WAIT, DIVIDE = "/pictures/{number}", "/wait/{ms}", "/divide/{a}/{b}"
_detector = cache(Detector)


def metrics_api(report: Report, target: Any) -> None:
    """requests_total{route,status} and request_seconds{route}: exact, in seconds, with templates as routes."""
    word, ids = token_hex(6), random.sample(range(10**6, 10**9), 50)
    with served(target) as url:
        try:
            came, before = "readable", _scrape(url)[0]
        except ValueError as error:
            came = f"{error}"[:80]
        hint = "a route /metrics that answers the text itself, not JSON of it: Response(prom.generate_latest(registry))"
        if not report.expect("GET /metrics answers the Prometheus format", "readable", came, hint):
            return
        paths = [*(f"/pictures/{each}" for each in ids[:20]), *(f"/pictures/{word}{each}" for each in range(3))]
        paths += [*(f"/{word}/{each}" for each in range(5)), f"/divide/{ids[0]}/7", "/wait/1", "/wait/300"]
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda path: requests.get(url + path, timeout=SECONDS), paths))
        wanted = {(PICTURES, "200"): 20, (PICTURES, "422"): 3, (DIVIDE, "200"): 1, (WAIT, "200"): 2, ("any", "404"): 5}
        hint = "count each request in a middleware, after the app: request.scope['route'].path is the template then"
        if not report.expect("requests_total after some traffic", wanted, _settled(url, before, wanted), hint):
            return
        _check_histogram(report, before, *_scrape(url))
        before, _ = _scrape(url)
        for path in [f"/pictures/{each}" for each in ids[20:]] + [f"/{token_hex(6)}" for _ in range(30)]:
            requests.get(url + path, timeout=SECONDS)
        new = [labels for _, labels in _scrape(url)[0].keys() - before.keys() if ("route", "/metrics") not in labels]
        hint = "a series stays for ever: nothing that a client types may be a label, and all lost paths share one route"
        report.expect("60 more ids and lost paths make no new series", 0, len(new), hint)
        before, wanted = _scrape(url)[0], {(DIVIDE, "500"): 1}
        status = requests.get(f"{url}/divide/{ids[0]}/0", timeout=SECONDS).status_code
        hint = "call_next raises when a route breaks: catch it there, count a 500, and answer a 500"
        report.expect("a broken route: 500, counted once", (500, wanted), (status, _settled(url, before, wanted)), hint)


def _check_histogram(report: Report, before: dict, after: dict, kinds: dict) -> None:
    """Types and labels, and request_seconds{route} of two requests, which waited 1 ms and 300 ms."""
    buckets, hint = "request_seconds_bucket", "the library writes # TYPE and le; each label more multiplies the series"
    wanted = {"requests_total": ["counter", "route", "status"], buckets: ["histogram", "le", "route"]}
    report.expect("types and labels", wanted, {name: kinds.get(name) for name in wanted}, hint)
    count, spent = (_grown(before, after, f"request_seconds_{part}", WAIT) for part in ("count", "sum"))
    hint = "a Histogram('request_seconds', ..., ['route']), observed once for each request, with the template as route"
    if report.expect(f"request_seconds_count for two requests to {WAIT}", 2, count, hint):
        came = "in between" if 0.28 <= spent < 2 * SECONDS else round(spent, 4)
        hint = "perf_counter() after the app minus before it: the whole request, in seconds, not in milliseconds"
        report.expect("its sum: at least the 0.3 s that they waited, in seconds", "in between", came, hint)


def _scrape(url: str) -> tuple[dict, dict]:
    """{(name, labels): number} under /metrics without _created, and {name: [type, *labels]}. Raises ValueError."""
    page = requests.get(f"{url}/metrics", timeout=SECONDS)
    if page.status_code != 200:
        raise ValueError(page.status_code)
    pairs = [(each, family.type) for family in text_string_to_metric_families(page.text) for each in family.samples]
    values = [each for each, _ in pairs if not each.name.endswith("_created")]
    numbers = {(each.name, frozenset(each.labels.items())): each.value for each in values}
    return numbers, {each.name: [kind, *sorted(each.labels)] for each, kind in pairs}


def _grown(before: dict, after: dict, name: str, route: str, status: str = "any") -> float:
    wanted = {key: value for key, value in (("route", route), ("status", status)) if value != "any"}.items()
    return sum(after[key] - before.get(key, 0) for key in after if key[0] == name and wanted <= dict(key[1]).items())


def _settled(url: str, before: dict, wanted: dict) -> dict:
    """How much requests_total grew for each (route, status); a count may come a moment after its answer."""
    for _ in range(60):
        after, _ = _scrape(url)
        came = {pair: int(_grown(before, after, "requests_total", *pair)) for pair in wanted}
        if came == wanted:
            break
        sleep(0.05)
    return came


def cached_labels(report: Report, target: Any) -> None:
    """POST /labels with X-Cache: the same bytes and confidence are computed once, in a bounded cache."""
    first, second = _picture("fruit"), _picture("crowd")
    key = "everything that the answer depends on belongs to the key: the confidence, too"
    value = "put the value into the key, not the text of the query: 0.350, 0.35 and the default are one number"
    content = "the key must come from the content, not from the file's name: hashlib.sha256(data).hexdigest()"
    header = "set response.headers['X-Cache'] to 'miss' where the answer was computed, and to 'hit' where it was not"
    cases = [("a new picture", first, "photo.jpg", {}, "miss", header)]
    cases += [("the same bytes, another name", first, f"{token_hex(4)}.png", {}, "hit", content)]
    cases += [("other bytes, the first name", second, "photo.jpg", {}, "miss", content)]
    cases += [(f"the first, at {each}", first, "photo.jpg", {"confidence": each}, "miss", key) for each in (0.05, 0.6)]
    cases += [("the first, at 0.350", first, "photo.jpg", {"confidence": "0.350"}, "hit", value)]
    with served(target) as url:
        computed = _stats(url)
        for what, data, name, params, found, hint in cases:
            came = _post(url, data, name, **params)
            fine = report.expect(f"POST /labels: {what}", (200, _labels(data, **params), found), came, hint)
            if not fine and hint == header:
                return
        hint = "each miss calls compute once, and a hit never does (compute itself stays as it was)"
        report.expect("computations so far (GET /stats)", 4, _stats(url) - computed, hint)
        _check_bound(report, url)
        _check_at_once(report, url)


def _check_bound(report: Report, url: str) -> None:
    """Eight answers, then the first again, then a ninth: the second has to go."""
    data = [_picture("apple") for _ in range(KEPT + 1)]
    came = [_post(url, data[each])[2] for each in [*range(KEPT), 0, KEPT, 0, 1]]
    hint = "8 answers must fit, the newest too"
    if report.expect(f"{KEPT} new pictures, then the first again", "hit", came[KEPT], hint):
        hint = "a hit must move its answer to the end of the order (move_to_end), so that another one goes"
        report.expect("after a ninth one, the first is still there", "hit", came[-2], hint)
        hint = "8 answers at most: while there are more, let the one go that was not used for the longest"
        report.expect("and the second, not used for the longest, is gone", "miss", came[-1], hint)


def _check_at_once(report: Report, url: str) -> None:
    """Identical requests at the same time: good ones, then broken ones."""
    data, broken, computed = _picture("bowl"), {"file": token_hex(20).encode()}, _stats(url)

    def refused(_):
        with suppress(requests.Timeout):
            return requests.post(f"{url}/labels", files=broken, timeout=SECONDS / 3).status_code

    with ThreadPoolExecutor(AT_ONCE) as pool:
        answers = list(pool.map(lambda _: _post(url, data), range(AT_ONCE)))
        computed = _stats(url) - computed
        failed = [*pool.map(refused, range(4)), refused(None)]
    hint = "look and compute as one step for each key: those who come meanwhile wait for the result (single-flight)"
    if report.expect(f"{AT_ONCE} identical requests at once: computations", 1, computed, hint):
        wanted = {f"200 {_labels(data)} miss": 1, f"200 {_labels(data)} hit": AT_ONCE - 1}
        came = dict(Counter(" ".join(map(str, answer)) for answer in answers))
        report.expect("their answers", wanted, came, "the one that computed says miss, those that waited say hit")
    hint = "set the error in the flight, and take the flight out in a finally:, so that nobody waits for ever"
    report.expect("a broken file, four times at once and once more", [415] * 5, failed, hint)


def _picture(name: str) -> bytes:
    """A sample picture as a file that nobody has sent before."""
    picture = cv2.resize(decode((ROOT / "images" / f"{name}.jpg").read_bytes()), (320, 240))
    picture[0, :8] = [[*random.randbytes(3)] for _ in range(8)]
    return encode(picture, "image/png")


def _labels(data: bytes, confidence: float | str = 0.35) -> list[str]:
    return [found.label for found in _detector("starter")(decode(data), float(confidence))]


def _post(url: str, data: bytes, name: str = "photo.jpg", **params: Any) -> tuple[int, Any, str | None]:
    answer = requests.post(f"{url}/labels", files={"file": (name, data)}, params=params, timeout=SECONDS)
    return answer.status_code, answer.json() if answer.ok else answer.text[:80], answer.headers.get("x-cache")


def _stats(url: str) -> int:
    return requests.get(f"{url}/stats", timeout=SECONDS).json()["computations"]


EXERCISES = {"1": metrics_api, "2": cached_labels}
