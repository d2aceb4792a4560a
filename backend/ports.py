"""What the use cases need from outside, as protocols; each has a real and an in-memory adapter."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Protocol

from sonica_fingerprint import Fingerprint

from backend.models import (
    ApiKey,
    Candidate,
    Change,
    Heard,
    IngestFailure,
    NewSong,
    QueueMessage,
    Recognition,
    Song,
    Stored,
    StoredObject,
    User,
)


class SongCatalogue(Protocol):
    """Reads songs."""

    async def songs(self, song_ids: Sequence[int]) -> dict[int, Song]:
        """Return the songs of these ids that exist, by id."""

    async def page(self, *, after_id: int, limit: int, filters: dict[str, str]) -> list[Song]:
        """Return up to `limit` songs with id > after_id, ascending, whose columns equal the filters.

        Filters: external_id, isrc, artist, album, language, genre.
        """

    async def popular(self, limit: int, *, language: str | None = None, genre: str | None = None) -> list[Song]:
        """Return the songs of the highest popularity_score, of equal ones those of the lower id first.

        language, genre: only songs of these, if given.
        """

    async def delete(self, song_id: int) -> bool:
        """Delete a song and its fingerprint; say whether it was there."""


class SongLookUp(Protocol):
    """Says what it can of songs, whether their catalogue is there or not."""

    async def look_up(self, song_ids: Sequence[int]) -> dict[int, Song | None]:
        """Return the songs of these ids by id, without those that do not exist; None for what cannot be told now."""


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


class Turns(Protocol):
    """Lets one process at a time do what two must not do at once."""

    def turn(self, name: str) -> AbstractAsyncContextManager[bool]:
        """Say whether it is the caller's turn; whoever asks before it has ended is told no."""


class IngestFailures(Protocol):
    """Remembers the files that could not be ingested, one entry a file."""

    async def record_failure(self, failure: IngestFailure) -> None:
        """Remember the failure in place of an earlier one of the same uri."""

    async def clear_failure(self, uri: str) -> None:
        """Forget the failure of this file, if there is one."""

    async def failures(self, *, after_uri: str = "", limit: int = 1000) -> list[IngestFailure]:
        """Return up to `limit` failures with uri > after_uri, ascending."""

    async def failures_of(self, uris: Sequence[str]) -> dict[str, IngestFailure]:
        """Return the failures of these files by uri."""


class IngestedObjects(Protocol):
    """Remembers which objects' bytes are in the catalogue, so that they need not be read again."""

    async def note_object(self, found: StoredObject, external_id: str) -> None:
        """Remember that the object, as it is, is this song of the catalogue, or a copy of it."""

    async def objects_known(self, objects: Sequence[StoredObject]) -> dict[str, str]:
        """Return external_id by uri for those that have been noted with these etags and whose songs are still there."""


class ObjectStore(Protocol):
    """Reads objects; raises ObjectStoreUnavailable."""

    async def head(self, uri: str) -> StoredObject | None:
        """Return what is known of an object without reading it, None when there is none."""

    async def fetch(self, uri: str) -> tuple[Path, StoredObject]:
        """Write an object to a new file, which is the caller's to delete.

        Raises ObjectNotFound, ObjectChanged, ObjectTooLarge.
        """

    def list(self, prefix_uri: str) -> Iterator[StoredObject]:
        """Yield the objects whose URIs begin so, in the order of keys; blocks."""


class WorkQueue(Protocol):
    """Hands out messages, each hidden from others for `visibility_seconds`; raises QueueUnavailable."""

    visibility_seconds: float

    async def receive(self, count: int) -> list[QueueMessage]:
        """Return up to `count` messages; waits a few seconds for the first."""

    async def delete(self, message: QueueMessage) -> None:
        """Have done with a message."""

    async def hide(self, message: QueueMessage, *, seconds: float) -> None:
        """Keep a message hidden for so long from now; 0 gives it back."""

    async def reject(self, message: QueueMessage, *, code: str, detail: str) -> None:
        """Move a message to the dead-letter queue, the reason beside it."""


class ReferenceIndex(Protocol):
    """Finds where a query may come from."""

    @property
    def version(self) -> str:
        """Names the catalogue state that answers come from."""

    @property
    def segments(self) -> int:
        """How many segments are searched: the more, the likelier one fits by accident."""

    @property
    def has_quick_search(self) -> bool:
        """Whether a quick search costs less than a whole one."""

    def search(self, query: Fingerprint, *, limit: int, quick: bool = False) -> list[Candidate]:
        """Return the `limit` best alignments, most votes first; blocks.

        quick: may miss what is hard to hear.
        """


class IndexUpkeep(Protocol):
    """Keeps an index in step with the catalogue."""

    async def catch_up(self) -> int:
        """Apply what the change log has since; return the number of changes."""

    def save(self) -> None:
        """Write a snapshot that a later process opens; blocks."""


class RecognitionCache(Protocol):
    """Keeps answers by query key, and computes each only once at a time.

    index_version: that of the index that would answer now; a match of another one may be given, a no-match is not.
    """

    async def get_or_compute(
        self, query_key: str, compute: Callable[[], Awaitable[Recognition]], *, index_version: str
    ) -> Recognition:
        """Return the kept answer (its `cache` field says from where), else compute and keep it."""

    async def get(self, query_key: str, *, index_version: str) -> Recognition | None:
        """Return the kept answer, None when there is none; waits for no computation."""


class AccountStore(Protocol):
    """Knows who may ask."""

    async def key(self, prefix: str) -> ApiKey | None:
        """Return the key of this prefix."""

    async def user_of_token(self, name: str) -> User:
        """Return the user of this name; one who comes for the first time is added with the role `free`."""


class AccountLog(Protocol):
    """Writes down what accounts did."""

    async def record(self, entries: Sequence[Heard]) -> None:
        """Add to the history of those who want one; an entry that is there already is passed over."""

    async def touch_keys(self, key_ids: Sequence[int]) -> None:
        """Note that these keys were used just now."""

    async def turn_pages(self) -> None:
        """Make room for the months to come, and let go of those that are no longer kept; called every day."""
