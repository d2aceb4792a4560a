from __future__ import annotations

from typing import Any

import httpx
import numpy as np
import pytest
import sonica_fingerprint

from tests.clips import encoded, tone
from tests.music import make_music
from tests.origins import SONG_SECONDS

START_MS, END_MS = 8_000, 13_000
HEARD = make_music(2, SONG_SECONDS)[START_MS * 16 : END_MS * 16]


def wav(samples: np.ndarray = HEARD) -> bytes:
    return encoded(samples[:, np.newaxis], rate_hz=16_000)


def assert_heard(response: httpx.Response) -> dict[str, Any]:
    assert response.status_code == 200, response.text
    answer: dict[str, Any] = response.json()
    assert answer["status"] == "match"
    assert answer["matches"][0]["song"]["external_id"] == "song-2"
    assert answer["matches"][0]["offset_ms"] == pytest.approx(START_MS, abs=500)
    return answer


@pytest.mark.parametrize("path", ["/v1/recognize", "/recognize"])
async def test_song_is_named_when_the_body_is_a_clip(client: httpx.AsyncClient, path: str) -> None:
    assert_heard(await client.post(path, content=wav(), headers={"Content-Type": "audio/wav"}))


@pytest.mark.parametrize(
    "content_type", [None, "audio/mpeg", "application/x-www-form-urlencoded", "video/webm; codecs=opus", ";;=,"]
)
async def test_song_is_named_when_the_content_type_is_wrong(
    client: httpx.AsyncClient, content_type: str | None
) -> None:
    headers = {"Content-Type": content_type} if content_type else {}
    assert_heard(await client.post("/v1/recognize", content=wav(), headers=headers))


@pytest.mark.parametrize("field", ["audio", "file"])
async def test_song_is_named_when_the_body_is_a_form(client: httpx.AsyncClient, field: str) -> None:
    files = {field: ("clip.wav", wav(), "audio/wav")}
    assert_heard(await client.post("/v1/recognize", files=files, data={"options": "{}"}))


async def test_song_is_named_when_the_form_holds_a_large_clip(client: httpx.AsyncClient) -> None:
    clip = encoded(np.repeat(HEARD, 3)[:, np.newaxis], "wav_float", rate_hz=48_000)
    large = clip + bytes(1_500_000)  # parts beyond 1 MB go through a temporary file
    assert_heard(await client.post("/v1/recognize", files={"audio": ("clip.wav", large)}))


async def test_song_is_named_when_the_body_is_l16(client: httpx.AsyncClient) -> None:
    stereo = np.repeat(HEARD[:, np.newaxis] * 32_767, 2, axis=1).astype(">i2").tobytes()
    headers = {"Content-Type": "audio/L16; rate=16000; channels=2"}
    assert_heard(await client.post("/v1/recognize", content=stereo, headers=headers))


async def test_song_is_named_when_the_body_is_a_fingerprint(client: httpx.AsyncClient) -> None:
    body = sonica_fingerprint.encode(sonica_fingerprint.extract(HEARD))
    headers = {"Content-Type": sonica_fingerprint.CONTENT_TYPE}
    assert_heard(await client.post("/v1/recognize", content=body, headers=headers))


async def test_answer_has_the_documented_form_when_a_song_matches(client: httpx.AsyncClient) -> None:
    response = await client.post("/v1/recognize", content=wav(), headers={"X-Request-ID": "my-id"})

    answer = assert_heard(response)
    assert response.headers["cache-control"] == "no-store"
    assert response.headers["x-request-id"] == answer["request_id"] == "my-id"
    assert answer.keys() == {
        "request_id", "status", "reason", "query", "matches", "ambiguous", "degraded", "tier", "cache",
        "index_version", "timings_ms",
    }  # fmt: skip
    assert answer["query"]["duration_ms"] == END_MS - START_MS
    assert answer["query"]["sha256"] == sonica_fingerprint.extract(wav_samples()).key
    assert (answer["tier"], answer["cache"], answer["ambiguous"], answer["reason"]) == ("origin", "miss", False, None)
    assert {"decode", "extract", "search", "verify"} <= answer["timings_ms"].keys()
    match = answer["matches"][0]
    assert match.keys() == {"song", "score", "offset_ms", "segments"}
    assert match["song"].keys() == {
        "id", "external_id", "title", "artist", "album", "isrc", "language", "genre", "duration_ms",
    }  # fmt: skip
    assert match["segments"][0].keys() == {
        "query_start_ms", "query_end_ms", "song_start_ms", "song_end_ms", "speed",
    }  # fmt: skip
    assert round(match["score"], 4) == match["score"]


