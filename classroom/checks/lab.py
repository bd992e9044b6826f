"""The exercises of the lab's two notebooks."""

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from classroom import ROOT

from .pictures import labels, sample
from .probe import ended, served
from .report import Report, Stop
from .watched import crash

FRUIT = ROOT / "images" / "fruit.jpg"
COUNT = "call the detector on the decoded upload and count the labels: collections.Counter helps"
ROUTE = "add a function under @app.post('/count') that takes file: UploadFile"
STATUS = "decode() raises an error with a status: answer it with HTTPException, or an exception handler"


def server(report: Report, target: Any) -> None:
    """POST /count: the same upload as /predict, answered as {"apple": 1, ...}."""
    with served(report, target) as api:
        for name in ("apple", "fruit"):
            data = sample(name)
            answer = api.post("/count", files={"file": (f"{name}.jpg", data)}, missing=ROUTE)
            answer.require(200, f"POST /count answers for {name}.jpg")
            hint = "return a dict: FastAPI makes JSON of it"
            report.require(f"the answer for {name}.jpg is JSON", "application/json", answer.media_type, hint)
            answer.expect(json=dict(Counter(labels(data))), what=f"the objects of {name}.jpg are counted", hint=COUNT)
        broken = api.post("/count", files={"file": b"not a picture"})
        broken.expect(415, "a text file is refused with 415", STATUS)
        missing = api.post("/count", hint="do not give file a default value")
        missing.expect(422, "no file at all is refused with 422")


def client(report: Report, ask: Callable) -> None:
    """ask(path, confidence): the labels that the API finds, as a list, highest confidence first."""
    right, hint = True, 'send params={"confidence": confidence} and take each detection\'s "label"'
    for confidence in (0.1, 0.6):
        what, expected = f"the labels of fruit.jpg at confidence {confidence}", labels(sample("fruit"), confidence)
        right &= report.expect(what, expected, *_listed(ended(report, ask, FRUIT, confidence), hint))
    if right:
        _another(report, ask)
    try:
        actual = f"returned {ended(report, ask, FRUIT, 2.0)!r}"
    except Stop:
        raise
    except (LookupError, TypeError, AttributeError, NameError) as error:  # by chance: the error was taken for an answer
        actual = crash(error)
    except Exception:  # on purpose; the text asks for no special one
        actual = 422
    hint = "call answer.raise_for_status(), so that an error is never taken for an answer"
    report.expect("a confidence of 2 raises the API's error", 422, actual, hint)


def _another(report: Report, ask: Callable) -> None:
    """The labels of a picture in another folder; a line only where they are wrong."""
    with TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        path = Path(folder, "photo.jpg")
        path.write_bytes(sample("apple"))
        actual, hint = _listed(ended(report, ask, path, 0.1), "post the file at `path`")
    expected = labels(sample("apple"), 0.1)
    if actual != expected:
        report.expect("the labels of a copy of apple.jpg in another folder", expected, actual, hint)


def _listed(actual: Any, hint: str) -> tuple[Any, str]:
    """What a function returned, and the hint; words where it is no list of texts, which might not even compare."""
    if isinstance(actual, list) and all(isinstance(each, str) for each in actual):
        return actual, hint
    return f"{type(actual).__name__}, no list of texts: {actual!r:.200}", "return a list with the text of each label"
