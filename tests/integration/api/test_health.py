from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import cast

import httpx
import pytest

from backend.catalogue.in_memory import InMemoryCatalogue
from backend.catalogue.postgres import PostgresCatalogue
from backend.composition import Origin
from backend.errors import CatalogueUnavailable, SchemaVersionMismatch, SonicaError
from backend.search.faiss_index import FaissIndex
from backend.settings import Settings
from tests.clips import encoded, tone
from tests.factories import make_new_song
from tests.origins import open_in_memory_origin, serving


class LostCatalogue(InMemoryCatalogue):
    """A catalogue whose database went away, or was changed by another program."""

    def __init__(self, error: type[SonicaError]) -> None:
        super().__init__()
        self._error = error

    async def revision(self) -> int:
        raise self._error


@asynccontextmanager
async def open_lost_origin(
    settings: Settings, error: type[SonicaError] = CatalogueUnavailable
) -> AsyncIterator[Origin]:
    async with open_in_memory_origin(settings) as origin:
        yield replace(origin, catalogue=cast(PostgresCatalogue, LostCatalogue(error)))


@asynccontextmanager
async def open_outdated_origin(settings: Settings) -> AsyncIterator[Origin]:
    async with open_lost_origin(settings, SchemaVersionMismatch) as origin:
        yield origin


@asynccontextmanager
async def open_unloaded_origin(settings: Settings) -> AsyncIterator[Origin]:
    """Open an origin whose index has never had the catalogue's changes."""
    async with open_in_memory_origin(settings) as origin:
        index = FaissIndex(settings.data_dir / "none", InMemoryCatalogue(), search_depth=64)
        index.catch_up = never  # type: ignore[method-assign]
        yield replace(origin, index=index)


async def never() -> int:
    raise CatalogueUnavailable


async def test_process_is_alive_when_it_answers(client: httpx.AsyncClient) -> None:
    assert (await client.get("/livez")).json() == {"status": "alive"}


async def test_service_is_ready_when_catalogue_and_index_are_there(client: httpx.AsyncClient) -> None:
    ready = (await client.get("/readyz")).json()

    assert (ready["status"], ready["songs"], ready["revisions_behind"]) == ("ready", 2, 0)
    assert ready["segments"] > 0


async def test_service_is_ready_without_its_catalogue_when_the_index_is_there(tmp_path: Path) -> None:
    async with serving(tmp_path, open_origin=open_lost_origin) as client:
        response = await client.get("/readyz")

    assert (response.status_code, response.json()["status"]) == (200, "ready")
    assert (response.json()["songs"], response.json()["degraded"]) == (2, ["catalogue"])


@pytest.mark.parametrize(("open_origin", "part"), [("unloaded", "index"), ("outdated", "catalogue")])
async def test_missing_part_is_named_when_the_service_is_not_ready(tmp_path: Path, open_origin: str, part: str) -> None:
    opening = {"unloaded": open_unloaded_origin, "outdated": open_outdated_origin}[open_origin]
    async with serving(tmp_path, open_origin=opening) as client:
        response = await client.get("/readyz")
        alive = await client.get("/livez")

    assert (response.status_code, response.json()["code"]) == (503, "not_ready")
    assert [error["location"] for error in response.json()["errors"]] == [part]
    assert part in response.json()["detail"]
    assert response.headers["retry-after"] == "1"
    assert alive.status_code == 200


async def test_metrics_count_answers_and_requests_when_there_were_some(client: httpx.AsyncClient) -> None:
    await client.post("/recognize", content=encoded(tone(2.0)))
    await client.get("/v1/songs/1")
    await client.get("/made-up-by-a-caller")
    exposition = (await client.get("/metrics")).text

    assert (
        'sonica_recognitions_total{cache="miss",outcome="no_match",reason="below_threshold",tier="origin"} 1.0'
        in exposition
    )
    assert 'sonica_recognition_stage_seconds_count{stage="decode",tier="origin"} 1.0' in exposition
    assert 'sonica_http_request_seconds_count{method="GET",route="/v1/songs/{song_id}",status="200"} 1.0' in exposition
    assert 'route="unrouted",status="404"' in exposition
    assert "made-up" not in exposition
    assert "sonica_index_songs 2.0" in exposition
    assert "process_resident_memory_bytes" in exposition


async def test_index_is_named_when_it_does_not_follow_the_catalogue(tmp_path: Path) -> None:
    origins: list[Origin] = []

    @asynccontextmanager
    async def open_kept_origin(settings: Settings) -> AsyncIterator[Origin]:
        async with open_in_memory_origin(settings) as origin:
            origins.append(origin)
            yield origin

    async with serving(tmp_path, open_origin=open_kept_origin, index_poll_seconds=3600) as client:
        (origin,) = origins
        await origin.index.catch_up()
        await cast(InMemoryCatalogue, origin.catalogue).put(make_new_song(3))
        at_once = (await client.get("/readyz")).json()
        origin.index.caught_up_at -= 3600
        later = (await client.get("/readyz")).json()
        metrics = (await client.get("/metrics")).text

    assert (at_once["revisions_behind"], at_once["degraded"]) == (1, [])
    assert (later["revisions_behind"], later["degraded"]) == (1, ["index"])
    caught_up = next(line for line in metrics.splitlines() if line.startswith("sonica_index_caught_up_timestamp"))
    assert time.time() - float(caught_up.split()[1]) >= 3600
