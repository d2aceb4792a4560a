"""What is told of requests: one shape in the log, and metrics that know the routes."""

from __future__ import annotations

import json
import logging
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from backend.observability.logs import configure_logging
from tests.accounts import Service, bearer, guarded_service
from tests.clips import encoded, tone
from tests.integration.api.test_health import open_unloaded_origin
from tests.origins import serving

ALWAYS = {"timestamp", "level", "logger", "event", "request_id", "method", "route", "status", "duration_ms"}
TRACEPARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00"


@pytest.fixture(autouse=True)
def _logging_as_before() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:], root.level = handlers, level


@pytest.fixture
async def service(tmp_path: Path, database_url: str) -> AsyncIterator[Service]:
    async with guarded_service(tmp_path, database_url, rate_limit_free=2) as service:
        yield service


def lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    """Return what was logged of requests."""
    logged = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    return [line for line in logged if line["logger"] == "sonica.http"]


async def test_every_request_is_logged_in_one_shape(
    client: httpx.AsyncClient, capsys: pytest.CaptureFixture[str]
) -> None:
    configure_logging("INFO")
    capsys.readouterr()
    await client.get("/v1/songs/1", headers={"X-Request-ID": "mine-1", "Authorization": "Bearer hush"})
    await client.post("/v1/recognize", content=encoded(tone(2.0)), headers={"traceparent": TRACEPARENT})
    await client.get("/v1/songs/77")

    song, recognition, missing = lines(capsys)
    assert set(song) == ALWAYS
    assert set(recognition) == ALWAYS | {"trace_id", "outcome", "cache"}
    assert set(missing) == ALWAYS | {"code"}
    assert (song["event"], song["level"], song["request_id"], song["status"]) == ("request", "info", "mine-1", 200)
    assert (recognition["trace_id"], recognition["outcome"]) == (TRACEPARENT.split("-")[1], "no_match")
    assert (missing["route"], missing["status"], missing["code"]) == ("/v1/songs/{song_id}", 404, "song_not_found")


async def test_request_is_a_warning_when_the_service_failed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    async with serving(tmp_path, open_origin=open_unloaded_origin) as client:
        await client.get("/readyz")

    (line,) = lines(capsys)
    assert (line["level"], line["status"], line["code"]) == ("warning", 503, "not_ready")


async def test_refused_requests_are_counted_at_their_routes(service: Service) -> None:
    listener = await service.key_of(await service.add_user())
    admin = await service.key_of(await service.add_user("admin", "admin"), ["admin"])
    for song_id in (7, 7, 8):
        await service.client.get(f"/v1/songs/{song_id}", headers=bearer(listener))
    await service.client.post("/v1/recognize")
    await service.client.put("/v1/songs/7", headers=bearer(admin))
    await service.client.get("/made-up", headers=bearer(admin))

    metrics = (await service.client.get("/metrics", headers=bearer(admin))).text
    for line in (
        'http_problems_total{code="song_not_found",route="/v1/songs/{song_id}"} 2.0',
        'http_problems_total{code="too_many_requests",route="/v1/songs/{song_id}"} 1.0',
        'http_problems_total{code="unauthenticated",route="/v1/recognize"} 1.0',
        'http_problems_total{code="method_not_allowed",route="/v1/songs/{song_id}"} 1.0',
        'http_problems_total{code="not_found",route="unrouted"} 1.0',
        'rate_limited_requests_total{policy="user"} 1.0',
        'recognitions_total{cache="none",outcome="error",reason="unauthenticated",tier="origin"} 1.0',
        'http_requests_by_role_total{role="free"} 2.0',
        'http_requests_by_role_total{role="admin"} 2.0',
        'http_requests_by_role_total{role="none"} 2.0',
        'breaker_open{part="quotas"} 0.0',
    ):
        assert f"sonica_{line}\n" in metrics


async def test_requests_under_way_are_counted_while_they_are(client: httpx.AsyncClient) -> None:
    metrics = (await client.get("/metrics")).text

    assert 'sonica_http_requests_in_progress{kind="other"} 1.0' in metrics  # this one
    assert 'sonica_http_requests_in_progress{kind="recognition"} 0.0' in metrics
    assert "sonica_recognitions_in_progress_limit 64.0" in metrics
