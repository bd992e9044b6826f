"""The same API on a Ray cluster: replicas on all of its machines, and more of them under load.

make cluster                                                         a cluster of this machine alone
serve run deploy.ray_serve:application replicas=4 max_replicas=8     on a cluster that is already running
"""

import argparse
import os
import signal
import tempfile
import threading
from pathlib import Path
from time import sleep

import ray
from ray import serve
from ray.serve import Application
from starlette.types import ASGIApp

from yololab.api.app import create_app
from yololab.api.metrics import Metrics
from yololab.api.settings import Settings
from yololab.serving.workers import METRICS
from yololab.vision.machine import cores


def replica() -> ASGIApp:
    """The app of one replica, the same as in `make serve`; with workers > 1 it starts only once its model is loaded."""
    app = create_app(Settings(workers=max(2, cores() // int(os.environ["OMP_NUM_THREADS"]))))
    metrics = app.state.service.metrics
    metrics.share(Path(os.environ[METRICS]))
    threading.Thread(target=_save, args=(metrics,), name="counters", daemon=True).start()
    return app


def _save(metrics: Metrics) -> None:
    """Each second, for the sum that any of the replicas may be asked for."""
    while True:
        metrics.save()
        sleep(1)


def application(options: dict[str, str] | None = None) -> Application:
    """The deployment. Options, as texts: replicas, the fewest, by default 2; max_replicas, by default as many;
    cores for each replica, by default 1; queue, how many requests may wait before one is answered 503, by default
    YOLOLAB_QUEUE; metrics, a folder on each machine through which its replicas add up their counters.
    """
    folder = os.path.join(tempfile.gettempdir(), "yololab-metrics")
    options = {"replicas": "2", "cores": "1", "queue": str(Settings().queue), "metrics": folder, **(options or {})}
    cores_each = int(options["cores"])
    scaling = {
        "min_replicas": int(options["replicas"]),
        "max_replicas": int(options.get("max_replicas", options["replicas"])),
        "target_ongoing_requests": cores_each + 1,
    }
    env = {"OMP_NUM_THREADS": str(cores_each), METRICS: options["metrics"]}
    deployment = serve.deployment(
        serve.ingress(replica)(),
        name="yolo-lab",
        autoscaling_config=scaling,
        max_ongoing_requests=cores_each + 2,  # one for each thread of its queue, and one whose body is being read
        max_queued_requests=int(options["queue"]),
        ray_actor_options={"num_cpus": cores_each, "runtime_env": {"env_vars": env}},
        health_check_period_s=2,
        graceful_shutdown_timeout_s=30,
    )
    return deployment.bind()


def main() -> None:
    """A cluster on this machine, until Ctrl+C or SIGTERM."""
    parser = argparse.ArgumentParser(description="Serve the API from a local Ray cluster.")
    parser.add_argument("--replicas", default=str(max(2, cores())), help="by default one for each core, at least 2")
    parser.add_argument("--port", type=int, default=Settings().port, help="by default YOLOLAB_PORT, else 8000")
    options = parser.parse_args()
    ray.init(num_cpus=max(2, cores()) + 1, include_dashboard=False, log_to_driver=False, logging_level="warning")
    serve.start(http_options={"host": Settings().host, "port": options.port}, logging_config={"log_level": "WARNING"})
    with tempfile.TemporaryDirectory(prefix="yololab-metrics-", ignore_cleanup_errors=True) as metrics:
        serve.run(application({"replicas": options.replicas, "metrics": metrics}), name="yolo-lab", route_prefix="/")
        print(f"Try it: http://{Settings().host}:{options.port}/docs", flush=True)
        stop = threading.Event()
        for each in (signal.SIGINT, signal.SIGTERM):  # in place of Ray's own handlers, which end the process at once
            signal.signal(each, lambda number, frame: stop.set())
        try:
            while not stop.wait(0.5):  # a signal that another thread gets does not interrupt a wait without limit
                pass
        finally:
            serve.shutdown()
            ray.shutdown()


if __name__ == "__main__":
    main()
