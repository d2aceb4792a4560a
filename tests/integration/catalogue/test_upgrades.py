"""Databases of every released schema, with rows in them: they come up to date, and the program before goes on."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from sonica_fingerprint import FINGERPRINT_VERSION, encode

from backend.catalogue import migrations as module
from backend.catalogue.database import Connection, session
from backend.catalogue.migrations import Migration, migrate, migrate_to, migrations, pending
from backend.catalogue.postgres import PostgresCatalogue
from backend.catalogue.queries import parse
from backend.errors import CatalogueUnavailable, SchemaVersionMismatch
from tests.factories import make_fingerprint
from tests.integration.catalogue.test_migrations import shape

NAMES = [migration.name for migration in migrations()]
RELEASED = sorted(path for path in (Path(__file__).parents[2] / "data" / "released_statements").iterdir())
BODIES = {seed: encode(make_fingerprint(seed)) for seed in (1, 2, 3, 4)}


def statements(release: Path) -> dict[str, str]:
    """Return what the program of a release asks of the database, by name."""
    return {name: sql for file in release.glob("*.sql") for name, sql in parse(file.read_text()).items()}


def still_served(release: str) -> list[str]:
    """Return the migrations under which the program of a release goes on."""
    later = [name for name in NAMES if name > release]
    ends = next((later.index(name) for name in later if "contract" in name), len(later))
    return [name for name in NAMES if name <= release] + later[:ends]


async def bring_to(url: str, names: list[str]) -> None:
    async with session(url) as connection, connection.transaction():
        await migrate_to(connection, names)


async def add_song(connection: Connection, released: Mapping[str, str], seed: int) -> int:
    """Add a song as the program of a release does."""
    hashes = bytes([seed]) * 32, bytes([seed + 100]) * 32
    details = (f"Title {seed}", "Artist", None, None, "hi", None, None, seed / 10, None)
    async with connection.transaction():
        await connection.execute(released["take_turn"])
        song_id = await connection.fetchval(
            released["add_song"], f"song-{seed}", *hashes, FINGERPRINT_VERSION, 8000, *details
        )
        await connection.execute(released["put_fingerprint"], song_id, FINGERPRINT_VERSION, BODIES[seed])
        await connection.execute(released["log_change"], song_id)
    return int(song_id)


async def fill(connection: Connection, released: Mapping[str, str]) -> None:
    """Write what the program of a release writes: songs, one of them deleted again, and accounts if it has them."""
    for seed in (1, 2, 3):
        await add_song(connection, released, seed)
    await connection.execute(released["delete_song"], 2)
    await connection.execute(released["log_change"], 2)
    await connection.execute(released["record_failure"], "a.wav", "unreadable_file", "gone", None, None, NOW)
    if "add_user" in released:
        user = await connection.fetchrow(released["add_user"], "someone", "premium")
        await connection.execute(released["add_key"], user["id"], "sk_a", bytes(32), "", ["recognize"], None)
        await connection.execute(released["record"], [user["id"]], [NOW], [bytes(32)], [1], [0.9], [100])


async def read(connection: Connection, released: Mapping[str, str]) -> dict[str, list[dict[str, Any]]]:
    """Return all that the program of a release reads."""
    asked: dict[str, tuple[object, ...]] = {
        "songs": ([1, 2, 3],),
        "page": (0, 10, *[None] * 6),
        "changes": (0, 10),
        "revision": (),
        "failures": (),
        "songs_sharing": ("song-1", bytes(32), bytes(32)),
        "content_known": ([bytes([1]) * 32],),
        "popular": (10, None, None),
        "users": (0, 10),
        "key": ("sk_a",),
        "history": (1, None, None, 10),
    }
    return {
        name: [dict(row) for row in await connection.fetch(released[name], *values)]
        for name, values in asked.items()
        if name in released
    }


def of_old_columns(rows: list[dict[str, Any]], before: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Leave out the columns that came later."""
    return [{name: row[name] for name in old} for row, old in zip(rows, before, strict=True)]


@pytest.fixture(scope="session", autouse=True)
async def _now(postgres_url: str) -> None:
    global NOW  # noqa: PLW0603  # of the server: its history has partitions about it
    async with session(postgres_url) as connection:
        NOW = await connection.fetchval("select now()")


@pytest.mark.parametrize("release", RELEASED, ids=lambda path: path.name)
async def test_rows_are_in_place_and_the_program_before_goes_on_when_the_schema_is_expanded(
    empty_database_url: str, release: Path
) -> None:
    released = statements(release)
    await bring_to(empty_database_url, [name for name in NAMES if name <= release.name])
    async with session(empty_database_url) as before:
        await fill(before, released)
        had = await read(before, released)

        await bring_to(empty_database_url, still_served(release.name))

        has = await read(before, released)  # the connection was open all the while, its statements prepared
        for sql in released.values():
            await before.prepare(sql)
        added = await add_song(before, released, 4)

    assert len(had["page"]) == 2
    assert {name: of_old_columns(has[name], rows) for name, rows in had.items()} == had
    assert added == 4


