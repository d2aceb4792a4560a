"""What the use cases need from outside, as protocols; each has a real and an in-memory adapter."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Protocol

from sonica_fingerprint import Fingerprint

from backend.models import Candidate, Change, IngestFailure, NewSong, Recognition, Song, Stored


class SongCatalogue(Protocol):
    """Reads songs."""

    async def songs(self, song_ids: Sequence[int]) -> dict[int, Song]:
        """Return the songs of these ids that exist, by id."""

    async def page(self, *, after_id: int, limit: int, filters: dict[str, str]) -> list[Song]:
        """Return up to `limit` songs with id > after_id, ascending, whose columns equal the filters.

        Filters: external_id, isrc, artist, album, language, genre.
        """

    async def delete(self, song_id: int) -> bool:
        """Delete a song and its fingerprint; say whether it was there."""


class SongStore(Protocol):
    """Writes songs, each with its fingerprint in one transaction: what returned is durable."""

    async def put(self, new_song: NewSong, *, replaces: int | None = None) -> Stored | None:
        """Add the song; update the one that it replaces; or name the duplicate that holds its bytes or sound.

        replaces: the song that has the external_id as far as the caller knows. Where another one has it, nothing is
        stored and None returned.
        """

    async def content_known(self, content_sha256s: Sequence[str]) -> dict[str, str]:
        """Return external_id by content_sha256 for those that the catalogue holds."""


class ChangeLog(Protocol):
    """The catalogue's changes in the order in which they were committed: an index catches up from it."""

    async def name(self) -> str:
        """Return what tells this catalogue from every other."""

    async def revision(self) -> int:
        """Return the newest revision, 0 for an empty log."""

    def changes(self, *, after_revision: int) -> AsyncIterator[Change]:
        """Yield one change per song touched since, with the song's present fingerprint, ascending by revision."""


class IngestFailures(Protocol):
    """Remembers the files that could not be ingested, one entry a file."""

    async def record_failure(self, failure: IngestFailure) -> None:
        """Remember the failure in place of an earlier one of the same uri."""

    async def clear_failure(self, uri: str) -> None:
        """Forget the failure of this file, if there is one."""

    async def failures(self) -> list[IngestFailure]:
        """Return all failures, ascending by uri."""


class ReferenceIndex(Protocol):
    """Finds where a query may come from."""

    @property
    def version(self) -> str:
        """Names the catalogue state that answers come from."""

    @property
    def segments(self) -> int:
        """How many segments are searched: the more, the likelier one fits by accident."""

    async def search(self, query: Fingerprint, *, limit: int) -> list[Candidate]:
        """Return the `limit` best alignments, most votes first."""


class IndexUpkeep(Protocol):
    """Keeps an index in step with the catalogue."""

    async def catch_up(self) -> int:
        """Apply what the change log has since; return the number of changes."""

    def save(self) -> None:
        """Write a snapshot that a later process opens; blocks."""


class RecognitionCache(Protocol):
    """Keeps answers by query key, and computes each only once at a time."""

    async def get_or_compute(self, key: str, compute: Callable[[], Awaitable[Recognition]]) -> Recognition:
        """Return the kept answer (its `cache` field says from where), else compute and keep it."""
