"""The fingerprint of a clip or song: one embedding a segment, and how loud each segment is."""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass, replace

FINGERPRINT_VERSION = 4
SAMPLE_RATE_HZ = 16_000
DIMENSIONS = 128
EMBEDDING_SCALE = 360  # what a unit vector is multiplied by before it is rounded to bytes
STEP_MS = 128  # between the starts of neighbouring segments: 4 frames of 512 samples
SEGMENT_MS = 960  # 27 frames of 512 samples, the last one 2048 long
EDGE_STEPS = 2  # so many segments begin before the audio, and end after it: what is missing is made up from its mean
SPEED_CHANGE_MAX = 0.2  # of a clip's speed: no turntable, radio or DJ goes so far
SILENCE_DB = 60  # a segment this far below full scale says nothing about music; 16-bit rounding noise is at 98


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """All segments of a clip or song; the first begins EDGE_STEPS before the audio does.

    embeddings: segments x 128 signed bytes, unit vectors times 360, row by row.
    levels: a byte a segment, decibels below full scale (0 loud, 127 digital silence).
    duration_ms: of the audio as it was, whatever the speed.
    thinning: every how many steps of STEP_MS a segment was kept.
    speed: how fast the audio was taken to play; 1.06: it was slowed by 6 % first, for a clip that plays too fast.
    """

    embeddings: bytes
    levels: bytes
    duration_ms: int
    thinning: int = 1
    version: int = FINGERPRINT_VERSION
    speed: float = 1.0

    @property
    def segments(self) -> int:
        """How many segments there are."""
        return len(self.levels)

    @property
    def key(self) -> str:
        """Names what was heard: SHA-256 over version, thinning, speed, what is silent, and embeddings, hex."""
        head = b"%d:%d:" % (self.version, self.thinning)
        if self.speed != 1:
            head += b"%d:" % round(1000 * self.speed)
        audible = bytes(level < SILENCE_DB for level in self.levels)
        return hashlib.sha256(head + audible + self.embeddings).hexdigest()

    @property
    def silent(self) -> bool:
        """No segment is loud enough to say anything."""
        return all(level >= SILENCE_DB for level in self.levels)

    def first(self, seconds: float) -> Fingerprint:
        """Keep the segments that are spread over the first seconds."""
        kept = max(0, math.ceil(seconds * self.speed * 1000 / (STEP_MS * self.thinning)))
        return replace(
            self,
            embeddings=self.embeddings[: kept * DIMENSIONS],
            levels=self.levels[:kept],
            duration_ms=min(self.duration_ms, round(seconds * 1000)),
        )

    def thinned(self, factor: int) -> Fingerprint:
        """Keep every factor-th segment."""
        if factor < 1:
            raise ValueError("the thinning factor is at least 1")
        kept = range(0, self.segments, factor)
        return replace(
            self,
            embeddings=b"".join(self.embeddings[i * DIMENSIONS : (i + 1) * DIMENSIONS] for i in kept),
            levels=self.levels[::factor],
            thinning=self.thinning * factor,
        )
