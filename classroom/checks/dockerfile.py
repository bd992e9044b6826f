"""Dockerfiles, of lessons 16 and 17: read as Docker reads them, and checked for the faults of the tasks."""

import re
import shlex
from fnmatch import fnmatch
from itertools import pairwise
from posixpath import basename, normpath

from .container import Step, account, answers, asked, listed, started
from .report import Report

KEY = "lab-51f0c2d97ab3"  # it stands in the Dockerfile of the task
SECRET = re.compile(r"(^|_)(API)?(KEYS?|TOKENS?|SECRETS?|PASSWORDS?|PASSWD|PWD|CREDENTIALS?)$", re.I)
FILE = re.compile(
    r"^\.env(?!\.(example|sample|template|dist)$)|\.(pem|key)$|^id_(rsa|ed25519)|^(secrets?|credentials?)\b"
)
INSTALLS = re.compile(
    r"\b(pip[\d.]*|uv)\s[^;&|]*\b(?<!un)(install|wheel)\s[^;&|]*[\"']?(?<![\w-])(-\w*r|--requirements?\b)|\bpip sync\s"
)
NEEDED = {"requirements.txt": True, "main.py": False}
HEREDOC = re.compile(r"<<-?\s*[\"']?(\w+)[\"']?\n(.*?)\n\s*\1\s*$", re.S | re.M)


def instructions(text: str) -> list[Step]:
    """The instructions of a Dockerfile and what follows each; a heredoc on one line, the defaults of ARG filled in."""
    text = re.sub(r"^[ \t]*#.*\n?", "", HEREDOC.sub(lambda found: found[2].replace("\n", ";"), text), flags=re.M)
    values = dict(re.findall(r"^\s*ARG\s+(\w+)=[\"']?([^\"'\s]*)", text, re.M | re.I))
    lines = [line.split(None, 1) for line in re.sub(r"\\[ \t]*\n", " ", text).splitlines() if line.strip()]
    steps = [(word.upper(), rest[0].strip() if rest else "") for word, *rest in lines]
    values |= {name: value for step in steps if step[0] == "ENV" for name, value in pairs(step) if "$" not in value}
    fill = re.compile(r"\$\{?(\w+)(?::-[^}]*)?\}?")
    return [(word, fill.sub(lambda found: values.get(found[1], found[0]), rest)) for word, rest in steps]


def pairs(step: Step) -> list[tuple[str, str]]:
    """The variables that an ENV, an ARG or a command sets, and their values."""
    word, rest = step
    if word not in ("ENV", "ARG"):
        return [(name, value.strip("\"'\\],")) for name, value in re.findall(r"\b(\w+)=(?!\$)(\S*)", rest)]
    try:
        parts = shlex.split(rest)
    except ValueError:
        parts = rest.split()
    if word == "ENV" and parts and "=" not in parts[0]:
        return [(parts[0], " ".join(parts[1:]))]
    return [(name, value) for name, _, value in (part.partition("=") for part in parts)]


def _base(step: Step) -> list[str]:
    """The image of a FROM, and the name that it gives to its stage."""
    return [part for part in step[1].split() if part[:2] != "--" and part.upper() != "AS"] or [""]


def history(steps: list[Step]) -> list[Step]:
    """The steps that made the last one's image: its stage, after the earlier stage that it is FROM."""
    begins = [number for number, (word, _) in enumerate(steps) if word == "FROM"]
    if not begins:
        return steps
    for number, following in reversed(list(pairwise(begins))):
        if _base(steps[number])[1:] == _base(steps[begins[-1]])[:1]:
            return history(steps[:following]) + steps[begins[-1] :]
    return steps[begins[-1] :]


def _sources(step: Step) -> list[str]:
    """What a COPY, an ADD or the mounts of a RUN bring in from the context."""
    plain = re.sub(r"^(--\S+\s+)+", "", step[1])
    names = re.findall(r"--mount=\S*\b(?:source|src)=([^\s,]+)", step[1]) if step[0] == "RUN" else []
    if step[0] in ("COPY", "ADD") and "--from=" not in step[1]:
        names = (listed(plain) or plain.split())[:-1]
    return [normpath(name.strip("/") or ".") for name in names]


