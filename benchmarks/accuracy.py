"""Does speed cost accuracy? python -m benchmarks.accuracy FOLDER: AP by engine, and with reduced-size decoding."""

import argparse
import json
import tempfile
from pathlib import Path

import cv2

from benchmarks.inputs import check_photos
from training.evaluate import score
from yololab.vision.detector import Detector
from yololab.vision.images import decode, encode

LARGER = 5  # times: COCO's photos become 3200 pixels wide


def enlarged(sample: Path, folder: Path) -> Path:
    """A copy of the sample with photos and boxes LARGER times the size."""
    truth = json.loads((sample / "annotations.json").read_text())
    (folder / "images").mkdir()
    for photo in truth["images"]:
        picture = decode((sample / "images" / photo["file_name"]).read_bytes())
        large = cv2.resize(picture, None, fx=LARGER, fy=LARGER, interpolation=cv2.INTER_CUBIC)
        (folder / "images" / photo["file_name"]).write_bytes(encode(large))
        photo["width"], photo["height"] = LARGER * photo["width"], LARGER * photo["height"]
    for each in truth["annotations"]:
        each["bbox"] = [LARGER * value for value in each["bbox"]]
        each["area"] *= LARGER**2
    (folder / "annotations.json").write_text(json.dumps(truth))
    return folder


def main() -> None:
    parser = argparse.ArgumentParser(description="Average precision by engine, and with reduced-size decoding.")
    parser.add_argument("sample", type=Path, help="a folder that `python -m benchmarks.photos` has made")
    parser.add_argument("--models", nargs="+", default=["starter"], help="installed models (default: starter)")
    options = parser.parse_args()
    check_photos(options.sample / "images")
    print("| model | engine | photos | decoded | AP | AP50 |\n|---|---|---|---|---|---|")

    def row(name: str, engine: str, sample: Path, photos: str, small: bool) -> None:
        result = score(Detector(name, engine), sample, small)
        how = "at reduced size" if small else "whole"
        print(f"| {name} | {engine} | {photos} | {how} | {result.ap:.4f} | {result.ap50:.4f} |", flush=True)

    with tempfile.TemporaryDirectory() as folder:
        large = enlarged(options.sample, Path(folder))
        for name in options.models:
            for engine in ("opencv", "onnxruntime", "openvino"):
                row(name, engine, options.sample, "as they are", small=False)
            for small in (False, True):
                row(name, "onnxruntime", large, f"{LARGER} times as large", small)


if __name__ == "__main__":
    main()