def wav_samples() -> np.ndarray:
    """Return what is left of the samples after 16 bits."""
    return np.frombuffer(wav()[44:], "<i2").astype(np.float32) / 32_768


async def test_answer_comes_from_memory_when_the_clip_was_heard_before(client: httpx.AsyncClient) -> None:
    first = await client.post("/v1/recognize", content=wav())
    second = await client.post("/v1/recognize", content=wav())

    assert (first.json()["cache"], second.json()["cache"]) == ("miss", "memory")
    assert first.json()["matches"] == second.json()["matches"]


async def test_reason_is_given_when_no_song_matches(client: httpx.AsyncClient) -> None:
    silence = np.zeros(48_000, np.float32)
    answers = [
        (await client.post("/v1/recognize", content=wav(samples))).json()
        for samples in (silence, HEARD[:4_000], tone(5.0, rate_hz=16_000)[:, 0])
    ]

    assert [answer["status"] for answer in answers] == ["no_match"] * 3
    assert [answer["reason"] for answer in answers] == ["silence", "too_short", "below_threshold"]
    assert [answer["matches"] for answer in answers] == [[], [], []]


async def test_candidates_are_listed_when_asked_for(client: httpx.AsyncClient) -> None:
    unknown = make_music(99, 5.0)
    response = await client.post("/v1/recognize?include=candidates", content=wav(unknown))

    answer = response.json()
    assert answer["status"] == "no_match"
    assert answer["candidates"]
    for candidate in answer["candidates"]:
        assert candidate.keys() == {"song", "offset_ms", "score"}
    scores = [candidate["score"] for candidate in answer["candidates"]]
    assert scores == sorted(scores, reverse=True)


@pytest.mark.parametrize(
    ("content", "headers", "status", "code"),
    [
        (b"", {}, 422, "undecodable_audio"),
        (b"RIFF\x00\x00\x00\x00WAVE", {}, 422, "undecodable_audio"),
        (b'{"audio": "..."}', {"Content-Type": "application/json"}, 415, "unsupported_audio"),
        (bytes(100), {"Content-Type": "audio/L16"}, 422, "invalid_request"),
        (bytes(100), {"Content-Type": "audio/L16;rate=fast"}, 422, "invalid_request"),
        (bytes(100), {"Content-Type": "audio/L16;rate=1"}, 415, "unsupported_audio"),
        (b"", {"Content-Type": "audio/L16;rate=8000"}, 422, "undecodable_audio"),
        (b"SNFP", {"Content-Type": sonica_fingerprint.CONTENT_TYPE}, 422, "invalid_fingerprint"),
        (b"--x--", {"Content-Type": "multipart/form-data; boundary=x"}, 422, "invalid_request"),
        (b"--x", {"Content-Type": "multipart/form-data"}, 422, "invalid_request"),
    ],
)
async def test_problem_says_what_is_wrong_when_the_body_is_unusable(
    client: httpx.AsyncClient, content: bytes, headers: dict[str, str], status: int, code: str
) -> None:
    response = await client.post("/v1/recognize", content=content, headers=headers)

    assert (response.status_code, response.json()["code"]) == (status, code)
    assert response.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize("thinning", [1, 4, 16])
async def test_only_the_first_seconds_are_used_when_a_fingerprint_is_longer(
    client: httpx.AsyncClient, thinning: int
) -> None:
    long = sonica_fingerprint.extract(make_music(1, SONG_SECONDS)).thinned(thinning)
    response = await client.post(
        "/v1/recognize",
        content=sonica_fingerprint.encode(long),
        headers={"Content-Type": sonica_fingerprint.CONTENT_TYPE},
    )

    query = response.json()["query"]
    assert (query["duration_ms"], query["sha256"]) == (20_000, long.first(20).key)
    assert query["sha256"] != long.key


async def test_form_is_refused_when_the_field_is_no_file(client: httpx.AsyncClient) -> None:
    response = await client.post("/v1/recognize", files={"song": b"RIFF"}, data={"audio": "text"})

    assert response.json()["code"] == "invalid_request"
    assert "audio" in response.json()["detail"]
