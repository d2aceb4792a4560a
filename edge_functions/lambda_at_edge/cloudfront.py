"""CloudFront's events and what may be done with them.

A header that must not be touched makes CloudFront answer 502: `with_header` and `without_headers` refuse those. Values
are never changed in place, so that the event is still whole when a handler gives up.
https://docs.aws.amazon.com/AmazonCloudFront/latest/DeveloperGuide/lambda-event-structure.html
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Iterable
from http import HTTPStatus
from typing import Any

Message = dict[str, Any]  # a request or a response, as CloudFront has it

READ_ONLY = frozenset(
    {
        "accept-encoding", "content-length", "host", "if-modified-since", "if-none-match", "if-range",
        "if-unmodified-since", "transfer-encoding", "via",
    }
)  # fmt: skip
DISALLOWED = frozenset(
    {
        "connection", "expect", "keep-alive", "proxy-authenticate", "proxy-authorization", "proxy-connection",
        "trailer", "upgrade", "x-cache", "x-forwarded-proto", "x-real-ip",
    }
)  # fmt: skip
_DISALLOWED_FAMILIES = ("x-accel-", "x-amz-cf-", "x-amzn-", "x-edge-")


def request_in(event: Message) -> Message:
    """Return the request of an event."""
    request: Message = event["Records"][0]["cf"]["request"]
    return request


def response_in(event: Message) -> Message:
    """Return the response of an origin-response event."""
    response: Message = event["Records"][0]["cf"]["response"]
    return response


def header(message: Message, name: str) -> str | None:
    """Return a header by its name in lower case, None when it is missing; several become one, as of RFC 9110, 5.2."""
    lines = message["headers"].get(name)
    return ", ".join(line["value"] for line in lines) if lines else None


def with_header(message: Message, name: str, value: str) -> Message:
    """Return the message with this header, in place of the one that it may have."""
    _check_writable(name)
    line = {"key": "-".join(map(str.capitalize, name.split("-"))), "value": value}
    return {**message, "headers": {**message["headers"], name: [line]}}


def without_headers(message: Message, names: Iterable[str]) -> Message:
    """Return the message without these headers."""
    gone = set(names)
    for name in gone:
        _check_writable(name)
    return {**message, "headers": {name: lines for name, lines in message["headers"].items() if name not in gone}}


def whole_body(request: Message, *, bytes_max: int) -> bytes | None:
    """Return the body; None where there is none, where CloudFront cut it off, and where it is larger than bytes_max."""
    body = request.get("body")
    if not body or body.get("inputTruncated", True) or body.get("encoding") != "base64":
        return None
    data = body["data"]
    if len(data) > (bytes_max + 2) // 3 * 4:
        return None
    try:
        content = base64.b64decode(data, validate=True)
    except (binascii.Error, ValueError):
        return None
    return content if 0 < len(content) <= bytes_max else None


def with_body(request: Message, content: bytes, *, content_type: str) -> Message:
    """Return the request with another body; its Content-Length is CloudFront's to set, and read-only."""
    body = {
        "inputTruncated": False,
        "action": "replace",
        "encoding": "base64",
        "data": base64.b64encode(content).decode("ascii"),
    }
    return with_header({**request, "body": body}, "content-type", content_type)


def problem(event: Message, *, status: HTTPStatus, code: str, detail: str) -> Message:
    """Return an answer that CloudFront gives in place of the origin: a problem as the origin's (RFC 9457)."""
    document = {
        "type": f"/docs/errors#{code}",
        "title": status.phrase,
        "status": status.value,
        "detail": detail,
        "instance": request_in(event)["uri"],
        "code": code,
        "request_id": event["Records"][0]["cf"]["config"]["requestId"],
    }
    response: Message = {
        "status": str(status.value),
        "statusDescription": status.phrase,
        "headers": {},
        "body": json.dumps(document),
        "bodyEncoding": "text",
    }
    response = with_header(response, "content-type", "application/problem+json")
    return with_header(response, "cache-control", "no-store")


def _check_writable(name: str) -> None:
    if name in READ_ONLY or name in DISALLOWED or name.startswith(_DISALLOWED_FAMILIES):
        raise ValueError(f"CloudFront answers 502 to a function that touches {name}")
