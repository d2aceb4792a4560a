"""Backups on a real server: what comes back is what was there, or nothing is changed."""

from __future__ import annotations

import asyncio
import os
import stat
import zipfile
from collections.abc import AsyncIterator, Callable, Coroutine
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from backend.catalogue.accounts import PostgresAccounts
from backend.catalogue.backup import back_up, check, restore
from backend.catalogue.backup_file import BackupWriter
from backend.catalogue.database import session
from backend.catalogue.history import PostgresHistory
from backend.catalogue.migrations import migrate_to, migrations
from backend.catalogue.postgres import PostgresCatalogue
from backend.errors import DamagedBackup, InvalidRequest, SchemaVersionMismatch
from backend.models import Heard, NewApiKey
from tests.conftest import database_of
from tests.factories import make_failure, make_new_song

LONG_AGO = datetime.now(UTC) - timedelta(days=70)
_TABLES = """
    select relname::text from pg_class
    where relnamespace = 'public'::regnamespace and relkind in ('r', 'p') and not relispartition
    and relname not in ('schema_migrations', 'catalogue_name')
"""
NewDatabase = Callable[[], Coroutine[Any, Any, str]]


async def rows(url: str) -> dict[str, list[str]]:
    """Return all rows of all tables."""
    async with session(url) as connection:
        names = [row["relname"] for row in await connection.fetch(_TABLES)]
        return {
            name: sorted(str(tuple(row)) for row in await connection.fetch(f"select * from {name}")) for name in names
        }


async def catalogue_name(url: str) -> str:
    async with session(url) as connection:
        return str(await connection.fetchval("select name from catalogue_name"))


@pytest.fixture
async def filled_url(database_url: str, postgres_catalogue: PostgresCatalogue) -> str:
    """A database with songs, one deleted, a failure, a user, a key, and history of months ago."""
    catalogue = postgres_catalogue
    for seed in (1, 2, 3):
        await catalogue.put(make_new_song(seed))
    await catalogue.delete(3)
    await catalogue.record_failure(make_failure())
    accounts = PostgresAccounts(catalogue.database)
    user = await accounts.add_user("Zoë", "premium")
    await accounts.set_preferences(user.id, {"history": True, "theme": "dark"})
    await accounts.add_key(user.id, NewApiKey("sk_a", bytes(32), "phone", frozenset({"recognize"}), None))
    async with session(database_url) as connection:
        await connection.execute("select make_history_partitions($1)", LONG_AGO)
    await PostgresHistory(catalogue.database).record([Heard(user.id, LONG_AGO, "ab" * 32, 1, 0.9, 1000)])
    return database_url


@pytest.fixture
async def new_database(postgres_url: str, request: pytest.FixtureRequest) -> AsyncIterator[NewDatabase]:
    """Makes databases without tables."""
    names: list[str] = []

    async def make() -> str:
        names.append(f"restored_{abs(hash(request.node.nodeid))}_{len(names)}")
        async with session(postgres_url) as connection:
            await connection.execute(f"create database {names[-1]}")
        return database_of(postgres_url, names[-1])

    yield make
    async with session(postgres_url) as connection:
        for name in names:
            await connection.execute(f"drop database {name} with (force)")


async def test_every_row_comes_back_when_a_backup_is_restored(
    filled_url: str, new_database: NewDatabase, tmp_path: Path
) -> None:
    backup = tmp_path / "backups/today.sonica"
    written = await back_up(filled_url, backup)
    url = await new_database()

    restored = await restore(url, backup)

    before, after = await rows(filled_url), await rows(url)
    assert after == before
    assert [len(before[name]) for name in ("songs", "fingerprints", "users", "recognition_history")] == [2, 2, 1, 1]
    assert restored == written == await check(backup)
    assert (restored.songs, restored.revision) == (2, 4)
    assert stat.S_IMODE(backup.stat().st_mode) == 0o600  # names and histories are in it
    assert [path.name for path in backup.parent.iterdir()] == ["today.sonica"]


async def test_numbers_go_on_where_they_were_when_a_restored_catalogue_grows(
    filled_url: str, new_database: NewDatabase, tmp_path: Path
) -> None:
    await back_up(filled_url, tmp_path / "backup")
    url = await new_database()
    await restore(url, tmp_path / "backup")
    catalogue = await PostgresCatalogue.connect(url, pool_max=1, timeout_seconds=10)

    stored = await catalogue.put(make_new_song(4))

    assert stored is not None
    assert (stored.song_id, await catalogue.revision()) == (4, 5)  # 3 was another song once
    assert await catalogue_name(url) != await catalogue_name(filled_url)  # an index of the lost one is not believed
    await catalogue.close()


