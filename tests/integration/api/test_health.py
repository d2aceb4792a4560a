from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import httpx

from backend.composition import Origin
from backend.errors import CatalogueUnavailable
from backend.settings import Settings
from tests.clips import encoded, tone
from tests.origins import open_in_memory_origin, serving


class LostCatalogue:
    """A catalogue whose database went away."""

    async def revision(self) -> int:
        raise CatalogueUnavailable


@asynccontextmanager
async def open_lost_origin(settings: Settings) -> AsyncIterator[Origin]:
    async with open_in_memory_origin(settings) as origin:
        yield replace(origin, catalogue=LostCatalogue())


async def test_process_is_alive_when_it_answers(client: httpx.AsyncClient) -> None:
    assert (await client.get("/livez")).json() == {"status": "alive"}


async def test_service_is_ready_when_catalogue_and_index_are_there(client: httpx.AsyncClient) -> None:
    ready = (await client.get("/readyz")).json()

    assert (ready["status"], ready["songs"], ready["revisions_behind"]) == ("ready", 2, 0)
    assert ready["segments"] > 0


async def test_missing_part_is_named_when_the_service_is_not_ready(tmp_path: Path) -> None:
    async with serving(tmp_path, open_origin=open_lost_origin) as client:
        response = await client.get("/readyz")
        alive = await client.get("/livez")

    assert (response.status_code, response.json()["code"]) == (503, "not_ready")
    assert "catalogue" in response.json()["detail"]
    assert response.headers["retry-after"] == "1"
    assert alive.status_code == 200


async def test_metrics_count_answers_and_requests_when_there_were_some(client: httpx.AsyncClient) -> None:
    await client.post("/recognize", content=encoded(tone(2.0)))
    await client.get("/v1/songs/1")
    await client.get("/made-up-by-a-caller")
    exposition = (await client.get("/metrics")).text

    assert 'sonica_recognitions_total{cache="miss",outcome="below_threshold"} 1.0' in exposition
    assert 'sonica_recognition_stage_seconds_count{stage="decode"} 1.0' in exposition
    assert 'sonica_http_request_seconds_count{method="GET",route="/v1/songs/{song_id}",status="200"} 1.0' in exposition
    assert 'route="unrouted",status="404"' in exposition
    assert "made-up" not in exposition
    assert "sonica_index_songs 2.0" in exposition
    assert "process_resident_memory_bytes" in exposition
