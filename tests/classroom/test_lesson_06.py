"""The check of lesson 6, both ways: the solution passes, the skeleton and typical mistakes get the right hint."""

import io
import re
import wave
from typing import Annotated

import numpy as np
import pytest
from fastapi import FastAPI, HTTPException, Query, UploadFile
from sklearn.datasets import load_digits
from sklearn.neighbors import KNeighborsClassifier

from classroom.checks import check
from yololab import decode
from yololab.errors import LabError


def features(picture):
    """Enough for the pictures of the check: a digit that fills its paper."""
    import cv2

    ink = 255 - cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY)
    if ink.max() < 64:
        raise ValueError("no ink")
    return cv2.resize(ink, (8, 8), interpolation=cv2.INTER_AREA).ravel() / 255 * 16


@pytest.fixture(scope="module")
def model():
    data = load_digits()
    return KNeighborsClassifier(5).fit(data.images.reshape(-1, 64), data.target)


def digits_app(
    model,
    prepare=features,
    *,
    sort=lambda p: np.argsort(-p, kind="stable"),
    low=1,
    errors=(415, 400, 422),
    to=int,
    of=float,
    out=int,
):
    app = FastAPI()
    own = {415: errors[0], 400: errors[1]}

    @app.post("/v1/digits")
    def digits(file: UploadFile, top: Annotated[int, Query(ge=low, le=10)] = 3):
        try:
            row = prepare(decode(file.file.read()))
        except LabError as error:
            raise HTTPException(own[error.status], str(error)) from error
        except ValueError as error:
            raise HTTPException(errors[2], str(error)) from error
        chances = model.predict_proba([row])[0]
        entries = [{"digit": to(each), "probability": of(chances[each])} for each in sort(chances)[:top]]
        digit = entries[0]["digit"] if entries else None
        return {"digit": out(digit), "top": entries, "model": {"name": "digits", "version": "1"}}

    return app


def test_digits_solution_passes(model, capsys):
    assert check("06.1", digits_app(model)).ok
    assert "well done" in capsys.readouterr().out


def test_digits_skeleton_is_told_to_add_the_route(capsys):
    assert not check("06.1", FastAPI()).ok
    out = capsys.readouterr().out
    assert "@app.post('/v1/digits')" in out and out.count("NOT YET") == 1


@pytest.mark.parametrize(
    ("changed", "hint"),
    [
        ({"prepare": lambda picture: features(255 - picture)}, "the function that the training used"),
        ({"prepare": lambda picture: 0.01 * features(picture)}, "the function that the training used"),
        ({"errors": (400, 400, 422)}, "knows its .status"),
        ({"errors": (415, 422, 422)}, "knows its .status"),
        ({"errors": (415, 400, 400)}, "say 422 then"),
        ({"sort": np.argsort}, "np.argsort(-probabilities)"),
        ({"low": 0, "out": lambda digit: digit}, "Query(ge=1, le=10)"),
        ({"of": str}, "numbers, no texts"),
        ({"to": str}, "numbers, no texts"),
        ({"out": str}, "as the number that it is"),
    ],
    ids=[
        "negative",
        "not scaled",
        "400 for a text",
        "422 for half",
        "400 for blank",
        "rising",
        "top=0",
        "probabilities as texts",
        "digits as texts",
        "a digit as text",
    ],
)
def test_digits_mistakes(model, changed, hint, capsys):
    assert not check("06.1", digits_app(model, **changed)).ok
    assert hint in capsys.readouterr().out


def test_digits_whose_top_is_no_list_of_objects(capsys):
    app = FastAPI()
    answer = {"digit": 3, "top": {"3": 0.8, "5": 0.1, "1": 0.1}, "model": {"name": "digits", "version": "1"}}
    app.post("/v1/digits")(lambda: answer)
    assert not check("06.1", app).ok
    out = capsys.readouterr().out
    assert "answer a list" in out and out.count("NOT YET") == 1


