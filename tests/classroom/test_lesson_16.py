"""The checks of lesson 16, both ways: solutions pass; skeletons and typical mistakes fail with the right hint."""

import asyncio
import threading
from contextlib import asynccontextmanager

import pytest
import requests
from fastapi import FastAPI, HTTPException, UploadFile
from helpers import ROOT

from classroom.checks import check

# exercise 1: the Dockerfile

TASK = """
# the model answers on port 8000
FROM python:latest
ENV API_KEY=lab-51f0c2d97ab3 \\
    PYTHONUNBUFFERED=1
WORKDIR /app
COPY . .
RUN pip install --no-cache-dir -r requirements.txt
EXPOSE 8000
CMD uvicorn main:app --host 0.0.0.0 --port 8000
"""
GOOD = """
FROM python:3.13-slim
ENV PYTHONUNBUFFERED=1
WORKDIR /app
COPY requirements.txt .
RUN pip install --no-cache-dir -r requirements.txt
COPY main.py .
USER 10001
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=3s \\
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8000/ready', timeout=2)"]
CMD ["uvicorn", "main:app", "--host", "0.0.0.0", "--port", "8000"]
"""
STAGES = """
# syntax=docker/dockerfile:1
ARG PYTHON_VERSION=3.13
FROM --platform=linux/amd64 python:${PYTHON_VERSION}-slim AS base
FROM base AS packages
WORKDIR /app
RUN --mount=type=bind,source=requirements.txt,target=requirements.txt <<EOF
python -m venv /venv
/venv/bin/pip install -r requirements.txt
EOF

FROM base
RUN apt-get update && apt-get install -y --no-install-recommends curl \\
    # a comment among the lines
    && useradd --create-home lab
COPY --from=packages /venv /venv
COPY --chown=lab . /app
USER lab:lab
ENV API_KEY_FILE=/run/secrets/api_key
HEALTHCHECK CMD curl -fsS http://127.0.0.1:8000/ready
ENTRYPOINT ["/venv/bin/python", "-m"]
CMD ["uvicorn", "main:app", "--host", "0.0.0.0"]
"""
DIGEST = "python@sha256:" + "0123456789abcdef" * 4


@pytest.mark.parametrize(
    "text", [GOOD, STAGES, GOOD.replace("python:3.13-slim", DIGEST), GOOD.replace("COPY main.py", "COPY .")]
)
def test_a_good_dockerfile_passes(text):
    assert check("16.1", text).ok


def test_the_labs_own_dockerfile_runs_as_the_task_wants(capsys):
    check("16.1", (ROOT / "deploy/Dockerfile").read_text(encoding="utf-8"))
    out = capsys.readouterr().out
    for line in ("base images without", "secrets", "the user", "how Docker finds out"):
        assert f"ok       {line}" in out


def test_the_dockerfile_of_the_task_has_all_six_faults(capsys):
    report = check("16.1", TASK)
    assert [fine for fine, _ in report.lines].count(False) == 6
    assert "RUN useradd" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("old", "new", "hint"),
    [
        ("python:3.13-slim", "python:3", "two numbers"),
        ("python:3.13-slim", "python:slim", "two numbers"),
        ("COPY requirements.txt .", "COPY . .", "then COPY the code"),
        ("COPY main.py .", "", "a COPY of its own"),
        ("ENV PYTHON", "ARG API_KEY\nENV PYTHON", "--env-file"),
        ("ENV PYTHON", "ENV API_KEY lab-51f0c2d97ab3\nENV PYTHON", "--env-file"),
        ("USER 10001", "# API key: lab-51f0c2d97ab3\nUSER 10001", "--env-file"),
        ("USER 10001", "USER root", "USER 10001"),
        ("USER 10001", "USER lab", "whom no RUN creates"),
        ("HEALTHCHECK", "HEALTHCHECK NONE\n#", "/ready, and fails"),
        ("8000/ready", "8000/", "/ready, and fails"),
        ('CMD ["uvicorn"', "CMD ['uvicorn'", "double quotes"),
        ('CMD ["uvicorn"', 'CMD ["sh", "-c", "uvicorn main:app"]\n# ["uvicorn"', "a shell gets the SIGTERM"),
        (
            'CMD ["python", "-c", "import urllib.request; urllib.request.urlopen(\'',
            "CMD curl ('",
            "neither curl nor wget",
        ),
    ],
)
def test_a_dockerfile_with_one_fault(old, new, hint, capsys):
    assert old in GOOD
    report = check("16.1", GOOD.replace(old, new))
    assert [fine for fine, _ in report.lines].count(False) == 1
    assert hint in capsys.readouterr().out


