"""Decides which of the aligned songs is the answer, how sure that is, and whether it is sure enough."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from sonica_fingerprint.calibration import CALIBRATION, Calibration, Evidence
from sonica_fingerprint.fingerprint import EDGE_STEPS, SEGMENT_MS, SILENCE_DB, STEP_MS, Fingerprint

OTHER_SPEED_SHARE = 0.1  # of the rate of false answers, for a query at another speed: it is a further try of a clip


class Aligned(Protocol):
    """A song along which the query was laid."""

    @property
    def similarity(self) -> float:
        """Mean cosine along the alignment."""

    @property
    def sharpness(self) -> float:
        """How far that falls when the alignment is shifted."""


Song = TypeVar("Song", bound=Aligned)


@dataclass(frozen=True, slots=True)
class Demand:
    """How sure an answer must be: the rate of false ones, and among how many segments the songs were found."""

    false_accept_rate: float
    catalogue_segments: int
    calibration: Calibration = CALIBRATION

    def score_min(self, query: Fingerprint) -> float:
        """Return the score from which a match is accepted."""
        return self.calibration.score_min(
            seconds_heard(query),
            false_accept_rate=self.false_accept_rate * (1 if query.speed == 1 else OTHER_SPEED_SHARE),
            catalogue_segments=self.catalogue_segments,
        )


@dataclass(frozen=True, slots=True)
class Decision(Generic[Song]):
    """All songs with their scores, best first, and how many of them are the answer."""

    ranked: tuple[tuple[Song, float], ...]
    accepted: int


def decide(
    query: Fingerprint, songs: Sequence[Song], same_recording: Callable[[Song, Song], bool], demand: Demand
) -> Decision[Song]:
    """Rank the songs, of which there is one at least and the most similar comes first.

    Songs that share the best one's audio at this very place are accepted with it: the answer is ambiguous.
    """
    seconds = seconds_heard(query)
    most, second = songs[0].similarity, songs[1].similarity if len(songs) > 1 else 0.0

    def score(song: Song, rival: float) -> float:
        evidence = Evidence(song.similarity, song.sharpness, rival, seconds)
        return demand.calibration.probability(evidence, catalogue_segments=demand.catalogue_segments)

    first = max(songs, key=lambda song: score(song, second if song is songs[0] else most))
    shared = [first, *(other for other in songs if other is not first and same_recording(first, other))]
    others = [other for other in songs if other not in shared]
    rival = others[0].similarity if others else 0.0
    behind = sorted(((other, score(other, most)) for other in others), key=lambda scored: -scored[1])
    ranked = [*((song, score(song, rival)) for song in shared), *behind]
    return Decision(tuple(ranked), accepted=len(shared) if ranked[0][1] >= demand.score_min(query) else 0)


def seconds_heard(query: Fingerprint) -> float:
    """Return how much of the query is not silent: what is made up around the edges does not count."""
    loud = sum(level < SILENCE_DB for level in query.levels)
    further = max(0, loud * query.thinning - 1 - 2 * EDGE_STEPS)
    return (SEGMENT_MS + further * STEP_MS) / 1000
