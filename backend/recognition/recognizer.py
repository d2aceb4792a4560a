"""The whole way from a clip to its song, on one screen."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import chain

import numpy as np
from numpy.typing import NDArray
from sonica_fingerprint import OTHER_SPEEDS, Fingerprint, extract

from backend.audio.decoder import Decoder
from backend.audio.pcm import PcmFormat
from backend.models import Match, Recognition, Song, SongMatch, Verdict
from backend.observability.tracing import span
from backend.ports import RecognitionCache, ReferenceIndex, SongLookUp
from backend.recognition.verify import verify
from backend.threads import Threads

# A quick look answers what is plain to see: shares of the candidates that it weighs, of the false answers allowed.
QUICK_CANDIDATES, QUICK_RATE = 0.5, 0.1


@dataclass(frozen=True, slots=True)
class RecognitionLimits:
    """How much is tried, and how sure an answer must be."""

    candidates_max: int
    false_accept_rate: float
    other_speeds: tuple[float, ...] = OTHER_SPEEDS  # that a clip without an answer is looked at again at
    concurrent_searches: int = 1  # clips fingerprinted, searched and verified at a time


class Recognizer:
    """Recognizes clips and fingerprints against an index and its catalogue."""

    def __init__(
        self,
        *,
        decoder: Decoder,
        index: ReferenceIndex,
        catalogue: SongLookUp,
        cache: RecognitionCache,
        limits: RecognitionLimits,
    ) -> None:
        self._decoder = decoder
        self._index = index
        self._catalogue = catalogue
        self._cache = cache
        self._limits = limits
        self._threads = Threads(limits.concurrent_searches, name="search")

    def close(self) -> None:
        """Give up what waits for a search."""
        self._threads.close()

    async def recognize_clip(self, clip: bytes, *, pcm: PcmFormat | None = None) -> Recognition:
        """Recognize encoded audio, or headerless samples of the form `pcm`.

        A clip without an answer is looked at again at other speeds, and the most probable answer given. The timings of
        a step are those of all tries. Raises UnsupportedAudio, UndecodableAudio.
        """
        timings: dict[str, float] = {}
        with _timed(timings, "total", as_span="recognize"):
            with _timed(timings, "decode"):
                samples = await self._decoder.decode(clip, pcm=pcm)
            tries = [await self._recognize_samples(samples)]
            if tries[0].reason == "below_threshold":
                tries += [await self._recognize_samples(samples, speed) for speed in self._limits.other_speeds]
        best = max(tries, key=lambda each: each.matches[0].match.score if each.matches else 0.0)  # of equals the first
        return replace(best, timings_ms=_sums(each.timings_ms for each in tries) | timings)

    async def _recognize_samples(self, samples: NDArray[np.float32], speed: float = 1.0) -> Recognition:
        timings: dict[str, float] = {}
        with _timed(timings, "extract"):
            query = await self._threads.run(extract, samples, speed)
        recognition = await self.recognize(query)
        return replace(recognition, timings_ms=recognition.timings_ms | timings)

    async def recognize(self, query: Fingerprint) -> Recognition:
        """Recognize a fingerprint: edges and apps that fingerprint themselves enter here."""
        timings: dict[str, float] = {}
        with _timed(timings, "total", as_span="cache"):
            recognition = await self._cache.get_or_compute(
                query.key, lambda: self._recognize_uncached(query), index_version=self._index.version
            )
        computed = recognition.timings_ms if recognition.cache == "miss" else {}
        timings["cache"] = round(timings["total"] - sum(computed.values()), 3)
        return replace(recognition, query_duration_ms=query.duration_ms, timings_ms=computed | timings)

    async def known(self, query_key: str) -> Recognition | None:
        """Return what was found out before about the fingerprint of this key, None when nothing was."""
        kept = await self._cache.get(query_key, index_version=self._index.version)
        return None if kept is None else replace(kept, timings_ms={})

    async def _recognize_uncached(self, query: Fingerprint) -> Recognition:
        timings: dict[str, float] = {}
        index_version = self._index.version
        verdict = await self._threads.run(self._verdict, query, timings, asked_at=time.perf_counter())
        with _timed(timings, "catalogue"):
            songs = await self._catalogue.look_up([match.song_id for match in verdict.ranked])
        accepted, ranked = _with_songs(verdict, songs)
        return Recognition(
            matches=accepted,
            candidates=ranked,
            reason=None if accepted else verdict.reason or "below_threshold",
            index_version=index_version,
            query_key=query.key,
            query_duration_ms=query.duration_ms,
            query_fingerprint_version=query.version,
            timings_ms=timings,
        )

    def _verdict(self, query: Fingerprint, timings: dict[str, float], *, asked_at: float) -> Verdict:
        """Look quickly, where that costs less, and thoroughly where nothing was found."""
        timings["search"] = _milliseconds_since(asked_at)  # the wait for a thread
        quick = self._index.has_quick_search
        verdict = self._look(query, timings, quick=quick)
        return self._look(query, timings) if quick and verdict.reason == "below_threshold" else verdict

    def _look(self, query: Fingerprint, timings: dict[str, float], *, quick: bool = False) -> Verdict:
        candidates_share, rate_share = (QUICK_CANDIDATES, QUICK_RATE) if quick else (1, 1)
        with _timed(timings, "search"):
            limit = math.ceil(candidates_share * self._limits.candidates_max)
            candidates = self._index.search(query, limit=limit, quick=quick)
        with _timed(timings, "verify"):
            rate = rate_share * self._limits.false_accept_rate
            return verify(query, candidates, false_accept_rate=rate, catalogue_segments=self._index.segments)


def _with_songs(
    verdict: Verdict, songs: Mapping[int, Song | None]
) -> tuple[tuple[SongMatch, ...], tuple[SongMatch, ...]]:
    """Return the accepted and all ranked matches; a song deleted in this very moment is left out."""
    ranked = [
        (rank, SongMatch(songs[match.song_id], _within(match, songs[match.song_id])))
        for rank, match in enumerate(verdict.ranked)
        if match.song_id in songs
    ]
    accepted = tuple(match for rank, match in ranked if rank < verdict.accepted)
    return accepted, tuple(match for _, match in ranked)


def _within(match: Match, song: Song | None) -> Match:
    """End the segments where the song ends, if that is known, should the clip go on."""
    if song is None or all(segment.song_end_ms <= song.duration_ms for segment in match.segments):
        return match
    segments = []
    for segment in match.segments:
        beyond_ms = max(0, segment.song_end_ms - song.duration_ms)
        query_end_ms = segment.query_end_ms - round(beyond_ms / segment.speed)
        segments.append(replace(segment, query_end_ms=query_end_ms, song_end_ms=segment.song_end_ms - beyond_ms))
    return replace(match, segments=tuple(segments))


def _sums(timings_ms: Iterable[Mapping[str, float]]) -> dict[str, float]:
    sums: dict[str, float] = {}
    for step, spent in chain.from_iterable(each.items() for each in timings_ms):
        sums[step] = round(sums.get(step, 0.0) + spent, 3)
    return sums


@contextmanager
def _timed(timings: dict[str, float], step: str, *, as_span: str | None = None) -> Iterator[None]:
    """Note how long a step takes, here and, under its own or another name, in the request's trace."""
    started = time.perf_counter()
    try:
        with span(as_span or step):
            yield
    finally:
        timings[step] = round(timings.get(step, 0.0) + _milliseconds_since(started), 3)


def _milliseconds_since(moment: float) -> float:
    return (time.perf_counter() - moment) * 1000
