"""Ask detectors what they see: python -m training.render.check MODEL.cfg [MODEL.cfg ...] PICTURE.jpg ..."""

import sys
from pathlib import Path

import cv2

SIZE = 416


def detect(network, names, picture, confidence=0.2, nms_threshold=0.45):
    """Run a Darknet network; return [(label, confidence, [x, y, w, h]), ...], best first."""
    blob = cv2.dnn.blobFromImage(picture, 1 / 255, (SIZE, SIZE), swapRB=True)
    network.setInput(blob)
    height, width = picture.shape[:2]
    found = {}
    for output in network.forward(network.getUnconnectedOutLayersNames()):
        for x, y, w, h, _, *scores in output:
            for label, score in enumerate(scores):
                if score > confidence:
                    box = [(x - w / 2) * width, (y - h / 2) * height, w * width, h * height]
                    found.setdefault(label, []).append((float(score), [float(v) for v in box]))
    result = []
    for label, candidates in found.items():
        scores, boxes = zip(*candidates, strict=True)
        kept = cv2.dnn.NMSBoxes(boxes, scores, confidence, nms_threshold)
        result += [(names[label], scores[i], boxes[i]) for i in kept]
    return sorted(result, key=lambda found: -found[1])


def main(arguments):
    """Print one line for each picture and model."""
    configs = [Path(a) for a in arguments if a.endswith(".cfg")]
    names = (Path(__file__).parents[2] / "models" / "starter.names").read_text().splitlines()
    networks = {c.stem: cv2.dnn.readNetFromDarknet(str(c), str(c.with_suffix(".weights"))) for c in configs}
    for file in [a for a in arguments if not a.endswith(".cfg")]:
        for model, network in networks.items():
            found = detect(network, names, cv2.imread(file))
            print(
                f"{Path(file).name:20} {model:24}",
                ", ".join(f"{label} {score:.2f}" for label, score, _ in found),
            )


if __name__ == "__main__":
    main(sys.argv[1:])
