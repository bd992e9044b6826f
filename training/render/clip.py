"""Make the clip of /live: python -m training.render.clip. Cut-outs of the sample pictures move over a table.

Writes clip.webm (VP9, 640 x 480, 15 frames a second, 4 s, and it loops without a jump) and clip.json, the true boxes:
{"width", "height", "fps", "frames": [[{"label", "box": {"x1", "y1", "x2", "y2"}}, ...], ...]}, pixels. A box is what
can be seen of the object: the extent of its mask, without what another object hides. Needs no Blender.
"""

import json
import os
from dataclasses import dataclass
from math import cos, pi, sin
from pathlib import Path

import cv2
import numpy as np

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "yololab" / "api" / "pages" / "shared"
WIDTH, HEIGHT, FPS, FRAMES = 640, 480, 15, 60
BITS = 620_000  # a second


@dataclass
class Cutout:
    """An object without its background: BGR, and a mask in [0, 1] of the same height and width."""

    label: str
    picture: np.ndarray
    mask: np.ndarray


def cut(name: str, label: str, number: int, scale: float) -> Cutout:
    """The `number`-th object of a label in a sample picture, cut out with GrabCut (Rother et al. 2004)."""
    truth = json.loads((ROOT / "images" / "truth.json").read_text())
    ids = {each["name"]: each["id"] for each in truth["categories"]}
    image = next(each for each in truth["images"] if each["file_name"] == name)
    boxes = [each["bbox"] for each in truth["annotations"]
             if each["image_id"] == image["id"] and each["category_id"] == ids[label]]  # fmt: skip
    x, y, w, h = (round(value) for value in boxes[number])
    picture, marks = cv2.imread(str(ROOT / "images" / name)), np.zeros((image["height"], image["width"]), np.uint8)
    cv2.setRNGSeed(0)
    cv2.grabCut(picture, marks, (x - 2, y - 2, w + 4, h + 4), np.zeros((1, 65)), np.zeros((1, 65)), 8,
                cv2.GC_INIT_WITH_RECT)  # fmt: skip
    mask = ((marks == cv2.GC_FGD) | (marks == cv2.GC_PR_FGD)).astype(np.uint8)
    _, parts, stats, _ = cv2.connectedComponentsWithStats(mask)
    largest = 1 + int(stats[1:, cv2.CC_STAT_AREA].argmax())
    mask = cv2.morphologyEx((parts == largest).astype(np.uint8), cv2.MORPH_CLOSE, np.ones((5, 5), np.uint8))
    mask = cv2.GaussianBlur(mask[y : y + h, x : x + w].astype(np.float32), (3, 3), 0)
    size = (round(w * scale), round(h * scale))
    return Cutout(label, *(cv2.resize(each, size, interpolation=cv2.INTER_AREA)
                           for each in (picture[y : y + h, x : x + w], mask)))  # fmt: skip


def table() -> np.ndarray:
    """The table and the wall of apple.jpg without the apple: its left side, mirrored to and fro."""
    side = cv2.imread(str(ROOT / "images" / "apple.jpg"))[:, :214]
    return np.hstack([side, side[:, ::-1], side])[:, :WIDTH]


def put(canvas: np.ndarray, thing: Cutout, left: int, bottom: int) -> np.ndarray:
    """Draw the object with a soft shadow, standing at `bottom`; its mask on the whole canvas."""
    h, w = thing.mask.shape
    shadow = np.zeros((HEIGHT, WIDTH), np.float32)
    cv2.ellipse(
        shadow, (left + w // 2 + w // 12, bottom - h // 24), (round(w * 0.46), max(4, h // 11)), 0, 0, 360, 0.55, -1
    )
    canvas *= 1 - cv2.GaussianBlur(shadow, (0, 0), 7)[..., None]
    mask = np.zeros((HEIGHT, WIDTH), np.float32)
    mask[bottom - h : bottom, left : left + w] = thing.mask
    part = canvas[bottom - h : bottom, left : left + w]
    part += thing.mask[..., None] * (thing.picture - part)
    return mask


def frame(things: list[Cutout], background: np.ndarray, number: int) -> tuple[np.ndarray, list[dict]]:
    """One frame, uint8 (HEIGHT, WIDTH, 3), and its true boxes. The objects in front are drawn last."""
    turn = 2 * pi * number / FRAMES
    places = [
        (round(250 + 190 * sin(turn)), 262),  # far: from side to side
        (round(40 + 60 * (1 - cos(turn))), round(345 - 70 * abs(sin(2 * turn)))),  # hops
        (round(320 - 145 * sin(turn + pi / 3)), 440),  # near, the other way
    ]
    canvas = background.astype(np.float32)
    masks = [put(canvas, thing, *place) for thing, place in zip(things, places, strict=True)]
    boxes = []
    for at, thing in enumerate(things):
        seen = masks[at] > 0.5
        for nearer in masks[at + 1 :]:
            seen &= nearer <= 0.5
        rows, columns = np.flatnonzero(seen.any(1)), np.flatnonzero(seen.any(0))
        sides = (columns[0], rows[0], columns[-1] + 1, rows[-1] + 1)
        box = dict(zip(("x1", "y1", "x2", "y2"), map(int, sides), strict=True))
        boxes.append({"label": thing.label, "box": box})
    return canvas.round().astype(np.uint8), boxes


def objects() -> list[Cutout]:
    """What moves: the farthest first."""
    return [
        cut("cup_and_bottle.jpg", "cup", 0, 0.85),
        cut("oranges.jpg", "orange", 1, 0.62),
        cut("apple.jpg", "apple", 0, 0.8),
    ]


def main() -> None:
    """Write both files."""
    os.environ["OPENCV_FFMPEG_WRITER_OPTIONS"] = f"b;{BITS}|crf;34|cpu-used;1|deadline;good"
    things = objects()
    background = table()
    FOLDER.mkdir(exist_ok=True)
    film = cv2.VideoWriter(
        str(FOLDER / "clip.webm"), cv2.CAP_FFMPEG, cv2.VideoWriter_fourcc(*"VP90"), FPS, (WIDTH, HEIGHT)
    )
    boxes = []
    for number in range(FRAMES):
        picture, found = frame(things, background, number)
        film.write(picture)
        boxes.append(found)
    film.release()
    truth = {"width": WIDTH, "height": HEIGHT, "fps": FPS, "frames": boxes}
    (FOLDER / "clip.json").write_text(json.dumps(truth, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main()
