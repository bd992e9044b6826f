"""python -m classroom, as typed into a terminal."""

from classroom.__main__ import main


def test_check_in_a_terminal(capsys):
    assert main(["check", "server", "http://127.0.0.1:9"]) == 1
    assert "is the server running" in capsys.readouterr().out
