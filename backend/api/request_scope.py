"""What surrounds every request: its id, one line in the log, its time, and an answer when all else failed."""

from __future__ import annotations

import re
import time
import uuid

import structlog
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from backend.api.problems import problem_response
from backend.errors import SonicaError
from backend.observability import Metrics

_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,128}")  # what may go into logs and headers; a UUID takes 36
# https://www.w3.org/TR/trace-context/#traceparent-header: version, trace id, parent id, flags
_TRACEPARENT = re.compile(r"(?!ff)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")
_CLIENT_CLOSED = 499  # nginx's number for it: nobody is there to read a status
_log = structlog.stdlib.get_logger("sonica.http")


class RequestScope:
    """Pure ASGI middleware, the outermost one."""

    def __init__(self, app: ASGIApp, *, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve the request under its id, and under the trace that the caller is in, if it says so."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = _request_id(scope)
        scope.setdefault("state", {})["request_id"] = request_id
        names, echoed = {"request_id": request_id}, {"X-Request-ID": request_id}
        if trace := _TRACEPARENT.fullmatch(Headers(scope=scope).get("traceparent", "")):
            names["trace_id"], echoed["traceparent"] = trace[1], trace[0]
        started = time.perf_counter()
        with structlog.contextvars.bound_contextvars(**names):
            status = await self._answered(scope, receive, _Sender(send, echoed))
            self._report(scope, status, seconds=time.perf_counter() - started)

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

    def _report(self, scope: Scope, status: int, *, seconds: float) -> None:
        route = getattr(scope.get("route"), "path", "unrouted")
        self._metrics.observe_request(method=_method(scope), route=route, status=status, seconds=seconds)
        _log.info("request", method=scope["method"], route=route, status=status, ms=round(seconds * 1000, 1))


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


def _request_id(scope: Scope) -> str:
    given = Headers(scope=scope).get("x-request-id", "")
    return given if _REQUEST_ID.fullmatch(given) else uuid.uuid4().hex


def _method(scope: Scope) -> str:
    """Return the method, or one word for all that a caller may make up: labels must stay few."""
    return scope["method"] if scope["method"] in {"GET", "HEAD", "POST", "DELETE", "OPTIONS"} else "other"
