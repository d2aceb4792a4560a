"""Origin-request: a small clip becomes its fingerprint, so that 2 % of the bytes travel to the origin.

Runs once for each request that the cache cannot answer, with the body ("Include Body"). Whatever it does not
understand it leaves as it is: without a replaced body CloudFront sends the viewer's own, whole.
"""

from __future__ import annotations

import logging
from http import HTTPStatus

from sonica_fingerprint import CONTENT_TYPE, MalformedFingerprint, UnsupportedVersion, decode, encode, extract
from sonica_fingerprint.errors import UnreadableAudio
from sonica_fingerprint.pcm import Pcm, read_wav, to_fingerprint_rate

from edge_functions.lambda_at_edge.cloudfront import (
    Message,
    header,
    problem,
    request_in,
    whole_body,
    with_body,
    with_header,
)
from edge_functions.lambda_at_edge.routes import RECOGNITION_PATHS, SIZE_HEADER
from edge_functions.lambda_at_edge.settings import Settings, load
from edge_functions.traceparent import trace_of

_SETTINGS = load()
_log = logging.getLogger("sonica.edge")


def handler(event: Message, _context: object, *, settings: Settings = _SETTINGS) -> Message:
    """Return the request with a fingerprint in place of its clip, or as it came; in a trace, whichever it is."""
    try:
        return _traced(_answered(event, settings), event, settings)
    except Exception:  # a fault here must not cost a request: the origin takes the clip as it came
        _log.exception("origin_request_failed")
        return request_in(event)


def _answered(event: Message, settings: Settings) -> Message:
    request = request_in(event)
    try:
        clip = _clip(request, settings)
        return request if clip is None else _lightened(event, clip, settings)
    except UnreadableAudio:
        return request


def _traced(answer: Message, event: Message, settings: Settings) -> Message:
    """Tell the origin of a span of the edge's own, whose ids are made of CloudFront's id of the request."""
    if "status" in answer:  # it is answered here
        return answer
    seed = event["Records"][0]["cf"]["config"]["requestId"]
    trace = trace_of(header(answer, "traceparent") or "", seed=seed, share=settings.trace_share)
    return with_header(answer, "traceparent", trace.traceparent)


def _clip(request: Message, settings: Settings) -> bytes | None:
    """Return the body of a recognition that is small, whole and not encoded."""
    if request["method"] != "POST" or request["uri"] not in RECOGNITION_PATHS:
        return None
    if header(request, SIZE_HEADER) == "large" or header(request, "content-encoding") is not None:
        return None
    return whole_body(request, bytes_max=settings.clip_bytes_max)


def _lightened(event: Message, clip: bytes, settings: Settings) -> Message:
    media_type, parameters = _content_type(header(request_in(event), "content-type") or "")
    if media_type == CONTENT_TYPE:
        return _checked(event, clip)
    if media_type == "multipart/form-data":
        return request_in(event)
    pcm = _headerless(clip, parameters) if media_type == "audio/l16" else read_wav(clip)
    seconds_max = settings.clip_seconds_max
    samples = to_fingerprint_rate(pcm.mono(seconds_max=seconds_max), pcm.rate_hz, seconds_max=seconds_max)
    if not samples:
        return request_in(event)
    return with_body(request_in(event), encode(extract(samples)), content_type=CONTENT_TYPE)


def _checked(event: Message, body: bytes) -> Message:
    """Refuse a damaged fingerprint; one of another version is for the origin to judge."""
    try:
        decode(body)
    except UnsupportedVersion:
        return request_in(event)
    except MalformedFingerprint as error:
        status = HTTPStatus.UNPROCESSABLE_ENTITY
        return problem(event, status=status, code="invalid_fingerprint", detail=str(error))
    return request_in(event)


def _headerless(clip: bytes, parameters: dict[str, str]) -> Pcm:
    """Read `audio/L16;rate=..;channels=..`: big-endian, as of RFC 2586."""
    rate, channels = parameters.get("rate", ""), parameters.get("channels", "1")
    if not (rate + channels).isdecimal() or not (rate + channels).isascii() or not rate or not channels:
        raise UnreadableAudio("audio/L16 without its rate")
    return Pcm(memoryview(clip), "s16", int(rate), int(channels), big_endian=True)


def _content_type(value: str) -> tuple[str, dict[str, str]]:
    media_type, *rest = (part.strip() for part in value.split(";"))
    pairs = (part.partition("=") for part in rest)
    return media_type.lower(), {name.strip().lower(): given.strip().strip('"') for name, _, given in pairs}
