"""BentoML with one worker process a core, this project's engine in each; the photo is the body itself."""

import os
import sys
from pathlib import Path
from typing import Annotated

import bentoml
from bentoml.validators import ContentType

from benchmarks.servers.common import arguments, detect
from yololab.vision.detector import Detector
from yololab.vision.machine import cores


@bentoml.service(
    workers=cores(), traffic={"timeout": 120, "max_concurrency": 256}, logging={"access": {"enabled": False}}
)
class Detect:
    def __init__(self) -> None:
        self.detector = Detector(Path(os.environ["BENCH_MODEL"]), "float32", threads=1)

    @bentoml.api(route="/json")
    def json(
        self, photo: Annotated[bytes, ContentType("image/jpeg")], /
    ) -> Annotated[bytes, ContentType("application/json")]:
        return detect(self.detector, photo)


if __name__ == "__main__":
    port, cfg = arguments()
    os.environ["BENCH_MODEL"] = str(cfg)
    command = [
        "-m",
        "bentoml",
        "serve",
        "benchmarks.servers.bentoml_:Detect",
        "--host",
        "127.0.0.1",
        "--port",
        str(port),
    ]
    os.execv(sys.executable, [sys.executable, *command])
