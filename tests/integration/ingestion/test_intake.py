"""Messages of SQS about objects of S3, by moto's server, on their way into a catalogue."""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime
from pathlib import Path

import pytest

from backend.catalogue.in_memory import InMemoryCatalogue
from backend.errors import CatalogueUnavailable, InvalidRequest, ObjectStoreUnavailable
from backend.ingestion.extraction import Extracted, Job
from backend.models import IngestFailure, NewSong, Song, Stored, StoredObject
from backend.objects.originals import Originals
from backend.objects.queue import Queue
from backend.settings import Settings
from tests.aws import Aws
from tests.integration.ingestion.conftest import Cloud, Taking, make_intake, sound_of_first_byte


async def songs(catalogue: InMemoryCatalogue) -> dict[str, Song]:
    return {song.details.external_id: song for song in await catalogue.page(after_id=0, limit=100, filters={})}


def copies(folder: Path) -> list[Path]:
    """Return the copies of objects that are left."""
    return [path for path in folder.rglob("*") if path.is_file()]


def remove_folders(parent: Path) -> None:
    """Do what a system does to old folders of /tmp."""
    for folder in parent.glob("sonica-originals-*"):
        folder.rmdir()


async def test_song_is_taken_in_with_what_its_metadata_says_when_s3_tells_of_it(
    cloud: Cloud, taking: Taking, catalogue: InMemoryCatalogue, tmp_path: Path
) -> None:
    cloud.put("Ä b/Someone - c+d%20.wav", b"a")
    cloud.put("e.wav", b"b", title="=?UTF-8?B?w4RydGlzdA==?=", **{"external-id": "id-1"})

    assert await taking.all() == ["done", "done", "done"]  # the first is the test event of S3

    found = await songs(catalogue)
    plain = found["s3://music/Ä b/Someone - c+d%20.wav"].details
    assert (plain.artist, plain.title) == ("Someone", "c+d%20")
    assert plain.audio_url == "s3://music/Ä b/Someone - c+d%20.wav"
    assert found["id-1"].details.title == "Ärtist"
    assert cloud.waiting() == (0, 0)
    assert cloud.dead_letters() == []
    assert copies(tmp_path) == []


async def test_song_is_in_once_when_its_event_comes_twice_and_its_bytes_under_two_keys(
    cloud: Cloud, taking: Taking, catalogue: InMemoryCatalogue
) -> None:
    cloud.put("a.wav")
    cloud.put("a.wav")
    cloud.put("copy.wav")
    cloud.put("sounds the same.wav", b"a re-tagged")
    assert set(await taking.all()) == {"done"}
    assert list(await songs(catalogue)) == ["s3://music/a.wav"]


async def test_changed_object_updates_its_song(cloud: Cloud, taking: Taking, catalogue: InMemoryCatalogue) -> None:
    cloud.put("a.wav", b"a")
    await taking.all()
    cloud.put("a.wav", b"b")
    await taking.all()
    (song,) = (await songs(catalogue)).values()
    assert song.id == 1
    assert song.content_sha256.startswith("3e23e816")  # of b


async def test_song_stays_when_its_object_is_deleted(
    cloud: Cloud, taking: Taking, catalogue: InMemoryCatalogue
) -> None:
    cloud.put("a.wav")
    await taking.all()
    cloud.bucket.Object("a.wav").delete()
    assert await taking.all() == ["done"]
    assert list(await songs(catalogue)) == ["s3://music/a.wav"]


async def test_object_that_is_gone_before_its_event_is_read_is_no_failure(
    cloud: Cloud, taking: Taking, catalogue: InMemoryCatalogue
) -> None:
    cloud.put("a.wav")
    cloud.bucket.Object("a.wav").delete()
    assert set(await taking.all()) == {"done"}
    assert await catalogue.failures() == []
    assert cloud.dead_letters() == []


