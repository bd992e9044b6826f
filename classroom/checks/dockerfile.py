"""The Dockerfile of lesson 16: read as Docker reads it, and checked for the faults of the task."""

import json
import re
from fnmatch import fnmatch
from posixpath import normpath
from typing import Any

from .report import Report

KEY = "lab-51f0c2d97ab3"  # it stands in the Dockerfile of the task
SECRET = re.compile(r"(^|_)(KEYS?|TOKEN|SECRET|PASSWORD|PASSWD|CREDENTIALS?)$", re.I)
INSTALLS = re.compile(r"\b(pip3?|uv)\b.*?\s(-r|--requirements?)\b")
NEEDED = {"requirements.txt": True, "main.py": False}
HEREDOC = re.compile(r"<<-?\s*[\"']?(\w+)[\"']?\n(.*?)\n\s*\1\s*$", re.S | re.M)


def instructions(text: str) -> list[tuple[str, str]]:
    """The instructions of a Dockerfile and what follows each; a heredoc on one line, the defaults of ARG filled in."""
    text = re.sub(r"^[ \t]*#.*\n?", "", HEREDOC.sub(lambda found: found[2].replace("\n", ";"), text), flags=re.M)
    values = dict(re.findall(r"^\s*ARG\s+(\w+)=[\"']?([^\"'\s]*)", text, re.M | re.I))
    lines = [line.split(None, 1) for line in re.sub(r"\\[ \t]*\n", " ", text).splitlines() if line.strip()]
    steps = [(word.upper(), rest[0].strip() if rest else "") for word, *rest in lines]
    fill = re.compile(r"\$\{?(\w+)(?::-[^}]*)?\}?")
    return [(word, fill.sub(lambda found: values.get(found[1], found[0]), rest)) for word, rest in steps]


def _listed(rest: str) -> list[str]:
    """The exec form, a JSON list; empty for the shell form."""
    try:
        return list(map(str, json.loads(rest))) if rest.startswith("[") else []
    except ValueError:
        return []


def _takes(step: tuple[str, str], path: str) -> bool:
    """Whether a COPY, an ADD or the mount of a RUN brings this file in from the context."""
    plain = re.sub(r"^(--\S+\s+)+", "", step[1])
    names = re.findall(r"--mount=\S*\b(?:source|src)=([^\s,]+)", step[1]) if step[0] == "RUN" else []
    if step[0] in ("COPY", "ADD") and "--from=" not in step[1]:
        names = (_listed(plain) or plain.split())[:-1]
    names = [normpath(name.strip("/") or ".") for name in names]
    return any(name == "." or fnmatch(path, name) or path.startswith(f"{name}/") for name in names)


def dockerfile(report: Report, text: str) -> None:
    """The text of a Dockerfile without the faults of the task."""
    steps = instructions(text if isinstance(text, str) else "")
    begins = [number for number, (word, _) in enumerate(steps) if word == "FROM"]
    report.require("it is a Dockerfile", True, bool(begins), "give its text, which has a FROM")
    bases = [[part for part in steps[number][1].split() if part[:2] != "--"] for number in begins]
    names = {base[-1] for base in bases if len(base) > 1} | {"scratch"}  # FROM ... AS name
    fine = r":[\w.-]*\d+\.\d|@sha256:[0-9a-f]{64}$"
    loose = [base[0] for base in bases if base[0] not in names and not re.search(fine, base[0])]
    hint = "name a version with two numbers at least, or a digest: :latest and :3 change without you"
    report.expect("base images without a version", [], loose, hint)
    actual: Any = "no pip install -r"
    for number, step in reversed(list(enumerate(steps))):
        if step[0] == "RUN" and INSTALLS.search(step[1]):
            stage = steps[max(begin for begin in begins if begin <= number) : number + 1]
            actual = {name: any(_takes(each, name) for each in stage) for name in NEEDED}
    hint = "COPY requirements.txt alone, then RUN pip install -r, then COPY the code"
    report.expect("what has been copied when the packages are installed", NEEDED, actual, hint)
    whole = any(_takes(step, "main.py") for step in steps if step[0] != "RUN")
    report.expect("main.py is copied as well", True, whole, "the code needs a COPY of its own, after the RUN")
    pairs = [(word, *pair) for word, rest in steps for pair in re.findall(r"([\w.]+)(?:[= ](\S*))?", rest)]
    leaks = {name for word, name, value in pairs if word == "ARG" and SECRET.search(name)}
    leaks |= {name for word, name, value in pairs if word == "ENV" and SECRET.search(name) and value.strip("\"'")}
    hint = "leave it out: it comes when the container starts (docker run --env-file), never into a layer"
    report.expect("secrets in the image", [], sorted(leaks) + ["the key itself"] * (KEY in text), hint)
    own = 0 if bases[-1][0] in names else begins[-1]  # FROM an earlier stage: what that one says goes on
    _check_run(report, steps, dict(steps[own:]))  # of each instruction, the last one counts


def _check_run(report: Report, steps: list[tuple[str, str]], last: dict[str, str]) -> None:
    """How a container of the image runs: as whom, which process is the first, how it is asked for its health."""
    runs = [rest for word, rest in steps if word == "RUN"]
    user = last.get("USER", "root").split(":")[0]
    made = (
        user.isdigit()
        or user in ("nobody", "www-data", "nonroot")
        or re.search(rf"add.*\b{re.escape(user)}\b", str(runs))
    )
    actual = "root" if user in ("root", "0") else "not root" if made else f"{user}, whom no RUN creates"
    report.expect("the user that it runs as", "not root", actual, "USER 10001; or RUN useradd NAME, then USER NAME")
    first, more = last.get("ENTRYPOINT", ""), last.get("CMD", "")
    parts = [_listed(each) for each in (first, more) if each]
    shell = not all(parts) or (parts and parts[0][0].split("/")[-1] in ("sh", "bash") and "exec " not in parts[0][-1])
    actual = (
        "nothing" if not parts else "a shell" if shell else "the server" if "main" in first + more else first + more
    )
    hint = 'a list in double quotes, CMD ["uvicorn", "main:app", ...]: else a shell gets the SIGTERM in its place'
    report.expect("what runs as process 1", "the server", actual, hint)
    health = last.get("HEALTHCHECK", "NONE")
    tool, base = re.search(r"\bcurl|wget\b", health), last["FROM"]
    hint = "HEALTHCHECK CMD and a command that asks http://127.0.0.1:8000/ready, and fails where the answer is no"
    if tool and "slim" in base and not any("install" in run and tool[0] in run for run in runs):
        health, hint = (
            f"{tool[0]}, which is not there",
            "slim images have neither curl nor wget: python and urllib can ask",
        )
    elif tool and tool[0] == "curl" and not re.search(r"\s(-\w*f\w*|--fail)\b", health):
        health, hint = "curl, which takes a 503 for success", "curl -f ends with an error for a 503"
    actual = "by /ready" if "/ready" in health else health
    report.expect("how Docker finds out whether it is well", "by /ready", actual, hint)
