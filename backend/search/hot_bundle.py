"""Makes the hot index's bundle of what the index holds: an edge then finds what the origin would."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from sonica_fingerprint.bundle import HotSong, write_bundle
from sonica_fingerprint.calibration import published

from backend.models import CATALOGUE_THINNING, Song
from backend.search.hnsw import to_half_bytes
from backend.search.index import SearchIndex

# Of clips of songs that are not in the bundle. An edge answers what is certain; with all else it asks the origin, which
# knows the other songs too: with half of a catalogue in the bundle, one clip in twenty of the other half would get a
# wrong answer at the origin's own rate.
EDGE_FALSE_ACCEPT_RATE = 0.0001

_SAID = ("external_id", "title", "artist", "album", "isrc", "language", "genre")


def make_bundle(index: SearchIndex, songs: Iterable[Song], *, limits: Mapping[str, float]) -> bytes:
    """Return the bundle of these songs, without those that the index lacks.

    songs: by ascending id, for of equal votes an index prefers the lower one.
    limits: what an edge goes by, `clip_seconds_max`, `candidates_max` and `false_accept_rate`.
    """
    hot_songs = (_hot_song(index, song) for song in songs)
    return write_bundle(
        [song for song in hot_songs if song is not None],
        thinning=CATALOGUE_THINNING,
        details={
            "index_version": index.version,
            "catalogue_segments": index.segments,
            "limits": dict(limits),
            "calibration": published(),
        },
    )


def _hot_song(index: SearchIndex, song: Song) -> HotSong | None:
    stored = index.stored(song.id)
    if stored is None:
        return None
    positions, vectors = stored
    said = {name: getattr(song.details, name) for name in _SAID}
    details = {"id": song.id, **said, "duration_ms": song.duration_ms}
    return HotSong(details, positions.tolist(), to_half_bytes(vectors).tobytes())