def takes(step: Step, path: str) -> bool:
    """Whether a step brings this file in from the context."""
    return any(name == "." or fnmatch(path, name) or path.startswith(f"{name}/") for name in _sources(step))


def loose(steps: list[Step]) -> list[str]:
    """The base images that can change without notice."""
    bases = [_base(step) for step in steps if step[0] == "FROM"]
    names = {base[1] for base in bases if len(base) > 1} | {"scratch"}
    fine = r":[\w.-]*\d+\.\d[^/]*$|@sha256:[0-9a-f]{64}$"
    return [base[0] for base in bases if base[0] not in names and not re.search(fine, base[0])]


def _kept(steps: list[Step]) -> list[Step]:
    """The steps whose files can be in the last image: an earlier stage's, where something is copied from one."""
    last = history(steps)
    return steps if any(word == "COPY" and "--from=" in rest for word, rest in last) else last


def at_install(steps: list[Step], files: list[str]) -> dict[str, bool] | str:
    """Which of these files have been copied when the packages are installed."""
    for number, step in enumerate(steps):
        command = " ".join(listed(step[1])) or step[1]
        if step[0] == "RUN" and INSTALLS.search(command) and step in _kept(steps):
            return {file: any(takes(each, file) for each in history(steps[: number + 1])) for file in files}
    return "no pip install -r"


def copied(steps: list[Step], file: str) -> bool:
    """Whether this file gets into the image; the mount of a RUN does not stay."""
    return any(takes(step, file) for step in _kept(steps) if step[0] != "RUN")


def leaks(steps: list[Step]) -> list[str]:
    """The secrets that an image has: variables by name, and files."""
    found = {name for step in steps if step[0] == "ARG" for name, _ in pairs(step) if SECRET.search(name)}
    sets = [step for step in steps if step[0] in ("ENV", "RUN", "CMD", "ENTRYPOINT", "HEALTHCHECK", "LABEL")]
    found |= {name for step in sets for name, value in pairs(step) if SECRET.search(name) and value}
    names = [basename(name) for step in steps if step[0] in ("COPY", "ADD") for name in _sources(step)]
    return sorted(found | {name for name in names if FILE.search(name)})


def dockerfile(report: Report, text: str) -> None:
    """The text of a Dockerfile without the faults of the task."""
    steps = instructions(text if isinstance(text, str) else "")
    report.require(
        "it is a Dockerfile", True, any(word == "FROM" for word, _ in steps), "give its text, which has a FROM"
    )
    hint = "name a version with two numbers at least, or a digest: :latest and :3 change without you"
    report.expect("base images without a version", [], loose(steps), hint)
    hint = "COPY requirements.txt alone, then RUN pip install -r, then COPY the code"
    actual = at_install(steps, list(NEEDED))
    report.expect("what has been copied when the packages are installed", NEEDED, actual, hint)
    hint = "the code needs a COPY of its own, after the RUN"
    report.expect("main.py is copied as well", True, copied(steps, "main.py"), hint)
    hint = "leave it out: it comes when the container starts (docker run --env-file), never into a layer"
    report.expect("secrets in the image", [], leaks(steps) + ["the key itself"] * (KEY in text), hint)
    last = history(steps)
    hint = "USER 10001; or RUN useradd NAME, then USER NAME"
    report.expect("the user that it runs as", "not root", account(last), hint)
    words, shell = started(last)
    server = "the server" if re.search(r"\bmain(:\w|\.py\b)|-m main\b", " ".join(words)) else " ".join(words)
    actual = "nothing" if not words else "a shell" if shell else server
    hint = 'a list in double quotes, CMD ["uvicorn", "main:app", ...]: else a shell gets the SIGTERM in its place'
    right = report.expect("what runs as process 1", "the server", actual, hint)
    host, _ = answers(last)
    if right and host not in ("", "0.0.0.0"):
        hint = '"--host", "0.0.0.0": in a container 127.0.0.1 is the container\'s own'
        report.expect("where it listens", "0.0.0.0", host, hint)
    hint = "HEALTHCHECK CMD and a command that asks http://127.0.0.1:8000/ready, and fails where the answer is no"
    actual, other = asked(last, "/ready")
    report.expect("how Docker finds out whether it is well", "by /ready", actual, other or hint)
