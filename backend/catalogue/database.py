"""The way to PostgreSQL, the only importer of asyncpg: connections with time limits, its errors as ours."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

import asyncpg
import structlog
from asyncpg import Connection, Pool, Record

from backend.breaker import Breaker
from backend.deadline import seconds_left
from backend.errors import CatalogueUnavailable, SchemaVersionMismatch

if TYPE_CHECKING:
    from stamina import AsyncRetryingCaller

__all__ = ["Connection", "Database", "Record", "session"]

_log = structlog.stdlib.get_logger("sonica.catalogue")
_RETRIES = 2  # a server that restarts breaks each connection once, and takes a moment

_LOST = (  # the connection is; the server may be there
    ConnectionError,
    asyncpg.InterfaceError,  # the connection is closed
    asyncpg.InternalClientError,  # the connection is being closed by the server at this moment
    asyncpg.PostgresConnectionError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.CannotConnectNowError,
)
_AWAY = (
    *_LOST,
    OSError,  # refused, no such host or socket, and every TimeoutError
    asyncpg.InvalidAuthorizationSpecificationError,
    asyncpg.InvalidCatalogNameError,  # no such database
    asyncpg.OperatorInterventionError,  # the server shuts down, starts up or has cancelled the statement
    asyncpg.TooManyConnectionsError,
)
_REFUSING = (  # somebody is there, and the settings are wrong
    asyncpg.InvalidAuthorizationSpecificationError,
    asyncpg.InvalidCatalogNameError,
    ValueError,  # a URL that is none, a certificate that is another's
)
_UNAVAILABLE = (
    *_AWAY,
    asyncpg.ReadOnlySQLTransactionError,  # fallen back to a replica
    asyncpg.TransactionRollbackError,
    asyncpg.IdleInTransactionSessionTimeoutError,
    asyncpg.LockNotAvailableError,
    asyncpg.InsufficientResourcesError,  # disk or memory full
)


class Database:
    """A pool of connections; a lost one is replaced at its next use.

    All methods raise CatalogueUnavailable when the database does not answer in time: within `timeout_seconds`, and
    within what is left of the request (backend/deadline.py). One that keeps failing is left alone by the breaker.
    """

    def __init__(self, pool: Pool, open_pool: partial[Any], *, timeout_seconds: float, breaker: Breaker) -> None:
        self._pool = pool
        self._open_pool = open_pool
        self._timeout_seconds = timeout_seconds
        self._breaker = breaker

    @classmethod
    async def connect(
        cls,
        url: str,
        *,
        pool_max: int,
        timeout_seconds: float,
        breaker: Breaker | None = None,
        check: Callable[[Connection], Awaitable[None]] | None = None,
    ) -> Database:
        """Open the pool, whose connections open as they are needed.

        check: each connection before its first use; raises what keeps this program from using the database.
        """
        open_pool = partial(
            asyncpg.create_pool,
            url,
            min_size=0,  # it would try for ever to have more, and fill the log while there is no server
            max_size=pool_max,
            timeout=timeout_seconds,
            command_timeout=timeout_seconds + 1,  # where the server cannot give up a statement itself: it is gone
            server_settings=_time_limits(timeout_seconds),
            init=check,
        )
        breaker = breaker or Breaker(failures_max=3, retry_seconds=1.0)
        return cls(await open_pool(), open_pool, timeout_seconds=timeout_seconds, breaker=breaker)

    async def reach(self) -> CatalogueUnavailable | None:
        """Open a connection to see that there is a database; return why it cannot be reached, None where it can.

        Raises CatalogueUnavailable where it is there and lets us not in, and whatever `check` raises.
        """
        try:
            async with self.connection():
                return None
        except CatalogueUnavailable as error:
            if isinstance(error.__cause__, _REFUSING):
                raise
            self._breaker.trip()  # or the next ones would wait for it as long again
            return error

    @property
    def left_alone(self) -> bool:
        """Whether the breaker keeps requests away now."""
        return self._breaker.open

    async def disconnect(self) -> None:
        """Close all connections as `close` does; the next use opens new ones."""
        await self.close()
        self._pool = await self._open_pool()

    async def close(self) -> None:
        """Close all connections, waiting for those in use no longer than a statement may take."""
        try:
            async with asyncio.timeout(self._timeout_seconds):
                await self._pool.close()
        except TimeoutError:
            self._pool.terminate()

    async def fetch(self, statement: str, *arguments: object) -> list[Record]:
        """Return the rows of a statement that changes nothing: it is sent again when the connection was lost."""
        with _translated(), self._watched():
            try:
                return await self._rows(statement, arguments)
            except _LOST:
                return await _retries(seconds_left(self._timeout_seconds))(_LOST, self._rows, statement, arguments)

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Connection]:
        """Lend a connection for what is sent once only."""
        with _translated(), self._watched():
            async with self._lent() as connection:
                yield connection

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Connection]:
        """Lend a connection for one transaction: committed at the end, undone by any exception."""
        async with self.connection() as connection, connection.transaction():
            yield connection

    async def _rows(self, statement: str, arguments: tuple[object, ...]) -> list[Record]:
        async with self._lent() as connection:
            rows: list[Record] = await connection.fetch(statement, *arguments)
        return rows

    @asynccontextmanager
    async def _lent(self) -> AsyncIterator[Connection]:
        left = seconds_left()
        async with (
            asyncio.timeout(None if left == math.inf else left),
            self._pool.acquire(timeout=seconds_left(self._timeout_seconds)) as connection,
        ):
            try:
                yield connection
            except (TimeoutError, asyncio.CancelledError):
                connection.terminate()  # to call a statement back takes an answer, of a server that may give none
                raise

    @contextmanager
    def _watched(self) -> Iterator[None]:
        """Refuse while the breaker is open, and tell it how it went; who is cancelled cannot tell."""
        if not self._breaker.allows():
            raise CatalogueUnavailable("the catalogue's database has failed several times and is left alone for now")
        was_open = self._breaker.open
        try:
            yield
        except Exception as error:
            if isinstance(error, _AWAY):
                self._breaker.failed()
                if self._breaker.open and not was_open:
                    _log.warning("database_left_alone", error=repr(error))
            else:
                self._answered(was_open=was_open)
            raise
        self._answered(was_open=was_open)

    def _answered(self, *, was_open: bool) -> None:
        self._breaker.succeeded()
        if was_open:
            _log.info("database_answers_again")


@asynccontextmanager
async def session(url: str, *, timeout_seconds: float = 10.0) -> AsyncIterator[Connection]:
    """Open one connection without limits to its statements; raises CatalogueUnavailable."""
    with _translated():
        connection = await asyncpg.connect(url, timeout=timeout_seconds)
        try:
            yield connection
        finally:
            await connection.close(timeout=timeout_seconds)


def _retries(seconds_max: float) -> AsyncRetryingCaller:
    from stamina import AsyncRetryingCaller  # importing it takes 45 ms

    return AsyncRetryingCaller(
        attempts=_RETRIES,
        timeout=max(0.001, seconds_max),  # 0 would be for ever
        wait_initial=0.05,
        wait_max=0.2,
        wait_jitter=0.05,
    )


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
    except (asyncpg.UndefinedTableError, asyncpg.UndefinedColumnError, asyncpg.UndefinedFunctionError) as error:
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
