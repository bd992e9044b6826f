"""The checks of the capstone, both ways: the solution passes each step, and each usual mistake gets its hint."""

import re
import shutil

import nbformat
import pytest
from helpers import ROOT

from classroom import project
from classroom.checks import check

SOLUTION = ROOT / "notebooks/solutions/17_capstone.ipynb"


@pytest.fixture(scope="module")
def solved(tmp_path_factory):
    """The solution's project: its cells run, but for the checks."""
    folder = tmp_path_factory.mktemp("capstone") / "project"
    variables = {"FOLDER": folder}
    for cell in nbformat.read(SOLUTION, as_version=4).cells:
        if cell.cell_type != "code" or "check(" in cell.source or "rmtree" in cell.source:
            continue
        if written := re.match(r"%%writefile \{FOLDER\}/(\S+)\n", cell.source):
            (folder / written[1]).write_text(cell.source[written.end() :])
        elif "check" not in cell.source or "make_payments" in cell.source:
            exec(cell.source, variables)
        else:
            exec(re.sub(r"from classroom.*\n?", "", cell.source), variables)
    return folder


@pytest.fixture
def folder(solved, tmp_path):
    """A copy of it, to break."""
    return shutil.copytree(solved, tmp_path / "project")


def change(folder, file, old, new):
    text = (folder / file).read_text()
    assert old in text
    (folder / file).write_text(text.replace(old, new))


def missed(report):
    """What is NOT YET right, as one text."""
    assert not report.ok
    return "\n".join(text for right, text in report.lines if not right)


@pytest.mark.parametrize("step", range(1, 9))
def test_the_solution_passes(solved, step):
    assert check(f"17.{step}", solved).ok


MISTAKES = [
    (1, "fraudapi/api.py", "    app.state.model = Model()\n", "", "AttributeError|500"),
    (1, "fraudapi/routes.py", "    model = request.app.state.model\n    (prob", "    from .model import Model\n"
     "    model = Model()\n    (prob", "loads after all of these"),
    (1, "fraudapi/routes.py", "probability >= threshold", "probability > 0.5", "fraud: probability >= threshold"),
    (1, "fraudapi/schemas.py", 'extra="forbid", ', "", "422 for .*currency"),
    (1, "fraudapi/schemas.py", "ge=0, le=23", "ge=0", "422 for .*hour"),
    (1, "fraudapi/api.py", "from . import", "from . import nothing,", "ImportError: cannot import name 'nothing'"),
    (2, "fraudapi/security.py", 'os.environ.get("FRAUD_KEYS", "")', '"secret"', "environment variable FRAUD_KEYS"),
    (2, "fraudapi/security.py", "if key.strip()", "", "FRAUD_KEYS is empty"),
    (2, "fraudapi/api.py", "dependencies=[Depends(check_key)]", "dependencies=[]", "401 without|with no key"),
    (3, "fraudapi/watch.py", '"X-Request-ID"] = id', '"X-Id"] = id', "X-Request-ID"),
    (3, "fraudapi/watch.py", '"path": request.url.path', '"path": request.url.path, '
     '"headers": dict(request.headers)', "what must not be in a log"),
    (4, "fraudapi/batch.py", "enumerate(rows, 1)", "enumerate(rows)", "number the rows from 1"),
    (5, "fraudapi/watch.py", 'getattr(request.scope.get("route"), "path", "none")', "request.url.path", "template"),
    (6, "tests/test_api.py", "== 401", "in (200, 401)", "where the key is not checked"),
    (6, "tests/test_api.py", '[each["fraud"] for each in answers] == [False, True]', "answers", "the other way"),
    (7, "Dockerfile", "USER 1000\n", "ENV FRAUD_KEYS=abc\n", "keys in the image"),
    (8, "loadtest.py", "range(count)", "[*range(count), 1]", "requests that the service counted"),
    (8, "loadtest.py", "answer.status_code < 400", "True", "errors with a wrong key"),
]  # fmt: skip


@pytest.mark.parametrize(("step", "file", "old", "new", "hint"), MISTAKES, ids=lambda each: str(each)[:24])
def test_a_mistake_gets_its_hint(folder, step, file, old, new, hint):
    change(folder, file, old, new)
    assert re.search(hint, missed(check(f"17.{step}", folder)))


SERVER = '["uvicorn", "fraudapi.api:app", "--host", "0.0.0.0", "--port", "8000"]'
HEALTH = '["python", "-c", \\\n    "import urllib.request as r; r.urlopen(\'http://127.0.0.1:8000/health\')"]'
FIRST = "FROM python:3.13-slim\n"


