"""Metrics for Prometheus. Labels take few values, none of them made up by callers: routes are templates."""

from __future__ import annotations

import platform
from collections.abc import Iterable, Mapping

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Info, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, Metric
from prometheus_client.registry import Collector
from sonica_fingerprint import FINGERPRINT_VERSION

from backend.models import Recognition

# From a cached answer (under 1 ms) to the deadline of a request.
_SECONDS_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0)
_CLIP_SECONDS_BUCKETS = (1, 2, 3, 5, 7.5, 10, 15, 20)
_SCORE_BUCKETS = (0.5, 0.75, 0.9, 0.95, 0.99, 0.999, 1)
_TIER = "origin"  # the edge counts its own
_INDEX = {
    "songs": "Songs that the index can find.",
    "segments": "Segments in the index.",
    "dead_segments": "Of these, of songs that are gone.",
    "bytes": "Memory that the index takes.",
    "audio_seconds": "Audio that the index covers.",
    "caught_up_timestamp_seconds": "When the index last had all changes of the catalogue.",
    "revisions_behind": "Known changes of the catalogue that the index has yet to take.",
}
_BUNDLE = {
    "sequence": "Number of the bundle that the index was loaded from; 0 for none.",
    "revision": "Revision of the catalogue that it holds.",
    "created_timestamp_seconds": "When it was published.",
    "problem": "1 while what is published is not in place.",
}


