"""Brings a database's schema to the one that this program needs: schemas/sql/migrations, one by one."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import resources

from backend.catalogue.database import Connection, session
from backend.errors import SchemaVersionMismatch


@dataclass(frozen=True, slots=True)
class Migration:
    """A step of the schema; names sort in the order of application."""

    name: str
    sql: str


def migrations() -> list[Migration]:
    """Return all migrations of this program in order."""
    folder = resources.files("schemas") / "sql" / "migrations"
    files = [file for file in folder.iterdir() if file.name.endswith(".sql")]
    found = [Migration(file.name.removesuffix(".sql"), file.read_text(encoding="utf-8")) for file in files]
    return sorted(found, key=lambda migration: migration.name)


async def pending(url: str) -> list[str]:
    """Return the names of the migrations that the database lacks.

    Raises SchemaVersionMismatch for a database of a newer program, CatalogueUnavailable.
    """
    known = migrations()
    async with session(url) as connection:
        return [migration.name for migration in await _missing(connection, known)]


async def migrate(url: str) -> list[str]:
    """Apply what the database lacks, each migration in a transaction of its own; return the names.

    Processes that come at the same time wait for the first. Raises as `pending` does.
    """
    known = migrations()
    async with session(url) as connection:
        # Of the session: held over all transactions, and given back when the connection closes.
        await connection.execute("select pg_advisory_lock(hashtextextended('sonica schema_migrations', 0))")
        missing = await _missing(connection, known)
        for migration in missing:
            await _apply(connection, migration)
        return [migration.name for migration in missing]


async def _missing(connection: Connection, known: list[Migration]) -> list[Migration]:
    applied: set[str] = set()
    if await connection.fetchval("select to_regclass('schema_migrations')") is not None:
        applied = {row["name"] for row in await connection.fetch("select name from schema_migrations")}
    if unknown := applied - {migration.name for migration in known}:
        raise SchemaVersionMismatch(
            f"the database has {', '.join(sorted(unknown))}, which this program does not know: "
            "it was made by a newer Sonica; install that one"
        )
    return [migration for migration in known if migration.name not in applied]


async def _apply(connection: Connection, migration: Migration) -> None:
    async with connection.transaction():
        await connection.execute(
            "create table if not exists schema_migrations "
            "(name text primary key, applied_at timestamptz not null default now())"
        )
        await connection.execute(migration.sql)
        await connection.execute("insert into schema_migrations (name) values ($1)", migration.name)
