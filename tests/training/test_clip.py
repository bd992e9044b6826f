"""The clip of /live and its true boxes."""

import json

import cv2
import numpy as np
import pytest
from helpers import ROOT

from training.render import clip
from yololab import Detector

FILM = ROOT / "yololab" / "api" / "pages" / "shared" / "clip.webm"
TRUTH = json.loads(FILM.with_suffix(".json").read_text())


@pytest.fixture(scope="module")
def frames() -> list[np.ndarray]:
    film, found = cv2.VideoCapture(str(FILM)), []
    while (read := film.read())[0]:
        found.append(read[1])
    return found


def test_the_clip_is_small_and_has_a_truth_for_each_frame(frames):
    assert FILM.stat().st_size < 400_000
    assert len(frames) == len(TRUTH["frames"]) == clip.FRAMES
    assert {each.shape for each in frames} == {(TRUTH["height"], TRUTH["width"], 3)}


def test_the_script_makes_these_frames_and_boxes(frames):
    things, background = clip.objects(), clip.table()
    for number in (0, 17, 59):
        picture, boxes = clip.frame(things, background, number)
        assert boxes == TRUTH["frames"][number]
        assert np.abs(picture.astype(int) - frames[number]).mean() < 6  # what VP9 leaves out


def test_the_last_frame_leads_to_the_first(frames):
    steps = [np.abs(a.astype(int) - b).mean() for a, b in zip(frames, [*frames[1:], frames[0]], strict=True)]
    assert steps[-1] <= 1.25 * max(steps[:-1])


def overlap(a: dict, b: tuple) -> float:
    x1, y1, x2, y2 = a.values()
    width, height = max(0, min(x2, b[2]) - max(x1, b[0])), max(0, min(y2, b[3]) - max(y1, b[1]))
    return width * height / ((x2 - x1) * (y2 - y1) + (b[2] - b[0]) * (b[3] - b[1]) - width * height)


def test_the_starter_finds_what_is_there(frames):
    detector, hits = Detector("starter"), []
    for picture, boxes in list(zip(frames, TRUTH["frames"], strict=True))[::4]:
        found = detector(picture)
        labels = {true["label"] for true in boxes}  # the table has no true box
        assert sum(each.label in labels for each in found) <= len(boxes) + 1
        hits += [any(each.label == true["label"] and overlap(true["box"], each.box) >= 0.5 for each in found)
                 for true in boxes]  # fmt: skip
    assert np.mean(hits) >= 0.8
