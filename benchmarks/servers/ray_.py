"""Ray Serve with one replica a core, this project's engine in each; the photo is the body itself."""

import logging
import signal

import ray
from ray import serve
from starlette.requests import Request
from starlette.responses import Response

from benchmarks.servers.common import arguments, detect
from yololab.vision.detector import Detector
from yololab.vision.machine import cores

port, cfg = arguments()


@serve.deployment(num_replicas=cores(), max_ongoing_requests=8, ray_actor_options={"num_cpus": 0.5})
class Detect:
    def __init__(self):
        self.detector = Detector(cfg, "float32", threads=1)

    async def __call__(self, request: Request) -> Response:
        photo = await request.body()
        return Response(detect(self.detector, photo), media_type="application/json")


ray.init(num_cpus=cores(), include_dashboard=False, logging_level=logging.WARNING, log_to_driver=False)
serve.start(http_options={"host": "127.0.0.1", "port": port}, logging_config={"log_level": "WARNING"})
serve.run(Detect.bind(), route_prefix="/json")
signal.sigwait([signal.SIGTERM, signal.SIGINT])
serve.shutdown()
