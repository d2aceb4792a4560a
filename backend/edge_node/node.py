"""The whole way of a clip at a node, on one screen."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from sonica_fingerprint import CONTENT_TYPE, Fingerprint, encode, extract

from backend.api.uploads import Upload, pcm_format
from backend.audio.decoder import Decoder
from backend.audio.fingerprints import read_fingerprint
from backend.edge_node.hot_songs import HotSongs
from backend.edge_node.origin import Origin, Reply
from backend.errors import OriginUnavailable
from backend.settings import Settings

_CERTAIN_REASONS = frozenset({"silence", "too_short"})  # they say nothing about the catalogue


class EdgeNode:
    """Answers from the hot index what is certain there; the origin answers the rest, by the clip's fingerprint."""

    def __init__(self, *, decoder: Decoder, hot_songs: HotSongs, origin: Origin | None, settings: Settings) -> None:
        self._decoder = decoder
        self._hot_songs = hot_songs
        self._origin = origin
        self._clip_seconds_max = settings.clip_seconds_max

    async def recognize(self, upload: Upload, query_string: str, headers: Mapping[str, str], request_id: str) -> Reply:
        """Recognize a clip or a fingerprint.

        Raises UnsupportedAudio, UndecodableAudio, InvalidFingerprint, OriginUnavailable where the song is not hot and
        the origin is away.
        """
        timings: dict[str, float] = {}
        query = await self._query(upload, timings)
        if not query_string:  # candidates are the origin's to list
            with _timed(timings, "search"):
                found = await self._hot_songs.recognize(query)
            if found is not None and (found["status"] == "match" or found["reason"] in _CERTAIN_REASONS):
                return self._reply(found, query, request_id, timings)
        if self._origin is None:
            raise OriginUnavailable("this node has no origin, and does not know the song by itself")
        named = {**headers, "content-type": CONTENT_TYPE, "x-request-id": request_id}
        return await self._origin.recognize(encode(query), query_string, named)

    async def _query(self, upload: Upload, timings: dict[str, float]) -> Fingerprint:
        if upload.media_type == CONTENT_TYPE:
            return read_fingerprint(upload.content, seconds_max=self._clip_seconds_max)
        with _timed(timings, "decode"):
            samples = await self._decoder.decode(upload.content, pcm=pcm_format(upload))
        with _timed(timings, "extract"):
            return await asyncio.to_thread(extract, samples)

    def _reply(self, found: dict[str, Any], query: Fingerprint, request_id: str, timings: dict[str, float]) -> Reply:
        answer = {
            "request_id": request_id,
            **found,
            "query": {"duration_ms": query.duration_ms, "fingerprint_version": query.version, "sha256": query.key},
            "ambiguous": len(found["matches"]) > 1,
            "degraded": False,
            "tier": "edge",
            "cache": "miss",
            "index_version": self._hot_songs.version,
            "timings_ms": timings,
        }
        headers = {"content-type": "application/json", "cache-control": "no-store"}
        return Reply(200, json.dumps(answer).encode(), headers)


@contextmanager
def _timed(timings: dict[str, float], step: str) -> Iterator[None]:
    started = time.perf_counter()
    try:
        yield
    finally:
        timings[step] = round((time.perf_counter() - started) * 1000, 2)
