"""The newcomer's path: every exercise tried wrong, then right, in one kernel that is never restarted.

A kernel runs a unit's whole notebook, as Run All does, so each check has met the untouched skeleton. Then come the
mistakes of attempts.toml, one after the other, and the solution, twice. (server.ipynb: test_notebooks.py)
"""

import os
import re
import tomllib
from contextlib import contextmanager
from pathlib import Path

import nbformat
import pytest
from helpers import ROOT
from jupyter_client.manager import start_new_kernel
from test_notebooks import code_cells, said

UNITS = sorted(path.name for path in (ROOT / "notebooks").glob("[0-9][0-9]_*.ipynb"))
ATTEMPTS = tomllib.loads(Path(__file__).with_name("attempts.toml").read_text(encoding="utf-8"))
CHECK = re.compile(r'check\(f?"(\d\d)\.(\d|{step})", (.*?)\)(?:\.ok)?$', re.M)  # unit, exercise, what is checked
CHECKING = re.compile(r"(?m)^.*\bcheck\(.*$|^for step in.*$|^assert report\.ok$")  # the lines that check a solution
SHOWN = re.compile(r"\(your line (\d+)(?: of \S+)?: (.*)\)$", re.M)


@contextmanager
def kernel(**env):
    """The client of a new kernel in notebooks/."""
    settings = {"cwd": str(ROOT / "notebooks"), "env": os.environ | env, "extra_arguments": ["--log-level=ERROR"]}
    manager, client = start_new_kernel(**settings)
    try:
        yield client
    finally:
        client.stop_channels()
        manager.shutdown_kernel()


def checks_of(unit):
    """{exercise: its check, the last paragraph of its cell}"""
    cells = [cell.source for cell in code_cells(f"notebooks/{unit}")]
    return {f"{found[1]}.{found[2]}": cell.split("\n\n")[-1] for cell in cells if (found := CHECK.search(cell))}


def solutions_of(unit, checks):
    """{exercise: the cells of its solution}: the imports at the notebook's top, then the exercise's own section.

    Where the lesson checks a name and the solution what it has under another, the name is given to that.
    """
    top, section, found = [], [], {}
    for cell in nbformat.read(ROOT / "notebooks/solutions" / unit, as_version=4).cells:
        if cell.cell_type == "markdown" and cell.source.startswith("## "):
            top = top or section
            section = [each for each in section if each.startswith("%%writefile")]
        elif cell.cell_type == "code" and not (last := CHECK.search(cell.source)):
            section.append(cell.source)
        elif cell.cell_type == "code":
            section.append(CHECKING.sub("", cell.source))
            for step in "12345" if last[2] == "{step}" else last[2]:
                number = f"{last[1]}.{step}"
                asked = CHECK.search(checks[number])[3]
                renamed = f"{asked} = {last[3]}" if asked.isidentifier() and not last[3].isidentifier() else ""
                found.setdefault(number, [*section, renamed])
            section = []
    imports = "\n".join(re.findall(r"(?m)^(?:import|from) .*", "\n".join(top)))
    return {number: [imports, *cells] for number, cells in found.items()}


def problems(report, attempt, cells):
    """What is wrong with a report on a wrong attempt."""
    if not report.startswith(("ok ", "NOT YET ")):
        yield "something stands above the report"
    if "NOT YET" not in report or "Traceback" in report:
        yield "it is no plain report of a mistake"
    yield from (f"it does not say {words!r}" for words in attempt["says"] if words not in report)
    files = [cell.partition("\n")[2] if cell.startswith("%%writefile") else cell for cell in cells]
    lines = {(number, line.strip()) for file in files for number, line in enumerate(file.splitlines(), 1)}
    shown = SHOWN.search(report)
    if attempt.get("crash") and not (shown and (int(shown[1]), shown[2]) in lines):
        yield "it does not show the student's line"


def changed(cells, change):
    """The solution's cells with one mistake."""
    old, new = change
    assert sum(cell.count(old) for cell in cells) == 1, f"not once in the solution: {old}"
    return [cell.replace(old, new) for cell in cells]


@pytest.mark.timeout(900)
@pytest.mark.parametrize("unit", UNITS)
def test_wrong_then_right_in_one_kernel(unit, tmp_path):
    checks = checks_of(unit)
    solutions, found = solutions_of(unit, checks), []
    with kernel(TMPDIR=str(tmp_path), CLASSROOM_PROJECT=str(tmp_path / "project/build/capstone")) as client:

        def checked(cells, check):
            printed = "".join(said(client, source) for source in cells if source.strip())
            assert "Traceback" not in printed
            return said(client, check)

        skeletons = {}
        for cell in code_cells(f"notebooks/{unit}"):
            printed = said(client, cell.source)
            if check := CHECK.search(cell.source):
                skeletons[f"{check[1]}.{check[2]}"] = printed
        for number, check in checks.items():
            for attempt in ATTEMPTS[number]:
                cells = changed(solutions[number], attempt["change"]) if "change" in attempt else []
                report = checked(cells, check) if cells else skeletons[number]
                told = [f"{number}, {attempt['mistake']}: {each}" for each in problems(report, attempt, cells)]
                found += [*told, report] if told else []
            for _ in range(2):
                report = checked(solutions[number], check)
                if "well done" not in report or "NOT YET" in report:
                    found += [f"{number}: the solution is not right", report]
    assert not found, "\n".join(found)


def test_each_exercise_has_two_mistakes():
    exercises = {number for unit in UNITS for number in checks_of(unit)}
    assert {number for number, attempts in ATTEMPTS.items() if len(attempts) > 1} == exercises
