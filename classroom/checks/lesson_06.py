"""Checks of lesson 6: an upload of digits that says no, and an upload of several sounds."""

import random
import wave
from io import BytesIO
from typing import Any

import cv2
import numpy as np

from yololab.vision.images import encode

from .answer import BROKE, Answer
from .lesson_05 import answers, field, named
from .probe import served
from .report import Report, Such, between, having

NUMBER = Such("a number", lambda number: isinstance(number, int | float) and not isinstance(number, bool))
DIGIT = Such("a whole number", lambda number: isinstance(number, int) and not isinstance(number, bool))
OWN_ERROR = "decode() raises a LabError that knows its .status: answer with that"


def digits(report: Report, target: Any) -> None:
    """POST /v1/digits: digits that are read; 415, 400 and 422 where they belong."""
    pictures, classes = _digits(30)
    png, blank = pictures[0], encode(np.full((80, 80, 3), 255, np.uint8), "image/png")

    def upload(data: bytes, name: str = "a.png", **more: Any) -> Answer:
        params = {key: more.pop(key) for key in ("top",) if key in more}
        return api.post("/v1/digits", params=params, files={"file": (name, data)}, **more)

    with served(report, target) as api:
        first = upload(png, missing="add a function under @app.post('/v1/digits')")
        first = answers(first, "digit", "top", "model")
        named(report, "digits", first["model"])
        entries = len(first["top"]) if isinstance(first["top"], list | dict) else f"no list: {first['top']}"
        report.expect("entries in top if it is left out", 3, entries, "top: ... = 3, and [:top]")
        full = upload(png, top=10)
        hint = 'answer a list, with one {"digit": 3, "probability": 0.8} for each of the best: numbers, no texts'
        entry = having({"digit": DIGIT, "probability": NUMBER})
        report.require("top is a list of objects", [entry] * 10, top := field(full, "top"), hint)
        chances, best = [entry["probability"] for entry in top], top[0]["digit"]
        report.expect("ten probabilities add up to", 1, round(sum(chances), 3), "take them from predict_proba")
        report.expect("most probable first", sorted(chances, reverse=True), chances, "np.argsort(-probabilities)")
        hint = "take it from there, as the number that it is"
        report.expect("digit is the first of top", [best], [field(full, "digit")], hint)  # in lists: '9' is not 9
        read = [field(upload(picture, top=1), "digit") for picture in pictures]
        right = sum(one == other for one, other in zip(read, classes, strict=True))
        hint = "prepare an upload with the function that the training used, and with nothing besides"
        report.expect("how many of 30 digits are read", between(26, 30), right, hint)
        for what, status, data, more, hint in (
            ("a text called photo.png", 415, b"I am a picture.", {"name": "photo.png"}, OWN_ERROR),
            ("a PNG called notes.txt", 200, png, {"name": "notes.txt"}, "look at the bytes only"),
            ("half a PNG", 400, png[: len(png) // 2], {}, OWN_ERROR),
            ("a blank paper", 422, blank, {}, "features() raises a ValueError: say 422 then"),
            ("top=0", 422, png, {"top": 0}, "an int with Query(ge=1, le=10)"),
            ("top=11", 422, png, {"top": 11}, "an int with Query(ge=1, le=10)"),
        ):
            upload(data, **more, hint=hint).expect(status, f"{status} for {what}")
        api.post("/v1/digits", hint="give file no default value").expect(422, "422 for no file")


def _digits(count: int) -> tuple[list[bytes], list[int]]:
    """PNG files of randomly chosen handwritten digits, dark on light, and what they are."""
    from sklearn.datasets import load_digits

    data = load_digits()
    chosen = random.sample(range(len(data.target)), count)
    papers = [cv2.resize((255 - data.images[n] * 255 / 16).astype(np.uint8), (64, 64)) for n in chosen]
    return [encode(cv2.cvtColor(paper, cv2.COLOR_GRAY2BGR), "image/png") for paper in papers], data.target[
        chosen
    ].tolist()


def tones(report: Report, target: Any) -> None:
    """POST /v1/tones: several sounds, each with an answer or an error of its own."""
    pitches = [20 * random.randint(10, 150) for _ in range(3)]

    def send(*sounds: tuple[str, bytes], **more: Any) -> Answer:
        return api.post("/v1/tones", files=[("files", sound) for sound in sounds], **more)

    with served(report, target) as api:
        sounds = [(f"{pitch}.bin", _wav(pitch)) for pitch in pitches]
        rows = [
            having({"name": name, "hertz": between(pitch - 1, pitch + 1)})
            for (name, _), pitch in zip(sounds, pitches, strict=True)
        ]
        hint = 'answer a list in the order of the files, with {"name": file.filename, "hertz": loudest(data)} for each'
        first = send(*sounds, missing="add a function under @app.post('/v1/tones')")
        first.require(200, json=rows, what="three tones", hint=BROKE if first.crash else hint)
        broken = having({"name": "b.wav", "error": Such("a text", lambda text: isinstance(text, str) and text)})
        hint = "catch the ValueError of loudest() inside the loop, for each file: str(error) is the text"
        mixed = send(sounds[0], ("b.wav", b"no sound"), sounds[2])
        mixed.expect(200, "the second of three is no sound", hint, json=[rows[0], broken, rows[2]])
        hint = "raise HTTPException(413, ...) before the loop, where len(files) > 4"
        send(*sounds[:1] * 4).expect(200, "four files", "at most four: > 4 is too many, 4 is not")
        send(*sounds[:1] * 5).expect(413, "five files are too many", hint)
        api.post("/v1/tones", hint="give files no default value").expect(422, "422 for no file")


def _wav(hertz: int, rate: int = 8000) -> bytes:
    """Half a second of a tone: one channel, 16 bits."""
    samples = 20_000 * np.sin(2 * np.pi * hertz * np.arange(rate // 2) / rate)
    with BytesIO() as out:
        with wave.open(out, "wb") as file:
            file.setparams((1, 2, rate, 0, "NONE", ""))
            file.writeframes(samples.astype("<i2").tobytes())
        return out.getvalue()


EXERCISES = {"1": digits, "2": tones}
