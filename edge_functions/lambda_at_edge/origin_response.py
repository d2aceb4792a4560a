"""Origin-response: how long what is known of a fingerprint may stay in CloudFront, and what browsers should be told."""

from __future__ import annotations

import logging
import re

from edge_functions.lambda_at_edge.cloudfront import Message, header, request_in, response_in, with_header
from edge_functions.lambda_at_edge.routes import MATCH_PATH
from edge_functions.lambda_at_edge.settings import Settings, load

SECURITY = {
    "strict-transport-security": "max-age=63072000; includeSubDomains",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
}
_MAX_AGE = re.compile(r"(?:^|[, ])max-age=(\d{1,9})(?:$|[, ])", re.IGNORECASE)
_SETTINGS = load()
_log = logging.getLogger("sonica.edge")


def handler(event: Message, _context: object, *, settings: Settings = _SETTINGS) -> Message:
    """Return the response with its headers."""
    response = response_in(event)
    try:
        return _secured(_cached(request_in(event), response, settings))
    except Exception:  # a fault here must not cost an answer
        _log.exception("origin_response_failed")
        return response


def _cached(request: Message, response: Message, settings: Settings) -> Message:
    """Bound the time of `GET /v1/match`; all else is as the origin says."""
    if not request["uri"].startswith(MATCH_PATH) or request["method"] not in ("GET", "HEAD"):
        return response
    return with_header(response, "cache-control", _cache_control(response, settings))


def _cache_control(response: Message, settings: Settings) -> str:
    status, stated = str(response["status"]), header(response, "cache-control") or ""
    age = _MAX_AGE.search(stated)
    if "private" in stated:
        return stated
    if status == "404":
        return f"public, max-age={settings.missing_seconds}"
    if status not in ("200", "304") or age is None or "no-store" in stated:
        return "no-store"
    return f"public, max-age={min(int(age[1]), settings.match_seconds_max)}"


def _secured(response: Message) -> Message:
    for name, value in SECURITY.items():
        if header(response, name) is None:
            response = with_header(response, name, value)
    return response
