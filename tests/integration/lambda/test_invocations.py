"""The origin's function, cold and warm, by AWS's runtime client against a Runtime API."""

from __future__ import annotations

import asyncio
import json
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sonica_fingerprint
from edge_benchmarks.runtime_api import RUNS_HERE

from backend.catalogue.database import Connection, session
from tests.accounts import SONG_SECONDS, Service, bearer, guarded_service, make_query
from tests.clips import encoded
from tests.collector import Collector
from tests.conftest import database_of
from tests.factories import make_new_song
from tests.lambda_function import (
    EVENTS,
    Event,
    Request,
    content_of,
    http_api_event,
    load_balancer_event,
    origin_function,
)
from tests.music import RATE_HZ, make_music

pytestmark = pytest.mark.skipif(not RUNS_HERE, reason="the runtime client is for Linux on x86_64")
FINGERPRINT = {"Content-Type": sonica_fingerprint.CONTENT_TYPE}
OURS = "select pid from pg_stat_activity where datname = current_database() and pid <> all($1)"


@pytest.fixture
async def service(tmp_path: Path, database_url: str) -> AsyncIterator[Service]:
    """The same app in this process, over the same catalogue of two songs."""
    async with guarded_service(tmp_path / "here", database_url, songs=2) as service:
        yield service


@pytest.fixture
async def key(service: Service) -> str:
    return await service.key_of(await service.add_user())


def clip(seed: int = 1, *, start_seconds: int = 4) -> bytes:
    heard = make_music(seed, SONG_SECONDS)[start_seconds * RATE_HZ : (start_seconds + 5) * RATE_HZ]
    return encoded(heard[:, np.newaxis], rate_hz=RATE_HZ)


def asks(key: str, body: bytes, **headers: str) -> Request:
    return Request("/v1/recognize", "POST", body, {**bearer(key), **headers})


def named(answer: Event) -> str:
    assert answer["statusCode"] == 200, answer
    return str(content_of(answer)["matches"][0]["song"]["external_id"])


def essence(answer: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in answer.items() if name not in ("request_id", "timings_ms", "cache")}


@pytest.mark.parametrize("name", EVENTS)
async def test_clip_gets_the_answer_of_http_when_the_function_is_cold_and_when_it_is_warm(
    service: Service, key: str, database_url: str, tmp_path: Path, name: str
) -> None:
    here = await service.client.post("/v1/recognize", content=clip(), headers=bearer(key))
    with origin_function(tmp_path, database_url) as function:
        cold = function(EVENTS[name](asks(key, clip())))
        warm = function(EVENTS[name](asks(key, clip())))

    assert named(cold) == "song-1"
    assert essence(content_of(cold)) == essence(content_of(warm)) == essence(here.json())
    assert [content_of(answer)["cache"] for answer in (cold, warm)] == ["miss", "memory"]
    assert {header.lower() for header in cold["headers"]} >= {"x-request-id", "ratelimit", "content-type"}


async def test_fingerprint_gets_the_answer_of_http_with_its_query(
    service: Service, key: str, database_url: str, tmp_path: Path
) -> None:
    headers = {**bearer(key), **FINGERPRINT}
    path = "/v1/recognize?include=candidates"
    here = await service.client.post(path, content=make_query(2), headers=headers)
    with origin_function(tmp_path, database_url) as function:
        there = function(http_api_event(Request("/v1/recognize", "POST", make_query(2), headers, "include=candidates")))

    assert essence(content_of(there)) == essence(here.json())
    assert content_of(there)["candidates"]


async def test_refusals_are_problems_as_text_and_the_function_lives_on(
    service: Service, key: str, database_url: str, tmp_path: Path
) -> None:
    requests = [
        Request("/v1/recognize", "POST", clip()),
        asks(key, b"no audio at all"),
        asks(key, make_query()[:-1], **FINGERPRINT),
        Request("/nowhere", headers=bearer(key)),
        Request("/metrics", headers=bearer(key)),
    ]
    with origin_function(tmp_path, database_url) as function:
        answers = [function(http_api_event(request)) for request in requests]
        error = function.failure({"source": "aws.events", "detail": {}})
        last = function(http_api_event(asks(key, clip())))

    codes = ["unauthenticated", "unsupported_audio", "invalid_fingerprint", "not_found", "insufficient_scope"]
    assert [content_of(answer)["code"] for answer in answers[:3]] == codes[:3]
    assert [content_of(answer)["code"] for answer in answers[3:]] == ["insufficient_scope"] * 2
    assert {answer["headers"]["content-type"] for answer in answers} == {"application/problem+json"}
    assert answers[0]["headers"]["www-authenticate"].startswith("Bearer")
    assert error["errorType"] == "RuntimeError"
    assert named(last) == "song-1"


async def end_connections(connection: Connection, spared: list[int]) -> int:
    """End all connections to the database but these; return how many there were."""
    ended = len(await connection.fetch(OURS.replace("select pid", "select pg_terminate_backend(pid)"), spared))
    for _ in range(500):
        if not await connection.fetch(OURS, spared):
            await asyncio.sleep(0.3)  # a server's process ends a moment after its entry does
            return ended
        await asyncio.sleep(0.01)
    raise TimeoutError


