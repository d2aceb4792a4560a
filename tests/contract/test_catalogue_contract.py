"""What SongCatalogue, SongStore, ChangeLog and IngestFailures promise, held for each adapter."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from datetime import date

import pytest
from sonica_fingerprint import FINGERPRINT_VERSION

from backend.catalogue.in_memory import InMemoryCatalogue
from backend.catalogue.postgres import PostgresCatalogue
from backend.errors import InvalidRequest
from backend.models import Change, Stored, StoredObject
from tests.factories import make_failure, make_fingerprint, make_new_song

Catalogue = InMemoryCatalogue | PostgresCatalogue

OLD_VERSION = FINGERPRINT_VERSION + 1  # any other version than this program's will do


@pytest.fixture(params=["in_memory", "postgres"])
def catalogue(request: pytest.FixtureRequest) -> Catalogue:
    """Each adapter, empty."""
    if request.param == "in_memory":
        return InMemoryCatalogue()
    return request.getfixturevalue("postgres_catalogue")


async def changes(catalogue: Catalogue, after_revision: int = 0) -> list[Change]:
    return [change async for change in catalogue.changes(after_revision=after_revision)]


async def test_all_of_a_song_is_read_back_when_it_was_put(catalogue: Catalogue) -> None:
    new_song = make_new_song(
        1,
        title="सतरंगी रे",
        album="Dil Se",
        isrc="INS189800004",
        genre="film",
        audio_url="s3://songs/1.flac",
        popularity_score=0.25,
        release_date=date(1998, 8, 21),
    )
    stored = await catalogue.put(new_song)

    song = (await catalogue.songs([stored.song_id]))[stored.song_id]

    assert stored.outcome == "added"
    assert song.id == stored.song_id
    assert song.details == new_song.details
    assert song.duration_ms == new_song.fingerprint.duration_ms
    assert song.content_sha256 == new_song.content_sha256
    assert song.sound_sha256 == new_song.fingerprint.key
    assert song.fingerprint_version == FINGERPRINT_VERSION
    assert song.created_at.tzinfo is not None


async def test_songs_leaves_out_ids_when_they_do_not_exist(catalogue: Catalogue) -> None:
    first = await catalogue.put(make_new_song(1))

    assert set(await catalogue.songs([first.song_id, first.song_id, 10**12])) == {first.song_id}
    assert await catalogue.songs([]) == {}


async def test_popular_songs_come_first_and_older_ones_before_as_popular_ones(catalogue: Catalogue) -> None:
    for seed, score in ((1, 0.5), (2, 7.0), (3, 0.5), (4, 12.25)):
        await catalogue.put(make_new_song(seed, popularity_score=score))

    found = await catalogue.popular(3)

    assert [song.details.external_id for song in found] == ["song-4", "song-2", "song-1"]
    assert len(await catalogue.popular(10)) == 4


async def test_popular_songs_are_of_one_kind_when_filters_are_given(catalogue: Catalogue) -> None:
    for seed, language, genre in ((1, "hi", "film"), (2, "hi", "rock"), (3, "ta", "film"), (4, None, None)):
        await catalogue.put(make_new_song(seed, language=language, genre=genre))

    async def popular(**filters: str) -> list[str]:
        return [song.details.external_id for song in await catalogue.popular(10, **filters)]

    assert await popular(language="hi") == ["song-2", "song-1"]
    assert await popular(genre="film") == ["song-3", "song-1"]
    assert await popular(language="hi", genre="film") == ["song-1"]
    assert await popular(language="en") == []


async def test_changed_songs_are_told_when_somebody_wants_to_know(catalogue: Catalogue) -> None:
    told: list[int] = []

    async def tell(song_ids: Sequence[int]) -> None:
        told.extend(song_ids)

    first = await catalogue.put(make_new_song(1))
    assert first is not None
    catalogue.after_change(tell)
    second = await catalogue.put(make_new_song(2))
    assert second is not None
    await catalogue.put(make_new_song(2))  # a duplicate
    await catalogue.put(make_new_song(1, title="Another"), replaces=first.song_id)
    await catalogue.delete(second.song_id)
    await catalogue.delete(second.song_id)  # gone already

    assert told == [second.song_id, first.song_id, second.song_id]


async def test_put_names_the_song_when_everything_is_the_same(catalogue: Catalogue) -> None:
    first = await catalogue.put(make_new_song(1))
    revision = await catalogue.revision()

    assert await catalogue.put(make_new_song(1)) == Stored(first.song_id, "duplicate")
    assert await catalogue.revision() == revision


async def test_put_names_the_other_song_when_that_one_has_the_same_bytes(catalogue: Catalogue) -> None:
    first = await catalogue.put(make_new_song(1))

    stored = await catalogue.put(make_new_song(1, external_id="copy"))

    assert stored == Stored(first.song_id, "duplicate")
    assert len(await catalogue.page(after_id=0, limit=10, filters={})) == 1


async def test_put_names_the_other_song_when_that_one_sounds_the_same(catalogue: Catalogue) -> None:
    first = await catalogue.put(make_new_song(1))

    stored = await catalogue.put(make_new_song(1, external_id="retagged", content="other tags"))

    assert stored == Stored(first.song_id, "duplicate")
    assert len(await changes(catalogue)) == 1


async def test_put_keeps_the_song_when_its_file_has_become_a_copy_of_another(catalogue: Catalogue) -> None:
    first = await catalogue.put(make_new_song(1))
    second = await catalogue.put(make_new_song(2))

    stored = await catalogue.put(make_new_song(1, external_id="song-2"))

    assert stored == Stored(first.song_id, "duplicate")
    assert set(await catalogue.songs([second.song_id])) == {second.song_id}


async def test_put_changes_song_and_fingerprint_when_the_content_is_another(catalogue: Catalogue) -> None:
    first = await catalogue.put(make_new_song(1))
    created_at = (await catalogue.songs([first.song_id]))[first.song_id].created_at
    revision = await catalogue.revision()
    remaster = make_new_song(2, external_id="song-1", title="Remastered")

    assert await catalogue.put(remaster, replaces=first.song_id) == Stored(first.song_id, "updated")

    song = (await catalogue.songs([first.song_id]))[first.song_id]
    assert (song.details, song.content_sha256) == (remaster.details, remaster.content_sha256)
    assert (song.sound_sha256, song.created_at) == (remaster.fingerprint.key, created_at)
    [change] = await changes(catalogue, revision)
    assert change == Change(await catalogue.revision(), first.song_id, remaster.fingerprint)
    assert (await catalogue.put(make_new_song(1, external_id="again"))).outcome == "added"  # the old sound is free


async def test_put_changes_details_alone_when_only_they_differ(catalogue: Catalogue) -> None:
    first = await catalogue.put(make_new_song(1))
    revision = await catalogue.revision()

    right = make_new_song(1, title="Right title", content="right tags")
    stored = await catalogue.put(right, replaces=first.song_id)

    song = (await catalogue.songs([first.song_id]))[first.song_id]
    assert stored == Stored(first.song_id, "updated")
    assert song.details.title == "Right title"
    assert await catalogue.revision() == revision  # nothing for an index to do


@pytest.mark.parametrize("replaces", [None, 10**12])
async def test_put_stores_nothing_when_the_external_id_is_that_of_another_song(
    catalogue: Catalogue, replaces: int | None
) -> None:
    first = await catalogue.put(make_new_song(1))
    revision = await catalogue.revision()

    assert await catalogue.put(make_new_song(2, external_id="song-1"), replaces=replaces) is None

    assert (await catalogue.songs([first.song_id]))[first.song_id].sound_sha256 == make_fingerprint(1).key
    assert await catalogue.revision() == revision


async def test_put_adds_the_song_when_the_one_to_be_replaced_is_gone(catalogue: Catalogue) -> None:
    first = await catalogue.put(make_new_song(1))
    await catalogue.delete(first.song_id)

    stored = await catalogue.put(make_new_song(2, external_id="song-1"), replaces=first.song_id)

    assert (stored.outcome, stored.song_id > first.song_id) == ("added", True)


async def test_only_one_is_stored_when_songs_of_one_external_id_are_put_at_once(catalogue: Catalogue) -> None:
    outcomes = await asyncio.gather(*(catalogue.put(make_new_song(n, external_id="01")) for n in range(8)))

    assert sorted(stored.outcome for stored in outcomes if stored) == ["added"]


async def test_put_renews_the_fingerprint_when_the_stored_one_is_of_another_version(
    catalogue: Catalogue,
) -> None:
    first = await catalogue.put(make_new_song(1, fingerprint=make_fingerprint(1, version=OLD_VERSION)))

    moved = await catalogue.put(make_new_song(1, external_id="same file, other folder"))

    song = (await catalogue.songs([first.song_id]))[first.song_id]
    assert moved == Stored(first.song_id, "updated")
    assert (song.details.external_id, song.fingerprint_version) == ("song-1", FINGERPRINT_VERSION)
    assert [change.fingerprint for change in await changes(catalogue)] == [make_fingerprint(1)]


async def test_put_drops_the_older_version_when_the_sound_is_there_already(catalogue: Catalogue) -> None:
    outdated = await catalogue.put(make_new_song(1, fingerprint=make_fingerprint(1, version=OLD_VERSION)))
    present = await catalogue.put(make_new_song(2))

    stored = await catalogue.put(make_new_song(1, fingerprint=make_fingerprint(2)))

    assert stored == Stored(present.song_id, "duplicate")
    assert set(await catalogue.songs([outdated.song_id, present.song_id])) == {present.song_id}
    assert [change.fingerprint for change in await changes(catalogue)] == [make_fingerprint(2), None]


@pytest.mark.parametrize("text", ["nul \0 inside", "half a pair \udc80"])
async def test_put_refuses_a_song_when_its_text_cannot_be_stored(catalogue: Catalogue, text: str) -> None:
    with pytest.raises(InvalidRequest, match="cannot be stored"):
        await catalogue.put(make_new_song(1, title=text))


async def test_content_known_names_the_songs_when_their_bytes_are_held(catalogue: Catalogue) -> None:
    held, other = make_new_song(1), make_new_song(2)
    await catalogue.put(held)

    known = await catalogue.content_known([held.content_sha256, other.content_sha256])

    assert known == {held.content_sha256: "song-1"}


async def test_delete_leaves_a_change_without_fingerprint_when_the_song_was_there(
    catalogue: Catalogue,
) -> None:
    first = await catalogue.put(make_new_song(1))

    assert await catalogue.delete(first.song_id)

    assert await catalogue.songs([first.song_id]) == {}
    assert await changes(catalogue) == [Change(await catalogue.revision(), first.song_id, None)]
    assert await catalogue.content_known([make_new_song(1).content_sha256]) == {}


async def test_delete_says_no_when_there_is_no_such_song(catalogue: Catalogue) -> None:
    assert not await catalogue.delete(10**12)
    assert await catalogue.revision() == 0


async def test_a_song_gets_a_new_id_when_it_comes_again_after_deletion(catalogue: Catalogue) -> None:
    first = await catalogue.put(make_new_song(1))
    await catalogue.delete(first.song_id)

    again = await catalogue.put(make_new_song(1))

    assert again.outcome == "added"
    assert again.song_id > first.song_id


async def test_changes_come_once_a_song_and_in_order_when_songs_are_touched_often(
    catalogue: Catalogue,
) -> None:
    ids = [(await catalogue.put(make_new_song(seed))).song_id for seed in range(70)]  # more than two batches
    await catalogue.put(make_new_song(100, external_id="song-3"), replaces=ids[3])
    await catalogue.delete(ids[5])

    log = await changes(catalogue)

    revisions = [change.revision for change in log]
    assert revisions == sorted(set(revisions))
    assert revisions[-1] == await catalogue.revision()
    assert [change.song_id for change in log] == [*ids[:3], ids[4], *ids[6:], ids[3], ids[5]]
    assert [change.fingerprint for change in log[-2:]] == [make_fingerprint(100), None]
    assert await changes(catalogue, revisions[-3]) == log[-2:]
    assert await changes(catalogue, revisions[-1]) == []


async def test_a_fingerprint_comes_back_whole_when_it_is_long_or_empty(catalogue: Catalogue) -> None:
    long, empty = make_fingerprint(1, segments=5_000), make_fingerprint(2, segments=0)
    await catalogue.put(make_new_song(1, fingerprint=long))
    await catalogue.put(make_new_song(2, fingerprint=empty))

    assert [change.fingerprint for change in await changes(catalogue)] == [long, empty]


async def test_page_walks_all_songs_when_the_last_id_is_handed_on(catalogue: Catalogue) -> None:
    ids = [(await catalogue.put(make_new_song(seed))).song_id for seed in range(7)]
    seen: list[int] = []

    while page := await catalogue.page(after_id=seen[-1] if seen else 0, limit=3, filters={}):
        seen += [song.id for song in page]

    assert seen == sorted(ids)


@pytest.mark.parametrize("name", ["external_id", "isrc", "artist", "album", "language", "genre"])
async def test_page_keeps_the_songs_that_fit_when_filtered(catalogue: Catalogue, name: str) -> None:
    await catalogue.put(make_new_song(1))
    wanted = await catalogue.put(make_new_song(2, **{name: "wanted"}))
    await catalogue.put(make_new_song(3, **{name: "Wanted"}))

    found = await catalogue.page(after_id=0, limit=10, filters={name: "wanted"})

    assert [song.id for song in found] == [wanted.song_id]


async def test_page_wants_all_filters_when_there_are_several(catalogue: Catalogue) -> None:
    for seed in range(6):
        await catalogue.put(make_new_song(seed, genre="folk" if seed % 2 else "rock"))

    found = await catalogue.page(after_id=0, limit=10, filters={"artist": "Artist 0", "genre": "folk"})

    assert [song.details.external_id for song in found] == ["song-3"]


async def test_page_refuses_a_filter_when_there_is_no_such(catalogue: Catalogue) -> None:
    with pytest.raises(InvalidRequest, match="audio_url"):
        await catalogue.page(after_id=0, limit=10, filters={"audio_url": "x"})


async def test_only_one_is_added_when_the_same_song_is_put_at_once(catalogue: Catalogue) -> None:
    outcomes = await asyncio.gather(*(catalogue.put(make_new_song(1, external_id=f"{n}")) for n in range(8)))

    assert sorted(stored.outcome for stored in outcomes) == ["added", *["duplicate"] * 7]
    assert len({stored.song_id for stored in outcomes}) == 1


async def test_failures_are_kept_by_uri_when_recorded_again(catalogue: Catalogue) -> None:
    latest = make_failure("a.wav", code="unsupported_audio", size_bytes=None, modified_at=None)
    for failure in [make_failure("b.wav"), make_failure("a.wav"), latest]:
        await catalogue.record_failure(failure)

    assert await catalogue.failures() == [latest, make_failure("b.wav")]


async def test_a_failure_is_gone_when_cleared(catalogue: Catalogue) -> None:
    await catalogue.record_failure(make_failure("a.wav"))

    await catalogue.clear_failure("a.wav")
    await catalogue.clear_failure("never.wav")

    assert await catalogue.failures() == []


async def test_a_failure_is_kept_when_the_file_name_is_not_text(catalogue: Catalogue) -> None:
    unreadable = make_failure("\udce9t\udce9.mp3", detail="nul \0")

    await catalogue.record_failure(unreadable)

    assert await catalogue.failures() == [replace(unreadable, uri="\\udce9t\\udce9.mp3", detail="nul \\x00")]
    await catalogue.clear_failure(unreadable.uri)
    assert await catalogue.failures() == []


async def test_failures_come_in_pages_and_by_name(catalogue: Catalogue) -> None:
    kept = [make_failure(uri) for uri in ("a b.wav", "a.wav", "B.wav", "\udce9.wav", "\N{SNOWMAN}.wav")]
    for failure in kept:
        await catalogue.record_failure(failure)

    first = await catalogue.failures(limit=2)
    rest = await catalogue.failures(after_uri=first[-1].uri)

    assert [failure.uri for failure in first + rest] == ["B.wav", "\\udce9.wav", "a b.wav", "a.wav", "\N{SNOWMAN}.wav"]
    assert await catalogue.failures_of(["a.wav", "\udce9.wav", "none.wav"]) == {
        "a.wav": make_failure("a.wav"),
        "\udce9.wav": make_failure("\\udce9.wav"),
    }
    assert await catalogue.failures_of([]) == {}


def make_object(key: str, etag: str = "1") -> StoredObject:
    return StoredObject("music", key, size_bytes=1, etag=etag)


async def test_objects_are_known_as_they_were_when_noted(catalogue: Catalogue) -> None:
    await catalogue.put(make_new_song(1))
    for key, song in (("a", "song-1"), ("copy \0 of a", "song-1"), ("b", "no such song")):
        await catalogue.note_object(make_object(key), song)

    wanted = [make_object("a"), make_object("copy \0 of a"), make_object("b"), make_object("c")]
    assert await catalogue.objects_known(wanted) == dict.fromkeys([wanted[0].uri, wanted[1].uri], "song-1")
    assert await catalogue.objects_known([make_object("a", etag="2")]) == {}
    assert await catalogue.objects_known([]) == {}


async def test_object_is_known_as_it_was_noted_last(catalogue: Catalogue) -> None:
    for seed in (1, 2):
        await catalogue.put(make_new_song(seed))
        await catalogue.note_object(make_object("a", etag=str(seed)), f"song-{seed}")

    assert await catalogue.objects_known([make_object("a", etag="1")]) == {}
    assert await catalogue.objects_known([make_object("a", etag="2")]) == {"s3://music/a": "song-2"}


async def test_object_is_known_no_more_when_its_song_is_deleted(catalogue: Catalogue) -> None:
    stored = await catalogue.put(make_new_song(1))
    await catalogue.note_object(make_object("a"), "song-1")
    await catalogue.delete(stored.song_id)

    assert await catalogue.objects_known([make_object("a")]) == {}


async def test_name_stays_when_songs_come(catalogue: Catalogue) -> None:
    before = await catalogue.name()
    await catalogue.put(make_new_song(1))
    assert await catalogue.name() == before
    assert before not in ("", await InMemoryCatalogue().name())
