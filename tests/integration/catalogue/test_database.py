"""What is done about a database that fails: asked again where that is safe, waited for no longer than there is time."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import asyncpg
import pytest

from backend.breaker import Breaker
from backend.catalogue.database import Database
from backend.deadline import within
from backend.errors import CatalogueUnavailable
from tests.postgres_server import PostgresProcess, running_postgres

BREAKS_OFF_ONCE = (
    "select case when nextval('calls') = 1 then pg_terminate_backend(pg_backend_pid())::text else 'answered' end"
)


class Clock:
    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def database(empty_database_url: str, clock: Clock) -> AsyncIterator[Database]:
    breaker = Breaker(failures_max=3, retry_seconds=5.0, timer=clock)
    database = await Database.connect(empty_database_url, pool_max=2, timeout_seconds=20, breaker=breaker)
    async with database.connection() as connection:
        await connection.execute("create sequence calls")
    yield database
    await database.close()


@pytest.fixture(scope="module")
def own_postgres() -> Iterator[PostgresProcess]:
    with running_postgres() as server:
        yield server


async def calls(database: Database) -> int:
    ((count,),) = await database.fetch("select last_value from calls where is_called")
    return int(count)


async def test_read_is_sent_again_when_its_connection_is_lost(database: Database) -> None:
    ((answer,),) = await database.fetch(BREAKS_OFF_ONCE)

    assert (answer, await calls(database)) == ("answered", 2)


async def test_write_is_sent_once_when_its_connection_is_lost(database: Database) -> None:
    with pytest.raises(CatalogueUnavailable):
        async with database.connection() as connection:
            await connection.execute(BREAKS_OFF_ONCE)

    assert await calls(database) == 1


async def test_read_is_given_up_when_the_time_of_its_request_is_over(database: Database) -> None:
    with pytest.raises(CatalogueUnavailable) as raised, within(0.1):
        await database.fetch("select nextval('calls'), pg_sleep(15)")

    assert isinstance(raised.value.__cause__, TimeoutError)  # by us, not by the server's own limit
    assert await calls(database) == 1  # what took too long is not sent again
    assert [tuple(row) for row in await database.fetch("select 1")] == [(1,)]


async def test_nothing_is_sent_when_no_time_is_left(database: Database) -> None:
    with pytest.raises(CatalogueUnavailable), within(0):
        await database.fetch("select nextval('calls')")

    assert await database.fetch("select last_value from calls where is_called") == []


async def test_database_is_not_left_alone_when_it_refuses_statements(database: Database) -> None:
    for _ in range(5):
        with pytest.raises(asyncpg.DivisionByZeroError):
            await database.fetch("select 1 / 0")

    assert not database.left_alone


async def test_database_is_left_alone_when_it_was_killed_and_used_again_when_it_is_back(
    own_postgres: PostgresProcess, clock: Clock
) -> None:
    breaker = Breaker(failures_max=3, retry_seconds=5.0, timer=clock)
    database = await Database.connect(own_postgres.url, pool_max=2, timeout_seconds=20, breaker=breaker)
    try:
        own_postgres.kill()
        for _ in range(3):
            assert not database.left_alone
            with pytest.raises(CatalogueUnavailable, match="does not answer"):
                await database.fetch("select 1")
        assert database.left_alone
        own_postgres.start()
        with pytest.raises(CatalogueUnavailable, match="left alone"):
            await database.fetch("select 1")
        clock.seconds = 5.0

        assert len(await database.fetch("select 1")) == 1
        assert not database.left_alone
    finally:
        await database.close()


async def test_database_is_left_alone_when_it_holds_connections_and_answers_nothing(
    own_postgres: PostgresProcess, clock: Clock
) -> None:
    own_postgres.start()
    breaker = Breaker(failures_max=3, retry_seconds=5.0, timer=clock)
    database = await Database.connect(own_postgres.url, pool_max=2, timeout_seconds=20, breaker=breaker)
    try:
        own_postgres.pause()
        for _ in range(3):
            with pytest.raises(CatalogueUnavailable), within(0.1):
                await database.fetch("select 1")
        assert database.left_alone
        own_postgres.resume()
        clock.seconds = 5.0

        assert len(await database.fetch("select 1")) == 1
    finally:
        own_postgres.resume()
        await database.close()
