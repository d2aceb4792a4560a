"""Brings a database's schema to the one that this program needs: schemas/sql/migrations, one by one."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from importlib import resources

from backend.catalogue.database import Connection, session
from backend.errors import SchemaVersionMismatch

_TURN = "select pg_advisory_lock(hashtextextended('sonica schema_migrations', 0))"
_LOCK_SECONDS_MAX = 10  # a change that waits for a table's lock has all readers of the table wait behind it


@dataclass(frozen=True, slots=True)
class Migration:
    """A step of the schema; names sort in the order of application.

    Most expand: what they make, the program before does without. One that takes away what the program before uses has
    `contract` in its name (docs/migrations.md).
    """

    name: str
    sql: str


def migrations() -> list[Migration]:
    """Return all migrations of this program in order."""
    folder = resources.files("schemas") / "sql" / "migrations"
    files = [file for file in folder.iterdir() if file.name.endswith(".sql")]
    found = [Migration(file.name.removesuffix(".sql"), file.read_text(encoding="utf-8")) for file in files]
    return sorted(found, key=lambda migration: migration.name)


async def pending(url: str) -> list[str]:
    """Return the names of the migrations that this program needs and the database lacks.

    What a newer program has expanded is no hindrance. Raises SchemaVersionMismatch where a newer one has contracted,
    CatalogueUnavailable.
    """
    async with session(url) as connection:
        return await _lacking(connection)


async def check_schema(connection: Connection) -> None:
    """Raise SchemaVersionMismatch unless this program can use the database as it is."""
    if lacking := await _lacking(connection):
        raise SchemaVersionMismatch(f"the database lacks {', '.join(lacking)}: run `sonica migrate`")


async def migrate(url: str) -> list[str]:
    """Apply what the database lacks, each migration in a transaction of its own; return the names.

    Processes that come at the same time wait for the first. Raises as `pending` does.
    """
    known = migrations()
    async with session(url) as connection:
        await connection.execute(_TURN)  # of the session: held over all transactions, until the connection closes
        there = await applied(connection)
        if unknown := there - {migration.name for migration in known}:
            raise SchemaVersionMismatch(
                f"the database has {', '.join(sorted(unknown))}, which this program does not know: "
                "it was made by a newer Sonica; install that one"
            )
        missing = [migration for migration in known if migration.name not in there]
        for migration in missing:
            await _apply(connection, migration)
        return [migration.name for migration in missing]


async def migrate_to(connection: Connection, names: Collection[str]) -> None:
    """Bring an empty database to just these migrations, in the caller's transaction; raises SchemaVersionMismatch."""
    known = {migration.name: migration for migration in migrations()}
    await connection.execute(_TURN)
    there = await applied(connection)
    if unknown := sorted(set(names) - known.keys()):
        raise SchemaVersionMismatch(f"{', '.join(unknown)} is of a newer Sonica: install that one")
    if beyond := sorted(there - set(names)):
        raise SchemaVersionMismatch(
            f"the database has {', '.join(beyond)} already, before which the backup was made: it is restored into a "
            "database without tables, and brought up to date there"
        )
    for name in sorted(set(names) - there):
        await _apply(connection, known[name])


async def applied(connection: Connection) -> set[str]:
    """Return the names of the migrations that the database has."""
    if await connection.fetchval("select to_regclass('schema_migrations')") is None:
        return set()
    return {row["name"] for row in await connection.fetch("select name from schema_migrations")}


async def _lacking(connection: Connection) -> list[str]:
    known = [migration.name for migration in migrations()]
    there = await applied(connection)
    if gone := [name for name in sorted(there - set(known)) if "contract" in name]:
        raise SchemaVersionMismatch(f"the database has {', '.join(gone)}, after which this program cannot use it")
    return [name for name in known if name not in there]


async def _apply(connection: Connection, migration: Migration) -> None:
    async with connection.transaction():
        await connection.execute(f"set local lock_timeout = '{_LOCK_SECONDS_MAX}s'")
        await connection.execute(
            "create table if not exists schema_migrations "
            "(name text primary key, applied_at timestamptz not null default now())"
        )
        await connection.execute(migration.sql)
        await connection.execute("insert into schema_migrations (name) values ($1)", migration.name)