def test_a_digit_as_a_text_is_told_from_the_number(model, capsys):
    check("06.1", digits_app(model, out=str))
    assert re.search(r"expected: \[(\d)\]\n +actual:   \['\1'\]", capsys.readouterr().out)


@pytest.mark.parametrize("top", [3, "3", None])
def test_digits_whose_top_is_no_list(top, capsys):
    app = FastAPI()
    app.post("/v1/digits")(lambda: {"digit": 3, "top": top, "model": {"name": "digits", "version": "1"}})
    assert not check("06.1", app).ok
    out = capsys.readouterr().out
    assert f"no list: {top}" in out and "the check runs to its end" not in out


def test_digits_that_crash_for_one_entry(model, capsys):
    def second(chances):
        return np.argsort(-chances, kind="stable")

    app, right = FastAPI(), digits_app(model, sort=second).routes[-1].endpoint

    @app.post("/v1/digits")
    def digits(file: UploadFile, top: Annotated[int, Query(ge=1, le=10)] = 3):
        answer = right(file, top)
        return answer | {"second": answer["top"][1]["digit"]}

    assert not check("06.1", app).ok
    out = capsys.readouterr().out
    assert "IndexError" in out and "(your line " in out and "the check runs to its end" not in out


def test_digits_that_trusts_the_name(model, capsys):
    app, right = FastAPI(), digits_app(model).routes[-1].endpoint

    @app.post("/v1/digits")
    def digits(file: UploadFile, top: Annotated[int, Query(ge=1, le=10)] = 3):
        if not file.filename.endswith(".png"):
            raise HTTPException(415, "not a PNG")
        return right(file, top)

    assert not check("06.1", app).ok
    assert "look at the bytes only" in capsys.readouterr().out


def test_wrong_then_right_in_one_process(model):
    """A student corrects the cell and checks again: no restart is needed."""
    assert not check("06.1", digits_app(model, errors=(400, 400, 422))).ok
    assert check("06.1", digits_app(model)).ok


def test_a_crash_is_shown_with_its_error(model, capsys):
    def crashes(picture):
        return picture.no_such_field

    assert not check("06.1", digits_app(model, crashes)).ok
    assert "no_such_field" in capsys.readouterr().out


# exercise 2


def loudest(data):
    try:
        with wave.open(io.BytesIO(data)) as audio:
            rate, samples = audio.getframerate(), np.frombuffer(audio.readframes(audio.getnframes()), "<i2")
    except (wave.Error, EOFError):
        raise ValueError("no WAV file") from None
    return float((np.abs(np.fft.rfft(samples))[1:].argmax() + 1) * rate / len(samples))


def tones_app(*, catches=True, most=4, ordered=True, pitch=loudest):
    app = FastAPI()

    @app.post("/v1/tones")
    def tones(files: list[UploadFile]):
        if len(files) > most:
            raise HTTPException(413)
        answers = []
        for file in files:
            try:
                answers.append({"name": file.filename, "hertz": pitch(file.file.read())})
            except ValueError as error:
                if not catches:
                    raise HTTPException(415, str(error)) from None
                answers.append({"name": file.filename, "error": str(error)})
        return answers if ordered else {each["name"]: each for each in answers}

    return app


def test_tones_wrong_then_right_in_one_process(capsys):
    assert not check("06.2", tones_app(catches=False)).ok
    assert check("06.2", tones_app()).ok
    assert "well done" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("app", "hint"),
    [
        (lambda: FastAPI(), "@app.post('/v1/tones')"),
        (lambda: tones_app(catches=False), "inside the loop"),
        (lambda: tones_app(most=9), "len(files) > 4"),
        (lambda: tones_app(most=3), "4 is not"),
        (lambda: tones_app(ordered=False), "answer a list"),
        (lambda: tones_app(pitch=lambda data: np.float32(loudest(data))), "float32"),
    ],
    ids=["skeleton", "one error for all", "no limit", "too strict", "no list", "numpy's numbers"],
)
def test_tones_mistakes(app, hint, capsys):
    assert not check("06.2", app()).ok
    assert hint in capsys.readouterr().out
