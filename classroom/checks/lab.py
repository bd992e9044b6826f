"""The exercises of the lab's two notebooks."""

from collections import Counter
from collections.abc import Callable
from typing import Any

import requests

from classroom import ROOT
from yololab.vision.detector import Detector
from yololab.vision.images import decode

from .report import SECONDS, Report, served


def server(report: Report, target: Any) -> None:
    """POST /count: the same upload as /predict, answered as {"apple": 1, ...}."""
    with served(target) as url:
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


def client(report: Report, ask: Callable) -> None:
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
