from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from backend.accounts.recorder import Recorder
from backend.errors import CatalogueUnavailable
from backend.models import Heard, Match, Recognition, SongMatch
from tests.factories import make_song


class Log:
    """A log that is away, or has a fault, as it is told."""

    def __init__(self) -> None:
        self.entries: list[Heard] = []
        self.keys: list[int] = []
        self.partitions = 0
        self.raises: Exception | None = None
        self.written = asyncio.Event()

    async def turn_pages(self) -> None:
        self.partitions += 1

    async def record(self, entries: Sequence[Heard]) -> None:
        if self.raises is not None:
            raise self.raises
        self.entries += entries
        self.written.set()

    async def touch_keys(self, key_ids: Sequence[int]) -> None:
        self.keys += key_ids


def recognition(song_id: int = 1, *, matched: bool = True) -> Recognition:
    found = SongMatch(make_song(song_id), Match(song_id=song_id, score=0.9, offset_ms=5, segments=()))
    return Recognition(
        matches=(found,) if matched else (),
        candidates=(found,),
        reason=None if matched else "below_threshold",
        index_version="1-1",
        query_key="ab" * 32,
        query_duration_ms=5000,
        query_fingerprint_version=1,
    )


async def test_only_what_was_found_is_taken_down() -> None:
    log = Log()
    recorder = Recorder(log)
    recorder.recognized(7, recognition(3))
    recorder.recognized(7, recognition(4, matched=False))
    recorder.used(5)
    recorder.used(5)

    await recorder.flush()

    assert [(heard.user_id, heard.song_id, heard.query_key) for heard in log.entries] == [(7, 3, "ab" * 32)]
    assert log.keys == [5]
    assert log.partitions == 1


async def test_nothing_is_written_twice_when_there_is_nothing_new() -> None:
    log = Log()
    recorder = Recorder(log)
    recorder.recognized(7, recognition())
    recorder.used(5)
    await recorder.flush()
    await recorder.flush()

    assert (len(log.entries), log.keys, log.partitions) == (1, [5], 1)


async def test_entries_wait_when_the_database_is_away() -> None:
    log = Log()
    recorder = Recorder(log)
    for song_id in range(1, 2500):
        recorder.recognized(7, recognition(song_id))
    log.raises = CatalogueUnavailable()
    with pytest.raises(CatalogueUnavailable):
        await recorder.flush()
    log.raises = None

    await recorder.flush()

    assert [heard.song_id for heard in log.entries] == list(range(1, 2500))


async def test_memory_is_bounded_when_the_database_stays_away() -> None:
    log = Log()
    recorder = Recorder(log, entries_max=3)
    for song_id in range(1, 10):
        recorder.recognized(7, recognition(song_id))

    await recorder.flush()

    assert [heard.song_id for heard in log.entries] == [1, 2, 3]


async def test_what_is_left_is_written_when_the_server_stops() -> None:
    log = Log()
    recorder = Recorder(log)
    async with recorder.running():
        recorder.recognized(7, recognition())

    assert len(log.entries) == 1


async def test_server_stops_when_the_database_is_away() -> None:
    log = Log()
    log.raises = CatalogueUnavailable()
    recorder = Recorder(log)
    async with recorder.running():
        recorder.recognized(7, recognition())

    assert log.entries == []


async def test_later_entries_are_written_when_one_cannot_be(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("backend.accounts.recorder._PAUSE_SECONDS", 0.001)
    log = Log()
    log.raises = ZeroDivisionError()
    recorder = Recorder(log)
    recorder.recognized(7, recognition(1))
    async with recorder.running():
        await asyncio.sleep(0.01)
        log.raises = None
        recorder.recognized(7, recognition(2))
        await log.written.wait()

    assert log.entries[-1].song_id == 2
