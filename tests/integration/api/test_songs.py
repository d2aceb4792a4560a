from __future__ import annotations

import httpx
import pytest

from backend.api.schemas import SongResource
from tests.factories import make_song


async def test_songs_come_page_by_page_when_the_cursor_is_followed(client: httpx.AsyncClient) -> None:
    first = (await client.get("/v1/songs", params={"limit": 1})).json()
    second = (await client.get("/v1/songs", params={"limit": 1, "cursor": first["next_cursor"]})).json()

    assert [song["external_id"] for page in (first, second) for song in page["items"]] == ["song-1", "song-2"]
    assert second["next_cursor"] is None


async def test_only_equal_songs_are_listed_when_a_filter_is_given(client: httpx.AsyncClient) -> None:
    page = (await client.get("/v1/songs", params={"external_id": "song-2", "language": "hi"})).json()

    assert [song["title"] for song in page["items"]] == ["Title 2"]


async def test_song_is_shown_in_full_when_it_is_asked_for(client: httpx.AsyncClient) -> None:
    listed = (await client.get("/v1/songs")).json()["items"][0]
    shown = (await client.get(f"/v1/songs/{listed['id']}")).json()

    assert shown == listed
    assert {"audio_url", "popularity_score", "release_date", "created_at", "fingerprint_version"} <= shown.keys()


async def test_song_is_gone_when_it_was_deleted(client: httpx.AsyncClient) -> None:
    deleted = await client.delete("/v1/songs/1")
    again = await client.delete("/v1/songs/1")

    assert (deleted.status_code, deleted.content) == (204, b"")
    assert (again.status_code, again.json()["code"]) == (404, "song_not_found")
    assert (await client.get("/v1/songs/1")).json()["code"] == "song_not_found"


@pytest.mark.parametrize(
    "query",
    [
        "limit=0",
        "limit=100000",
        "cursor=!",
        "cursor=LTE=",
        "cursor=OTk5OTk5OTk5OTk5OTk5OTk5OTk=",
        "cursor=é",
        "artst=typo",
        "artist=%00",
        "artist=" + 600 * "a",
    ],
)
async def test_listing_is_refused_when_the_query_is_wrong(client: httpx.AsyncClient, query: str) -> None:
    response = await client.get(f"/v1/songs?{query}")

    assert (response.status_code, response.json()["code"]) == (422, "invalid_request")


@pytest.mark.parametrize("song_id", ["0", "-1", "x", "99999999999999999999"])
async def test_song_is_refused_when_the_id_cannot_be_one(client: httpx.AsyncClient, song_id: str) -> None:
    response = await client.get(f"/v1/songs/{song_id}")

    assert response.json()["code"] == "invalid_request"
    assert response.json()["errors"][0]["location"] == "path.song_id"


def test_path_of_a_file_of_the_origin_is_not_told() -> None:
    local = make_song(audio_url="file:///srv/music/secret.wav")
    published = make_song(audio_url="https://music.example/1.flac")
    assert SongResource.of(local).audio_url is None
    assert SongResource.of(published).audio_url == "https://music.example/1.flac"


async def test_most_popular_songs_come_first_when_they_are_asked_for(client: httpx.AsyncClient) -> None:
    page = (await client.get("/v1/songs/popular", params={"language": "hi"})).json()
    first = (await client.get("/v1/songs/popular", params={"limit": 1})).json()
    none = (await client.get("/v1/songs/popular", params={"genre": "polka"})).json()

    assert [song["external_id"] for song in page["items"]] == ["song-2", "song-1"]
    assert [song["external_id"] for song in first["items"]] == ["song-2"]
    assert (none["items"], none["next_cursor"]) == ([], None)


async def test_deleted_song_is_not_popular_when_it_was_before(client: httpx.AsyncClient) -> None:
    await client.get("/v1/songs/popular")
    await client.delete("/v1/songs/2")

    page = (await client.get("/v1/songs/popular")).json()

    assert [song["external_id"] for song in page["items"]] == ["song-1"]


@pytest.mark.parametrize("parameters", [{"limit": 0}, {"limit": 201}, {"mood": "sad"}, {"genre": "a\0"}])
async def test_popular_songs_are_refused_when_a_parameter_is_wrong(
    client: httpx.AsyncClient, parameters: dict[str, str]
) -> None:
    response = await client.get("/v1/songs/popular", params=parameters)

    assert (response.status_code, response.json()["code"]) == (422, "invalid_request")
