"""What only a real server shows: lost connections, limits of time, undone transactions, plans."""

from __future__ import annotations

import asyncio
from contextlib import suppress

import pytest

from backend.catalogue.database import Database, session
from backend.catalogue.postgres import PostgresCatalogue
from backend.catalogue.queries import QUERIES
from backend.errors import CatalogueUnavailable, IndexVersionMismatch
from tests.factories import make_fingerprint, make_new_song

_DISCONNECT = (
    "select pg_terminate_backend(pid) from pg_stat_activity "
    "where datname = current_database() and pid <> pg_backend_pid()"
)


async def counts(url: str) -> list[int]:
    """Return how many songs each table knows."""
    async with session(url) as connection:
        tables = ("song_identities", "songs", "fingerprints", "catalogue_changes")
        return [await connection.fetchval(f"select count(*) from {table}") for table in tables]


async def test_the_next_call_gets_a_fresh_connection_when_the_server_has_closed_all(
    postgres_catalogue: PostgresCatalogue, database_url: str
) -> None:
    stored = await postgres_catalogue.put(make_new_song(1))
    async with session(database_url) as connection:
        await connection.execute(_DISCONNECT)

    with suppress(CatalogueUnavailable):  # the loss may come to light only at this use
        await postgres_catalogue.revision()

    assert set(await postgres_catalogue.songs([stored.song_id])) == {stored.song_id}


async def test_a_song_is_there_wholly_or_not_at_all_when_the_connection_breaks_inside_put(
    postgres_catalogue: PostgresCatalogue, database_url: str
) -> None:
    async with session(database_url) as connection:
        await connection.execute(
            "create function break_off() returns trigger language plpgsql as "
            "'begin perform pg_terminate_backend(pg_backend_pid()); return null; end';"
            "create trigger break_off after insert on catalogue_changes "
            "for each row execute function break_off()"
        )
        with pytest.raises(CatalogueUnavailable):
            await postgres_catalogue.put(make_new_song(1))
        await connection.execute("drop trigger break_off on catalogue_changes")

    assert await counts(database_url) == [0, 0, 0, 0]
    assert (await postgres_catalogue.put(make_new_song(1))).outcome == "added"


async def test_put_gives_up_when_another_writer_keeps_its_turn(database_url: str) -> None:
    catalogue = await PostgresCatalogue.connect(database_url, pool_max=1, timeout_seconds=1)
    async with session(database_url) as connection, connection.transaction():
        await connection.execute(QUERIES["take_turn"])

        with pytest.raises(CatalogueUnavailable, match="SONICA_DATABASE_TIMEOUT_SECONDS"):
            await catalogue.put(make_new_song(1))

    assert (await catalogue.put(make_new_song(1))).outcome == "added"
    await catalogue.close()


async def test_the_turn_passes_on_when_its_writer_hangs(database_url: str) -> None:
    hanging = await Database.connect(database_url, pool_max=1, timeout_seconds=1)
    catalogue = await PostgresCatalogue.connect(database_url, pool_max=1, timeout_seconds=10)

    with pytest.raises(CatalogueUnavailable):
        async with hanging.transaction() as connection:
            await connection.execute(QUERIES["take_turn"])
            await catalogue.put(make_new_song(1))  # waits until the server has broken off the other
            await connection.execute(QUERIES["log_change"], 1)

    assert await counts(database_url) == [1, 1, 1, 1]
    await catalogue.close()
    await hanging.close()


async def test_no_change_is_missed_when_reading_while_many_write(
    postgres_catalogue: PostgresCatalogue,
) -> None:
    writing = asyncio.gather(*(postgres_catalogue.put(make_new_song(seed)) for seed in range(60)))
    seen: dict[int, int] = {}
    while len(seen) < 60:
        async for change in postgres_catalogue.changes(after_revision=max(seen.values(), default=0)):
            seen[change.song_id] = change.revision

    assert {stored.song_id for stored in await writing} == set(seen)


async def test_changes_name_the_mending_command_when_a_fingerprint_is_of_another_version(
    postgres_catalogue: PostgresCatalogue,
) -> None:
    await postgres_catalogue.put(make_new_song(1, fingerprint=make_fingerprint(1, version=9)))

    with pytest.raises(IndexVersionMismatch, match="sonica ingest --reingest PATH"):
        async for _ in postgres_catalogue.changes(after_revision=0):
            pass


async def test_a_call_waits_for_a_connection_no_longer_than_a_statement_when_all_are_in_use(
    database_url: str,
) -> None:
    database = await Database.connect(database_url, pool_max=1, timeout_seconds=1)

    async with database.connection():
        with pytest.raises(CatalogueUnavailable):
            async with database.connection():
                pass
    await database.close()


@pytest.mark.parametrize("number", range(3, 9))
async def test_a_listing_uses_an_index_when_filtered(database_url: str, number: int) -> None:
    values = [None] * 6
    values[number - 3] = "'wanted'"
    query = QUERIES["page"].replace("$1", "0").replace("$2", "20")
    for position, value in enumerate(values, start=3):
        query = query.replace(f"${position}", value or "null")
    async with session(database_url) as connection:
        await connection.execute(
            "insert into song_identities (external_id, content_sha256, sound_sha256) "
            "select n, sha256(n::text::bytea), sha256(n::text::bytea) from generate_series(1, 8000) n;"
            "insert into songs (id, external_id, title, artist, album, isrc, language, genre, duration_ms,"
            "                   content_sha256, sound_sha256, fingerprint_version) "
            "select song_id, song_id, song_id, song_id % 400, song_id % 800, song_id, song_id % 400,"
            "       song_id % 400, 1, content_sha256, sound_sha256, 1 from song_identities;"
            "analyze"
        )
        plan = "\n".join(row[0] for row in await connection.fetch(f"explain {query}"))

    assert "Seq Scan" not in plan