PYTHON = GOOD[GOOD.index('CMD ["python"') : GOOD.index('CMD ["uvicorn"')].strip()
SERVER = 'CMD ["uvicorn", "main:app", "--host", "0.0.0.0", "--port", "8000"]'
URL = "http://127.0.0.1:8000/ready"
CURL = "RUN apt-get install -y curl\nUSER 10001"


@pytest.mark.parametrize(
    ("change", "hint"),
    [
        ({"COPY main.py .": "COPY main.py .env ./"}, "--env-file"),
        ({"COPY main.py .": "COPY main.py ./\nCOPY secrets/key.pem /app/"}, "--env-file"),
        ({"COPY main.py .": "COPY main.py .\nRUN API_KEY=abc python -c 1"}, "--env-file"),
        ({PYTHON: f"CMD echo {URL}"}, "/ready, and fails"),
        ({PYTHON: f'CMD ["echo", "{URL}"]'}, "/ready, and fails"),
        ({PYTHON: f"CMD python -c \"print('{URL}')\""}, "urlopen(URL) asks"),
        ({PYTHON: f"CMD python -c \"import requests; requests.get('{URL}')\""}, "raise_for_status"),
        ({PYTHON: f"CMD curl -f {URL} || exit 0", "USER 10001": CURL}, "exit status counts"),
        ({PYTHON: f"CMD curl -f {URL} || true", "USER 10001": CURL}, "exit status counts"),
        ({PYTHON: f"CMD curl -f {URL}; exit 0", "USER 10001": CURL}, "exit status counts"),
        ({PYTHON: f"CMD curl -f {URL} | cat", "USER 10001": CURL}, "exit status counts"),
        ({PYTHON: f'CMD ["sh", "-c", "curl -f {URL} || exit 0"]', "USER 10001": CURL}, "exit status counts"),
        ({"127.0.0.1:8000": "127.0.0.1:9000"}, "the port that the server listens on"),
        ({"127.0.0.1:8000": "127.0.0.1"}, "the port that the server listens on"),
        ({"127.0.0.1:8000": "example.com:8000"}, "the container itself"),
        ({"8000/ready": "8000/ready-or-not"}, "/ready, and fails"),
        ({'"8000"]': '"80"]'}, "the port that the server listens on"),
        ({'"--host", "0.0.0.0", ': ""}, "is the container's own"),
        ({'"--host", "0.0.0.0", ': '"--host", "127.0.0.1", '}, "is the container's own"),
        ({'"main:app"': '"app:app"'}, "a list in double quotes"),
        ({"FROM python": "FROM python:latest AS base\nFROM python"}, "two numbers"),
        ({"USER 10001": "RUN echo add lab\nUSER lab"}, "whom no RUN creates"),
        ({"USER 10001": "USER 00"}, "USER 10001"),
        ({"pip install": "pip uninstall"}, "then RUN pip install -r"),
    ],
)
def test_what_looks_right_and_is_not(change, hint, capsys):
    report = check("16.1", changed(change))
    assert [fine for fine, _ in report.lines].count(False) == 1
    assert hint in capsys.readouterr().out


@pytest.mark.parametrize(
    "change",
    [
        {"-r requirements": "-rrequirements"},
        {"-r requirements.txt": "--requirement=requirements.txt"},
        {"pip install --no-cache-dir -r requirements.txt": '["pip", "install", "-r", "requirements.txt"]'},
        {"COPY main.py .": "COPY main.py .env.example ./"},
        {PYTHON: f"CMD curl -f {URL} || exit 1", "USER 10001": CURL},
        {PYTHON: f"CMD curl --fail {URL} > /dev/null 2>&1 || exit 1", "USER 10001": CURL},
        {PYTHON: "CMD curl -f localhost:8000/ready", "USER 10001": CURL},
        {PYTHON: f"CMD curl -f {URL} && exit 0 || exit 1", "USER 10001": CURL},
        {PYTHON: f'CMD test "$(curl -s -o /dev/null -w %{{http_code}} {URL})" = 200', "USER 10001": CURL},
        {PYTHON: f"CMD wget -qO- {URL} || exit 1", "3.13-slim": "3.13-alpine"},
        {PYTHON: f"CMD python -c \"import requests; requests.get('{URL}').raise_for_status()\" || exit 1"},
        {'"8000"]': '"9000"]', "127.0.0.1:8000": "127.0.0.1:9000"},
        {SERVER: 'ENTRYPOINT ["uvicorn", "main:app", "--host=0.0.0.0"]\nCMD ["--port", "8000"]'},
        {'"--host", "0.0.0.0", ': "", "ENV PYTHON": "ENV UVICORN_HOST=0.0.0.0 PYTHON"},
        {SERVER: "CMD exec uvicorn main:app --host 0.0.0.0"},
        {SERVER: 'CMD ["sh", "-c", "exec uvicorn main:app --host 0.0.0.0"]'},
        {SERVER: 'CMD ["fastapi", "run", "main.py"]'},
        {SERVER: 'ENTRYPOINT ["tini", "--"]\nCMD ["uvicorn", "main:app", "--host", "0.0.0.0"]'},
        {SERVER: 'CMD ["gunicorn", "-k", "uvicorn.workers.UvicornWorker", "-b", "0.0.0.0:8000", "main:app"]'},
        {SERVER: 'CMD ["python", "main.py"]'},
        {"USER 10001": "RUN adduser --system lab\nUSER lab"},
    ],
)
def test_what_looks_wrong_and_is_right(change):
    assert check("16.1", changed(change)).ok


