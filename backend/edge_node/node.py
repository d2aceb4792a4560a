"""The whole way of a clip at a node, on one screen."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sonica_fingerprint import CONTENT_TYPE, Fingerprint, encode, extract

from backend.api.uploads import Upload, pcm_format
from backend.audio.decoder import Decoder
from backend.audio.fingerprints import read_fingerprint
from backend.edge_node.hot_songs import HotSongs
from backend.edge_node.origin import Origin, Reply
from backend.errors import OriginUnavailable
from backend.settings import Settings

_CERTAIN_REASONS = frozenset({"silence", "too_short"})  # they say nothing about the catalogue


@dataclass(frozen=True, slots=True)
class _Asked:
    """A request beside its clip: what the origin is told, and the time that its steps take, all tries together."""

    query_string: str
    headers: Mapping[str, str]
    timings: dict[str, float] = field(default_factory=dict)


class EdgeNode:
    """Answers from the hot index what is certain there; the origin answers the rest, by the clip's fingerprint."""

    def __init__(self, *, decoder: Decoder, hot_songs: HotSongs, origin: Origin | None, settings: Settings) -> None:
        self._decoder = decoder
        self._hot_songs = hot_songs
        self._origin = origin
        self._clip_seconds_max = settings.clip_seconds_max
        self._other_speeds = settings.other_speeds

    async def recognize(self, upload: Upload, query_string: str, headers: Mapping[str, str], request_id: str) -> Reply:
        """Recognize a clip or a fingerprint.

        A clip that the origin has no answer for is asked about again at other speeds, as it would itself.

        Raises UnsupportedAudio, UndecodableAudio, InvalidFingerprint, OriginUnavailable where the song is not hot and
        the origin is away.
        """
        asked = _Asked(query_string, {**headers, "content-type": CONTENT_TYPE, "x-request-id": request_id})
        if upload.media_type == CONTENT_TYPE:
            return await self._answered(read_fingerprint(upload.content, seconds_max=self._clip_seconds_max), asked)
        with _timed(asked.timings, "decode"):
            samples = await self._decoder.decode(upload.content, pcm=pcm_format(upload))
        reply = await self._answered(await _extracted(samples, 1.0, asked), asked)
        if not _said(reply, "reason", "below_threshold"):
            return reply
        with suppress(OriginUnavailable):  # there is an answer already
            for speed in self._other_speeds:
                other = await self._answered(await _extracted(samples, speed, asked), asked)
                if _said(other, "status", "match"):
                    return other
        return reply

    async def _answered(self, query: Fingerprint, asked: _Asked) -> Reply:
        if not asked.query_string:  # candidates are the origin's to list
            with _timed(asked.timings, "search"):
                found = await self._hot_songs.recognize(query)
            if found is not None and (found["status"] == "match" or found["reason"] in _CERTAIN_REASONS):
                return self._reply(found, query, asked)
        if self._origin is None:
            raise OriginUnavailable("this node has no origin, and does not know the song by itself")
        return await self._origin.recognize(encode(query), asked.query_string, asked.headers)

    def _reply(self, found: dict[str, Any], query: Fingerprint, asked: _Asked) -> Reply:
        answer = {
            "request_id": asked.headers["x-request-id"],
            **found,
            "query": {"duration_ms": query.duration_ms, "fingerprint_version": query.version, "sha256": query.key},
            "ambiguous": len(found["matches"]) > 1,
            "degraded": False,
            "tier": "edge",
            "cache": "miss",
            "index_version": self._hot_songs.version,
            "timings_ms": asked.timings,
        }
        headers = {"content-type": "application/json", "cache-control": "no-store"}
        return Reply(200, json.dumps(answer).encode(), headers)


async def _extracted(samples: NDArray[np.float32], speed: float, asked: _Asked) -> Fingerprint:
    with _timed(asked.timings, "extract"):
        return await asyncio.to_thread(extract, samples, speed)


def _said(reply: Reply, field_name: str, value: str) -> bool:
    """Say whether the answer, if it is one, has this value in a field."""
    if reply.status != HTTPStatus.OK:
        return False
    try:
        answer = json.loads(reply.body)
    except ValueError:
        return False
    return isinstance(answer, dict) and answer.get(field_name) == value


@contextmanager
def _timed(timings: dict[str, float], step: str) -> Iterator[None]:
    started = time.perf_counter()
    try:
        yield
    finally:
        timings[step] = round(timings.get(step, 0.0) + (time.perf_counter() - started) * 1000, 2)
