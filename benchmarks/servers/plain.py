"""Plain FastAPI with ONNX Runtime: the model loaded once, a `def` route."""

import uvicorn
from fastapi import FastAPI, Response, UploadFile

from benchmarks.servers.common import arguments, detect
from yololab.vision.detector import Detector

port, cfg = arguments()
detector = Detector(cfg, "float32")
app = FastAPI()


@app.post("/json")
def as_json(file: UploadFile):
    return Response(detect(detector, file.file.read()), media_type="application/json")


uvicorn.run(app, host="127.0.0.1", port=port, log_level="warning")