@pytest.mark.parametrize("count", range(1, len(NAMES) + 1), ids=lambda count: NAMES[count - 1])
async def test_songs_are_read_by_this_program_when_their_database_was_of_an_earlier_one(
    empty_database_url: str, database_url: str, count: int
) -> None:
    released = statements(RELEASED[0] if NAMES[count - 1] < RELEASED[1].name else RELEASED[1])
    await bring_to(empty_database_url, NAMES[:count])
    async with session(empty_database_url) as connection:
        await fill(connection, released)

    applied = await migrate(empty_database_url)

    catalogue = await PostgresCatalogue.connect(empty_database_url, pool_max=1, timeout_seconds=10)
    songs = await catalogue.page(after_id=0, limit=10, filters={})
    changes = [change async for change in catalogue.changes(after_revision=0)]
    await catalogue.close()
    assert applied == NAMES[count:]
    assert [song.details.external_id for song in songs] == ["song-1", "song-3"]
    assert [(change.song_id, change.fingerprint is None) for change in changes] == [(1, False), (3, False), (2, True)]
    assert await shape(empty_database_url) == await shape(database_url)


async def test_schema_is_as_it_was_when_a_migration_fails(
    empty_database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    await migrate(empty_database_url)
    before = await shape(empty_database_url)
    good = Migration("8998_good", "create table good (id bigint primary key)")
    broken = Migration("8999_broken", "alter table songs add column mood text; select 1 / (select count(*) from users)")
    monkeypatch.setattr(module, "migrations", lambda: [*migrations(), good, broken])

    with pytest.raises(Exception, match="division by zero"):
        await migrate(empty_database_url)

    after = await shape(empty_database_url)
    assert after["columns"] != before["columns"]  # the good one's
    assert not [column for column in after["columns"] if "mood" in column]
    assert await pending(empty_database_url) == ["8999_broken"]


async def test_readers_are_not_held_up_when_a_migration_waits_for_a_lock(
    empty_database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    await migrate(empty_database_url)
    slow = Migration("8999_column", "alter table songs add column mood text")
    monkeypatch.setattr(module, "migrations", lambda: [*migrations(), slow])
    monkeypatch.setattr(module, "_LOCK_SECONDS_MAX", 1)
    async with session(empty_database_url) as reader, reader.transaction():
        await reader.fetchval("select count(*) from songs")

        with pytest.raises(CatalogueUnavailable, match="lock"):
            await migrate(empty_database_url)

    assert await migrate(empty_database_url) == ["8999_column"]


async def test_migrations_that_run_at_once_take_turns_when_rows_are_written_meanwhile(empty_database_url: str) -> None:
    released = statements(RELEASED[0])
    await bring_to(empty_database_url, [RELEASED[0].name])

    async def write() -> None:
        async with session(empty_database_url) as connection:
            await fill(connection, released)

    *applied, _ = await asyncio.gather(*(migrate(empty_database_url) for _ in range(3)), write())

    assert sorted(name for names in applied for name in names) == [name for name in NAMES if name > RELEASED[0].name]
    async with session(empty_database_url) as connection:
        assert await connection.fetchval("select count(*) from songs") == 2


async def test_program_before_serves_a_newer_database_until_it_contracts(
    empty_database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    newer = [*migrations(), Migration("8998_mood", "alter table songs add column mood text")]
    monkeypatch.setattr(module, "migrations", lambda: newer)
    await migrate(empty_database_url)
    monkeypatch.undo()

    assert await pending(empty_database_url) == []

    newer.append(Migration("8999_contract_artist", "alter table songs drop column artist"))
    monkeypatch.setattr(module, "migrations", lambda: newer)
    await migrate(empty_database_url)
    monkeypatch.undo()
    with pytest.raises(SchemaVersionMismatch, match="8999_contract_artist"):
        await pending(empty_database_url)


@pytest.mark.parametrize("migration", migrations(), ids=lambda migration: migration.name)
def test_what_the_program_before_uses_is_taken_away_by_contractions_alone(migration: Migration) -> None:
    taken_away = ("drop table", "drop column", "rename", "set not null", "alter type", " type ", "drop function")
    lines = [line.partition("--")[0].lower() for line in migration.sql.splitlines()]

    assert "contract" in migration.name or not [
        line for line in lines if "alter table" in line and any(word in line for word in taken_away)
    ]
