"""Make the sample pictures: python -m training.render [NAME ...] (all of them without a name)."""

import argparse
import json
import tempfile
from pathlib import Path

import cv2

from . import stage, truth
from .scenes import PICTURES

ROOT = Path(__file__).parents[2]
NAMES = ROOT / "models" / "starter.names"


def main():
    """Render, encode as JPEG and bring truth.json up to date."""
    parser = argparse.ArgumentParser(prog="python -m training.render", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(PICTURES))
    parser.add_argument("--output", type=Path, default=ROOT / "images")
    parser.add_argument("--draft", action="store_true", help="small and grainy, to look at while building a scene")
    options = parser.parse_args()
    options.output.mkdir(exist_ok=True)
    record = options.output / "truth.json"
    pictures = truth.read(record) if record.exists() else {}
    for name in options.names or PICTURES:
        PICTURES[name]()
        with tempfile.TemporaryDirectory() as folder:
            stage.shoot(Path(folder, "picture.png"), options.draft)
            picture = cv2.imread(str(Path(folder, "picture.png")))
        height, width = picture.shape[:2]
        pictures[f"{name}.jpg"] = width, height, truth.visible_boxes()
        (options.output / f"{name}.jpg").write_bytes(jpeg(picture))
        print(name, *((label, box) for label, box, _ in pictures[f"{name}.jpg"][2]), flush=True)
        record.write_text(json.dumps(truth.coco(pictures, NAMES.read_text().splitlines()), indent=1) + "\n")


def jpeg(picture, most=120_000):
    """Encode at the best quality that stays under `most` bytes."""
    for quality in range(94, 40, -2):
        data = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
        if len(data) < most:
            break
    return data.tobytes()


main()