async def test_what_cannot_be_taken_in_is_a_dead_letter_with_its_reason(
    cloud: Cloud, taking: Taking, catalogue: InMemoryCatalogue
) -> None:
    cloud.put("bad.wav", b"!")
    cloud.put("large.wav", b"x" * 101)
    ordered = {"uri": "s3://music/none.wav"}
    cloud.send(ordered)
    cloud.send("no message \N{SNOWMAN}")

    assert (await taking.all()).count("rejected") == 4

    letters = {body: (code, detail) for body, code, detail in cloud.dead_letters()}
    assert letters.pop(json.dumps(ordered)) == (
        "object_not_found",
        "s3://music/none.wav: there is no s3://music/none.wav",
    )
    assert letters.pop("no message \N{SNOWMAN}")[0] == "invalid_request"
    told = {json.loads(body)["Records"][0]["s3"]["object"]["key"]: reason for body, reason in letters.items()}
    assert told["bad.wav"] == ("undecodable_audio", "s3://music/bad.wav: it starts with !")
    assert told["large.wav"][0] == "object_too_large"
    assert {failure.uri: failure.code for failure in await catalogue.failures()} == {
        "s3://music/bad.wav": "undecodable_audio",
        "s3://music/large.wav": "object_too_large",
        "s3://music/none.wav": "object_not_found",
    }
    assert cloud.waiting() == (0, 0)


async def test_failure_is_forgotten_when_the_object_is_put_right(
    cloud: Cloud, taking: Taking, catalogue: InMemoryCatalogue
) -> None:
    cloud.put("a.wav", b"!")
    await taking.all()
    cloud.put("a.wav", b"a")
    await taking.all()
    assert await catalogue.failures() == []


async def test_dead_letter_that_is_sent_again_is_tried_again(
    cloud: Cloud, originals: Originals, queue: Queue, catalogue: InMemoryCatalogue
) -> None:
    tries: list[str] = []

    async def extract(job: Job) -> Extracted:
        tries.append(job.stem or "")
        return await sound_of_first_byte(job)

    taking = Taking(queue, make_intake(catalogue, extract, originals=originals, queue=queue))
    cloud.put("bad.wav", b"!")
    await taking.all()
    ((body, _, _),) = cloud.dead_letters()
    cloud.send(body)
    assert await taking.all() == ["rejected"]
    assert tries == ["bad", "bad"]


async def test_message_of_several_objects_takes_the_good_ones_and_tells_of_the_bad(
    cloud: Cloud, taking: Taking, catalogue: InMemoryCatalogue
) -> None:
    await taking.all()
    cloud.put("a.wav", b"a")
    cloud.put("bad.wav", b"!")
    events = [json.loads(message.body)["Records"][0] for message in await taking.queue.receive(10)]
    cloud.send({"Records": events})
    assert await taking.all() == ["rejected"]
    assert list(await songs(catalogue)) == ["s3://music/a.wav"]
    assert "bad.wav" in str(cloud.dead_letters()[0][2])


class Flaky(InMemoryCatalogue):
    """Loses its connection as often as it is told to."""

    losses = 0

    async def put(self, new_song: NewSong, *, replaces: int | None = None) -> Stored | None:
        if self.losses:
            self.losses -= 1
            raise CatalogueUnavailable("gone")
        return await super().put(new_song, replaces=replaces)


async def test_message_comes_again_when_the_database_is_away(
    cloud: Cloud, originals: Originals, queue: Queue, tmp_path: Path
) -> None:
    catalogue = Flaky()
    taking = Taking(queue, make_intake(catalogue, sound_of_first_byte, originals=originals, queue=queue))
    await taking.all()
    catalogue.losses = 1
    cloud.put("a.wav")
    (message,) = await queue.receive(10)
    assert await taking.one(message) == "again"
    assert cloud.waiting() == (0, 1)
    assert copies(tmp_path) == []
    await queue.hide(message, seconds=0)
    assert await taking.all() == ["done"]
    assert list(await songs(catalogue)) == ["s3://music/a.wav"]


