"""The process above the workers: starts them, starts them anew when they end, and ends them all."""

import logging
import os
import pickle
import signal
import sys
from copy import copy
from dataclasses import dataclass
from multiprocessing.connection import wait
from socket import socket
from time import monotonic
from types import FrameType
from typing import Any

import uvicorn
from uvicorn.supervisors.multiprocess import Process

from .server import AGAIN, Server, handled
from .sharing import Share, Shares

logger = logging.getLogger("uvicorn.error")

NO_MODEL = 71  # exit status of a worker that could not load its model
SOON = 10  # seconds: a worker that serves no longer than this before it ends has failed
MAX_PAUSE = 30  # seconds before a worker is started again that keeps failing
GIVE_UP = 5  # failures of a worker, when none has ever served
SILENT, STARTING = 15, 120  # seconds without an answer after which a worker is killed: one that serves, one that starts
TICK = 0.5  # seconds


class Worker(Process):
    """One worker process; uvicorn's Process starts it and holds a pipe to it.

    share: of the connections. without_model: it serves although its model cannot be loaded; has_model: whether it has
    loaded it, meanwhile.
    """

    def __init__(self, config: uvicorn.Config, listener: socket, share: Share | None, without_model: bool) -> None:
        config = copy(config)
        config.app = f"yololab.serving.workers:{'worker_without_model' if without_model else 'worker'}"
        self._share = share
        super().__init__(config, [listener])
        self.has_model = False
        self.serving_since: float | None = None
        self._heard, self._asked = monotonic(), False

    def target(self, sockets: list[socket] | None = None) -> None:
        """What the new process does. A terminal sends its signals to every process; the supervisor acts on them."""
        for name in ("SIGINT", "SIGHUP"):
            if hasattr(signal, name):
                signal.signal(getattr(signal, name), signal.SIG_IGN)
        self._server = Server(self.config, alone=False, share=self._share)
        super().target(sockets)

    def pong(self) -> None:
        """Answer the supervisor, in the worker: whether it serves, and whether its model is loaded."""
        self.child_conn.recv()
        server: Any = self.server
        app = server.app if server.started else None
        self.child_conn.send((app is not None, app is not None and app.state.service.not_ready_reason is None))

    def silence(self) -> float:
        """Seconds since it last answered; asks it again. Notes when it has begun to serve."""
        try:
            while self.parent_conn.poll():
                serving, self.has_model = self.parent_conn.recv()
                self._heard, self._asked = monotonic(), False
                if serving and self.serving_since is None:
                    self.serving_since = monotonic()
            if not self._asked:
                self.parent_conn.send(b"ping")
                self._asked = True
        except (OSError, EOFError, pickle.UnpicklingError):  # it is ending
            pass
        return monotonic() - self._heard

    def close(self) -> None:
        """Close the pipe to a process that has ended."""
        self.parent_conn.close()
        self.child_conn.close()


@dataclass
class Slot:
    """A place for one worker. start_at: when the next one is started, where there is none."""

    worker: Worker | None = None
    failures: int = 0
    start_at: float = 0.0
    without_model: bool = False
    share: Share | None = None


class Supervisor:
    """Keeps `config.workers` processes serving on `listener`."""

    def __init__(self, config: uvicorn.Config, listener: socket) -> None:
        self._config, self._listener = config, listener
        self._slots = [Slot(share=share) for share in _shares(config.workers)]
        self._stop = self._at_once = self._asked = self._served = False
        self._status = 0

    def run(self) -> int:
        """Returns the exit status once all have ended: 0 after a stop, 1 where no worker ever came to serve."""
        with handled(("SIGTERM", "SIGINT", "SIGBREAK", "SIGHUP"), self._on_signal):
            while not self._stop:
                for slot in self._slots:
                    self._look_after(slot)
                wait([each.process.sentinel for each in self._workers], TICK)
            self._end()
        return self._status

    @property
    def _workers(self) -> list[Worker]:
        return [slot.worker for slot in self._slots if slot.worker]

    def _on_signal(self, sig: int, frame: FrameType | None) -> None:
        closed = sig == getattr(signal, "SIGHUP", None)
        if self._asked and not closed:
            os.write(2, AGAIN.encode())
            self._at_once, self._status = True, 128 + sig
        self._stop = True
        self._asked = self._asked or not closed

    def _look_after(self, slot: Slot) -> None:
        worker = slot.worker
        if worker is None:
            if monotonic() >= slot.start_at:
                slot.worker = Worker(self._config, self._listener, slot.share, slot.without_model)
                slot.worker.start()
            return
        silence = worker.silence()
        self._served = self._served or worker.serving_since is not None
        if worker.process.is_alive():
            if silence < (SILENT if worker.serving_since else STARTING):
                return
            logger.error("worker [%s] has not answered for %d s: it is killed", worker.pid, silence)
            worker.process.kill()
            worker.process.join()
        self._replace(slot, worker)

    def _replace(self, slot: Slot, worker: Worker) -> None:
        """Note how a worker ended, and when the next one starts: at once, or after a pause where it has failed."""
        failed = worker.serving_since is None or monotonic() - worker.serving_since < SOON
        slot.failures = slot.failures + 1 if failed else 0
        others = [each for each in self._workers if each is not worker]
        slot.without_model = worker.exitcode == NO_MODEL and not any(each.has_model for each in others)
        pause = 0 if slot.without_model or not failed else min(MAX_PAUSE, 2 ** (slot.failures - 1))
        when = f"in {pause} s" if pause else "now"
        logger.error("worker [%s] ended %s; a new one starts %s", worker.pid, how(worker.exitcode), when)
        slot.worker, slot.start_at = None, monotonic() + pause
        if slot.share:
            slot.share.leave()
        worker.close()
        if not self._served and slot.failures >= GIVE_UP:
            logger.critical("no worker has come to serve in %d tries: the server ends", slot.failures)
            self._stop, self._status = True, 1

    def _end(self) -> None:
        """Workers finish what they have accepted; one that is stopped or stuck is killed when its time is over."""
        self._listener.close()  # else connections would wait in the backlog, for nobody
        workers = self._workers
        for worker in workers:
            worker.terminate()
        deadline = monotonic() + (self._config.timeout_graceful_shutdown or 0) + 5
        while (alive := [each for each in workers if each.process.is_alive()]) and monotonic() < deadline:
            if self._at_once:
                break
            wait([each.process.sentinel for each in alive], TICK)
        for worker in alive:
            logger.error("worker [%s] has not ended: it is killed", worker.pid)
            worker.process.kill()
        for worker in workers:
            worker.process.join()


def _shares(workers: int) -> list[Share | None]:
    """A share for each worker; none where they cannot share memory, then whoever wakes first takes a connection."""
    if sys.platform == "win32":  # its event loops cannot watch a listening socket
        return [None] * workers
    try:
        shares = Shares(workers)
        return [shares.of(number) for number in range(workers)]
    except OSError as error:
        logger.warning("the workers do not share connections evenly, since they can share no memory: %s", error)
        return [None] * workers


def how(status: int | None) -> str:
    """How a process ended, by its exit status as `multiprocessing` gives it: negative for a signal."""
    if status is None or status >= 0:
        return f"with exit status {status}"
    try:
        return f"by {signal.Signals(-status).name}"
    except ValueError:
        return f"by signal {-status}"
