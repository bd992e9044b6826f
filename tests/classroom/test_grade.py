"""Grading a class: each submission alone, within its limits; and what a student has solved."""

import csv
import json
import re

import nbformat
import pytest
from helpers import ROOT
from nbformat.v4 import new_code_cell, new_notebook

from classroom import progress, results
from classroom.__main__ import main
from classroom.checks import exercises, lessons
from classroom.submission import checked

REQUEST = """
def write_request(method, target, host, text=""):
    body = text.encode()
    lines = [f"{method} {target} HTTP/1.1", f"Host: {host}"]
    if body:
        lines += ["Content-Type: text/plain; charset=utf-8", f"Content-Length: {len(body)}"]
    return "\\r\\n".join([*lines, "", ""]).encode() + body
"""
CHECK = 'from classroom.checks import check\ncheck("01.1", write_request)'


def submit(path, *cells):
    path.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(new_notebook(cells=[new_code_cell(cell) for cell in cells]), path)


@pytest.fixture
def graded(tmp_path, monkeypatch):
    """The rows of the CSV, by student."""

    def run(*options):
        out = tmp_path / "out/grades.csv"
        assert main(["grade", str(tmp_path / "class"), "--out", str(out), *options]) == 0
        assert "<table>" in out.with_suffix(".html").read_text()
        with out.open(newline="") as file:
            return {row["student"]: row for row in csv.DictReader(file)}

    return run


def test_each_submission_costs_only_itself(tmp_path, graded):
    folder = tmp_path / "class"
    submit(folder / "anna/01.ipynb", REQUEST, CHECK)
    submit(folder / "ben/01.ipynb", REQUEST.replace("body = text.encode()", "body = b''"), CHECK)
    submit(folder / "carl/01.ipynb", "1 / 0", REQUEST, CHECK)
    submit(folder / "dora/01.ipynb", REQUEST, CHECK, "import os; os._exit(3)")
    submit(folder / "emil/01.ipynb", REQUEST, CHECK, "import sys; sys.exit(1)")
    submit(folder / "fay/01.ipynb", "import socket; socket.create_connection(('192.0.2.1', 80), 5)")
    rows = graded("--seconds", "120")
    assert rows["anna"] == {"student": "anna", "file": "anna/01.ipynb", "exercise": "01.1", "points": "100",
                            "first hint": "", "trouble": ""}  # fmt: skip
    assert 0 < int(rows["ben"]["points"]) < 100 and "the body" in rows["ben"]["first hint"]
    assert rows["carl"]["points"] == "100" and rows["carl"]["trouble"].startswith("ZeroDivisionError")
    assert rows["dora"]["points"] == "100" and "ended the kernel" in rows["dora"]["trouble"]
    assert rows["emil"]["points"] == "100" and rows["emil"]["trouble"].startswith("SystemExit")
    assert rows["fay"]["points"] == "0" and "may not connect to 192.0.2.1" in rows["fay"]["trouble"]


def test_what_hangs_or_takes_too_much_is_stopped(tmp_path, graded):
    folder = tmp_path / "class"
    submit(folder / "hal.ipynb", "while True: pass")
    assert graded("--seconds", "6")["hal"]["trouble"] == "stopped after 6 s"
    (folder / "hal.ipynb").unlink()
    submit(folder / "gus.ipynb", "x = bytearray(3_000_000_000)")
    assert graded("--seconds", "120", "--memory", "2048")["gus"]["trouble"].startswith("MemoryError")


def test_an_app_in_a_file(tmp_path, graded):
    folder = tmp_path / "class"
    folder.mkdir()
    (folder / "01.2_ida.py").write_text("from fastapi import FastAPI\napp = FastAPI()\n")
    (folder / "app.py").write_text("app = 1\n")
    rows = graded("--seconds", "120")
    assert rows["01.2_ida"]["exercise"] == "01.2" and rows["01.2_ida"]["points"] == "0"
    assert "name the file after its exercise" in rows["app"]["trouble"]


BALANCER = """
from fastapi import FastAPI

def make_balancer(urls):
    return FastAPI()
"""


