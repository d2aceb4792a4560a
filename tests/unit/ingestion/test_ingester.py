"""The ingest use case over the catalogue in memory."""

import asyncio
import math
import os
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from backend.audio.limits import DecoderLimits
from backend.catalogue.in_memory import InMemoryCatalogue
from backend.errors import CatalogueUnavailable, DecoderUnavailable, StorageUnavailable, UndecodableAudio
from backend.ingestion import ingester
from backend.ingestion.extraction import Extracted, Job
from backend.ingestion.ingester import Ingester, Plan
from backend.ingestion.outcomes import Ingested
from backend.ingestion.sources import items
from backend.ingestion.tags import described
from backend.models import NewSong, Song, Stored
from backend.settings import Settings
from tests.factories import make_fingerprint, make_new_song

Extract = Callable[[Job], Awaitable[Extracted]]
LIMITS = DecoderLimits.from_settings(Settings())


class Index:
    """Counts what an index is asked to do."""

    def __init__(self) -> None:
        self.catch_ups = 0
        self.saves = 0

    async def catch_up(self) -> int:
        self.catch_ups += 1
        return 0

    def save(self) -> None:
        self.saves += 1


async def sound_of_first_byte(job: Job) -> Extracted:
    """Files sound alike that start alike; those that start with `!` cannot be decoded."""
    content = await asyncio.to_thread(job.path.read_bytes)
    if content.startswith(b"!"):
        raise UndecodableAudio("it starts with !")
    return Extracted(described(job.details, job.path), make_fingerprint(content[0]))


def write(path: Path, content: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)
    return path


async def ingest(
    catalogue: InMemoryCatalogue,
    *sources: Path,
    extract: Extract = sound_of_first_byte,
    index: Index | None = None,
    **plan: object,
) -> list[Ingested]:
    ingester = Ingester(catalogue, extract, index=index or Index(), plan=Plan(LIMITS, **plan))
    return [outcome async for outcome in ingester.ingest(items(map(str, sources)))]


def told(outcomes: list[Ingested]) -> list[tuple[str, str | None]]:
    return [(outcome.outcome, outcome.external_id) for outcome in outcomes]


async def songs(catalogue: InMemoryCatalogue) -> dict[str, Song]:
    return {song.details.external_id: song for song in await catalogue.page(after_id=0, limit=100, filters={})}


async def test_folder_is_added_in_order_and_skipped_the_next_time(tmp_path: Path) -> None:
    catalogue, index = InMemoryCatalogue(), Index()
    for number in range(40):  # more than a batch and than are in flight
        write(tmp_path / f"Artist - Song {number:02}.wav", chr(number + 48) + "x")
    names = [f"Artist - Song {number:02}" for number in range(40)]

    assert told(await ingest(catalogue, tmp_path, index=index)) == [("added", name) for name in names]
    assert (index.catch_ups, index.saves) == (1, 1)
    details = (await songs(catalogue))["Artist - Song 07"].details
    assert (details.title, details.artist) == ("Song 07", "Artist")
    assert details.audio_url == (tmp_path / "Artist - Song 07.wav").as_uri()

    again = await ingest(catalogue, tmp_path)
    assert told(again) == [("skipped", name) for name in names]
    assert {outcome.code for outcome in again} == {"already_known"}


async def test_known_bytes_are_not_extracted_again_unless_reingested(tmp_path: Path) -> None:
    catalogue = InMemoryCatalogue()
    write(tmp_path / "a.wav", "a")
    extracted: list[Path] = []

    async def extract(job: Job) -> Extracted:
        extracted.append(job.path)
        return await sound_of_first_byte(job)

    await ingest(catalogue, tmp_path, extract=extract)
    await ingest(catalogue, tmp_path, extract=extract)
    assert len(extracted) == 1
    assert told(await ingest(catalogue, tmp_path, extract=extract, reingest=True)) == [("skipped", "a")]
    assert len(extracted) == 2


