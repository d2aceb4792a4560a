"""Events of the shapes that CloudFront sends, in events/, and changes of them."""

from __future__ import annotations

import base64
import copy
import json
from pathlib import Path
from typing import Any

from edge_functions.lambda_at_edge.cloudfront import DISALLOWED, READ_ONLY

FOLDER = Path(__file__).with_name("events")
NAMES = sorted(path.stem for path in FOLDER.glob("*.json"))
Event = dict[str, Any]


def make_event(
    name: str,
    *,
    headers: dict[str, str | None] | None = None,
    response_headers: dict[str, str | None] | None = None,
    response_status: str | None = None,
    **fields: Any,
) -> Event:
    """Return a recorded event with other headers (None removes one) and other fields of its request."""
    event: Event = json.loads((FOLDER / f"{name}.json").read_text())
    cf = event["Records"][0]["cf"]
    cf["request"].update(fields)
    _change(cf["request"], headers or {})
    if "response" in cf:
        _change(cf["response"], response_headers or {})
        cf["response"]["status"] = response_status or cf["response"]["status"]
    return event


def make_clip_event(clip: bytes, *, truncated: bool = False, **changes: Any) -> Event:
    """Return an origin-request with a clip as its body."""
    headers = {"content-length": str(len(clip)), **changes.pop("headers", {})}
    data = base64.b64encode(clip).decode()
    body = {"action": "read-only", "data": data, "encoding": "base64", "inputTruncated": truncated}
    return make_event("origin_request_post", headers=headers, body=body, **changes)


def request_of(event: Event) -> Event:
    request: Event = event["Records"][0]["cf"]["request"]
    return request


def header_of(message: Event, name: str) -> str | None:
    return message["headers"][name][0]["value"] if name in message["headers"] else None


def assert_cloudfront_takes(answer: Event, event: Event, *, response: bool = False) -> None:
    """Hold the answer against CloudFront's validation: what fails it reaches the viewer as 502."""
    json.dumps(answer)
    generated = "status" in answer and not response
    before = {} if generated else event["Records"][0]["cf"]["response" if response else "request"]["headers"]
    read_only = {"transfer-encoding", "via"} if response or generated else READ_ONLY
    for name in read_only:
        assert answer["headers"].get(name) == before.get(name), name
    for name, lines in answer["headers"].items():
        assert name == name.lower()
        assert name not in DISALLOWED
        assert not name.startswith(("x-edge-", "x-amz-cf-", "x-amzn-", "x-accel-"))
        for line in lines:
            assert line["key"].lower() == name
            assert isinstance(line["value"], str)
    if not generated and (answer.get("body") or {}).get("action") == "replace":
        assert len(answer["body"]["data"]) <= 1_330_000
        assert answer["body"]["encoding"] == "base64"
    if generated:
        assert answer["status"].isdecimal()
        assert len(json.dumps(answer)) < 40_000


def untouched(event: Event) -> Event:
    """Return a copy to compare with, for a handler must not change the event."""
    return copy.deepcopy(event)


def _change(message: Event, headers: dict[str, str | None]) -> None:
    for name, value in headers.items():
        message["headers"].pop(name, None)
        if value is not None:
            message["headers"][name] = [{"key": name.title(), "value": value}]