FILES = [
    ("11.1_func.py", BALANCER, True, ""),
    ("09.3_call.py", BALANCER.replace("make_balancer(urls)", "make_counter()"), True, ""),
    ("01.1_upper.PY", REQUEST, True, ""),
    ("11.1_none.py", "x = 1\n", False, "the file makes no `make_balancer`"),
    ("14.1.py", "import sys\nsys.exit()\n", False, "SystemExit: the file ended itself"),
    ("14.1_exit.py", "import os\nos._exit(0)\n", False, "it ended its process before its check"),
    ("empty.py", "", False, "the file is empty"),
    ("torn.ipynb", '{"cells": [', False, "the file is no notebook"),
    ("list.ipynb", "[]", False, "the file is no notebook"),
    ("14.7.py", "app = 1\n", False, "there is no exercise 14.7"),
    ("14.12.py", "app = 1\n", False, "name the file after its exercise"),
]


@pytest.mark.timeout(300)
def test_a_file_is_checked_or_told_why_not(tmp_path, graded):
    (tmp_path / "class").mkdir()
    for number, (file, text, _, _) in enumerate(FILES):
        (tmp_path / f"class/{number}").mkdir()
        (tmp_path / f"class/{number}" / file).write_text(text)
    rows = graded("--seconds", "120")
    for number, (file, _, points, trouble) in enumerate(FILES):
        row = rows[str(number)]
        assert row["trouble"].startswith(trouble) and bool(row["exercise"]) == points, file
        assert not row["trouble"] if points else row["points"] == "0", file


def test_each_file_is_named_and_endings_may_be_in_capitals(tmp_path, graded, capsys):
    folder = tmp_path / "class"
    submit(folder / "UPPER.IPYNB", REQUEST, CHECK)
    (folder / "ben").mkdir()
    for name in ("anna.zip", "ben/01.txt", "UPPER.csv", "fay.tar.GZ"):
        (folder / name).write_text("x")
    rows = graded("--seconds", "120")
    assert rows["UPPER"]["points"] == "100" and rows["UPPER"]["file"] == "UPPER.IPYNB"
    assert "unpack it" in rows["anna"]["trouble"] and "unpack it" in rows["fay.tar"]["trouble"]
    assert "no notebook and no Python file" in rows["ben"]["trouble"]
    said = capsys.readouterr().err
    assert all(f"not graded: {name}" in said for name in ("anna.zip", "ben/01.txt", "UPPER.csv", "fay.tar.GZ"))


def test_each_exercise_is_submittable_as_what_its_notebook_checks():
    names = {name: checked(name) for lesson in lessons() for name in exercises(lesson) if lesson.isdigit()}
    assert names["11.1"] == "make_balancer" and names["09.3"] == "make_counter()" and names["14.1"] == "app"
    assert checked("server") == "counting" and checked("client") == "labels"


def test_a_folder_without_submissions_is_told(tmp_path, capsys):
    assert main(["grade", str(tmp_path)]) == 2 and "no notebook" in capsys.readouterr().err
    assert main(["grade", str(tmp_path / "nowhere")]) == 2 and "is no folder" in capsys.readouterr().err


def test_progress_tells_what_was_solved_and_ends_with_a_page(tmp_path, monkeypatch, capsys):
    file = tmp_path / "results.jsonl"
    monkeypatch.setenv(results.VARIABLE, str(file))
    monkeypatch.setattr(progress, "PAGE", tmp_path / "done.html")
    namespace = {}
    exec(REQUEST, namespace)
    from classroom.checks import check

    assert not check("01.1", lambda *arguments: b"").ok
    assert main(["progress"]) == 0 and re.search(r"01 http and rest +1 \d+/\d+ ", capsys.readouterr().out)
    assert check("01.1", namespace["write_request"]).ok
    assert not check("01.1", None).ok, "a check that ends in an error"
    assert main(["progress"]) == 0
    said = capsys.readouterr().out
    assert "1 solved" in said and "1 of " in said and not (tmp_path / "done.html").exists()
    with file.open("a") as out:
        out.write('{"cut sh')
    names = [name for lesson in lessons() for name in exercises(lesson)]
    lines = [json.dumps({"exercise": name, "right": 2, "lines": 2, "hint": "", "time": "2026-11-27T10:00:00"})
             for name in names]  # fmt: skip
    file.write_text("\n".join([file.read_text(), *lines]))
    assert main(["progress"]) == 0
    assert f"{len(names)} of {len(names)} exercises solved" in capsys.readouterr().out
    assert (tmp_path / "done.html").read_text().count("<tr>") == len(names) + 1


def test_every_lesson_has_a_title():
    assert progress.title("01") == "01 http and rest" and progress.title("server") == "server.ipynb"
    assert all((ROOT / "notebooks").glob(f"{lesson}_*.ipynb") for lesson in lessons())
