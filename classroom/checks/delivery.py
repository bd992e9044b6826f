"""What the capstone's checks share, and its last three steps: tests, an image, a load test."""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from secrets import token_hex
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

from ..project import NotStarted, Service, altered, crash, printed_crash, running, tested
from .container import account, answers, asked, listed, started
from .dockerfile import at_install, copied, history, instructions, leaks, loose
from .probe import Probe
from .report import Report, Such

WHERE = 'give the folder of the project: check("17.1", FOLDER); the package fraudapi lies in it'
STARTS = "run this in the project's folder, and read the last line: python -m uvicorn fraudapi.api:app"
MODULE = "fraudapi/api.py"
SPILLED = r"^(--(?!from)\S+ +)*fraudapi/? +(?!\S*fraudapi/?$)\S+$"  # what lies in the package, without its folder


def _package(report: Report, folder: Any) -> None:
    there = isinstance(folder, (str, Path)) and (Path(folder) / "fraudapi/api.py").is_file()
    report.require("the project has fraudapi/api.py", True, there, WHERE)


@contextmanager
def project(report: Report, folder: Any, keys: str | None = None) -> Iterator[tuple[Probe, dict[str, str], Service]]:
    """The student's service with keys that only this check knows: a probe, the header with a key, the service."""
    _package(report, folder)
    key = token_hex(8)
    try:
        with running(Path(folder), FRAUD_KEYS=f"{token_hex(8)},{key}" if keys is None else keys) as service:
            api = Probe(report, service.url)
            api.printed = lambda: printed_crash(service, Path(folder))
            with api.telling():
                yield api, {"X-API-Key": key}, service
    except NotStarted as error:
        report.require("the service starts", "it starts", str(error), STARTS)


def samples(api: Probe) -> list[tuple[str, dict[str, str], float]]:
    families = text_string_to_metric_families(api.get("/metrics").text)
    return [(each.name, each.labels, each.value) for family in families for each in family.samples]


def total(samples: list[tuple[str, dict[str, str], float]], name: str, **labels: str) -> float:
    return sum(value for found, pairs, value in samples if found == name and labels.items() <= pairs.items())


def tests(report: Report, folder: Any) -> None:
    """The package's own tests: they pass, and each of three faults makes one fail."""
    _package(report, folder)
    there = any((Path(folder) / "tests").glob("test_*.py"))
    report.require("tests/test_*.py", True, there, "write the tests into tests/test_api.py")
    ran = tested(Path(folder))
    said = (ran.stdout + ran.stderr).strip().splitlines() or [""]
    report.require("python -m pytest tests", 0, ran.returncode, f"the last line says: {said[-1][:200]}")
    swapped = "body = body.replace(b'\"fraud\":true', b'\"fraud\":1').replace(b'\"fraud\":false', b'\"fraud\":true')"
    faults = (
        ("every payment is judged the other way", swapped + '.replace(b\'"fraud":1\', b\'"fraud":false\')',
         "assert the decision of a payment that you know, and of another one"),
        ("the key is not checked", "status = 200 if status == 401 else status", "assert a 401 without a key"),
        ("nonsense is accepted", "status = 200 if status == 422 else status", "assert a 422, for an hour of 25"),
    )  # fmt: skip
    for fault, change, hint in faults:
        ran = tested(Path(folder), altered(change))
        report.expect(
            f"a test fails where {fault}", "a test fails", "a test fails" if ran.returncode else "all pass", hint
        )


