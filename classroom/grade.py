"""`python -m classroom grade FOLDER`: the checks over a class's submissions, each in a process of its own.

A submission is a notebook, which is run whole and whose own `check(...)` cells count, or a Python file named after an
exercise (04.1.py, 04.1_anna.py) that makes what its notebook checks: `app`, or a function. It has
a time limit, a memory limit and no way to other hosts; one that hangs, crashes or ends its process costs only itself.
This keeps accidents apart, not attacks: run submissions of people whom you do not trust in a container.
"""

import csv
import os
import re
import signal
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from html import escape
from pathlib import Path

from classroom import ROOT

from .results import VARIABLE, Result, best, read

GUARD = '''\
"""Python imports this first in every process of a submission: connections to other hosts are refused."""
import socket

connect = socket.socket.connect


def guarded(self, address):
    host = address[0] if isinstance(address, tuple) else "127.0.0.1"
    if host not in ("127.0.0.1", "::1", "localhost"):
        raise OSError(f"a submission may not connect to {host}")
    return connect(self, address)


socket.socket.connect = guarded
'''


SUFFIXES = (".ipynb", ".py")


@dataclass
class Submission:
    """One file of one student, and what its checks found. trouble: why it did not run to its end."""

    student: str
    path: Path
    results: dict[str, Result] = field(default_factory=dict)
    trouble: str = ""


def submissions(folder: Path) -> list[Submission]:
    """The notebooks and Python files in a folder. The student: the first folder below it, else the file's name."""
    found = []
    for path in sorted(folder.rglob("*")):
        if path.suffix.lower() in SUFFIXES and _is_handed_in(path):
            found.append(Submission(_student(path, folder), path))
    return found


def others(folder: Path, out: Path) -> list[Submission]:
    """All other files but the table itself: they are named, so that no student is forgotten."""
    tables = (out.resolve(), out.with_suffix(".html").resolve())
    found = [path for path in sorted(folder.rglob("*")) if path.suffix.lower() not in SUFFIXES]
    found = [path for path in found if _is_handed_in(path) and path.resolve() not in tables]
    return [Submission(_student(path, folder), path, trouble=_not_graded(path)) for path in found]


def _not_graded(path: Path) -> str:
    packed = path.suffix.lower() in (".zip", ".gz", ".tgz", ".tar", ".7z", ".rar", ".bz2", ".xz")
    return "it is packed: unpack it, and grade again" if packed else "it is no notebook and no Python file"


def _is_handed_in(path: Path) -> bool:
    return path.is_file() and not {".ipynb_checkpoints", "__pycache__", "__MACOSX", ".git"} & {*path.parts}


def _student(path: Path, folder: Path) -> str:
    parts = path.relative_to(folder).parts
    return parts[0] if len(parts) > 1 else path.stem


def grade(folder: Path, out: Path, seconds: float, memory: int) -> int:
    """Check all submissions, write a CSV file and a page beside it; the exit status."""
    if not folder.is_dir():
        print(f"error: {folder} is no folder", file=sys.stderr)
        return 2
    found, rest = submissions(folder), others(folder, out)
    for each in rest:
        print(f"not graded: {each.path.relative_to(folder)}: {each.trouble}", file=sys.stderr)
    if not found:
        print(f"error: there is no notebook and no Python file in {folder}", file=sys.stderr)
        return 2
    for number, each in enumerate(found, 1):
        print(f"{number}/{len(found)}  {each.path.relative_to(folder)} ...", flush=True)
        check(each, seconds, memory)
    out.parent.mkdir(parents=True, exist_ok=True)
    names = {each.student for each in found}
    rows = table(found + [each for each in rest if each.student not in names], folder)
    with out.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows(rows)
    out.with_suffix(".html").write_text(page(rows), encoding="utf-8")
    print(f"{out} and {out.with_suffix('.html')} hold what was found.")
    return 0


def check(submission: Submission, seconds: float, memory: int) -> None:
    """Run one submission within its limits and fill in what was found."""
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "sitecustomize.py").write_text(GUARD)
        results = Path(folder) / "results.jsonl"
        env = {name: value for name, value in os.environ.items() if not name.startswith("YOLOLAB_")}
        env |= {VARIABLE: str(results), "TMPDIR": folder, "YOLOLAB_UPLOADS": str(Path(folder) / "uploads")}
        env |= {"PYTHONPATH": os.pathsep.join([folder, str(ROOT), env.get("PYTHONPATH", "")])}
        command = [sys.executable, "-m", "classroom.submission", str(submission.path.resolve()), str(memory)]
        process = subprocess.Popen(
            command, cwd=ROOT, env=env, text=True, errors="replace", start_new_session=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
        )  # fmt: skip
        try:
            _, said = process.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            submission.trouble = f"stopped after {seconds:g} s"
        else:
            last = (said.strip().splitlines() or [""])[-1]
            submission.trouble = "" if process.returncode == 0 else last or f"ended with status {process.returncode}"
        finally:
            _end(process)
        submission.results = best(read(results))


def _end(process: subprocess.Popen[str]) -> None:
    """End the process and all that it started."""
    try:
        if hasattr(os, "killpg"):
            os.killpg(process.pid, signal.SIGKILL)
        else:
            process.kill()
    except ProcessLookupError:
        pass
    process.communicate()


def table(found: list[Submission], folder: Path) -> list[list[str]]:
    """The rows of the CSV, the head first. Points: the share of an exercise's comparisons that were right, of 100."""
    rows = [["student", "file", "exercise", "points", "first hint", "trouble"]]
    for each in found:
        file = each.path.relative_to(folder).as_posix()
        for name, result in sorted(each.results.items()):
            points = str(round(100 * result.right / result.lines))
            rows.append([each.student, file, name, points, " ".join(result.hint.split()), each.trouble])
        if not each.results:
            is_file = each.path.suffix.lower() == ".py"
            ended = "it ended its process before its check was done: os._exit?"
            nothing = each.trouble or (ended if is_file else "no check was called in it")
            rows.append([each.student, file, "", "0", "", nothing])
    return [rows[0], *([_harmless(cell) for cell in row] for row in rows[1:])]


def _harmless(cell: str) -> str:
    """A table program takes a cell that begins like this for a formula."""
    return f"'{cell}" if re.match(r"[=+@-]", cell) else cell


def page(rows: list[list[str]]) -> str:
    """The rows as an HTML page."""
    head, *body = rows
    cells = "".join(f"<tr>{''.join(f'<td>{escape(cell)}' for cell in row)}" for row in body)
    return (
        "<!doctype html><html lang=en><meta charset=utf-8><title>Grades</title>"
        "<style>body{font:15px system-ui,sans-serif;margin:2em}table{border-collapse:collapse}"
        "td,th{padding:.3em .8em;border-bottom:1px solid #ccc;text-align:left;vertical-align:top}</style>"
        f"<h1>Grades</h1><table><tr>{''.join(f'<th>{escape(cell)}' for cell in head)}{cells}</table></html>\n"
    )
