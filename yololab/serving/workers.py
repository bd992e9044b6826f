"""`WORKERS=2`: several processes on one listening socket, started anew when one dies or hangs."""

import logging
import os
import shutil
import signal
import tempfile
import threading
from socket import socket
from time import sleep

import cv2
import uvicorn
from fastapi import FastAPI
from prometheus_client.multiprocess import mark_process_dead
from uvicorn.supervisors import Multiprocess

from ..api.app import create_app
from ..api.service import DetectionService
from ..api.settings import Settings

logger = logging.getLogger("uvicorn.error")

HUNG = 70  # exit status of a worker that ends itself


class Supervisor(Multiprocess):
    """uvicorn's, which also takes a dead worker's gauges out of the sum, and refuses connections when it stops."""

    def keep_subprocess_alive(self) -> None:
        before = {process.pid for process in self.processes}
        super().keep_subprocess_alive()
        for pid in before - {process.pid for process in self.processes}:
            mark_process_dead(pid)  # type: ignore[no-untyped-call]

    def terminate_all(self) -> None:
        for listener in self.sockets:  # else they would wait in the backlog, for nobody
            listener.close()
        super().terminate_all()


def supervise(config: uvicorn.Config, listener: socket, settings: Settings) -> None:
    """Serve from `settings.workers` processes until stopped.

    The socket belongs to all of them, and to this process: while one worker is started anew, connections wait in the
    socket's backlog or go to another one, and none is refused.
    """
    listener.listen(2048)
    os.environ |= settings.as_environment()  # a worker reads its settings anew
    folder = os.environ["PROMETHEUS_MULTIPROC_DIR"] = tempfile.mkdtemp(prefix="yololab-metrics-")
    try:
        Supervisor(config, [listener]).run()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def worker() -> FastAPI:
    """The app of one worker process, which ends itself when a picture hangs in it."""
    settings = Settings()
    app = create_app(settings)
    cv2.setNumThreads(app.state.service.threads)
    watch = threading.Thread(target=_watch, args=(app.state.service, settings.hang), name="watch", daemon=True)
    watch.start()
    return app


def _watch(service: DetectionService, limit: float) -> None:
    """End this process when its supervisor is gone, in order, or when a picture hangs in it.

    No thread can be ended from outside, so the process must: what else it works on is lost, too.
    """
    supervisor = os.getppid()
    while service.queue.longest < limit:
        if os.getppid() != supervisor:
            logger.error("the supervisor is gone: this worker finishes what it has accepted, and ends")
            return signal.raise_signal(signal.SIGTERM)
        sleep(1)
    logger.critical("a picture has been worked on for more than %g s: this worker ends, and is started anew", limit)
    os._exit(HUNG)
