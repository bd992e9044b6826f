"""LitServe with one worker process a core, this project's engine in each."""

import litserve
from fastapi import Request, Response

from benchmarks.servers.common import arguments, detect
from yololab.vision.detector import Detector
from yololab.vision.machine import cores

port, cfg = arguments()


class Api(litserve.LitAPI):
    def setup(self, device):
        self.detector = Detector(cfg, "float32", threads=1)

    def decode_request(self, request: Request):
        return request["file"].file.read()

    def predict(self, photo):
        return detect(self.detector, photo)

    def encode_response(self, answer):
        return Response(answer, media_type="application/json")


if __name__ == "__main__":
    server = litserve.LitServer(Api(api_path="/json"), accelerator="cpu", workers_per_device=cores())
    server.run(host="127.0.0.1", port=port, log_level="warning", generate_client_file=False)