def image(report: Report, folder: Any) -> None:
    """The Dockerfile: pinned, small steps in the right order, not root, no key in it."""
    path = Path(folder) / "Dockerfile" if isinstance(folder, (str, Path)) else Path()
    report.require("the Dockerfile is there", True, path.is_file(), "write it beside the folder fraudapi")
    steps = instructions(path.read_text(encoding="utf-8", errors="replace"))
    last = history(steps)
    pinned = any(word == "FROM" for word, _ in steps) and not loose(steps)
    report.expect("FROM names a version", True, pinned, "python:3.13-slim, and not python or python:latest")
    before = at_install(steps, ["requirements.txt", MODULE])
    order = before == {"requirements.txt": True, MODULE: False} and copied(steps, MODULE)
    hint = "COPY requirements.txt, RUN pip install -r requirements.txt, then COPY fraudapi: code changes more often"
    right = report.expect("packages are installed before the code is copied", True, order, hint)
    for spilled in [rest for word, rest in last if word == "COPY" and re.search(SPILLED, rest)] if right else []:
        hint = "COPY fraudapi fraudapi: of a folder, COPY takes only what is in it"
        report.expect("the package stays a folder", "COPY fraudapi fraudapi", f"COPY {spilled}", hint)
    user = account(last)
    hint = "USER 1000, after the RUNs" if user == "root" else f"{user}: RUN useradd, or a number: USER 1000"
    report.expect("it does not run as root", True, user == "not root", hint)
    words, shell = started(last)
    is_list = bool(words) and not shell and all(listed(dict(last).get(word, '["-"]')) for word in ("ENTRYPOINT", "CMD"))
    right = report.expect("CMD is a list", True, is_list, 'CMD ["uvicorn", ...]: a shell would keep SIGTERM')
    if right and not re.search(r"\bfraudapi(\.api:app|/api\.py)|-m fraudapi\b", " ".join(words)):
        report.expect("CMD starts the service", "fraudapi.api:app", " ".join(words), STARTS)
    host, _ = answers(last)
    report.expect("it listens to other machines", True, (host or "0.0.0.0" * ("0.0.0.0" in words)) == "0.0.0.0",
                  '"--host", "0.0.0.0": in a container 127.0.0.1 is the container\'s own')  # fmt: skip
    actual, other = asked(last, "/health")
    hint = other or "HEALTHCHECK CMD python -c ... urlopen('http://127.0.0.1:8000/health')"
    report.expect("HEALTHCHECK asks /health", True, actual == "by /health" or (bool(other) and actual), hint)
    named = [rest for word, rest in steps if "FRAUD_KEYS" in rest and word != "ENV"]
    report.expect("keys in the image", 0, len({*leaks(steps), *named}), "give it at the start: -e")
    report.expect("ADD", 0, [word for word, _ in steps].count("ADD"), "COPY does only what it says")


def load(report: Report, folder: Any) -> None:
    """loadtest.py URL KEY REQUESTS CLIENTS: what it prints agrees with what the service counted."""
    with project(report, folder) as (api, key, _):
        script = Path(folder) / "loadtest.py"
        report.require("loadtest.py is there", True, script.is_file(), "write it beside the folder fraudapi")

        def run(key: str) -> dict:
            command = [sys.executable, "-B", str(script), api.url, key, "120", "8"]
            ran = subprocess.run(command, capture_output=True, text=True, timeout=120, cwd=folder)
            last = (ran.stdout.strip().splitlines() or [""])[-1]
            try:
                return json.loads(last)
            except ValueError:
                actual = crash(ran.stderr, Path(folder)) or last[:200]
                report.require("its last line", "JSON", actual, "print(json.dumps({...})) at the end")
                return {}

        api.get("/metrics", missing="step 5 comes first: a route /metrics, which counts").require(200)
        before = total(samples(api), "fraud_requests_total", route="/v1/fraud")
        found = run(key["X-API-Key"])
        counted = total(samples(api), "fraud_requests_total", route="/v1/fraud") - before
        report.expect("requests that the service counted", 120, counted, "all requests, shared among the clients")
        report.expect("requests", 120, found.get("requests"), "how many were sent")
        report.expect("errors", 0, found.get("errors"), "answers with a status of 400 or more, and no answer at all")
        times = [found.get(name, 0) for name in ("p50_ms", "p95_ms", "max_ms")]
        growing = Such("0 < p50_ms <= p95_ms <= max_ms", lambda each: 0 < each[0] <= each[1] <= each[2])
        report.expect("the times", growing, times, "sort the times of all requests; sorted_times[int(0.95 * n)]")
        rate = Such("a number over 0", lambda each: each > 0)
        hint = "requests / seconds of the whole test"
        report.expect("requests_per_second", rate, found.get("requests_per_second"), hint)
        hint = "count what is no success, and go on"
        report.expect("errors with a wrong key", 120, run(token_hex(8)).get("errors"), hint)