def changed(change):
    text = GOOD
    for old, new in change.items():
        assert old in text
        text = text.replace(old, new)
    return text


def test_curl_without_f_takes_a_503_for_success(capsys):
    assert not check("16.1", STAGES.replace("curl -fsS", "curl -sS")).ok
    assert "curl -f" in capsys.readouterr().out


@pytest.mark.parametrize("text", ["", None, "CMD"])
def test_no_dockerfile_at_all(text, capsys):
    assert not check("16.1", text).ok
    assert "which has a FROM" in capsys.readouterr().out


def test_a_wrong_dockerfile_and_then_a_right_one():
    assert not check("16.1", TASK).ok
    assert check("16.1", GOOD).ok


# exercise 2: start and stop


def service(late="background", ready=True, drain=True, strict=False, blocks=False, close=1, early=503, deaf=False):
    """A factory that does everything right, or one thing not."""

    def make_service(load_model):
        state = {"model": load_model() if late == "factory" else None, "draining": False}

        async def load():
            state["model"] = load_model() if late == "loop" else await asyncio.to_thread(load_model)

        @asynccontextmanager
        async def lifespan(app):
            loading = asyncio.create_task(load())
            if late == "before yield":
                await loading
            yield
            await loading
            for _ in range(close):
                state["model"].close()

        app = FastAPI(lifespan=lifespan)
        if not deaf:
            app.get("/health")(lambda: {"status": "alive"})

        @app.get("/ready")
        def is_ready():
            if ready and (state["model"] is None or state["draining"]):
                raise HTTPException(503, "not now")

        def labels(file: UploadFile):
            if state["model"] is None or (strict and state["draining"]):
                raise HTTPException(early, "not now", {"Retry-After": "1"} if early == 503 else None)
            return state["model"](file.file.read())

        async def blocking_labels(file: UploadFile):
            return labels(file)

        app.post("/labels")(blocking_labels if blocks else labels)

        @app.post("/drain")
        def drained():
            if drain:
                state["draining"] = True
                if close > 2:
                    state["model"].close()

        return app

    return make_service


def test_a_service_that_starts_and_stops_well():
    assert check("16.2", service()).ok


@pytest.mark.parametrize(
    ("mistake", "hint"),
    [
        ({"deaf": True}, "add the route"),
        ({"late": "before yield"}, "yield at once"),
        ({"late": "factory"}, "yield at once"),
        ({"late": "loop"}, "yield at once"),
        ({"ready": False}, "there is no model yet"),
        ({"early": 500}, "Retry-After"),
        ({"blocks": True}, "not work on the event loop"),
        ({"drain": False}, "only changes what /ready says"),
        ({"strict": True}, "only changes what /ready says"),
        ({"close": 0}, "after the yield of the lifespan"),
        ({"close": 2}, "after the yield of the lifespan"),
    ],
)
def test_a_service_with_one_mistake(mistake, hint, capsys):
    assert not check("16.2", service(**mistake)).ok
    assert hint in capsys.readouterr().out


def test_a_wrong_service_and_then_a_right_one_in_one_process():
    assert not check("16.2", service(ready=False)).ok
    assert check("16.2", service()).ok


