"""gunicorn -c deploy/gunicorn.conf.py: the API under gunicorn, for companies that run all their services with it.

It replaces workers that die, reloads on SIGHUP and takes the same settings as `yololab serve`.
"""

import os
import shutil
import tempfile

from uvicorn_worker import UvicornWorker

from yololab.api.settings import Settings
from yololab.serving.connections import PROTOCOLS
from yololab.serving.workers import METRICS
from yololab.vision.machine import cores

settings = Settings()
workers = settings.workers if "workers" in settings.model_fields_set else cores()
os.environ["YOLOLAB_WORKERS"] = str(workers)  # each worker takes its share of the cores
os.environ.setdefault("OPENCV_IO_MAX_IMAGE_PIXELS", str(settings.max_pixels))
if METRICS not in os.environ:  # a reload reads this file again, and the counters go on
    os.environ[METRICS] = tempfile.mkdtemp(prefix="yololab-metrics-")

wsgi_app = "yololab.serving.workers:worker_without_model()"  # gunicorn would restart one that ends, without a pause


class Worker(UvicornWorker):
    """Serves as `yololab serve` does: below the same prefix, with the same limits of a live connection."""

    CONFIG_KWARGS = {  # noqa: RUF012
        **UvicornWorker.CONFIG_KWARGS, "root_path": settings.root_path, "server_header": False, **PROTOCOLS
    }  # fmt: skip


worker_class = Worker
forwarded_allow_ips = ",".join(settings.forwarded_allow_ips)
bind = f"[{settings.host}]:{settings.port}" if ":" in settings.host else f"{settings.host}:{settings.port}"
graceful_timeout = 30  # seconds for requests in flight
control_socket_disable = True  # it would leave a file in the user's home folder
timeout = 60  # seconds without a sign of life, then a worker is killed and replaced


def on_exit(server) -> None:
    """Remove the folder through which the workers shared their metrics."""
    shutil.rmtree(os.environ[METRICS], ignore_errors=True)
