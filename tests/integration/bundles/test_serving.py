"""A service whose index comes from bundles: swapped while requests are served, watched, degraded, never wrong."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest
import sonica_fingerprint

from backend.app import create_app
from backend.bundles.objects import FolderObjects
from backend.bundles.signatures import public_text
from backend.catalogue.postgres import PostgresCatalogue
from backend.search.faiss_index import FaissIndex
from backend.settings import Settings
from tests.bundles import SIGNER, STRANGER, Place, put_songs
from tests.bundles import publish as publish_from
from tests.music import make_music
from tests.origins import client_of

FINGERPRINT = {"Content-Type": sonica_fingerprint.CONTENT_TYPE}


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(FolderObjects(tmp_path / "store"))


@pytest.fixture
async def source(postgres_catalogue: PostgresCatalogue, tmp_path: Path, place: Place) -> FaissIndex:
    """The publisher's index of two songs, published."""
    await put_songs(postgres_catalogue, 1, 2)
    index = await FaissIndex.open(tmp_path / "source", postgres_catalogue, search_depth=96)
    await publish_from(index, postgres_catalogue, place.publisher())
    return index


@asynccontextmanager
async def serving(tmp_path: Path, database_url: str) -> AsyncIterator[httpx.AsyncClient]:
    settings = Settings(
        data_dir=tmp_path / "data",
        database_url=database_url,
        bundle_url=str(tmp_path / "store"),
        bundle_public_keys=public_text(SIGNER),
        bundle_poll_seconds=0.05,
        cache_bytes_max=0,
    )
    app = create_app(settings)
    async with app.router.lifespan_context(app), client_of(app) as client:
        yield client


async def heard(client: httpx.AsyncClient, seed: int, start: int = 3) -> httpx.Response:
    samples = make_music(seed, 12)[start * 16_000 :][: 5 * 16_000]
    query = sonica_fingerprint.encode(sonica_fingerprint.extract(samples))
    return await client.post("/v1/recognize", content=query, headers=FINGERPRINT)


async def measured(client: httpx.AsyncClient, name: str) -> float:
    text = (await client.get("/metrics")).text
    return next(float(line.split()[1]) for line in text.splitlines() if line.startswith(f"{name} "))


async def until(client: httpx.AsyncClient, name: str, value: float) -> None:
    async with asyncio.timeout(30):
        while await measured(client, name) != value:  # noqa: ASYNC110 - there is no event to wait for
            await asyncio.sleep(0.02)


async def test_no_request_fails_when_bundles_are_swapped_while_they_are_served(
    source: FaissIndex, postgres_catalogue: PostgresCatalogue, place: Place, tmp_path: Path, database_url: str
) -> None:
    async with serving(tmp_path, database_url) as client:
        answers: list[tuple[int, int, int]] = []
        stopping = asyncio.Event()

        async def ask(seed: int) -> None:
            while not stopping.is_set():
                answer = await heard(client, seed, start=len(answers) % 6)
                body = answer.json()
                answers.append(
                    (seed, answer.status_code, body["matches"][0]["song"]["id"])
                )  # all there is when the catalogue is slow

        askers = [asyncio.create_task(ask(seed)) for seed in (1, 2, 1, 2)]
        for sequence in range(2, 7):
            await publish_from(source, postgres_catalogue, place.publisher())
            await until(client, "sonica_bundle_sequence", sequence)
        stopping.set()
        await asyncio.gather(*askers)

    assert len(answers) > 5
    assert set(answers) == {(1, 200, 1), (2, 200, 2)}


async def test_bad_bundle_is_reported_and_the_old_one_answers(
    source: FaissIndex, postgres_catalogue: PostgresCatalogue, place: Place, tmp_path: Path, database_url: str
) -> None:
    async with serving(tmp_path, database_url) as client:
        assert (await client.get("/readyz")).json()["degraded"] == []
        await put_songs(postgres_catalogue, 3)
        await publish_from(source, postgres_catalogue, place.publisher(key=STRANGER, trusted={}))
        await until(client, "sonica_bundle_problem", 1)
        ready = await client.get("/readyz")
        assert (ready.status_code, ready.json()["degraded"]) == (200, ["bundle"])
        assert await measured(client, "sonica_bundle_failures_total") >= 1
        assert await measured(client, "sonica_bundle_sequence") == 1
        assert (await heard(client, 1)).json()["matches"][0]["song"]["id"] == 1
        place.publisher().roll_back(1)
        await until(client, "sonica_bundle_sequence", 3)
        assert (await client.get("/readyz")).json()["degraded"] == []
        assert (await heard(client, 3)).json()["matches"][0]["song"]["id"] == 3
