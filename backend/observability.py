"""What the origin says of itself: logs and metrics."""

from __future__ import annotations

import logging
import sys

import structlog
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest

from backend.models import Recognition

# From a cached answer (under 1 ms) to the deadline of a request.
_SECONDS_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0)


class Metrics:
    """The metrics of one app, in a registry of their own."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        self._recognitions = Counter("sonica_recognitions", "Answers given.", ["outcome", "cache"], registry=registry)
        self._stage_seconds = Histogram(
            "sonica_recognition_stage_seconds",
            "Time of each step of a recognition that was computed.",
            ["stage"],
            buckets=_SECONDS_BUCKETS,
            registry=registry,
        )
        self._request_seconds = Histogram(
            "sonica_http_request_seconds",
            "Time from the head of a request to the end of its response.",
            ["method", "route", "status"],
            buckets=_SECONDS_BUCKETS,
            registry=registry,
        )
        self._songs = Gauge("sonica_index_songs", "Songs that the index can find.", registry=registry)
        self._segments = Gauge("sonica_index_segments", "Segments in the index.", registry=registry)
        self._index_bytes = Gauge("sonica_index_bytes", "Memory that the index takes.", registry=registry)

    def observe_recognition(self, recognition: Recognition) -> None:
        """Count an answer, and the time of its steps when it was not kept from before."""
        self._recognitions.labels(recognition.reason or "match", recognition.cache).inc()
        if recognition.cache == "miss":
            for stage, milliseconds in recognition.timings_ms.items():
                self._stage_seconds.labels(stage).observe(milliseconds / 1000)

    def observe_request(self, *, method: str, route: str, status: int, seconds: float) -> None:
        """Count a request; route is the template, never the path that a caller made up."""
        self._request_seconds.labels(method, route, str(status)).observe(seconds)

    def describe_index(self, *, songs: int, segments: int, size_bytes: int) -> None:
        """Set what the index holds now."""
        self._songs.set(songs)
        self._segments.set(segments)
        self._index_bytes.set(size_bytes)

    def exposition(self) -> bytes:
        """Return all metrics in the text format of Prometheus."""
        return generate_latest(self.registry)


def configure_logging(level: str) -> None:
    """Send our logs and those of libraries to stderr: a line of JSON each, or readable ones on a terminal."""
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *_rendering()],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())


def _rendering() -> list[structlog.typing.Processor]:
    if sys.stderr.isatty():
        return [structlog.dev.ConsoleRenderer()]
    return [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
