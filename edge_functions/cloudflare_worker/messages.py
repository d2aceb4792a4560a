"""A request and a reply as values, and what every reply carries: its request's id and trace, and leave for browsers."""

from __future__ import annotations

import ipaddress
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from urllib.parse import urlsplit

from edge_functions.cloudflare_worker.errors import EdgeError
from edge_functions.traceparent import Trace, trace_of

RECOGNITION_PATHS = frozenset({"/recognize", "/v1/recognize"})
_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,128}")  # as at the origin
_TRACESTATE_MAX = 512  # characters that everybody must be able to pass on
_PREFLIGHT_SECONDS = "86400"  # what browsers remember at most


@dataclass(frozen=True, slots=True)
class RequestHead:
    """A request without its body. Header names are in lower case."""

    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    request_id: str
    trace: Trace

    @classmethod
    def of(cls, method: str, url: str, headers: Mapping[str, str], *, new_id: str, trace_share: float) -> RequestHead:
        """Take up the caller's id for the request when it is one, else new_id, and the caller's trace if there is one.

        new_id: no other request has the same. trace_share: see traceparent.py.
        """
        parts = urlsplit(url)
        given = headers.get("x-request-id", "")
        request_id = given if _REQUEST_ID.fullmatch(given) else new_id
        trace = trace_of(headers.get("traceparent", ""), seed=new_id, share=trace_share)
        return cls(method, parts.path, parts.query, headers, request_id, trace)

    @property
    def recognizes(self) -> bool:
        """A clip is to be recognized."""
        return self.method == "POST" and self.path in RECOGNITION_PATHS

    @property
    def preflight(self) -> bool:
        """A browser asks whether it may ask."""
        return self.method == "OPTIONS" and "access-control-request-method" in self.headers

    @property
    def content_type(self) -> str:
        """The media type and its parameters as they were given."""
        return self.headers.get("content-type", "")

    @property
    def echoed(self) -> dict[str, str]:
        """The headers that go back to the caller: the request's id, and its trace, the caller's own or a new one."""
        traceparent = self.headers["traceparent"] if self.trace.parent_id else self.trace.traceparent
        return {"x-request-id": self.request_id, "traceparent": traceparent}

    @property
    def passed_on(self) -> dict[str, str]:
        """The headers that go to the origin: the request's id, and its trace with the edge's span in it."""
        state = self.headers.get("tracestate", "") if self.trace.parent_id else ""
        named = {"x-request-id": self.request_id, "traceparent": self.trace.traceparent}
        return named | ({"tracestate": state} if 0 < len(state) <= _TRACESTATE_MAX else {})

    @property
    def client(self) -> str:
        """Who is asking, to the rate limiter: an address; of IPv6 the network, all of which is one client's."""
        address = self.headers.get("cf-connecting-ip", "")
        try:
            return str(ipaddress.IPv6Network(f"{address}/64", strict=False))
        except ValueError:
            return address

    def allowed(self, cors_origins: str) -> dict[str, str]:
        """Return the headers that let a browser's page read the reply."""
        page = self.headers.get("origin", "")
        named = [each.strip() for each in cors_origins.split(",")]
        if not page or ("*" not in named and page not in named):
            return {}
        return {
            "access-control-allow-origin": "*" if "*" in named else page,
            "access-control-expose-headers": "x-request-id, traceparent, retry-after",
            "vary": "origin",
        }


@dataclass(frozen=True, slots=True)
class Reply:
    """A whole reply."""

    status: int
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)


def log_line(event: str, head: RequestHead, *, level: str = "info", **values: object) -> str:
    """Return a line for the log, in the shape of the origin's."""
    named = {
        "timestamp": datetime.now(UTC).isoformat(),
        "level": level,
        "logger": "sonica.edge",
        "event": event,
        "request_id": head.request_id,
        "trace_id": head.trace.trace_id,
        "span_id": head.trace.span_id,
        "parent_id": head.trace.parent_id,
        "method": head.method,
        "route": head.path if head.recognizes else "unrouted",
        **values,
    }
    return json.dumps({name: value for name, value in named.items() if value is not None}, ensure_ascii=False)


def json_reply(value: object, *, status: int = 200) -> Reply:
    """Return a reply in JSON that nobody on the way keeps."""
    body = json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()
    return Reply(status, body, {"content-type": "application/json", "cache-control": "no-store"})


def preflight_reply() -> Reply:
    """Return what a browser may ask."""
    allowed = {
        "access-control-allow-methods": "GET, POST, DELETE, OPTIONS",
        "access-control-allow-headers": "authorization, content-type, traceparent, x-request-id",
        "access-control-max-age": _PREFLIGHT_SECONDS,
    }
    return Reply(204, headers=allowed)


def problem_reply(error: EdgeError, head: RequestHead) -> Reply:
    """Return the problem (RFC 9457) that tells of the error, in the origin's form."""
    problem = {
        "type": f"/docs/errors#{error.code}",
        "title": (type(error).__doc__ or "").strip(),
        "status": error.status,
        "detail": error.detail,
        "instance": head.path,
        "code": error.code,
        "request_id": head.request_id,
    }
    reply = json_reply(problem, status=error.status)
    reply.headers["content-type"] = "application/problem+json"
    if error.retry_after is not None:
        reply.headers["retry-after"] = str(error.retry_after)
    return reply