class Metrics:
    """The metrics of one app, in a registry of their own."""

    def __init__(self, *, version: str = "0", recognitions_max: int = 0) -> None:
        """recognitions_max: that may be under way at a time."""
        self._bundle_failures_known = 0
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self._describe_build(version)
        self._add_recognition_metrics(recognitions_max)
        self._add_request_metrics()
        self._add_index_metrics()
        self._add_cache_metrics()

    # --- recognitions ------------------------------------------------------------------------------------------------

    def observe_recognition(self, recognition: Recognition) -> None:
        """Count an answer, and the time of its steps as far as they were taken for it."""
        outcome, cache = recognition.status, recognition.cache
        self._recognitions.labels(_TIER, outcome, recognition.reason or "none", cache).inc()
        self._clip_seconds.observe(recognition.query_duration_ms / 1000)
        if recognition.degraded:
            self._degraded.inc()
        if recognition.matches:
            self._score.observe(recognition.matches[0].match.score)
        for stage, milliseconds in recognition.timings_ms.items():
            if stage == "total":
                self._recognition_seconds.labels(_TIER, outcome, cache).observe(milliseconds / 1000)
            else:
                self._stage_seconds.labels(_TIER, stage).observe(milliseconds / 1000)

    def observe_failure(self, code: str) -> None:
        """Count a recognition that was answered with a problem."""
        self._recognitions.labels(_TIER, "error", code, "none").inc()

    def _add_recognition_metrics(self, recognitions_max: int) -> None:
        self._recognitions = Counter(
            "sonica_recognitions",
            "Answers given; the reason is that of a no-match, or the code of the problem.",
            ["tier", "outcome", "reason", "cache"],
            registry=self.registry,
        )
        self._recognition_seconds = self._seconds(
            "sonica_recognition_seconds", "Time of a recognition, its body's transfer excluded.", "outcome", "cache"
        )
        self._stage_seconds = self._seconds(
            "sonica_recognition_stage_seconds", "Time of each step that was taken.", "stage"
        )
        self._degraded = self._counter(
            "sonica_degraded_recognitions", "Matches given without their songs' details, the catalogue being away."
        )
        self._clip_seconds = Histogram(
            "sonica_clip_seconds", "Length of the clips.", buckets=_CLIP_SECONDS_BUCKETS, registry=self.registry
        )
        self._score = Histogram(
            "sonica_match_score_ratio", "Score of each match.", buckets=_SCORE_BUCKETS, registry=self.registry
        )
        self._gauge("sonica_recognitions_in_progress_limit", "Recognitions under way at most.").set(recognitions_max)

    # --- requests ----------------------------------------------------------------------------------------------------

    def observe_request(self, *, method: str, route: str, status: int, seconds: float) -> None:
        """Count a request; route is the template, never the path that a caller made up."""
        self._request_seconds.labels(method, route, str(status)).observe(seconds)

    def observe_problem(self, *, route: str, code: str) -> None:
        """Count a request that was answered with a problem."""
        self._problems.labels(route, code).inc()

    def observe_caller(self, role: str) -> None:
        """Count a request of somebody; `none` is nobody known."""
        self._callers.labels(role).inc()

    def observe_exceeded(self, policy: str) -> None:
        """Count a request that was refused for this quota."""
        self._rate_limited.labels(policy).inc()

    def under_way(self, *, recognition: bool) -> Gauge:
        """Return what counts the requests that are being served."""
        return self._under_way.labels("recognition" if recognition else "other")

    def _add_request_metrics(self) -> None:
        self._request_seconds = Histogram(
            "sonica_http_request_seconds",
            "Time from the head of a request to the end of its response.",
            ["method", "route", "status"],
            buckets=_SECONDS_BUCKETS,
            registry=self.registry,
        )
        self._problems = self._counter("sonica_http_problems", "Problems answered.", "route", "code")
        self._callers = self._counter("sonica_http_requests_by_role", "Requests by the caller's role.", "role")
        self._rate_limited = self._counter(
            "sonica_rate_limited_requests", "Requests refused because a quota was used up.", "policy"
        )
        self._under_way = self._gauge("sonica_http_requests_in_progress", "Requests being served.", "kind")
        for kind in ("recognition", "other"):
            self._under_way.labels(kind)

    # --- the index, the cache and the parts behind ------------------------------------------------------------------

    def describe_index(self, **values: float) -> None:
        """Set what the index holds now, and how fresh it is; the names are those of _INDEX."""
        for name, value in values.items():
            self._index[name].set(value)

    def describe_bundle(self, *, failures: int, **values: float) -> None:
        """Set which bundle is in place, by the names of _BUNDLE, and how many looks at a new one have failed so far."""
        self._bundle_failures.inc(failures - self._bundle_failures_known)
        self._bundle_failures_known = failures
        for name, value in values.items():
            self._bundle[name].set(value)

    def describe_cache(self, counts: Mapping[tuple[str, str, str], int], *, memory_bytes: int) -> None:
        """Set what the cache counted so far, by layer, kind of value and outcome, and its size."""
        self._cache_lookups.counts = counts
        self._cache_bytes.set(memory_bytes)

    def describe_breakers(self, open_by_part: Mapping[str, bool]) -> None:
        """Set which parts are left alone now."""
        for part, is_open in open_by_part.items():
            self._breaker_open.labels(part).set(is_open)

    def _add_index_metrics(self) -> None:
        self._index = {name: self._gauge(f"sonica_index_{name}", text) for name, text in _INDEX.items()}
        self._bundle = {name: self._gauge(f"sonica_bundle_{name}", text) for name, text in _BUNDLE.items()}
        self._bundle_failures = self._counter("sonica_bundle_failures", "Looks at what is published that failed.")

    def _add_cache_metrics(self) -> None:
        self._cache_lookups = _CacheLookups()
        self.registry.register(self._cache_lookups)
        self._cache_bytes = self._gauge("sonica_cache_memory_bytes", "Memory that the cache takes, about.")
        self._breaker_open = self._gauge("sonica_breaker_open", "1 while a part fails and is left alone.", "part")

    # --- all of them -------------------------------------------------------------------------------------------------

    def exposition(self) -> bytes:
        """Return all metrics in the text format of Prometheus."""
        return generate_latest(self.registry)

    def _describe_build(self, version: str) -> None:
        facts = {
            "version": version,
            "fingerprint_version": str(FINGERPRINT_VERSION),
            "python_version": platform.python_version(),
        }
        Info("sonica_build", "What runs here.", registry=self.registry).info(facts)

    def _counter(self, name: str, description: str, *labels: str) -> Counter:
        return Counter(name, description, labels, registry=self.registry)

    def _gauge(self, name: str, description: str, *labels: str) -> Gauge:
        return Gauge(name, description, labels, registry=self.registry)

    def _seconds(self, name: str, description: str, *labels: str) -> Histogram:
        return Histogram(name, description, ("tier", *labels), buckets=_SECONDS_BUCKETS, registry=self.registry)


class _CacheLookups(Collector):
    """What the cache counts by itself."""

    def __init__(self) -> None:
        self.counts: Mapping[tuple[str, str, str], int] = {}

    def collect(self) -> Iterable[Metric]:
        family = CounterMetricFamily(
            "sonica_cache_lookups", "Look-ups in each layer of the cache.", labels=["layer", "kind", "outcome"]
        )
        for labels, count in list(self.counts.items()):
            family.add_metric(labels, count)
        yield family
