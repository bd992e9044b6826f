"""Black-box checks of a student's running API: what was expected, what came, and a hint. Nothing to sign in to.

check("server", app)        in a notebook
python -m yololab check server http://127.0.0.1:8001
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import requests

from .detector import Detector
from .images import decode
from .settings import ROOT

SECONDS = 30  # for one answer


@dataclass
class Report:
    """What a check found; prints itself as lines with ok or NOT YET."""

    lesson: str
    lines: list[tuple[bool, str]] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        """Whether everything was as expected; False where nothing could be checked."""
        return bool(self.lines) and all(fine for fine, _ in self.lines)

    def expect(self, what: str, wanted: Any, came: Any, hint: str) -> bool:
        """Note one comparison; `hint` is shown where `came` differs from `wanted`."""
        fine = wanted == came
        detail = (
            "" if fine else f"\n           expected: {wanted}\n           came:     {came}\n           hint:     {hint}"
        )
        self.lines.append((fine, what + detail))
        return fine

    def __str__(self) -> str:
        lines = [f"{'ok     ' if fine else 'NOT YET'}  {text}" for fine, text in self.lines]
        right = sum(fine for fine, _ in self.lines)
        return "\n".join([*lines, f"{right} of {len(lines)} right" + (": well done!" if self.ok else "")])


def check(lesson: str, target: Any) -> Report:
    """Check the exercise of a lesson, print the report and return it; never raises.

    lesson: "server" or "client".
    target: the URL of a running API or a FastAPI app (which is then served for the check) for "server";
        the student's function for "client".
    """
    report = Report(lesson)
    try:
        if lesson not in CHECKS:
            report.expect("the lesson's name", sorted(CHECKS), lesson, "use one of these names")
        else:
            CHECKS[lesson](report, target)
    except requests.ConnectionError as error:
        report.expect("the API answers", "an answer", f"none: {type(error).__name__}", "is the server running there?")
    except Exception as error:
        came = f"{type(error).__name__}: {error}"
        report.expect("the check runs to its end", "no error", came, "the error says which answer was unexpected")
    print(report)
    return report


def _server(report: Report, target: Any) -> None:
    """POST /count: the same upload as /predict, answered as {"apple": 1, ...}."""
    with _Served(target) as url:
        detector = Detector("starter")
        for name in ("apple.jpg", "fruit.jpg"):
            data = (ROOT / "images" / name).read_bytes()
            answer = requests.post(f"{url}/count", files={"file": (name, data)}, timeout=SECONDS)
            hint = "add a function under @app.post('/count') that takes file: UploadFile"
            if not report.expect(f"POST /count answers for {name}", 200, answer.status_code, hint):
                return
            wanted = dict(Counter(found.label for found in detector(decode(data))))
            kind = answer.headers.get("content-type", "").split(";")[0]
            hint = "return a dict: FastAPI makes JSON of it"
            if not report.expect(f"the answer for {name} is JSON", "application/json", kind, hint):
                return
            hint = "call the detector on the decoded upload and count the labels: collections.Counter helps"
            report.expect(f"the objects of {name} are counted", wanted, answer.json(), hint)
        broken = requests.post(f"{url}/count", files={"file": b"not a picture"}, timeout=SECONDS)
        hint = "decode() raises an error with a status: answer it with HTTPException, or an exception handler"
        report.expect("a text file is refused with 415", 415, broken.status_code, hint)
        missing = requests.post(f"{url}/count", timeout=SECONDS)
        report.expect(
            "no file at all is refused with 422", 422, missing.status_code, "do not give file a default value"
        )


def _client(report: Report, ask: Callable) -> None:
    """ask(path, confidence): the labels that the API finds, as a list, highest confidence first."""
    path = ROOT / "images" / "fruit.jpg"
    detector, picture = Detector("starter"), decode(path.read_bytes())
    for confidence in (0.1, 0.6):
        wanted = [found.label for found in detector(picture, confidence)]
        hint = 'send params={"confidence": confidence} and take each detection\'s "label"'
        report.expect(f"the labels of fruit.jpg at confidence {confidence}", wanted, ask(path, confidence), hint)
    try:
        came = f"returned {ask(path, 2.0)!r}"
    except Exception as error:
        came = getattr(getattr(error, "response", None), "status_code", type(error).__name__)
    hint = "call answer.raise_for_status(), so that an error is never taken for an answer"
    report.expect("a confidence of 2 raises the API's error", 422, came, hint)


class _Served:
    """The URL of a target: itself, or that of an app served on a free port while the block lasts."""

    def __init__(self, target: Any):
        self._target, self._server = target, None

    def __enter__(self) -> str:
        if isinstance(self._target, str):
            return self._target.rstrip("/")
        from .kernel_server import serve

        self._server = serve(self._target, port=None)
        return self._server.url

    def __exit__(self, *_) -> None:
        if self._server is not None:
            self._server.stop()


CHECKS = {"server": _server, "client": _client}
