"""The checks of lesson 14, both ways: solutions pass; skeletons and typical mistakes fail with the right hint."""

import threading
import time
from itertools import pairwise

import prometheus_client as prom
import pytest
from fastapi import FastAPI, Response
from fastapi.responses import JSONResponse
from prometheus_client.parser import text_string_to_metric_families

from classroom.checks import check
from yololab import serve

# exercise 1: metrics for an API


def make_app():
    app = FastAPI()

    @app.get("/pictures/{number}")
    def picture(number: int):
        return {"number": number}

    @app.get("/wait/{ms}")
    def wait(ms: int):
        time.sleep(min(ms, 1000) / 1000)

    @app.get("/divide/{a}/{b}")
    def divide(a: int, b: int):
        return {"quotient": a / b}

    return app


def template(request):
    return getattr(request.scope.get("route"), "path", "other")


def measured(
    route_of=template, catches=True, scale=1, labels=("route", "status"), times=1, observes=True, kind=prom.Counter
):
    """The app with metrics that are right, or wrong in one thing or another."""
    app, registry = make_app(), prom.CollectorRegistry()
    counter = kind("requests" if kind is prom.Counter else "requests_total", "Requests.", labels, registry=registry)
    seconds = prom.Histogram("request_seconds", "Time for an answer.", ["route"], registry=registry)

    @app.middleware("http")
    async def measure(request, call_next):
        before = time.perf_counter()
        try:
            answer = await call_next(request)
        except ZeroDivisionError:
            answer = JSONResponse({}, 500)
            if not catches:
                return answer
        values = {"route": route_of(request), "status": answer.status_code, "method": request.method}
        counter.labels(*[values[label] for label in labels]).inc(times)
        if observes:
            seconds.labels(values["route"]).observe(scale * (time.perf_counter() - before))
        return answer

    @app.get("/metrics")
    def metrics():
        return Response(prom.generate_latest(registry), media_type=prom.CONTENT_TYPE_LATEST)

    return app


def test_metrics_pass(capsys):
    assert check("14.1", measured()).ok
    assert "well done" in capsys.readouterr().out


def test_metrics_pass_by_url_and_twice():
    server = serve(measured(), port=0)
    assert check("14.1", server.url).ok and check("14.1", server.url).ok
    server.stop()


def test_metrics_pass_without_the_library():
    """A pure ASGI middleware, counts in a dictionary, and the text written by hand."""
    app, lock, counts = make_app(), threading.Lock(), {}
    borders = (0.01, 0.1, 1)

    class Measure:
        def __init__(self, app):
            self.app = app

        async def __call__(self, scope, receive, send):
            before, status = time.perf_counter(), 500

            async def watched(message):
                nonlocal status
                status = message.get("status", status)
                await send(message)

            try:
                await self.app(scope, receive, watched)
            except ZeroDivisionError:
                await JSONResponse({}, 500)(scope, receive, watched)
            finally:
                spent, route = time.perf_counter() - before, getattr(scope.get("route"), "path", "nowhere")
                fitting = [f"{border}" for border in borders if spent <= border]
                names = [f'requests_total{{route="{route}",status="{status}"}}']
                names += [f'request_seconds_bucket{{le="{le}",route="{route}"}}' for le in [*fitting, "+Inf"]]
                with lock:
                    for name in [*names, f'request_seconds_count{{route="{route}"}}']:
                        counts[name] = counts.get(name, 0) + 1
                    name = f'request_seconds_sum{{route="{route}"}}'
                    counts[name] = counts.get(name, 0) + spent

    @app.get("/metrics")
    def metrics():
        with lock:
            lines = [f"{name} {number}\n" for name, number in counts.items()]
        text = "# TYPE requests_total counter\n" + "".join(line for line in lines if "requests_total" in line)
        text += "# TYPE request_seconds histogram\n" + "".join(line for line in lines if "requests_total" not in line)
        return Response(text, media_type="text/plain; version=0.0.4")

    app.add_middleware(Measure)
    assert check("14.1", app).ok


def test_metrics_skeleton_is_told_to_add_the_route(capsys):
    assert not check("14.1", make_app()).ok
    out = capsys.readouterr().out
    assert "a route /metrics" in out and out.count("NOT YET") == 1


def test_metrics_as_json(capsys):
    app = make_app()
    app.get("/metrics")(lambda: 'requests_total{route="/",status="200"} 1\n')
    assert not check("14.1", app).ok
    assert "not JSON of it" in capsys.readouterr().out