def test_a_crash_in_the_service_is_shown_with_its_line(capsys):
    def make_service(load_model):
        app = skeleton(load_model)

        @app.get("/ready")
        def ready():
            return load_model.loaded

        return app

    assert not check("16.2", make_service).ok
    out = capsys.readouterr().out
    assert "return load_model.loaded" in out and "Traceback" not in out


def skeleton(load_model):
    app = FastAPI()
    app.get("/health")(lambda: {"status": "alive"})
    return app


def test_the_skeleton_of_the_service(capsys):
    report = check("16.2", skeleton)
    assert not report.ok and report.lines[0][0]
    assert "add the route: 503 as long as there is no model" in capsys.readouterr().out


# exercise 3: the smoke test

EXPECTED = {"apple.jpg": ["apple"], "stop_sign.jpg": ["stop sign"]}


def smoke(status=True, kind=True, ready=True, names=tuple(EXPECTED), catches=True, timeout=3, exact=False):
    """A smoke test that looks at everything, or does not at one thing."""

    def ask(url):
        if ready and requests.get(f"{url}/ready", timeout=timeout).status_code != 200:
            yield "not ready"
        for name in names:
            data = (ROOT / "images" / name).read_bytes()
            answer = requests.post(f"{url}/v1/detections", files={"file": data}, timeout=timeout)
            if status and answer.status_code != 200:
                yield f"{name}: status {answer.status_code}"
            if kind and answer.headers["content-type"] != "application/json":
                yield f"{name}: {answer.headers['content-type']}"
            if [each["label"] for each in answer.json()["detections"]] != EXPECTED[name]:
                yield f"{name}: other labels"
            if exact and set(answer.json()) != {"model", "image", "detections"}:
                yield f"{name}: other fields"

    def run(url):
        try:
            return list(ask(url))
        except requests.RequestException as error:
            if not catches:
                raise
            return [str(error)]

    return run


def test_a_smoke_test_that_looks_at_everything():
    assert check("16.3", smoke()).ok


@pytest.mark.parametrize(
    ("mistake", "missed", "hint"),
    [
        ({"status": False}, "every picture is answered 500", "look at the status"),
        ({"kind": False}, "JSON that calls itself text/html", "Content-Type"),
        ({"ready": False}, "/ready says 503", "nothing but 200"),
        ({"names": ("apple.jpg",)}, "every picture gets the first one's answer", "two pictures"),
        ({"timeout": None}, "no answer to a picture", "a timeout"),
        ({"exact": True}, "another build", "not every byte"),
        ({"catches": False}, "nobody answers at all", "requests.RequestException"),
    ],
)
def test_a_smoke_test_that_misses_something(mistake, missed, hint, capsys, monkeypatch):
    monkeypatch.setattr("classroom.checks.deployments.STUCK", 0.1)
    report = check("16.3", smoke(**mistake))
    assert missed in " ".join(text for fine, text in report.lines if not fine)
    assert hint in capsys.readouterr().out


def test_the_skeleton_of_the_smoke_test_finds_nothing(capsys):
    report = check("16.3", lambda url: [])
    assert [fine for fine, _ in report.lines] == [True] * 2 + [False] * 9
    assert "compare the labels" in capsys.readouterr().out


def test_a_wrong_smoke_test_and_then_a_right_one(monkeypatch):
    with monkeypatch.context() as patched:
        patched.setattr("classroom.checks.deployments.STUCK", 0.1)
        assert not check("16.3", smoke(ready=False)).ok
    assert check("16.3", smoke()).ok


def test_a_crash_in_the_smoke_test_is_shown_with_its_line(capsys, monkeypatch):
    monkeypatch.setattr("classroom.checks.deployments.STUCK", 0.1)

    def crashing(url):
        return url.status_code

    assert not check("16.3", crashing).ok
    out = capsys.readouterr().out
    assert "return url.status_code" in out and "Traceback" not in out


@pytest.mark.parametrize("good", [True, False])
def test_a_smoke_test_without_an_end_is_told(good, capsys, monkeypatch):
    monkeypatch.setattr("classroom.checks.deployments.LIMIT", 0.5)
    monkeypatch.setattr("classroom.checks.deployments.STUCK", 0.1)

    go = threading.Event()

    def tries_again(url):
        while not go.is_set() and (not good or requests.get(f"{url}/ready", timeout=5).status_code != 200):
            pass

    report = check("16.3", tries_again)
    go.set()
    assert not report.lines[-1][0] and "no end within 0.5 s" in report.lines[-1][1]
    assert "your function does not end" in capsys.readouterr().out