async def test_reason_is_kept_when_the_queue_gives_a_message_up(
    cloud: Cloud, originals: Originals, queue: Queue, catalogue: InMemoryCatalogue
) -> None:
    class Away(Originals):
        async def fetch(self, uri: str) -> tuple[Path, StoredObject]:
            raise ObjectStoreUnavailable("slow down")

    away = Away(None, Path(), bytes_max=1)
    taking = Taking(queue, make_intake(catalogue, sound_of_first_byte, originals=away, queue=queue))
    await taking.all()
    cloud.put("a.wav")
    for _ in range(3):
        (message,) = await queue.receive(10)
        assert await taking.one(message) == "again"
        await queue.hide(message, seconds=0)
    assert await queue.receive(10) == []  # three receives are what the redrive policy allows
    assert len(cloud.dead_letters()) == 1
    (failure,) = await catalogue.failures()
    assert (failure.code, failure.detail) == ("object_store_unavailable", "slow down")


class Recording(InMemoryCatalogue):
    """Keeps all failures that were ever recorded."""

    def __init__(self) -> None:
        super().__init__()
        self.recorded: list[IngestFailure] = []

    async def record_failure(self, failure: IngestFailure) -> None:
        self.recorded.append(failure)
        await super().record_failure(failure)


async def test_object_that_ends_its_worker_each_time_is_told_of(
    cloud: Cloud, originals: Originals, queue: Queue
) -> None:
    catalogue = Recording()
    taking = Taking(queue, make_intake(catalogue, sound_of_first_byte, originals=originals, queue=queue))
    await taking.all()
    cloud.put("a.wav", b"!")
    for _ in range(2):
        (message,) = await queue.receive(10)  # and the worker is killed
        await queue.hide(message, seconds=0)
    (message,) = await queue.receive(10)
    await taking.one(message)
    first, last = catalogue.recorded
    assert (first.uri, first.code, last.code) == ("s3://music/a.wav", "worker_crashed", "undecodable_audio")
    assert first.detail.startswith("2 workers took it")


async def test_good_object_is_no_failure_when_a_worker_was_killed_with_it(
    cloud: Cloud, taking: Taking, catalogue: InMemoryCatalogue
) -> None:
    await taking.all()
    cloud.put("a.wav")
    (message,) = await taking.queue.receive(10)
    await taking.queue.hide(message, seconds=0)
    assert await taking.all() == ["done"]
    assert await catalogue.failures() == []
    cloud.put("a.wav")  # known by its etag now
    (message,) = await taking.queue.receive(10)
    await taking.queue.hide(message, seconds=0)
    assert await taking.all() == ["done"]
    assert await catalogue.failures() == []


async def test_order_to_reingest_extracts_what_is_known(
    cloud: Cloud, taking: Taking, catalogue: InMemoryCatalogue
) -> None:
    cloud.put("a.wav")
    await taking.all()
    cloud.send({"uri": "s3://music/a.wav", "title": "New", "reingest": True})
    await taking.all()
    assert (await songs(catalogue))["s3://music/a.wav"].details.title == "New"


async def test_queue_without_dead_letters_is_refused(aws: Aws, cloud: Cloud, settings: Settings) -> None:
    url = aws.client("sqs").create_queue(QueueName="lone")["QueueUrl"]
    with pytest.raises(InvalidRequest, match="redrive policy"):
        await Queue.open(url, settings)


async def test_many_messages_are_sent_together(cloud: Cloud, queue: Queue, taking: Taking) -> None:
    await taking.all()
    await queue.send([f"message {number}" for number in range(10)])
    assert sorted(message.body for message in await queue.receive(10)) == [f"message {n}" for n in range(10)]


async def test_songs_are_taken_in_when_somebody_tidied_the_copies_folder_away(
    cloud: Cloud, taking: Taking, catalogue: InMemoryCatalogue, tmp_path: Path
) -> None:
    remove_folders(tmp_path)
    cloud.put("a.wav")
    assert set(await taking.all()) == {"done"}
    assert list(await songs(catalogue)) == ["s3://music/a.wav"]


async def test_copies_that_a_killed_process_left_are_removed_by_a_later_one(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    left = tmp_path / "sonica-originals-killed"
    left.mkdir()
    for name, age_seconds in (("old", 100_000), ("new", 100)):
        (left / name).touch()
        then = datetime.now(UTC).timestamp() - age_seconds
        os.utime(left / name, (then, then))
    with Originals.open(settings):
        assert [path.name for path in left.iterdir()] == ["new"]