MISTAKES = {
    "the path as a label": ({"route_of": lambda request: request.url.path}, "the template then"),
    "lost paths by themselves": (
        {"route_of": lambda request: getattr(request.scope.get("route"), "path", request.url.path)},
        "all lost paths share one route",
    ),
    "a break is not counted": ({"catches": False}, "call_next raises when a route breaks"),
    "milliseconds": ({"scale": 1000}, "in seconds, not in milliseconds"),
    "nothing observed": ({"observes": False}, "observed once for each request"),
    "counted twice": ({"times": 2}, "count each request in a middleware"),
    "one more label": ({"labels": ("route", "status", "method")}, "each label more multiplies"),
    "a gauge": ({"kind": prom.Gauge}, "writes # TYPE"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_metrics_mistakes(mistake, capsys):
    wrong, hint = MISTAKES[mistake]
    assert not check("14.1", measured(**wrong)).ok
    assert hint in capsys.readouterr().out


def test_wrong_and_then_right_in_one_process(capsys):
    assert not check("14.1", measured(scale=1000)).ok
    assert check("14.1", measured()).ok


# exercise 2: should it wake somebody?


def read(text):
    samples = [each for family in text_string_to_metric_families(text) for each in family.samples]
    return {(each.name, tuple(sorted(each.labels.items()))): each.value for each in samples}


def increase(samples):
    return sum(after - before if after >= before else after for before, after in pairwise(samples))


def rule(grown=increase, least=500, most=600, names=("requests_total",), strict=True, divides=False, missing=0):
    """The rule as it should be, or wrong in one thing."""

    def too_many_errors(scrapes):
        pages, answered, failed = [read(text) for text in scrapes], 0, 0
        for name, labels in {each for page in pages for each in page if each[0] in names}:
            values = [page.get((name, labels), missing) for page in pages]
            growth = grown([each for each in values if each is not None])
            answered += growth
            failed += growth if least <= int(dict(labels)["status"]) < most else 0
        if divides:
            return failed / answered > 0.05
        return failed > 0.05 * answered if strict else answered > 0 and failed >= 0.05 * answered

    return too_many_errors


def test_the_rule_passes_after_a_wrong_one_in_the_same_process(capsys):
    assert not check("14.2", rule(least=400)).ok
    assert check("14.2", rule()).ok
    assert "well done" in capsys.readouterr().out


WRONG_RULES = {
    "the newest scrape alone": ({"grown": lambda values: values[-1]}, "not all that was ever counted"),
    "last minus first": ({"grown": lambda values: values[-1] - values[0]}, "it was restarted"),
    "4xx are errors": ({"least": 400}, "of 500 or more is an error of ours"),
    "only 500": ({"most": 501}, "502 and 503, too"),
    "all metrics": ({"names": ("requests_total", "retries_total")}, "only requests_total counts"),
    "at least 5 %": ({"strict": False}, "5 % itself is still allowed"),
    "divided by nothing": ({"divides": True}, "nothing to divide by"),
    "missing series left out": ({"missing": None}, "page.get(series, 0)"),
}


@pytest.mark.parametrize("mistake", WRONG_RULES)
def test_wrong_rules(mistake, capsys):
    wrong, hint = WRONG_RULES[mistake]
    assert not check("14.2", rule(**wrong)).ok
    assert hint in capsys.readouterr().out


def test_the_skeleton_of_the_rule(capsys):
    report = check("14.2", lambda scrapes: False)
    assert not report.ok and report.lines[0][0]
    assert "10 % now" in capsys.readouterr().out


def test_an_exception_in_the_rule_is_shown_with_its_line(capsys):
    def too_many_errors(scrapes):
        return scrapes.size > 0.05

    assert not check("14.2", too_many_errors).ok
    out = capsys.readouterr().out
    assert "return scrapes.size > 0.05" in out and "Traceback" not in out


def printed(scrapes):
    print(rule()(scrapes))


def returned_once(scrapes):
    if rule()(scrapes):
        return True


async def awaited(scrapes):
    return rule()(scrapes)


def yielded(scrapes):
    yield rule()(scrapes)


async def both(scrapes):
    yield rule()(scrapes)


@pytest.mark.parametrize(
    ("function", "actual", "hint"),
    [
        (printed, "None", "return the answer"),
        (returned_once, "None", "True or False, in each case"),
        (awaited, "it made a coroutine", "no async"),
        (yielded, "it made a generator", "no yield"),
        (both, "it made a async_generator", "no async and no yield"),
    ],
)
def test_a_rule_that_gives_no_answer(function, actual, hint, capsys):
    assert not check("14.2", function).ok
    out = capsys.readouterr().out
    assert f"actual:   {actual}\n" in out and hint in out and out.count("NOT YET") == 1


@pytest.mark.parametrize(
    "too_many", [lambda share: 100 * share // 1 > 5, lambda share: round(share, 2) > 0.05, lambda share: share >= 0.06]
)
def test_a_rule_that_rounds(too_many, capsys):
    def too_many_errors(scrapes):
        grown = {"ok": 0, "failed": 0}
        series = {each for text in scrapes for each in read(text) if each[0] == "requests_total"}
        for name, labels in series:
            growth = increase([read(text).get((name, labels), 0) for text in scrapes])
            grown["failed" if int(dict(labels)["status"]) >= 500 else "ok"] += growth
        return bool(sum(grown.values())) and too_many(grown["failed"] / sum(grown.values()))

    assert not check("14.2", too_many_errors).ok
    out = capsys.readouterr().out
    assert "without // or round()" in out and out.count("NOT YET") == 1


def test_not_a_function(capsys):
    assert not check("14.2", True).ok
    assert "check('14.2', too_many_errors)" in capsys.readouterr().out