async def test_changed_file_updates_its_song(tmp_path: Path) -> None:
    catalogue = InMemoryCatalogue()
    write(tmp_path / "a.wav", "a")
    first = (await ingest(catalogue, tmp_path))[0]
    write(tmp_path / "a.wav", "b")
    assert told(await ingest(catalogue, tmp_path)) == [("updated", "a")]
    assert (await songs(catalogue))["a"].id == first.song_id


async def test_same_name_in_other_folders_gets_folders_before_it(tmp_path: Path) -> None:
    catalogue = InMemoryCatalogue()
    for number, name in enumerate(["a/x/01.wav", "b/x/01.wav", "b/y/01.wav"]):
        write(tmp_path / name, chr(number + 65))
    expected = [("added", "01"), ("added", "x/01"), ("added", "y/01")]
    assert told(await ingest(catalogue, tmp_path)) == expected
    assert told(await ingest(catalogue, tmp_path, reingest=True)) == [("skipped", name) for _, name in expected]


async def test_same_name_in_a_later_ingest_does_not_replace_the_first(tmp_path: Path) -> None:
    catalogue = InMemoryCatalogue()
    write(tmp_path / "one/01.wav", "a")
    write(tmp_path / "two/01.wav", "b")
    await ingest(catalogue, tmp_path / "one")
    assert told(await ingest(catalogue, tmp_path / "two")) == [("added", "two/01")]
    assert (await songs(catalogue))["01"].details.audio_url == (tmp_path / "one/01.wav").as_uri()


async def test_same_name_does_not_replace_the_first_when_its_file_is_gone(tmp_path: Path) -> None:
    catalogue = InMemoryCatalogue()
    write(tmp_path / "disk/01.wav", "a")
    await ingest(catalogue, tmp_path)
    (tmp_path / "disk").rename(tmp_path / ".unplugged")
    write(tmp_path / "new/01.wav", "b")
    assert told(await ingest(catalogue, tmp_path)) == [("added", "new/01")]
    assert (await songs(catalogue))["01"].details.audio_url == (tmp_path / "disk/01.wav").as_uri()


async def test_moved_and_changed_file_updates_its_song_when_a_manifest_says_so(tmp_path: Path) -> None:
    catalogue = InMemoryCatalogue()
    write(tmp_path / "old/01.wav", "a")
    await ingest(catalogue, tmp_path)
    (tmp_path / "old/01.wav").unlink()
    write(tmp_path / "new/01.wav", "b")
    manifest = write(tmp_path / "m.csv", "uri,external_id\nnew/01.wav,01\n")
    assert told(await ingest(catalogue, manifest)) == [("updated", "01")]
    assert len(await songs(catalogue)) == 1


async def test_moved_file_is_told_as_known_when_its_bytes_are_the_same(tmp_path: Path) -> None:
    catalogue = InMemoryCatalogue()
    write(tmp_path / "old/01.wav", "a")
    await ingest(catalogue, tmp_path)
    (tmp_path / "old").rename(tmp_path / "new")
    (outcome,) = await ingest(catalogue, tmp_path)
    assert (outcome.outcome, outcome.external_id) == ("skipped", "01")
    assert "--reingest takes changed details" in str(outcome.detail)


async def test_file_gets_its_whole_path_when_shorter_names_are_those_of_others(tmp_path: Path) -> None:
    catalogue = InMemoryCatalogue()
    path = write(tmp_path / "01.wav", "z")
    parts = [*tmp_path.parts[1:], "01"]
    for count in range(1, len(parts) + 1):
        await catalogue.put(make_new_song(count, external_id="/".join(parts[-count:])))
    assert told(await ingest(catalogue, path)) == [("added", "/" + "/".join(parts))]


