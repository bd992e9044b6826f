"""How a container of an image runs: as whom, which process is the first, how it is asked for its health."""

import json
import re
from posixpath import basename

Step = tuple[str, str]  # an instruction of a Dockerfile, and what follows it

SHELLS = ("sh", "bash", "dash", "ash")
WRAPPERS = ("tini", "dumb-init", "env")  # they start the process that follows and hand signals on
TOOL = re.compile(r"(?:^|[;&|(`!]|\bexec\b|\bif\b)\s*(?:[\w.-]*/)*(curl|wget|python[\d.]*|https?)(?=\s)")
SENDS = re.compile(r"urlopen|\.open\(|requests|httpx|HTTPS?Connection|urllib3|aiohttp|socket")
LOOKS = re.compile(r"raise_for_status|status|\.ok\b|is_success|is_error")
HOME = r"(?:localhost|127(?:\.\d+){3}|0\.0\.0\.0|\[::1?\])"
FAILS = re.compile(r"\(?\s*(exit\s*$|exit\s+([1-9]|\$)|false\b|kill\b|return\s+[1-9])")
ENDS = {"&&": "", "|": r"grep\b|jq\s+-\w*e", ";": r"test\b|\[|exit\s+([1-9]|\$)", "&": r"test\b|\["}


def listed(rest: str) -> list[str]:
    """The exec form, a JSON list; empty for the shell form."""
    try:
        return list(map(str, json.loads(rest))) if rest.startswith("[") else []
    except ValueError:
        return []


def account(history: list[Step]) -> str:
    """The user of the first process: "root", "not root", or one whom the image does not know."""
    user = dict(history).get("USER", "root").split(":")[0].strip("\"'")
    runs = " ; ".join(rest for word, rest in history if word == "RUN")
    if user in ("root", "") or (user.isdigit() and int(user) == 0):
        return "root"
    adds = (
        rf"(user-?add|add-?user)\b[^;&|]*[\s\"',]{re.escape(user)}(?![\w-])|\b{re.escape(user)}:\S*:\S*:.*/etc/passwd"
    )
    known = user.isdigit() or user in ("nobody", "www-data", "nonroot") or re.search(adds, runs)
    return "not root" if known else f"{user}, whom no RUN creates"


def started(history: list[Step]) -> tuple[list[str], bool]:
    """The words of the first process (ENTRYPOINT, then CMD), and whether a shell stays in front of the server."""
    last = dict(history)
    first, more = last.get("ENTRYPOINT", ""), last.get("CMD", "")
    parts = [each for each in (first, more) if each and each != "[]"]
    words = [word for each in parts for word in listed(each)]
    while words and basename(words[0]) in WRAPPERS:
        words = words[1:]
        while words and (words[0].startswith("-") or "=" in words[0]):
            words = words[1:]
    if all(map(listed, parts)) and not (words and basename(words[0]) in SHELLS):
        return words, False
    script = "" if all(map(listed, parts)) else " ".join(parts)
    script = script or (words[2] if len(words) > 2 and words[1].endswith("c") else " ".join(words))
    replaced = re.search(r"(?:^|[;&]\s*)exec\s", script) and "[" not in script[:1]
    return re.findall(r"[^\s\"',\[\]]+", script), not replaced


def _option(words: list[str], *names: str) -> str:
    """The value of an option, after a space or after =; the last one counts."""
    found = ""
    for word, following in zip(words, [*words[1:], ""], strict=True):
        name, _, value = word.partition("=")
        found = (value or following) if name in names else found
    return found


def answers(history: list[Step]) -> tuple[str, str]:
    """Host and port of the server, "0.0.0.0" for all hosts; each "" where only its code knows."""
    words, _ = started(history)
    set_to = dict(
        pair for word, rest in history if word == "ENV" for pair in re.findall(r"(\w+)[= ]\"?([^\s\"]+)", rest)
    )
    program = next((name for name in ("gunicorn", "hypercorn", "fastapi", "uvicorn")
                    if name in map(basename, words)), "")  # fmt: skip
    host, port = _option(words, "--host"), _option(words, "--port")
    if program == "uvicorn":
        host, port = (host or set_to.get("UVICORN_HOST", "127.0.0.1"), port or set_to.get("UVICORN_PORT", "8000"))
    elif program == "fastapi":
        host, port = host or ("0.0.0.0" if "run" in words else "127.0.0.1"), port or "8000"
    elif program:
        host, _, port = (_option(words, "-b", "--bind") or "127.0.0.1:8000").rpartition(":")
    return ("0.0.0.0" if host in ("::", "[::]") else host), port if port.isdigit() else ""