async def test_answers_go_on_when_every_connection_was_lost_between_invocations(
    service: Service, key: str, database_url: str, tmp_path: Path
) -> None:
    async with session(database_url) as connection:
        spared = [row["pid"] for row in await connection.fetch(OURS, [])] + [connection.get_server_pid()]
        with origin_function(tmp_path, database_url, index_poll_seconds="3600") as function:
            first = function(http_api_event(asks(key, clip(1))))
            lost = await end_connections(connection, spared)
            listed = function(http_api_event(Request("/v1/songs", headers=bearer(key))))
            lost_again = await end_connections(connection, spared)
            second = function(http_api_event(asks(key, clip(2))))

    assert min(lost, lost_again) > 0
    assert [song["external_id"] for song in content_of(listed)["items"]] == ["song-1", "song-2"]
    assert [named(answer) for answer in (first, second)] == ["song-1", "song-2"]
    assert content_of(second)["cache"] == "miss"


async def test_changes_between_invocations_are_seen(
    service: Service, key: str, database_url: str, tmp_path: Path
) -> None:
    catalogue = service.app.state.origin.catalogue
    with origin_function(tmp_path, database_url, index_poll_seconds="0.001") as function:
        known = function(http_api_event(asks(key, clip(1))))
        await catalogue.delete(content_of(known)["matches"][0]["song"]["id"])
        fingerprint = sonica_fingerprint.extract(make_music(3, SONG_SECONDS)).thinned(4)
        await catalogue.put(make_new_song(3, fingerprint=fingerprint))
        added, deleted = (function(http_api_event(asks(key, clip(seed)))) for seed in (3, 1))

    assert [named(answer) for answer in (known, added)] == ["song-1", "song-3"]
    assert content_of(deleted)["status"] == "no_match"


async def test_history_is_written_when_the_answer_is_given(
    service: Service, key: str, database_url: str, tmp_path: Path
) -> None:
    with origin_function(tmp_path, database_url) as function:
        function(http_api_event(asks(key, clip(1))))
        history = await service.client.get("/v1/me/history", headers=bearer(key))  # while the function stands still

    assert [entry["title"] for entry in history.json()["items"]] == ["Title 1"]


async def test_address_is_the_one_that_the_load_balancer_wrote_when_callers_write_others(
    service: Service, key: str, database_url: str, tmp_path: Path
) -> None:
    hops = ["192.0.2.1, 203.0.113.1", "192.0.2.2, 203.0.113.1", "192.0.2.2, 203.0.113.2"]
    with origin_function(tmp_path, database_url, rate_limit_address="1") as function:
        events = [load_balancer_event(asks(key, clip()), forwarded_for=each) for each in hops]
        assert [function(event)["statusCode"] for event in events] == [200, 429, 200]


async def test_requests_are_logged_in_the_origins_own_shape(
    service: Service, key: str, database_url: str, tmp_path: Path
) -> None:
    path = tmp_path / "messages"
    with path.open("wb") as messages, origin_function(tmp_path, database_url, messages=messages) as function:
        answers = [function(http_api_event(asks(key, clip()))) for _ in range(2)]

    lines = [json.loads(line) for line in path.read_text().splitlines()]
    requests = [line for line in lines if line["event"] == "request"]
    assert [line["request_id"] for line in requests] == [answer["headers"]["x-request-id"] for answer in answers]
    assert [line["cold_start"] for line in requests] == [True, False]
    assert len({line["aws_request_id"] for line in requests}) == 2
    assert key not in path.read_text()


async def test_function_says_what_is_missing_and_opens_when_it_is_there(
    service: Service, postgres_url: str, database_url: str, key: str, tmp_path: Path
) -> None:
    late = database_of(postgres_url, "late")
    with origin_function(tmp_path, late) as function:
        before = function(http_api_event(asks(key, clip())))
        async with session(postgres_url) as connection:
            await connection.execute("create database late template migrated")
        try:
            after = function(http_api_event(asks(key, clip())))
        finally:
            async with session(postgres_url) as connection:
                await connection.execute("drop database late with (force)")

    assert (before["statusCode"], content_of(before)["code"]) == (503, "catalogue_unavailable")
    assert before["headers"]["retry-after"] == "1"
    assert content_of(after)["code"] == "invalid_credentials"  # a database of its own, without this key


async def test_spans_are_sent_before_the_function_is_frozen(key: str, database_url: str, tmp_path: Path) -> None:
    traceparent = f"00-{'ab' * 16}-{'cd' * 8}-01"
    with Collector() as collector, origin_function(tmp_path, database_url, otlp_endpoint=collector.url) as function:
        for number in (1, 2):
            named(function(http_api_event(asks(key, make_query(), traceparent=traceparent, **FINGERPRINT))))
            function.process.send_signal(signal.SIGSTOP)
            sent = [span for span in collector.spans if span.name == "POST /v1/recognize"]
            function.process.send_signal(signal.SIGCONT)
            assert len(sent) == number

    assert {(span.trace_id.hex(), span.parent_span_id.hex()) for span in sent} == {("ab" * 16, "cd" * 8)}