async def test_file_fails_when_even_its_whole_path_names_another_song(tmp_path: Path) -> None:
    catalogue = InMemoryCatalogue()
    path = write(tmp_path / "01.wav", "z")
    parts = [*tmp_path.parts[1:], "01"]
    for count in range(1, len(parts) + 1):
        await catalogue.put(make_new_song(count, external_id="/".join(parts[-count:])))
    await catalogue.put(make_new_song(0, external_id="/" + "/".join(parts)))
    (outcome,) = await ingest(catalogue, path)
    assert (outcome.outcome, outcome.code) == ("failed", "invalid_request")
    assert "manifest" in str(outcome.detail)


async def test_no_song_is_lost_when_two_ingests_take_the_same_name_at_once(tmp_path: Path) -> None:
    class Crowded(InMemoryCatalogue):
        """Both ingests look for the name before either writes."""

        def __init__(self) -> None:
            super().__init__()
            self.looked = asyncio.Barrier(2)
            self.looks = 0

        async def page(self, *, after_id: int, limit: int, filters: dict[str, str]) -> list[Song]:
            found = await super().page(after_id=after_id, limit=limit, filters=filters)
            self.looks += 1
            if self.looks <= 2:
                await self.looked.wait()
            return found

    catalogue = Crowded()
    write(tmp_path / "one/01.wav", "a")
    write(tmp_path / "two/01.wav", "b")
    outcomes = await asyncio.gather(*(ingest(catalogue, tmp_path / name) for name in ("one", "two")))
    (first,), (second,) = map(told, outcomes)
    assert {first, second} in ({("added", "01"), ("added", "two/01")}, {("added", "01"), ("added", "one/01")})
    assert len(await songs(catalogue)) == 2


async def test_stated_external_id_updates_whatever_file_had_it(tmp_path: Path) -> None:
    catalogue = InMemoryCatalogue()
    write(tmp_path / "a.wav", "a")
    write(tmp_path / "b.wav", "b")
    await ingest(catalogue, write(tmp_path / "m.csv", "uri,external_id\na.wav,id\n"))
    outcomes = await ingest(catalogue, write(tmp_path / "m.csv", "uri,external_id,title\nb.wav,id,New\n"))
    assert told(outcomes) == [("updated", "id")]
    assert (await songs(catalogue))["id"].details.title == "New"


async def test_same_sound_in_other_bytes_is_told_as_duplicate(tmp_path: Path) -> None:
    catalogue = InMemoryCatalogue()
    write(tmp_path / "a.wav", "a")
    write(tmp_path / "b.wav", "a re-tagged")
    write(tmp_path / "c.wav", "a")  # in flight together with the file whose copy it is
    outcomes = await ingest(catalogue, tmp_path)
    assert told(outcomes) == [("added", "a"), ("duplicate", "a"), ("duplicate", "a")]
    assert len(await songs(catalogue)) == 1


async def test_file_named_twice_is_in_once(tmp_path: Path) -> None:
    catalogue = InMemoryCatalogue()
    path = write(tmp_path / "a.wav", "a")
    assert told(await ingest(catalogue, path, path)) == [("added", "a"), ("skipped", "a")]


async def test_failure_is_remembered_until_the_file_changes_or_a_retry(tmp_path: Path) -> None:
    catalogue = InMemoryCatalogue()
    path = write(tmp_path / "a.wav", "!")
    assert [outcome.code for outcome in await ingest(catalogue, tmp_path)] == ["undecodable_audio"]
    again = await ingest(catalogue, tmp_path)
    assert [(outcome.outcome, outcome.code) for outcome in again] == [("skipped", "failed_before")]
    assert told(await ingest(catalogue, tmp_path, retry_failed=True)) == [("failed", None)]

    stat = path.stat()
    write(path, "a")
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns + 1_000_000_000))
    assert told(await ingest(catalogue, tmp_path)) == [("added", "a")]
    assert await catalogue.failures() == []


async def test_missing_file_and_folder_in_a_list_fail_and_the_rest_goes_in(tmp_path: Path) -> None:
    catalogue = InMemoryCatalogue()
    write(tmp_path / "a.wav", "a")
    listed = write(tmp_path / "songs.lst", "missing.wav\n.\na.wav\n")
    outcomes = await ingest(catalogue, listed)
    assert [outcome.outcome for outcome in outcomes] == ["failed", "failed", "added"]
    assert [outcome.detail for outcome in outcomes[:2]] == ["No such file or directory", "it is not a file"]