@pytest.mark.parametrize(
    ("old", "new", "hint"),
    [
        (SERVER, '["sh", "-c", "uvicorn fraudapi.api:app --host 0.0.0.0"]', "would keep SIGTERM"),
        (SERVER, SERVER.replace('"', "'"), "would keep SIGTERM"),
        (SERVER, SERVER.replace("fraudapi.api", "main"), "CMD starts the service.*\n.*fraudapi.api:app"),
        (SERVER, SERVER.replace("0.0.0.0", "127.0.0.1"), "listens to other machines"),
        (SERVER, SERVER.replace('"--host"', '"--forwarded-allow-ips"'), "listens to other machines"),
        ("COPY requirements.txt .\n", "", "packages are installed before"),
        ("COPY requirements.txt .\n", "COPY . .\n", "packages are installed before"),
        ("COPY fraudapi fraudapi\n", "", "packages are installed before"),
        ("COPY fraudapi fraudapi\n", "COPY fraudapi .\n", "COPY takes only what is in it"),
        ("USER 1000\n", "USER anna\n", "anna, whom no RUN creates: RUN useradd"),
        (HEALTH, "curl -f http://127.0.0.1:8000/health", "neither curl nor wget"),
        (HEALTH, "echo http://127.0.0.1:8000/health", "HEALTHCHECK asks /health"),
        (HEALTH, HEALTH.replace("8000", "9000"), "the port that the server listens on"),
        (HEALTH, HEALTH.replace("/health", "/healthy"), "HEALTHCHECK asks /health"),
        ("USER 1000\n", "ENV API_KEY=key-of-anna\nUSER 1000\n", "keys in the image"),
        ("USER 1000\n", "COPY .env .\nUSER 1000\n", "keys in the image"),
        (FIRST, "FROM python:3.13-slim AS first\nFROM python:latest\n", "FROM names a version"),
    ],
)  # fmt: skip
def test_a_fault_of_the_dockerfile_is_the_only_one(folder, old, new, hint):
    change(folder, "Dockerfile", old, new)
    report = check("17.7", folder)
    assert re.search(hint, missed(report)) and [right for right, _ in report.lines].count(False) == 1


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("COPY fraudapi fraudapi\n", "COPY . .\n"),
        ("COPY fraudapi fraudapi\n", "COPY --chown=1000 fraudapi/ /app/fraudapi/\n"),
        (f"CMD {SERVER}", 'ENTRYPOINT ["uvicorn","fraudapi.api:app","--host=0.0.0.0"]\nCMD ["--port", "8000"]'),
        (f"CMD {SERVER}", 'ENV UVICORN_HOST=0.0.0.0\nCMD ["uvicorn", "fraudapi.api:app"]'),
        (SERVER, '["sh", "-c", "exec uvicorn fraudapi.api:app --host 0.0.0.0"]'),
        (SERVER, '["python", "-m", "uvicorn", "fraudapi.api:app", "--host", "::"]'),
        ("USER 1000\n", "RUN useradd --create-home anna\nUSER anna\n"),
        ("USER 1000\n", "ENV FRAUD_KEYS=\nUSER 1000\n"),
        (HEALTH, "curl -f http://127.0.0.1:8000/health || exit 1\nRUN apt-get install -y curl"),
        (FIRST, "FROM python:3.13-slim AS base\nFROM base\n"),
    ],
)
def test_another_right_dockerfile(folder, old, new):
    change(folder, "Dockerfile", old, new)
    assert check("17.7", folder).ok


def test_wrong_then_right_without_starting_anew(folder):
    right = (folder / "fraudapi/security.py").read_text()
    change(folder, "fraudapi/security.py", "HTTPException(401", "HTTPException(403")
    assert not check("17.2", folder).ok
    (folder / "fraudapi/security.py").write_text(right)
    assert check("17.2", folder).ok


@pytest.mark.parametrize("target", [None, "http://127.0.0.1:9", "nowhere"])
def test_what_is_no_project(target):
    assert "give the folder of the project" in missed(check("17.1", target))


@pytest.mark.parametrize(
    ("step", "file", "old", "new", "shown"),
    [
        (1, "fraudapi/routes.py", "model.probabilities([payment])", "model.probability(payment)", "model.probability("),
        (1, "fraudapi/api.py", "import check_key", "import check_keys", "from .security import check_keys"),
        (3, "fraudapi/watch.py", "1000 * seconds", "1000 * secs", "round(1000 * secs"),
        (8, "loadtest.py", "times[-1]", "times.last", '"max_ms": times.last'),
    ],
)
def test_an_error_of_the_students_own_is_shown_with_its_line(folder, step, file, old, new, shown):
    change(folder, file, old, new)
    said = missed(check(f"17.{step}", folder))
    assert re.search(rf"Error: .*\(your line \d+ of {file}: .*{re.escape(shown)}", said), said


def test_a_service_that_never_answers_is_told(tmp_path, monkeypatch):
    monkeypatch.setattr(project, "SECONDS", 3)
    (tmp_path / "fraudapi").mkdir()
    (tmp_path / "fraudapi/api.py").write_text("async def app(scope, receive, send):\n    pass\n")
    assert "GET /health did not answer 200" in missed(check("17.1", tmp_path))
