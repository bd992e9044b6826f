"""What the API counts for Prometheus; each app has its own registry, so that tests and notebooks may make many."""

import os

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector

BUCKETS = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10)  # seconds


def server_timing(seconds: dict[str, float]) -> str:
    """Seconds by stage as the value of a Server-Timing header (W3C Server Timing), which has milliseconds."""
    return ", ".join(f"{stage};dur={spent * 1e3:.2f}" for stage, spent in seconds.items())


class Metrics:
    """Counters of one app. With PROMETHEUS_MULTIPROC_DIR set, `text` sums those of all its worker processes."""

    def __init__(self) -> None:
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

    def text(self) -> bytes:
        """The Prometheus text format."""
        if "PROMETHEUS_MULTIPROC_DIR" not in os.environ:
            return generate_latest(self._registry)
        every = CollectorRegistry()
        MultiProcessCollector(every)  # type: ignore[no-untyped-call]
        return generate_latest(every)
