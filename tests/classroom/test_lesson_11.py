"""The check of lesson 11, both ways: solutions pass; the skeleton and typical mistakes fail with the right hint."""

from itertools import count, cycle

import pytest
import requests
from fastapi import FastAPI, HTTPException, Response

from classroom.checks import check


def balancer(order=None, tries=None, passed=lambda answer: True, body=lambda answer: answer.content, last=503):
    """make(targets) of the solution, or with one thing changed."""

    def make(targets):
        app, turns = FastAPI(), count()
        session = requests.Session()
        session.trust_env = False

        @app.get("/{path:path}")
        def forward(path: str):
            start = next(turns) if order is None else order
            for shift in range(tries or len(targets)):
                try:
                    answer = session.get(f"{targets[(start + shift) % len(targets)]}/{path}", timeout=30)
                except requests.ConnectionError:
                    continue
                if passed(answer):
                    return Response(body(answer), answer.status_code, media_type="application/json")
            raise HTTPException(last, "no server answers")

        return app

    return make


def test_solution_passes(capsys):
    assert check("11.1", balancer()).ok
    out = capsys.readouterr().out
    assert out.startswith("ok ") and "well done" in out


def test_a_solution_with_cycle_passes(capsys):
    def make(targets):
        app, turns = FastAPI(), cycle(targets)

        @app.get("/{path:path}")
        def forward(path: str):
            for _ in targets:
                try:
                    answer = requests.get(f"{next(turns)}/{path}", timeout=30)
                    return Response(answer.content, answer.status_code, media_type="application/json")
                except requests.ConnectionError:
                    pass
            raise HTTPException(503, "no server answers")

        return app

    assert check("11.1", make).ok


def test_skeleton_then_solution(capsys):
    report = check("11.1", lambda targets: FastAPI())
    assert not report.ok and len(report.lines) == 1
    assert "'/{path:path}'" in capsys.readouterr().out
    assert check("11.1", balancer()).ok


@pytest.mark.parametrize(
    ("make", "hint"),
    [
        (balancer(order=0), "the next target for each request"),
        (balancer(tries=2), "try each of the targets"),
        (balancer(body=lambda answer: b'{"word": "%s"}' % answer.url[-9:].encode()), "answer the target's own body"),
        (balancer(body=lambda answer: answer.content if answer.ok else b"{}"), "answer the target's own body"),
        (balancer(tries=1), "catch requests.ConnectionError"),
        (balancer(passed=lambda answer: answer.ok), "404 too, is an answer"),
        (balancer(body=lambda answer: b"{}"), "answer the target's own body"),
        (balancer(last=500), "raise HTTPException(503)"),
    ],
)
def test_mistakes(make, hint, capsys):
    assert not check("11.1", make).ok
    assert hint in capsys.readouterr().out


def test_an_app_instead_of_the_function(capsys):
    assert not check("11.1", FastAPI()).ok
    assert "check needs the function" in capsys.readouterr().out
