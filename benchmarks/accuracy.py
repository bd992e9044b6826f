"""Does speed cost accuracy? python -m benchmarks.accuracy: AP by engine, and with reduced-size decoding."""

import json
import tempfile
from pathlib import Path

import cv2

from training.evaluate import MODELS, SAMPLE, score
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
    print("| model | engine | photos | decoded | AP | AP50 |\n|---|---|---|---|---|---|")
    for cfg in MODELS:
        for engine in ("opencv", "onnxruntime", "openvino"):
            result = score(Detector(cfg, engine), SAMPLE)
            print(f"| {cfg.stem} | {engine} | as they are | whole | {result.ap:.4f} | {result.ap50:.4f} |", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        large = enlarged(SAMPLE, Path(folder))
        for cfg in MODELS:
            for small in (False, True):
                result = score(Detector(cfg), large, small)
                how = "at reduced size" if small else "whole"
                what = f"{LARGER} times as large"
                print(
                    f"| {cfg.stem} | onnxruntime | {what} | {how} | {result.ap:.4f} | {result.ap50:.4f} |", flush=True
                )


if __name__ == "__main__":
    main()
