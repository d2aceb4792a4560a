"""What surrounds every request: its id and trace, its report, and an answer when all else failed."""

from __future__ import annotations

import re
import time
import uuid
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING

import structlog
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from backend.api.problems import problem_response
from backend.api.request_report import RequestReport
from backend.errors import SonicaError
from backend.observability.tracing import Tracing, ids_of, tell

if TYPE_CHECKING:
    from opentelemetry.trace import Span

_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,128}")  # what may go into logs and headers; a UUID takes 36
# https://www.w3.org/TR/trace-context/#traceparent-header: version, trace id, parent id, flags
_TRACEPARENT = re.compile(r"(?!ff)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")
_CLIENT_CLOSED = 499  # nginx's number for it: nobody is there to read a status
_UNTRACED = frozenset({"/livez", "/readyz", "/metrics"})  # asked every few seconds by machines
_log = structlog.stdlib.get_logger("sonica.http")


class RequestScope:
    """Pure ASGI middleware, the outermost one."""

    def __init__(self, app: ASGIApp, *, report: RequestReport, tracing: Tracing | None = None) -> None:
        self._app = app
        self._report = report
        self._tracing = tracing

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve the request under its id, and in the trace that the caller is in, if it says so."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        request_id = _request_id(headers)
        scope.setdefault("state", {})["request_id"] = request_id
        names, echoed = {"request_id": request_id}, {"X-Request-ID": request_id}
        if trace := _TRACEPARENT.fullmatch(headers.get("traceparent", "")):
            names["trace_id"], echoed["traceparent"] = trace[1], trace[0]
        started = time.perf_counter()
        with self._traced(scope, headers) as span, self._report.under_way(scope):
            with structlog.contextvars.bound_contextvars(**(names | ids_of(span))):
                status = await self._answered(scope, receive, _Sender(send, echoed))
                facts = self._report.answered(scope, status, seconds=time.perf_counter() - started)
            tell(span, request_id=request_id, **facts)

    def _traced(self, scope: Scope, headers: Headers) -> AbstractContextManager[Span | None]:
        if self._tracing is None or scope["path"] in _UNTRACED:
            return nullcontext()
        return self._tracing.request(headers)

    async def _answered(self, scope: Scope, receive: Receive, sender: _Sender) -> int:
        """Run the app and return the status of its answer; an unexpected error is logged and answered."""
        try:
            await self._app(scope, receive, sender)
        except ClientDisconnect:
            return _CLIENT_CLOSED
        except Exception:
            _log.exception("request_failed", path=scope["path"])
            if sender.status is not None:
                raise
            await problem_response(SonicaError(), scope)(scope, receive, sender)
        return sender.status or _CLIENT_CLOSED


class _Sender:
    """Adds headers to the response, and remembers its status."""

    def __init__(self, send: Send, headers: dict[str, str]) -> None:
        self._send = send
        self._headers = headers
        self.status: int | None = None

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            MutableHeaders(scope=message).update(self._headers)
        await self._send(message)


def _request_id(headers: Headers) -> str:
    given = headers.get("x-request-id", "")
    return given if _REQUEST_ID.fullmatch(given) else uuid.uuid4().hex
