"""Backs a catalogue up, accounts included, and restores it: rows by COPY, from one snapshot, in one transaction."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from graphlib import TopologicalSorter
from pathlib import Path

from backend.catalogue.backup_file import FORMAT, BackupReader, BackupWriter, Manifest, Table, new_backup, open_backup
from backend.catalogue.database import Connection, session
from backend.catalogue.migrations import applied, migrate, migrate_to
from backend.catalogue.queries import QUERIES
from backend.errors import InvalidRequest

# A restored catalogue has a name of its own: an index of the lost one, newer than the backup, must not be believed.
_MADE_ANEW = {"schema_migrations", "catalogue_name"}
_TABLES = """
    select c.oid::bigint, c.relname::text as name,
           array(select a.attname::text from pg_attribute a
                 where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped and a.attgenerated = ''
                 order by a.attnum) as columns,
           array(select k.confrelid::bigint from pg_constraint k where k.conrelid = c.oid and k.contype = 'f') as needs
    from pg_class c
    where c.relnamespace = current_schema()::regnamespace and c.relkind in ('r', 'p') and not c.relispartition
    order by c.relname
"""
_SEQUENCES = "select sequencename::text, last_value from pg_sequences where schemaname = current_schema()"
_HISTORY = "select relname::text from pg_class where relispartition and relname like 'recognition\\_history\\_%'"
_HISTORY_MONTH = re.compile(r"recognition_history_(\d{4})_(\d{2})")


async def back_up(url: str, path: Path) -> Manifest:
    """Write all that the database holds now into a new file; others go on reading and writing meanwhile.

    Raises InvalidRequest where there is a file already, CatalogueUnavailable, StorageUnavailable.
    """
    with new_backup(path) as writer:
        async with session(url) as connection, connection.transaction(isolation="repeatable_read", readonly=True):
            manifest = await _write(connection, writer)
        writer.seal(manifest)
    return manifest


async def check(path: Path) -> Manifest:
    """Read a backup through; raises DamagedBackup."""
    with open_backup(path) as reader:
        await reader.check()
        return reader.manifest


async def restore(url: str, path: Path) -> Manifest:
    """Fill an empty database from a backup, with the same ids and revisions, and bring it to the present schema.

    It is one transaction: what fails, a file that is damaged above all, leaves the database as it was.
    Raises DamagedBackup, InvalidRequest for a database that is not empty, SchemaVersionMismatch, CatalogueUnavailable.
    """
    with open_backup(path) as reader:
        async with session(url) as connection, connection.transaction():
            await _read(connection, reader)
    await migrate(url)
    return reader.manifest


async def _write(connection: Connection, writer: BackupWriter) -> Manifest:
    names = await applied(connection)
    found = {row["oid"]: row for row in await connection.fetch(_TABLES) if row["name"] not in _MADE_ANEW}
    needs = {oid: [needed for needed in row["needs"] if needed != oid] for oid, row in found.items()}
    ordered = [found[oid] for oid in TopologicalSorter(needs).static_order()]
    tables = [
        await writer.add(row["name"], tuple(row["columns"]), _rows_of(connection, row["name"], row["columns"]))
        for row in ordered
    ]
    partitions = [_HISTORY_MONTH.fullmatch(row["relname"]) for row in await connection.fetch(_HISTORY)]
    return Manifest(
        format=FORMAT,
        made_at=datetime.now(UTC).isoformat(timespec="seconds"),
        catalogue=await connection.fetchval(QUERIES["catalogue_name"]),
        revision=await connection.fetchval(QUERIES["revision"]),
        migrations=tuple(sorted(names)),
        # Read last: a number that was given meanwhile is passed over, none is given twice.
        sequences={name: last for name, last in await connection.fetch(_SEQUENCES) if last is not None},
        history_months=tuple(sorted(f"{month[1]}-{month[2]}" for month in partitions if month)),
        tables=tuple(tables),
    )


def _rows_of(
    connection: Connection, name: str, columns: list[str]
) -> Callable[[Callable[[bytes], Awaitable[None]]], Awaitable[int]]:
    listed = ", ".join(f'"{column}"' for column in columns)

    async def copy(write: Callable[[bytes], Awaitable[None]]) -> int:
        done = await connection.copy_from_query(f'select {listed} from "{name}"', output=write, format="binary")  # noqa: S608  # names of our own schema
        return int(done.split()[-1])

    return copy


async def _read(connection: Connection, reader: BackupReader) -> None:
    manifest = reader.manifest
    await migrate_to(connection, manifest.migrations)
    await connection.execute(QUERIES["take_turn"])
    await _check_empty(connection, manifest.tables)
    for month in manifest.history_months:
        first = datetime.fromisoformat(f"{month}-01T00:00:00Z")
        await connection.execute("select make_history_partitions($1)", first)
    for table in manifest.tables:
        await connection.copy_to_table(
            table.name, source=reader.rows(table), columns=list(table.columns), format="binary"
        )
    for name, last in manifest.sequences.items():
        await connection.execute("select setval($1::text::regclass, $2)", name, last)


async def _check_empty(connection: Connection, tables: tuple[Table, ...]) -> None:
    known = {row["name"] for row in await connection.fetch(_TABLES)}
    for table in tables:
        if table.name not in known:
            raise InvalidRequest(f"the backup has a table {table.name}, which its schema has not")
        if await connection.fetchval(f'select exists (select from "{table.name}")'):  # noqa: S608  # known by now
            raise InvalidRequest(
                f"there are rows in {table.name}: a backup is restored into an empty database, another one or a new "
                "data folder"
            )
