"""The PostgreSQL and the Redis that the tests share."""

from __future__ import annotations

import itertools
import os
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from backend.catalogue.database import session
from backend.catalogue.embedded import EmbeddedPostgres
from backend.catalogue.migrations import migrate
from backend.catalogue.postgres import PostgresCatalogue
from tests.redis_server import RedisProcess, running_redis

_numbers = itertools.count(1)

for name in [name for name in os.environ if name.startswith("SONICA_")]:  # whoever runs the tests may have a catalogue
    del os.environ[name]


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """The URL of a server that lives as long as the tests."""
    with tempfile.TemporaryDirectory(prefix="sonica-test-") as folder:
        server = EmbeddedPostgres()
        yield server.start(Path(folder))
        server.stop()


@pytest.fixture(scope="session")
def _redis_process() -> Iterator[RedisProcess]:
    with running_redis() as server:
        yield server


@pytest.fixture
def redis_process(_redis_process: RedisProcess) -> RedisProcess:
    """An empty Redis that runs; whoever stops it starts one of their own."""
    with _redis_process.client() as client:
        client.flushall()
    return _redis_process


@pytest.fixture(scope="session")
async def _migrated_database(postgres_url: str) -> str:
    """The name of a migrated database that nobody uses: copying it is faster than migrating."""
    async with session(postgres_url) as connection:
        await connection.execute("create database migrated")
    await migrate(database_of(postgres_url, "migrated"))
    return "migrated"


@pytest.fixture
async def empty_database_url(postgres_url: str) -> AsyncIterator[str]:
    """The URL of a database without tables."""
    async for url in _new_database(postgres_url, "template1"):
        yield url


@pytest.fixture
async def database_url(postgres_url: str, _migrated_database: str) -> AsyncIterator[str]:
    """The URL of a migrated database without songs."""
    async for url in _new_database(postgres_url, _migrated_database):
        yield url


@pytest.fixture
async def postgres_catalogue(database_url: str) -> AsyncIterator[PostgresCatalogue]:
    """An empty catalogue in PostgreSQL."""
    catalogue = await PostgresCatalogue.connect(database_url, pool_max=4, timeout_seconds=10)
    yield catalogue
    await catalogue.close()


def database_of(url: str, name: str) -> str:
    """Return the URL of another database of the same server."""
    return url.replace("@/postgres?", f"@/{name}?")


async def _new_database(url: str, template: str) -> AsyncIterator[str]:
    name = f"test_{next(_numbers)}"
    async with session(url) as connection:
        await connection.execute(f"create database {name} template {template}")
    yield database_of(url, name)
    async with session(url) as connection:
        await connection.execute(f"drop database {name} with (force)")
