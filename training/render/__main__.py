"""Make the sample pictures: python -m training.render [NAME ...] (all of them without a name)."""

import argparse
import json
import tempfile
from pathlib import Path

import cv2

from . import indoors, outdoors, stage, truth  # noqa: F401 (the scenes register themselves)
from .gallery import PICTURES

ROOT = Path(__file__).parents[2]
NAMES = ROOT / "yololab/vision" / "starter.names"


def main():
    """Render, encode as JPEG and bring truth.json up to date."""
    parser = argparse.ArgumentParser(prog="python -m training.render", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(PICTURES))
    parser.add_argument("--output", type=Path, default=ROOT / "images")
    parser.add_argument("--draft", action="store_true", help="small and grainy, for work on a scene")
    parser.add_argument("--boxes", action="store_true", help="only renew truth.json, leave the pictures")
    options = parser.parse_args()
    options.output.mkdir(exist_ok=True)
    record = options.output / "truth.json"
    entries = truth.read(record) if record.exists() else {}
    entries = {file: entry for file, entry in entries.items() if (options.output / file).exists()}
    names = options.names or list(PICTURES)
    seconds = 0 if options.boxes else 10 if options.draft else 60
    print(f"{len(names)} pictures: about {max(1, len(names) * seconds / 60):.0f} min on two cores", flush=True)
    for name in names:
        file = options.output / f"{name}.jpg"
        PICTURES[name]()
        if not options.boxes:
            with tempfile.TemporaryDirectory() as folder:
                stage.shoot(Path(folder, "picture.png"), options.draft)
                file.write_bytes(jpeg(cv2.imread(str(Path(folder, "picture.png")))))
        height, width = cv2.imread(str(file)).shape[:2]
        entries[file.name] = width, height, truth.visible_boxes()
        print(name, *(f"{label} {box}" for label, box, _ in entries[file.name][2]), flush=True)
        record.write_text(json.dumps(truth.coco(entries, NAMES.read_text().splitlines()), indent=1) + "\n")


def jpeg(picture, most=120_000):
    """Encode at the best quality that stays under `most` bytes."""
    for quality in range(94, 40, -2):
        data = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
        if len(data) < most:
            break
    return data.tobytes()


if __name__ == "__main__":
    main()
