"""`WORKERS=2`: several processes on one listening socket; what one of them does. `supervisor` looks after them."""

import logging
import multiprocessing
import os
import shutil
import signal
import sys
import tempfile
import threading
from pathlib import Path
from socket import socket
from time import sleep

import cv2
import uvicorn
from fastapi import FastAPI

from ..api.app import create_app
from ..api.service import DetectionService
from ..api.settings import Settings
from .connections import BoundedProtocol, raise_descriptor_limit
from .server import HUNG
from .supervisor import NO_MODEL, Supervisor

logger = logging.getLogger("uvicorn.error")

METRICS = "_YOLOLAB_METRICS"  # the variable that names the folder in which the workers share their counters


def supervise(config: uvicorn.Config, listener: socket, settings: Settings) -> int:
    """Serve from `settings.workers` processes until stopped. Returns the exit status.

    The socket belongs to all of them, and to this process: while one worker is started anew, connections wait in the
    socket's backlog or go to another one, and none is refused.
    """
    listener.listen(2048)
    os.environ |= settings.as_environment()  # a worker reads its settings anew
    folder = None
    try:
        folder = os.environ[METRICS] = tempfile.mkdtemp(prefix="yololab-metrics-")
    except OSError as error:
        logger.warning("each worker counts alone, since no temporary folder can be made: %s", error)
    try:
        return Supervisor(config, listener).run()
    finally:
        if folder:
            shutil.rmtree(folder, ignore_errors=True)


def worker() -> FastAPI:
    """The app of one worker process, its model loaded: it accepts nothing before, and without a model it ends."""
    app = worker_without_model()
    service = app.state.service
    service.load()
    if service.not_ready_reason:
        sys.exit(NO_MODEL)
    return app


def worker_without_model() -> FastAPI:
    """The app of a worker process that serves, whether its model can be loaded or not: no other worker has one."""
    BoundedProtocol.limit = raise_descriptor_limit()
    settings = Settings()
    app = create_app(settings)
    service = app.state.service
    cv2.setNumThreads(service.threads)
    if METRICS in os.environ:
        service.metrics.share(Path(os.environ[METRICS]))
    threading.Thread(target=_watch, args=(service, settings.hang), name="watch", daemon=True).start()
    return app


def _watch(service: DetectionService, limit: float) -> None:
    """Each second: write the counters, and look for the files of a model that could not be loaded.

    Ends this process when its supervisor is gone, in order, or when a picture hangs in it: no thread can be ended from
    outside, so the process must, and what else it works on is lost, too.
    """
    parent = multiprocessing.parent_process()  # its number as it was at the start, also where it has ended since
    supervisor = os.getppid() if parent is None else parent.pid
    while service.queue.longest < limit:
        if os.getppid() != supervisor:
            logger.error("the supervisor is gone: this worker finishes what it has accepted, and ends")
            return signal.raise_signal(signal.SIGTERM)
        service.metrics.save()
        service.try_again()
        sleep(1)
    logger.critical("a picture has been worked on for more than %g s: this worker ends, and is started anew", limit)
    os._exit(HUNG)