async def test_pipe_fails_instead_of_waiting_for_ever(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.wav")
    outcomes = await ingest(InMemoryCatalogue(), tmp_path)
    assert [outcome.code for outcome in outcomes] == ["unreadable_file"]


async def test_missing_decoder_is_no_fault_of_the_file(tmp_path: Path) -> None:
    catalogue = InMemoryCatalogue()
    write(tmp_path / "a.wav", "a")

    async def without_decoder(job: Job) -> Extracted:
        raise DecoderUnavailable()

    assert told(await ingest(catalogue, tmp_path, extract=without_decoder)) == [("failed", None)]
    assert told(await ingest(catalogue, tmp_path)) == [("added", "a")]


async def test_lost_database_ends_the_ingest_and_keeps_what_was_told(tmp_path: Path) -> None:
    class LosesConnection(InMemoryCatalogue):
        async def put(self, new_song: NewSong, *, replaces: int | None = None) -> Stored | None:
            if len(await songs(self)) == 2:
                raise CatalogueUnavailable("gone")
            return await super().put(new_song, replaces=replaces)

    catalogue = LosesConnection()
    for name in "abcd":
        write(tmp_path / f"{name}.wav", name)
    ingester = Ingester(catalogue, sound_of_first_byte, index=Index(), plan=Plan(LIMITS))
    outcomes: list[Ingested] = []
    with pytest.raises(CatalogueUnavailable):
        async for outcome in ingester.ingest(items([str(tmp_path)])):
            outcomes.append(outcome)  # what came before the error counts
    assert told(outcomes) == [("added", "a"), ("added", "b")]
    assert set(await songs(catalogue)) == {"a", "b"}


async def test_full_disk_at_saving_the_index_is_told_with_what_mends_it(tmp_path: Path) -> None:
    class FullDisk(Index):
        def save(self) -> None:
            raise OSError(28, "No space left on device")

    write(tmp_path / "a.wav", "a")
    with pytest.raises(StorageUnavailable, match=r"No space left on device.*sonica index build"):
        await ingest(InMemoryCatalogue(), tmp_path, index=FullDisk())


async def test_index_is_saved_meanwhile_when_the_time_has_come(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ingester, "_SAVING_SHARE_MAX", math.inf)  # a busy machine saves slowly, and then rarely
    for number in range(12):
        write(tmp_path / f"{number}.wav", chr(number + 65))
    index = Index()
    await ingest(InMemoryCatalogue(), tmp_path, index=index, in_flight_max=2, save_seconds=1e-9)
    assert index.saves > 2


async def test_write_under_way_is_finished_when_interrupted(tmp_path: Path) -> None:
    writing = asyncio.Event()

    class Slow(InMemoryCatalogue):
        async def put(self, new_song: NewSong, *, replaces: int | None = None) -> Stored | None:
            writing.set()
            await asyncio.sleep(0.05)
            return await super().put(new_song, replaces=replaces)

    catalogue = Slow()
    write(tmp_path / "a.wav", "a")
    task = asyncio.create_task(ingest(catalogue, tmp_path))
    await writing.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert set(await songs(catalogue)) == {"a"}


async def test_extractions_end_with_the_ingest(tmp_path: Path) -> None:
    cancelled: list[str] = []

    async def endless(job: Job) -> Extracted:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.append(job.path.name)
            raise
        raise AssertionError

    for name in "ab":
        write(tmp_path / f"{name}.wav", name)
    task = asyncio.create_task(ingest(InMemoryCatalogue(), tmp_path, extract=endless))
    await asyncio.sleep(0.1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await asyncio.sleep(0)
    assert sorted(cancelled) == ["a.wav", "b.wav"]
