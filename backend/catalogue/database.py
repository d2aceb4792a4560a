"""The way to PostgreSQL, the only importer of asyncpg: connections with time limits, its errors as ours."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from typing import Any

import asyncpg
from asyncpg import Connection, Pool, Record

from backend.errors import CatalogueUnavailable, SchemaVersionMismatch

__all__ = ["Connection", "Database", "Record", "session"]

_UNAVAILABLE = (
    OSError,  # refused, no such host or socket, and every TimeoutError
    asyncpg.InterfaceError,  # the connection is closed
    asyncpg.InternalClientError,  # the connection is being closed by the server at this moment
    asyncpg.InvalidAuthorizationSpecificationError,
    asyncpg.InvalidCatalogNameError,  # no such database
    asyncpg.PostgresConnectionError,
    asyncpg.ReadOnlySQLTransactionError,  # fallen back to a replica
    asyncpg.TransactionRollbackError,
    asyncpg.OperatorInterventionError,  # the server shuts down, starts up or has cancelled the statement
    asyncpg.IdleInTransactionSessionTimeoutError,
    asyncpg.InsufficientResourcesError,  # disk full, too many connections
)


class Database:
    """A pool of connections; a lost one is replaced at its next use."""

    def __init__(self, pool: Pool, open_pool: partial[Any], *, timeout_seconds: float) -> None:
        self._pool = pool
        self._open_pool = open_pool
        self._timeout_seconds = timeout_seconds

    @classmethod
    async def connect(cls, url: str, *, pool_max: int, timeout_seconds: float) -> Database:
        """Open the pool, and one connection to see that there is a database; raises CatalogueUnavailable."""
        open_pool = partial(
            asyncpg.create_pool,
            url,
            max_size=pool_max,
            timeout=timeout_seconds,
            command_timeout=timeout_seconds + 1,  # where the server cannot give up a statement itself: it is gone
            server_settings=_time_limits(timeout_seconds),
        )
        with _translated():
            return cls(await open_pool(min_size=1), open_pool, timeout_seconds=timeout_seconds)

    async def disconnect(self) -> None:
        """Close all connections as `close` does; the next use opens new ones."""
        await self.close()
        self._pool = await self._open_pool(min_size=0)

    async def close(self) -> None:
        """Close all connections, waiting for those in use no longer than a statement may take."""
        try:
            async with asyncio.timeout(self._timeout_seconds):
                await self._pool.close()
        except TimeoutError:
            self._pool.terminate()

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Connection]:
        """Lend a connection; raises CatalogueUnavailable when there is none or it is lost."""
        with _translated():
            async with self._pool.acquire(timeout=self._timeout_seconds) as connection:
                yield connection

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Connection]:
        """Lend a connection for one transaction: committed at the end, undone by any exception."""
        async with self.connection() as connection, connection.transaction():
            yield connection


@asynccontextmanager
async def session(url: str, *, timeout_seconds: float = 10.0) -> AsyncIterator[Connection]:
    """Open one connection without limits to its statements; raises CatalogueUnavailable."""
    with _translated():
        connection = await asyncpg.connect(url, timeout=timeout_seconds)
        try:
            yield connection
        finally:
            await connection.close(timeout=timeout_seconds)


def _time_limits(timeout_seconds: float) -> dict[str, str]:
    milliseconds = str(max(1, round(timeout_seconds * 1000)))
    return {
        "statement_timeout": milliseconds,
        "idle_in_transaction_session_timeout": milliseconds,  # a writer that hangs gives its turn to the next
        "plan_cache_mode": "force_custom_plan",  # a generic plan cannot use an index for an optional filter
    }


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except (asyncpg.UndefinedTableError, asyncpg.UndefinedColumnError) as error:
        raise SchemaVersionMismatch(f"{error}: run `sonica migrate`") from error
    except asyncpg.DataError:  # an InterfaceError too, but a mistake of this program
        raise
    except asyncpg.DiskFullError as error:
        raise CatalogueUnavailable(f"the database's disk is full, free some space: {error}") from error
    except asyncpg.QueryCanceledError as error:
        raise CatalogueUnavailable(f"the database took too long (SONICA_DATABASE_TIMEOUT_SECONDS): {error}") from error
    except _UNAVAILABLE as error:
        reason = str(error) or type(error).__name__
        raise CatalogueUnavailable(f"the catalogue's database does not answer: {reason}") from error
