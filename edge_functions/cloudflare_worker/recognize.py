"""The whole way of a small clip at the edge, on one screen."""

from __future__ import annotations

import json
import time
from collections.abc import Awaitable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from typing import Any, Protocol, TypeVar

import sonica_fingerprint
from sonica_fingerprint import CONTENT_TYPE, OTHER_SPEEDS, Fingerprint, FingerprintError
from sonica_fingerprint.pcm import Pcm

from edge_functions.cloudflare_worker.answers import Answer, addressed, hot_answer, is_answer, read_json
from edge_functions.cloudflare_worker.audio import L16, media_type, read_clip
from edge_functions.cloudflare_worker.edge_cache import EdgeCache, entry_name
from edge_functions.cloudflare_worker.errors import EdgeError, OriginMalformed
from edge_functions.cloudflare_worker.messages import Reply, RequestHead, json_reply
from edge_functions.cloudflare_worker.origin import Origin

T = TypeVar("T")

# Clips come under many names, or none; what is named otherwise is not looked at.
_READ = frozenset({"", "application/octet-stream", "application/x-www-form-urlencoded", L16, CONTENT_TYPE}) | {
    f"audio/{name}" for name in ("wav", "wave", "x-wav", "vnd.wave", "x-pn-wav")
}


class KernelWorker(Protocol):
    """The Worker that holds the kernel and the hot index."""

    async def extract(self, pcm: Pcm, speed: float) -> bytes | None:
        """Return the fingerprint in its wire format, None for samples that are the origin's to look at."""

    async def recognize(self, fingerprint: bytes) -> Mapping[str, Any] | None:
        """Return what the hot index finds, None without a hot index."""

    async def index_version(self) -> str | None:
        """Return the hot index's version, None without one."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """A reply, the answer that it gives if it is one, and the answers to keep, by their names."""

    reply: Reply
    answer: Answer = field(default_factory=dict)
    kept: dict[str, Answer] = field(default_factory=dict)
    timings_ms: dict[str, float] = field(default_factory=dict)


class EdgeRecognizer:
    """Answers small clips: from the edge's cache, from its hot index, else from the origin."""

    def __init__(self, *, kernel: KernelWorker, cache: EdgeCache, origin: Origin, clip_seconds_max: float) -> None:
        self._kernel = kernel
        self._cache = cache
        self._origin = origin
        self._clip_seconds_max = clip_seconds_max

    async def recognize_clip(self, body: bytes, head: RequestHead) -> Outcome:
        """Recognize a whole body. What the edge cannot read goes to the origin as it is. Raises OriginError."""
        timings: dict[str, float] = {}
        pcm = query = None
        try:
            if media_type(head.content_type)[0] == CONTENT_TYPE:
                query = sonica_fingerprint.decode(body).first(self._clip_seconds_max)
            else:
                pcm = read_clip(body, head.content_type, seconds_max=self._clip_seconds_max)
                query = await self._extracted(pcm, 1.0, timings)
        except FingerprintError:
            pass  # the origin says what is wrong with it
        if query is None:
            return Outcome(await self._origin.recognize(body, head.content_type, head), timings_ms=timings)
        outcome = await self.recognize(query, head, timings)
        if pcm is None or outcome.answer.get("reason") != "below_threshold":
            return outcome
        return await self._at_other_speeds(pcm, head, outcome)

    async def recognize(self, query: Fingerprint, head: RequestHead, timings: dict[str, float]) -> Outcome:
        """Recognize a fingerprint."""
        with _timed(timings, "cache"):
            name = entry_name(query, await self._index_version())
            known = await self._cache.get(name, query)
        if known is not None:
            return Outcome(_edge_reply(known, query, head, timings, cache="edge"), known, timings_ms=timings)
        with _timed(timings, "search"):
            found = await self._hot(query)
        if found is not None:
            return Outcome(_edge_reply(found, query, head, timings, cache="miss"), found, {name: found}, timings)
        with _timed(timings, "origin"):
            reply = await self._origin.recognize(sonica_fingerprint.encode(query), CONTENT_TYPE, head)
        answer = _checked(reply, query)
        return Outcome(reply, answer, {name: answer} if answer else {}, timings)

    async def _at_other_speeds(self, pcm: Pcm, head: RequestHead, first: Outcome) -> Outcome:
        """Recognize a clip as if it played too fast or too slowly; what was found out first stands where that fails."""
        kept = dict(first.kept)
        with suppress(EdgeError, FingerprintError):
            for speed in OTHER_SPEEDS:
                query = await self._extracted(pcm, speed, first.timings_ms)
                if query is None:
                    break
                other = await self.recognize(query, head, first.timings_ms)
                kept |= other.kept
                if other.answer.get("status") == "match":
                    return replace(other, kept=kept)
        return replace(first, kept=kept)

    async def _extracted(self, pcm: Pcm, speed: float, timings: dict[str, float]) -> Fingerprint | None:
        """Return the fingerprint, None for samples that the edge cannot make one of. Raises FingerprintError."""
        with _timed(timings, "extract"):
            wire = await _or_none(self._kernel.extract(pcm, speed)) if pcm.data else None
            return sonica_fingerprint.decode(wire) if wire else None

    async def _index_version(self) -> str | None:
        return await _or_none(self._kernel.index_version())

    async def _hot(self, query: Fingerprint) -> Answer | None:
        found = await _or_none(self._kernel.recognize(sonica_fingerprint.encode(query)))
        return hot_answer(found, query) if found else None


def readable(content_type: str) -> bool:
    """Say whether a body of this type is worth reading at the edge."""
    return media_type(content_type)[0] in _READ


def _edge_reply(
    answer: Answer, query: Fingerprint, head: RequestHead, timings: dict[str, float], *, cache: str
) -> Reply:
    timings_ms = timings | {"total": round(sum(timings.values()), 2)}
    return json_reply(addressed(answer, query, request_id=head.request_id, cache=cache, timings_ms=timings_ms))


def _checked(reply: Reply, query: Fingerprint) -> Answer:
    """Return the answer to keep: nothing of a reply that did not work, or names no song. Raises OriginMalformed."""
    if reply.status != 200:
        return {}
    try:
        answer = read_json(reply.body.decode())
    except ValueError as error:
        raise OriginMalformed from error
    if isinstance(answer, dict) and answer.get("degraded") is True:
        return {}
    if not is_answer(answer, query):
        raise OriginMalformed
    return dict(answer)


async def _or_none(asked: Awaitable[T]) -> T | None:
    """Return what the kernel Worker says, None when it fails: the origin can do all that it can."""
    try:
        return await asked
    except Exception as error:
        print(json.dumps({"event": "kernel_failed", "why": str(error)}))
        return None


@contextmanager
def _timed(timings: dict[str, float], step: str) -> Iterator[None]:
    started = time.perf_counter()
    try:
        yield
    finally:
        timings[step] = round(timings.get(step, 0.0) + (time.perf_counter() - started) * 1000, 2)
