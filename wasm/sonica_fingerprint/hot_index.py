"""The hot index: the answers of the origin for popular songs, from a bundle and the kernel alone."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from sonica_fingerprint.bundle import Bundle, read_bundle
from sonica_fingerprint.calibration import Calibration, Evidence
from sonica_fingerprint.decision import Demand, decide
from sonica_fingerprint.errors import KernelError, MalformedBundle
from sonica_fingerprint.fingerprint import STEP_MS, Fingerprint

if TYPE_CHECKING:
    from sonica_fingerprint import _native


class Alignment(NamedTuple):
    """How the query lies in a song of the bundle, as the kernel says."""

    song: int  # its ordinal in the bundle
    offset_steps: int
    speed: float
    similarity: float
    sharpness: float


@dataclass(frozen=True, slots=True)
class Limits:
    """How much is tried, and how sure an answer must be."""

    clip_seconds_max: float
    candidates_max: int
    false_accept_rate: float

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> Limits:
        """Read what bundles hold; raises ValueError for numbers that cannot be."""
        limits = cls(
            float(document["clip_seconds_max"]), int(document["candidates_max"]), float(document["false_accept_rate"])
        )
        if limits.candidates_max < 1 or not 0 < limits.false_accept_rate < 1:
            raise ValueError(f"{limits} cannot be")
        return limits


class HotIndex:
    """A bundle, ready to be searched; any thread may ask, one at a time is answered."""

    def __init__(self, body: bytes) -> None:
        """Take a whole bundle. Raises MalformedBundle, UnsupportedVersion, KernelError."""
        bundle = read_bundle(body)
        self._kernel, self._segments_max = _opened(bundle)
        self._lock = threading.Lock()
        self.songs, self.segments, self.sha256 = bundle.songs, bundle.segments, bundle.sha256
        try:
            self.version = str(bundle.details["index_version"])
            self._catalogue_segments = int(bundle.details["catalogue_segments"])
            self._calibration = Calibration.of(bundle.details["calibration"])
            self._limits = Limits.of(bundle.details["limits"])
            self._details = [{**song, "duration_ms": int(song["duration_ms"])} for song in bundle.details["songs"]]
            self._try_calibration()
        except (LookupError, TypeError, ValueError, ArithmeticError) as error:
            raise MalformedBundle(f"the details lack something: {error!r}") from error

    def recognize(self, query: Fingerprint, *, false_accept_rate: float | None = None) -> dict[str, Any] | None:
        """Return `status`, `reason` and `matches` as POST /v1/recognize does; None for a clip that is too long."""
        heard = query.first(self._limits.clip_seconds_max)
        if heard.segments > self._segments_max:
            return None
        if heard.segments == 0 or heard.silent:
            return _answer([], "silence" if heard.segments else "too_short")
        demand = Demand(
            self._limits.false_accept_rate if false_accept_rate is None else false_accept_rate,
            self._catalogue_segments,
            self._calibration,
        )
        matches = [self._match(heard, alignment, score) for alignment, score in self._accepted(heard, demand)]
        return _answer(matches, None if matches else "below_threshold")

    def _try_calibration(self) -> None:
        """Compute with its numbers once, before a request does."""
        evidence, segments = Evidence(0.5, 0.5, 0.0, self._calibration.curves[0].seconds), self._catalogue_segments
        self._calibration.probability(evidence, catalogue_segments=segments)
        rate = self._limits.false_accept_rate
        self._calibration.score_min(evidence.seconds, false_accept_rate=rate, catalogue_segments=segments)

    def _accepted(self, query: Fingerprint, demand: Demand) -> list[tuple[Alignment, float]]:
        with self._lock:
            found = self._kernel.search(query.levels + query.embeddings, query.thinning, self._limits.candidates_max)
            alignments = [Alignment(*row) for row in found]
            if not alignments:
                return []

            def same_recording(one: Alignment, other: Alignment) -> bool:
                return self._kernel.same_recording(alignments.index(one), alignments.index(other))

            decision = decide(query, alignments, same_recording, demand)
        return list(decision.ranked[: decision.accepted])

    def _match(self, query: Fingerprint, alignment: Alignment, score: float) -> dict[str, Any]:
        song, offset_ms = self._details[alignment.song], alignment.offset_steps * STEP_MS
        speed = query.speed * alignment.speed
        song_end_ms = offset_ms + round(query.duration_ms * speed)
        beyond_ms = max(0, song_end_ms - song["duration_ms"])  # the clip goes on where the song has ended
        segment = {
            "query_start_ms": max(0, -round(offset_ms / speed)),
            "query_end_ms": query.duration_ms - round(beyond_ms / round(speed, 3)),
            "song_start_ms": max(0, offset_ms),
            "song_end_ms": song_end_ms - beyond_ms,
            "speed": round(speed, 3),
        }
        return {"song": song, "score": round(score, 4), "offset_ms": offset_ms, "segments": [segment]}


def _opened(bundle: Bundle) -> tuple[_native.HotIndex, int]:
    try:
        from sonica_fingerprint import _native
    except ImportError as missing:
        raise KernelError("the native kernel is not built here: pip install the package") from missing
    try:
        return _native.HotIndex(bundle.body), _native.QUERY_SEGMENTS_MAX
    except ValueError as error:
        raise MalformedBundle(str(error)) from error


def _answer(matches: list[dict[str, Any]], reason: str | None) -> dict[str, Any]:
    return {"status": "match" if matches else "no_match", "reason": reason, "matches": matches}
