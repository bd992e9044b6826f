"""mosec with one worker process a core, this project's engine in each; the photo is the body itself."""

import os
import sys
from pathlib import Path

from mosec import Server, Worker

from benchmarks.servers.common import arguments, detect
from yololab.vision.detector import Detector
from yololab.vision.machine import cores


class Detect(Worker):
    def __init__(self):
        self.detector = Detector(Path(os.environ["BENCH_MODEL"]), "float32", threads=1)

    def deserialize(self, data):
        return data

    def forward(self, data):
        return detect(self.detector, data)

    def serialize(self, data):
        return data


if __name__ == "__main__":  # mosec starts its workers from this module again
    port, cfg = arguments()
    os.environ["BENCH_MODEL"] = str(cfg)
    sys.argv = [sys.argv[0], "--address", "127.0.0.1", "--port", str(port), "--log-level", "warning"]
    server = Server()
    server.append_worker(Detect, num=cores())
    server.run()
