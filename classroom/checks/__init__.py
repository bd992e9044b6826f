"""Black-box checks of a student's running API: what was expected, what came, and a hint. Nothing to sign in to.

check("server", app)        in a notebook; check("03.2", app) checks only the second exercise of lesson 3
python -m classroom check server http://127.0.0.1:8001
"""

from collections.abc import Callable
from importlib import import_module
from pkgutil import iter_modules
from typing import Any

import requests

from .report import Report, served

__all__ = ["Report", "check", "lessons", "served"]


def check(lesson: str, target: Any) -> Report:
    """Check the exercises of a lesson, print the report and return it; never raises.

    lesson: "server" or "client", the lab's two notebooks; "01" and so on; "01.2" for one exercise of a lesson.
    target: the URL of a running API, or an ASGI app (which is then served for the check), or the student's
        function where the exercise is one.
    """
    report = Report(lesson)
    name, _, number = lesson.partition(".")
    try:
        exercises = _exercises(name)
        if not exercises or (number and number not in exercises):
            known = [f"{name}.{each}" for each in exercises] or lessons()
            report.expect("the lesson's name", known, lesson, "use one of these names")
        for each in [number] if number in exercises else [] if number else exercises:
            exercises[each](report, target)
    except requests.ConnectionError as error:
        report.expect("the API answers", "an answer", f"none: {type(error).__name__}", "is the server running there?")
    except Exception as error:
        came = f"{type(error).__name__}: {error}"
        report.expect("the check runs to its end", "no error", came, "the error says which answer was unexpected")
    print(report)
    return report


def lessons() -> list[str]:
    """The names that `check` knows."""
    return [
        *LAB,
        *sorted(
            each.name.removeprefix("lesson_") for each in iter_modules(__path__) if each.name.startswith("lesson_")
        ),
    ]


def _exercises(name: str) -> dict[str, Callable[[Report, Any], None]]:
    """A lesson's exercises by number; none for an unknown lesson."""
    if name in LAB:
        return {"1": getattr(import_module(".lab", __name__), name)}
    return import_module(f".lesson_{name}", __name__).EXERCISES if name in lessons() else {}


LAB = ("server", "client")