async def test_backup_is_of_one_moment_when_songs_come_and_go_meanwhile(
    filled_url: str,
    postgres_catalogue: PostgresCatalogue,
    new_database: NewDatabase,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    before = await rows(filled_url)
    add, numbers = BackupWriter.add, iter(range(10, 100))

    async def add_while_others_write(self: BackupWriter, *arguments: Any) -> Any:
        await postgres_catalogue.put(make_new_song(next(numbers)))
        await postgres_catalogue.delete(1)
        return await add(self, *arguments)

    monkeypatch.setattr(BackupWriter, "add", add_while_others_write)
    await back_up(filled_url, tmp_path / "backup")
    url = await new_database()
    await restore(url, tmp_path / "backup")

    assert await rows(url) == before
    assert await rows(filled_url) != before


async def test_backup_of_an_earlier_schema_is_brought_up_to_date_when_it_is_restored(
    new_database: NewDatabase, tmp_path: Path
) -> None:
    old, new = await new_database(), await new_database()
    first = migrations()[0].name
    async with session(old) as connection:
        await migrate_to(connection, [first])
        await connection.execute("insert into ingest_failures (uri, code, detail) values ('a', 'b', 'c')")
    backup = await back_up(old, tmp_path / "backup")

    await restore(new, tmp_path / "backup")

    assert backup.migrations == (first,)
    assert set(await rows(new)) > set(await rows(old))
    assert (await rows(new))["ingest_failures"] == (await rows(old))["ingest_failures"]


async def test_file_is_refused_when_a_bit_of_it_flipped(filled_url: str, tmp_path: Path) -> None:
    path = tmp_path / "backup"
    whole = await back_up(filled_url, path)
    content = path.read_bytes()
    places, refused = range(0, len(content), 97), 0
    for place in places:
        path.write_bytes(content[:place] + bytes([content[place] ^ 0x10]) + content[place + 1 :])
        try:
            assert await check(path) == whole  # dates and other ornaments of the zip may change
        except DamagedBackup:
            refused += 1
    assert refused > len(places) / 2


async def test_nothing_is_changed_when_the_file_ends_early(
    filled_url: str, empty_database_url: str, tmp_path: Path
) -> None:
    path = tmp_path / "backup"
    await back_up(filled_url, path)
    content = path.read_bytes()
    for length in (0, len(content) // 2, len(content) - 1):
        path.write_bytes(content[:length])

        with pytest.raises(DamagedBackup):
            await restore(empty_database_url, path)
    assert await rows(empty_database_url) == {}


async def test_nothing_is_changed_when_rows_are_not_those_of_the_manifest(
    filled_url: str, empty_database_url: str, tmp_path: Path
) -> None:
    """The zip itself is whole: its own checksums are of the changed rows."""
    await back_up(filled_url, tmp_path / "backup")
    with zipfile.ZipFile(tmp_path / "backup") as old, zipfile.ZipFile(tmp_path / "changed", "w") as new:
        for name in old.namelist():
            new.writestr(name, old.read(name).replace(b"Title 2", b"Title 7"))

    with pytest.raises(DamagedBackup, match="songs"):
        await restore(empty_database_url, tmp_path / "changed")
    assert await rows(empty_database_url) == {}


async def test_catalogue_that_is_not_empty_is_left_alone(filled_url: str, tmp_path: Path) -> None:
    await back_up(filled_url, tmp_path / "backup")
    before = await rows(filled_url)

    with pytest.raises(InvalidRequest, match="empty database"):
        await restore(filled_url, tmp_path / "backup")
    assert await rows(filled_url) == before


async def test_backup_of_a_newer_program_is_refused(database_url: str, empty_database_url: str, tmp_path: Path) -> None:
    async with session(database_url) as connection:
        await connection.execute("insert into schema_migrations (name) values ('9999_future')")
    await back_up(database_url, tmp_path / "backup")

    with pytest.raises(SchemaVersionMismatch, match=r"9999_future.*newer"):
        await restore(empty_database_url, tmp_path / "backup")
    assert await rows(empty_database_url) == {}


async def test_no_backup_is_replaced_or_left_half_written(filled_url: str, tmp_path: Path) -> None:
    (tmp_path / "old").write_text("precious")
    with pytest.raises(InvalidRequest, match="already"):
        await back_up(filled_url, tmp_path / "old")

    task = asyncio.create_task(back_up(filled_url, tmp_path / "new"))
    await asyncio.sleep(0.01)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)

    assert (tmp_path / "old").read_text() == "precious"
    assert set(os.listdir(tmp_path)) <= {"old", "new"}  # noqa: PTH208  # ASYNC240 would have no Path
