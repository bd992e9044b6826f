"""python -m classroom, as typed into a terminal."""

import os

import pytest

from classroom import __main__ as command
from classroom.__main__ import main
from yololab import __version__


def test_no_command_lists_what_there_is(capsys):
    assert main([]) == 0
    printed = capsys.readouterr().out
    for name in ("run", "lab", "check", "progress", "grade", "times", "outputs", "colab", "--version"):
        assert f" {name} " in printed


def test_the_version(capsys):
    with pytest.raises(SystemExit) as end:
        main(["--version"])
    assert end.value.code == 0 and capsys.readouterr().out == f"yololab {__version__}\n"


@pytest.mark.parametrize("user", [0, 1000])
def test_jupyterlab_as_root_needs_a_flag_and_says_so(monkeypatch, capsys, user):
    called = []
    monkeypatch.setattr(os, "geteuid", lambda: user, raising=False)
    monkeypatch.setattr(command.subprocess, "call", lambda words, cwd: called.append(words) or 0)
    assert main(["lab"]) == 0
    assert ("--allow-root" in called[0]) == (user == 0) == ("--allow-root" in capsys.readouterr().err)


def test_check_in_a_terminal(capsys):
    assert main(["check", "server", "http://127.0.0.1:9"]) == 1
    assert "is the server running" in capsys.readouterr().out
