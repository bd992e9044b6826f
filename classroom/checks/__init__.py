"""Black-box checks of a student's running API: what was expected, what was answered, and a hint.

check("server", app)        in a notebook; check("04.2", app) checks only the second exercise of lesson 4
python -m classroom check server http://127.0.0.1:8001

probe.py and answer.py are what a check is written with; watched.py keeps a student's app from spoiling the report.
"""

import gc
import warnings
from collections.abc import Callable
from contextlib import suppress
from importlib import import_module
from pkgutil import iter_modules
from typing import Any

import requests

from yololab.serving.addresses import bypass_proxies

from ..results import record
from .report import Report, Stop
from .watched import crash

__all__ = ["Report", "check", "exercises", "lessons"]

LAB = ("server", "client")


def check(lesson: str, target: Any) -> Report:
    """Check the exercises of a lesson, print the report and return it; never raises.

    lesson: "server" or "client", the lab's two notebooks; "01" and so on; "01.2" for one exercise of a lesson.
    target: the URL of a running API, or an ASGI app (which is then served for the check), or the student's
        function where the exercise is one.
    """
    bypass_proxies()
    report = Report(lesson)
    with warnings.catch_warnings():  # the report says it, where an await is missing
        warnings.filterwarnings("ignore", "coroutine .* was never awaited", RuntimeWarning)
        _fill(report, target)
        if "await" in str(report):  # else there is nothing to wait for
            gc.collect()  # coroutines that nobody has awaited: now, and not beneath a later cell
    print(report)
    return report


def _fill(report: Report, target: Any) -> None:
    """Check what the report is named for, and note the outcome of each exercise."""
    exercise, first = "", 0
    name, _, number = report.lesson.partition(".")
    try:
        functions = _functions(name)
        if not functions or (number and number not in functions):
            known = [f"{name}.{each}" for each in functions] or lessons()
            report.expect("the lesson's name", known, report.lesson, "use one of these names")
        for each in [number] if number in functions else [] if number else functions:
            exercise, first = f"{name}.{each}", len(report.lines)
            with suppress(Stop):
                functions[each](report, target)
            record(exercise, report.lines[first:])
            exercise = ""
    except requests.ConnectionError as error:
        report.expect("the API answers", "an answer", f"none: {type(error).__name__}", "is the server running there?")
    except (Exception, SystemExit) as error:
        hint = "the error says which line raised it, or which answer was unexpected"
        report.expect("the check runs to its end", "no error", crash(error), hint)
    if exercise:  # the check ended in an error
        record(exercise, report.lines[first:])


def lessons() -> list[str]:
    """The names that `check` knows."""
    found = (each.name for each in iter_modules(__path__))
    return [*LAB, *sorted(name.removeprefix("lesson_") for name in found if name.startswith("lesson_"))]


def exercises(lesson: str) -> list[str]:
    """The names of a lesson's exercises, as `check` takes them: "04.1", "04.2"."""
    return [f"{lesson}.{number}" for number in _functions(lesson)]


def _functions(name: str) -> dict[str, Callable[[Report, Any], None]]:
    """A lesson's exercises by number; none for an unknown lesson."""
    if name in LAB:
        return {"1": getattr(import_module(".lab", __name__), name)}
    return import_module(f".lesson_{name}", __name__).EXERCISES if name in lessons() else {}
