"""gunicorn -c deploy/gunicorn.conf.py: the API under gunicorn, for machines where that is what runs everything else.

It restarts workers that die, reloads on SIGHUP and takes the same settings as `python -m yololab serve`.
"""

import os
import shutil
import tempfile

from yololab.api.settings import Settings
from yololab.vision.machine import cores

settings = Settings()
workers = settings.workers if "YOLOLAB_WORKERS" in os.environ else cores()
os.environ["YOLOLAB_WORKERS"] = str(workers)  # each worker takes its share of the cores
os.environ.setdefault("OPENCV_IO_MAX_IMAGE_PIXELS", str(settings.max_pixels))
os.environ["PROMETHEUS_MULTIPROC_DIR"] = tempfile.mkdtemp(prefix="yololab-metrics-")

wsgi_app = "yololab.serving.workers:worker()"
worker_class = "uvicorn_worker.UvicornWorker"
bind = f"{settings.host}:{settings.port}"
graceful_timeout = 30  # seconds for requests in flight
control_socket_disable = True  # nothing is left in the user's home
timeout = 60  # seconds without a sign of life from a worker


def child_exit(server, worker) -> None:
    """Take the gauges of a worker that ended out of the sum."""
    from prometheus_client.multiprocess import mark_process_dead  # imported with the variable set, not before

    mark_process_dead(worker.pid)


def on_exit(server) -> None:
    """Remove the files that the workers' metrics went through."""
    shutil.rmtree(os.environ["PROMETHEUS_MULTIPROC_DIR"], ignore_errors=True)
