"""Viewer-request: one form of every request, so that the cache knows it again, and no way for what cannot be served.

Runs at every edge location within 128 MB and 1 MB of code, and sees no body.
"""

from __future__ import annotations

import base64
import binascii
import json
import logging
import re
import time
from http import HTTPStatus

from edge_functions.lambda_at_edge.cloudfront import (
    Message,
    header,
    problem,
    request_in,
    with_header,
    without_headers,
)
from edge_functions.lambda_at_edge.routes import MATCH_PATH, SIZE_HEADER
from edge_functions.lambda_at_edge.settings import Settings, load

_ALIASES = {"/recognize": "/v1/recognize"}
_DROPPED = ("te", "cookie", SIZE_HEADER)  # hop by hop, unused here, and ours alone to say
_BEARER = re.compile(r"bearer +([a-z0-9._~+/-]+=*) *", re.IGNORECASE)  # RFC 6750, 2.1
_TOKEN_CHARACTERS_MAX = 8192  # what CloudFront takes of a header
_SETTINGS = load()
_log = logging.getLogger("sonica.edge")


def handler(event: Message, _context: object, *, settings: Settings = _SETTINGS) -> Message:
    """Return the request in its one form, or the problem why it goes no further."""
    request = request_in(event)
    try:
        return _refused(event, settings) or _normalised(request, settings)
    except Exception:  # a fault here must not cost a request: the origin looks at everything again
        _log.exception("viewer_request_failed")
        return request


def token_flaw(authorization: str, *, now: float, leeway_seconds: float) -> str | None:
    """Return what is wrong with the shape of a bearer token, a JWT or a key; the signature is the origin's to check."""
    bearer = _BEARER.fullmatch(authorization)
    if bearer is None or len(authorization) > _TOKEN_CHARACTERS_MAX:
        return "The Authorization header holds no bearer token."
    parts = bearer[1].split(".")
    if len(parts) == 1:
        return None  # an API key has no shape to speak of
    claims = [_json_object(part) for part in parts[:2]]
    if len(parts) != 3 or None in claims or not parts[2]:
        return "The bearer token is not a JSON Web Token."
    head, payload = (claim or {} for claim in claims)
    if str(head.get("alg", "none")).lower() == "none":
        return "The JSON Web Token is not signed."
    expiry = payload.get("exp", now)
    if not isinstance(expiry, (int, float)) or isinstance(expiry, bool) or expiry + leeway_seconds < now:
        return "The JSON Web Token has expired."
    return None


def _refused(event: Message, settings: Settings) -> Message | None:
    request = request_in(event)
    authorization = header(request, "authorization")
    if authorization is not None:
        flaw = token_flaw(authorization, now=time.time(), leeway_seconds=settings.token_leeway_seconds)
        if flaw is not None:
            refusal = problem(event, status=HTTPStatus.UNAUTHORIZED, code="invalid_credentials", detail=flaw)
            return with_header(refusal, "www-authenticate", 'Bearer error="invalid_token"')
    if _stated_bytes(request) > settings.body_bytes_max:
        detail = f"The body is larger than {settings.body_bytes_max} bytes; send the first seconds only."
        return problem(event, status=HTTPStatus.REQUEST_ENTITY_TOO_LARGE, code="clip_too_large", detail=detail)
    return None


def _normalised(request: Message, settings: Settings) -> Message:
    uri = re.sub(r"/{2,}", "/", request["uri"])
    uri = uri.rstrip("/") or "/"
    uri = _ALIASES.get(uri, uri)
    request = without_headers(request, _DROPPED)
    if uri.startswith(MATCH_PATH):
        return {**request, "uri": uri.lower(), "querystring": ""}
    if request["method"] == "POST" and _stated_bytes(request) > settings.clip_bytes_max:
        request = with_header(request, SIZE_HEADER, "large")
    return {**request, "uri": uri}


def _stated_bytes(request: Message) -> int:
    stated = header(request, "content-length") or "0"
    return int(stated) if stated.isdecimal() and stated.isascii() else 0


def _json_object(part: str) -> dict[str, object] | None:
    try:
        found = json.loads(base64.b64decode(part + "=" * (-len(part) % 4), altchars=b"-_", validate=True))
    except (binascii.Error, ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None
