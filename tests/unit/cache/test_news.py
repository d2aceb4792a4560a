from __future__ import annotations

from collections.abc import Sequence

from backend.cache.news import FollowedChanges
from backend.catalogue.in_memory import InMemoryCatalogue
from tests.factories import make_new_song


async def test_changed_songs_are_forgotten_when_a_reader_takes_the_changes() -> None:
    catalogue, forgotten = InMemoryCatalogue(), list[int]()
    changes = FollowedChanges(catalogue)

    async def forget(song_ids: Sequence[int]) -> None:
        forgotten.extend(song_ids)

    await catalogue.put(make_new_song(1))
    first = [change.revision async for change in changes.changes(after_revision=0)]
    changes.after_change(forget)
    await catalogue.put(make_new_song(2))
    await catalogue.delete(1)
    later = [change.song_id async for change in changes.changes(after_revision=first[-1])]

    assert later == forgotten == [2, 1]
    assert (await changes.name(), await changes.revision()) == (await catalogue.name(), 3)