def asked(history: list[Step], path: str) -> tuple[str, str]:
    """How the HEALTHCHECK asks: "by PATH", or what is wrong with it and a hint of its own, "" for the usual one."""
    health = dict(history).get("HEALTHCHECK", "NONE")
    command = re.sub(r"^(--\S+\s+)*(CMD\s*)?", "", health)
    words = listed(command)
    script = words[2] if len(words) > 2 and basename(words[0]) in SHELLS else "" if words else command
    command = script or " ".join(words)
    tool = TOOL.search(command)
    url = re.search(rf"{HOME}(?::[^/\s]*)?(/[^\s\"'\\?),;]*)", command)
    if not tool or not re.search(rf"{path}(?![\w-])", command) or (url and url[1].rstrip("/") != path):
        return health, ""
    for wrong in (
        _lacking(history, tool[1]),
        _takes_no(command, tool[1]),
        _hides(script),
        _elsewhere(history, command),
    ):
        if wrong[0]:
            return wrong
    return f"by {path}", ""


def _lacking(history: list[Step], tool: str) -> tuple[str, str]:
    base, runs = history[0][1], [rest for word, rest in history if word == "RUN"]
    lacks = {"slim": ("curl", "wget"), "alpine": ("curl",)}
    if not any(kind in base and tool in tools for kind, tools in lacks.items()):
        return "", ""
    if any(re.search(rf"\b(install|add)\b[^;&|]*\b{tool}\b", run) for run in runs):
        return "", ""
    some = "slim images have neither curl nor wget" if "slim" in base else "alpine images have no curl"
    return f"{tool}, which is not there", f"{some}: python and urllib can ask"


def _takes_no(command: str, tool: str) -> tuple[str, str]:
    """What takes a 503 for success, or asks nobody."""
    if tool == "curl" and not re.search(r"\s(-\w*f\w*|--fail\S*)(?=[\s\"]|$)|http_code", command):
        return "curl, which takes a 503 for success", "curl -f ends with an error for a 503"
    if tool.startswith("python"):
        sends = SENDS.search(command)
        if not sends:
            return "python, which asks nobody", "urllib.request.urlopen(URL) asks, and raises an error for a 503"
        if sends[0] not in ("urlopen", ".open(") and not LOOKS.search(command):
            return (
                f"{sends[0]}, which takes a 503 for success",
                "look at the status: raise_for_status() raises an error",
            )
    return "", ""


def _hides(script: str) -> tuple[str, str]:
    """Whether a shell's last command hides the failure of the one that asks."""
    plain = re.sub(r"'[^']*'|\"(\\.|[^\"\\])*\"|\$\([^)]*\)", "Q", script)
    plain = re.sub(r"\d?>&\d|&>", ">", plain).strip(" ;")
    first, *parts = re.split(r"(\|\||&&|[;|&])", plain)
    ends = list(zip(parts[::2], map(str.strip, parts[1::2]), strict=True))
    hidden = any(sign == "||" and not FAILS.match(each) and not TOOL.match(f"{each} ") for sign, each in ends)
    if ends and ends[-1][0] != "||" and not hidden:
        sign, each = ends[-1]
        hidden = not (re.match(ENDS[sign], each) or TOOL.match(f"{each} "))
    if plain.startswith("if "):
        hidden = not re.search(r"\belse\s*;?\s*exit [1-9]", plain.replace("Q", "")) and "exit 1" not in plain
    if hidden or re.match(r"!|(echo|printf|true)\b", first):
        return "a command that succeeds where the answer is no", "the last command's exit status counts: || exit 1"
    return "", ""


def _elsewhere(history: list[Step], command: str) -> tuple[str, str]:
    """Whether another machine or another port is asked."""
    _, port = answers(history)
    host = re.search(r"https?://([\w.-]+)", command)
    if host and not re.fullmatch(HOME, host[1]):
        return f"{host[1]} is asked", "ask 127.0.0.1: the container itself"
    local = re.search(rf"{HOME}(?::(\d+))?/|Connection\([\"'\\]+[^\"'\\]+[\"'\\]+,\s*(?:port=)?(\d+)", command)
    there = (local[1] or local[2] or "80") if local else port
    if port and there != port:
        return f"port {there} is asked, the server listens on {port}", "ask the port that the server listens on"
    return "", ""
