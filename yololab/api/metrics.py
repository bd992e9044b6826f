"""What the API counts for Prometheus; each app has its own registry, so that tests and notebooks may make many."""

import logging
import os
from pathlib import Path

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector

from .shared_counters import SharedCounters

logger = logging.getLogger(__name__)

BUCKETS = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10)  # seconds


def server_timing(seconds: dict[str, float]) -> str:
    """Seconds by stage as the value of a Server-Timing header (W3C Server Timing), which has milliseconds."""
    return ", ".join(f"{stage};dur={spent * 1e3:.2f}" for stage, spent in seconds.items())


class Metrics:
    """Counters of one app. After `share`, `text` sums those of all processes that share the folder.

    Under servers that set PROMETHEUS_MULTIPROC_DIR the package prometheus_client does the same.
    """

    def __init__(self) -> None:
        self._shared: SharedCounters | None = None
        registry = self._registry = CollectorRegistry()
        self.requests = Counter(
            "yololab_requests", "Requests by route and status", ["route", "status"], registry=registry
        )
        self.refused = Counter(
            "yololab_refused", "Requests refused because the queue was full", ["route"], registry=registry
        )
        self.detections = Counter(
            "yololab_detections", "Objects found", ["model", "version", "label"], registry=registry
        )
        self.copies_failed = Counter(
            "yololab_copies_failed", "Annotated pictures that could not be kept", registry=registry
        )
        self.stage = Histogram(
            "yololab_stage_seconds", "Time in each stage", ["stage"], buckets=BUCKETS, registry=registry
        )
        self.waiting = Gauge("yololab_waiting", "Requests in the queue", multiprocess_mode="livesum", registry=registry)

        self.live_connections = Gauge(
            "yololab_live_connections", "Open connections of /v1/live", multiprocess_mode="livesum", registry=registry
        )
        self.live_frames = Counter(
            "yololab_live_frames", "Frames of /v1/live: answered, skipped, failed", ["outcome"], registry=registry
        )
        self.live_seconds = Histogram(
            "yololab_live_seconds", "From a frame of /v1/live to its answer", buckets=BUCKETS, registry=registry
        )

    def share(self, folder: Path) -> None:
        """Count together with the other processes that share `folder`; call `save` every second from now on."""
        self._shared = SharedCounters(folder)

    def save(self) -> None:
        """Write what this process has counted to where it is shared. Never raises."""
        if self._shared:
            self._shared.write(self._registry)

    def text(self) -> bytes:
        """The Prometheus text format; where the counters of all processes cannot be had, those of this one."""
        if self._shared:
            return self._shared.text(self._registry)
        if "PROMETHEUS_MULTIPROC_DIR" in os.environ:
            try:
                every = CollectorRegistry()
                MultiProcessCollector(every)  # type: ignore[no-untyped-call]
                return generate_latest(every)
            except Exception as error:  # the folder is gone, or a file in it is damaged
                logger.warning("the counters of the other processes cannot be read: %s", error)
        return generate_latest(self._registry)
