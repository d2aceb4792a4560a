"""What users recognised, in PostgreSQL, a partition a month."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import astuple
from datetime import datetime

import structlog

from backend.catalogue.database import Database, Record
from backend.catalogue.queries import ACCOUNT_QUERIES as QUERIES
from backend.models import Heard, HeardSong

_log = structlog.stdlib.get_logger("sonica.history")


class PostgresHistory:
    """Implements AccountLog, and reads and clears a user's history.

    Every method raises CatalogueUnavailable when the database does not answer in time, SchemaVersionMismatch
    when it lacks a migration.
    """

    def __init__(self, database: Database, *, months: int = 24) -> None:
        """months: whole ones that are kept besides the present one."""
        self._database = database
        self._months = months

    async def turn_pages(self) -> None:
        """Make the partitions of the months to come, and drop those of months that are no longer kept."""
        async with self._database.connection() as connection:
            await connection.execute(QUERIES["make_history_partitions"])
            dropped = await connection.fetchval(QUERIES["drop_history_partitions"], self._months)
        if dropped:
            _log.info("history_dropped", months=dropped, kept=self._months)

    async def record(self, entries: Sequence[Heard]) -> None:
        """Add to the history of those who want one; an entry that is there already is passed over."""
        if not entries:
            return
        users, times, keys, *rest = zip(*map(astuple, entries), strict=True)
        async with self._database.connection() as connection:
            await connection.execute(QUERIES["record"], users, times, [*map(bytes.fromhex, keys)], *rest)

    async def touch_keys(self, key_ids: Sequence[int]) -> None:
        """Note that these keys were used just now."""
        if not key_ids:
            return
        async with self._database.connection() as connection:
            await connection.execute(QUERIES["touch_keys"], key_ids)

    async def page(self, user_id: int, *, before: tuple[datetime, str] | None, limit: int) -> list[HeardSong]:
        """Return up to `limit` entries, newest first, from before the time and query key of another one."""
        time, key = before or (None, "")
        rows = await self._database.fetch(QUERIES["history"], user_id, time, bytes.fromhex(key), limit)
        return [_heard(row) for row in rows]

    async def clear(self, user_id: int, *, until: datetime) -> None:
        """Delete what was recognised until then, what servers have yet to record of it too."""
        async with self._database.transaction() as connection:
            await connection.execute(QUERIES["refuse_history"], user_id, until)  # waits for who records just now
            await connection.execute(QUERIES["delete_history"], user_id, until)


def _heard(row: Record) -> HeardSong:
    heard = Heard(
        user_id=row["user_id"],
        recognized_at=row["recognized_at"],
        query_key=row["query_key"].hex(),
        song_id=row["song_id"],
        score=row["score"],
        offset_ms=row["offset_ms"],
    )
    return HeardSong(heard, row["title"], row["artist"])
