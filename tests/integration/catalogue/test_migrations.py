"""Migrations on a real server: they add up to schema.sql, wait for each other, refuse a newer database."""

from __future__ import annotations

import asyncio
from importlib import resources

import pytest

from backend.catalogue.database import session
from backend.catalogue.migrations import migrate, migrations, pending
from backend.catalogue.postgres import PostgresCatalogue
from backend.errors import CatalogueUnavailable, SchemaVersionMismatch

_SHAPE = {
    "tables": """
        select c.relname, c.relkind, c.relpersistence, pg_get_partkeydef(c.oid),
               pg_get_expr(c.relpartbound, c.oid), i.inhparent::regclass::text
        from pg_class c left join pg_inherits i on i.inhrelid = c.oid and c.relkind in ('r', 'p')
        where c.relnamespace = 'public'::regnamespace
    """,
    "columns": """
        select c.relname, a.attnum, a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull,
               a.attidentity, a.attstorage, a.attgenerated, pg_get_expr(d.adbin, d.adrelid)
        from pg_attribute a
        join pg_class c on c.oid = a.attrelid
        left join pg_attrdef d on d.adrelid = a.attrelid and d.adnum = a.attnum
        where c.relnamespace = 'public'::regnamespace and a.attnum > 0 and not a.attisdropped
    """,
    "indexes": "select tablename, indexname, indexdef from pg_indexes where schemaname = 'public'",
    "constraints": """
        select conrelid::regclass::text, conname, contype, pg_get_constraintdef(oid)
        from pg_constraint where connamespace = 'public'::regnamespace
    """,
    "sequences": """
        select s.seqrelid::regclass::text, s.seqtypid::regtype::text, s.seqstart, s.seqincrement,
               d.refobjid::regclass::text, d.refobjsubid, d.deptype
        from pg_sequence s left join pg_depend d
            on d.objid = s.seqrelid and d.classid = 'pg_class'::regclass and d.deptype in ('a', 'i')
    """,
    "functions": "select proname, prosrc from pg_proc where pronamespace = 'public'::regnamespace",
    "triggers": "select pg_get_triggerdef(oid) from pg_trigger where not tgisinternal",
}


async def shape(url: str) -> dict[str, list[str]]:
    """Return what there is in a database, in words that can be compared."""
    async with session(url) as connection:
        return {kind: sorted(str(tuple(row)) for row in await connection.fetch(_SHAPE[kind])) for kind in _SHAPE}


async def test_migrations_make_the_schema_when_applied_in_order(empty_database_url: str, database_url: str) -> None:
    schema = (resources.files("schemas") / "sql" / "schema.sql").read_text(encoding="utf-8")
    async with session(empty_database_url) as connection:
        await connection.execute(schema)

    described, made = await shape(empty_database_url), await shape(database_url)

    assert made == described
    assert sum("'songs'" in table for table in made["tables"]) > 8  # the comparison does see the partitions


async def test_all_migrations_are_pending_when_the_database_is_empty(empty_database_url: str) -> None:
    names = [migration.name for migration in migrations()]

    assert await pending(empty_database_url) == names
    assert await migrate(empty_database_url) == names
    assert await pending(empty_database_url) == []
    assert await migrate(empty_database_url) == []


async def test_each_migration_is_applied_once_when_processes_come_at_the_same_time(
    empty_database_url: str,
) -> None:
    applied = await asyncio.gather(*(migrate(empty_database_url) for _ in range(5)))

    assert [name for names in applied for name in names] == [migration.name for migration in migrations()]


async def test_a_newer_database_is_refused_when_it_has_an_unknown_migration(database_url: str) -> None:
    async with session(database_url) as connection:
        await connection.execute("insert into schema_migrations (name) values ('9999_future')")

    with pytest.raises(SchemaVersionMismatch, match=r"9999_future.*newer"):
        await migrate(database_url)


async def test_the_command_that_mends_is_named_when_the_database_was_not_migrated(
    empty_database_url: str,
) -> None:
    with pytest.raises(SchemaVersionMismatch, match=r"lacks 0001_catalogue, .*: run `sonica migrate`"):
        await PostgresCatalogue.connect(empty_database_url, pool_max=1, timeout_seconds=5)


async def test_migrate_says_so_when_there_is_no_server() -> None:
    with pytest.raises(CatalogueUnavailable, match="does not answer"):
        await migrate("postgresql://postgres@127.0.0.1:1/postgres")
