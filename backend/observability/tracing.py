"""Where each request's time goes, told to an OpenTelemetry collector if SONICA_OTLP_ENDPOINT names one."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar
from threading import Thread
from typing import TYPE_CHECKING

from backend.breaker import Breaker

if TYPE_CHECKING:
    from opentelemetry.trace import Span, Tracer
    from opentelemetry.util.types import AttributeValue

    from backend.settings import Settings

_EXPORT_SECONDS_MAX = 5.0  # for some hundred spans, all tries together; then they are dropped
_CLOSE_SECONDS_MAX = 2.0  # for the last ones, when the process ends
_FLUSH_SECONDS_MAX = 0.5  # for those of a request whose answer waits for it
_RETRY_SECONDS = 30.0  # after a flush that took too long
_NOTHING: AbstractContextManager[None] = nullcontext()
_tracer: ContextVar[Tracer | None] = ContextVar("tracer", default=None)  # of the request that is traced, if it is


def span(step: str) -> AbstractContextManager[object]:
    """Time a step of the request that is served here; costs nothing where requests are not traced."""
    tracer = _tracer.get()
    return _NOTHING if tracer is None else tracer.start_as_current_span(step, record_exception=False)


def ids_of(request: Span | None) -> dict[str, str]:
    """Return what tells a traced request from every other, for the log."""
    if request is None:
        return {}
    context = request.get_span_context()
    return {"trace_id": f"{context.trace_id:032x}", "span_id": f"{context.span_id:016x}"}


def tell(request: Span | None, *, method: str, route: str, status: int, **facts: AttributeValue) -> None:
    """Say in a request's span what became of it, in the words of OpenTelemetry where it has some.

    https://opentelemetry.io/docs/specs/semconv/http/http-spans
    """
    if request is None or not request.is_recording():
        return
    from opentelemetry.trace import StatusCode

    request.update_name(f"{method} {route}")
    attributes: dict[str, AttributeValue] = {f"sonica.{name}": value for name, value in facts.items()}
    request.set_attributes(
        attributes | {"http.request.method": method, "http.route": route, "http.response.status_code": status}
    )
    if status >= 500:
        request.set_status(StatusCode.ERROR)


class Tracing:
    """Sends spans (OTLP, protobuf over HTTP) from a thread of its own; a collector that is away costs spans only.

    Importing what it takes costs 0.1 s: only who traces does.
    """

    def __init__(self, endpoint: str, *, share: float, version: str) -> None:
        """endpoint: the collector's URL without `/v1/traces`. share: of the requests whose caller does not decide."""
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
        from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased

        self._exporter = OTLPSpanExporter(f"{endpoint.rstrip('/')}/v1/traces", timeout=_EXPORT_SECONDS_MAX)
        self._provider = TracerProvider(
            resource=Resource.create({"service.name": "sonica", "service.version": version}),
            sampler=ParentBased(TraceIdRatioBased(share)),
            shutdown_on_exit=False,
        )
        self._provider.add_span_processor(BatchSpanProcessor(self._exporter))
        self._tracer = self._provider.get_tracer("sonica")
        self._breaker = Breaker(failures_max=1, retry_seconds=_RETRY_SECONDS)

    @classmethod
    def from_settings(cls, settings: Settings, *, version: str) -> Tracing | None:
        """Trace if the settings name a collector."""
        if settings.otlp_endpoint is None:
            return None
        return cls(settings.otlp_endpoint, share=settings.otlp_share, version=version)

    @contextmanager
    def request(self, headers: Mapping[str, str]) -> Iterator[Span]:
        """Open the span of a request, in the trace that its `traceparent` names; `span` opens others inside."""
        from opentelemetry.trace import SpanKind
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        parent = TraceContextTextMapPropagator().extract(headers)
        token = _tracer.set(self._tracer)
        try:
            with self._tracer.start_as_current_span("request", parent, SpanKind.SERVER) as opened:
                yield opened
        finally:
            _tracer.reset(token)

    def flush(self) -> None:
        """Send what there is now, if the collector takes it soon; blocks. One that does not is left alone a while."""
        if not self._breaker.allows():
            return
        if _done_soon(self._provider.force_flush, seconds_max=_FLUSH_SECONDS_MAX):
            self._breaker.succeeded()
        else:
            self._breaker.failed()

    def close(self) -> None:
        """Send what is left, if the collector takes it soon; blocks."""
        if not _done_soon(self._provider.shutdown, seconds_max=_CLOSE_SECONDS_MAX):
            self._exporter.shutdown()  # type: ignore[no-untyped-call]


def _done_soon(send: Callable[[], object], *, seconds_max: float) -> bool:
    """Say whether it came to its end in time; by itself it would take up to half a minute."""
    sending = Thread(target=send, daemon=True)
    sending.start()
    sending.join(seconds_max)
    return not sending.is_alive()
