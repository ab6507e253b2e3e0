"""`PostgresPool`: connections to one database, every call bounded in time.

A pool opens without a server: connections are made when they are needed, so a process starts before
its database and comes back by itself after an outage. Each call has one budget for everything it
does (waiting for a connection, connecting, running); the server is told the same limit as its
statement timeout, so that neither side works for a caller who has left.

A call that got no answer in time may sit on a dead link: its connection is dropped, not reused,
and the idle ones are replaced before their next use. The weakness: such a call, and a cancelled
one, may still take effect on the server until its statement timeout.
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Self

import asyncpg

from octoqueue.errors import StoreUnavailable
from octoqueue.postgres.sqlstate import DRIVER_ERRORS, STORE, error_from
from octoqueue.postgres.statements import Statement, load_statements

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator
    from types import TracebackType

    _Pool = asyncpg.Pool[asyncpg.Record]
    Connection = asyncpg.Connection[asyncpg.Record]
    PooledConnection = asyncpg.pool.PoolConnectionProxy[asyncpg.Record]

Record = asyncpg.Record
"""One row; columns by name or by index."""

QUERY_TIMEOUT = timedelta(seconds=5)
CONNECT_TIMEOUT = timedelta(seconds=3)
IDLE_LIFETIME = timedelta(seconds=300)
_SLACK_SECONDS = 0.5
"""How much longer than the server's statement timeout a call waits for the server to say so."""
_CLOSE_SECONDS = 2.0


class PostgresPool:
    """Connections to one database, for one event loop."""

    def __init__(
        self,
        dsn: str,
        *,
        application_name: str = "octoqueue",
        min_size: int = 1,
        max_size: int = 10,
        query_timeout: timedelta = QUERY_TIMEOUT,
        connect_timeout: timedelta = CONNECT_TIMEOUT,
        idle_lifetime: timedelta = IDLE_LIFETIME,
    ) -> None:
        self._dsn = dsn
        self._application_name = application_name
        self._min_size = min(min_size, max_size)
        self._max_size = max_size
        self._query_timeout = query_timeout
        self._connect_timeout = connect_timeout
        self._idle_lifetime = idle_lifetime
        self._budget_seconds = query_timeout.total_seconds() + _SLACK_SECONDS
        self._pool: _Pool | None = None

    async def open(self) -> None:
        """Make the pool usable and try to connect `min_size` times; a missing server is no error.

        Raises:
            ConfigError: the DSN is wrong.
            StoreRefused: the server is there and does not let us in.
        """
        if self._pool is not None:
            return
        try:
            self._pool = await asyncpg.create_pool(
                self._dsn,
                min_size=0,
                max_size=self._max_size,
                max_inactive_connection_lifetime=self._idle_lifetime.total_seconds(),
                timeout=self._connect_timeout.total_seconds(),
                command_timeout=self._budget_seconds,
                server_settings=_server_settings(self._application_name, self._query_timeout),
                init=_prefer_indexes,
                reset=_keep_session,
            )
        except DRIVER_ERRORS as exc:
            raise error_from(exc, statement="open_pool") from exc
        check = load_statements("upkeep")["check_server"]
        warm = (self.fetch(check) for _ in range(max(1, self._min_size)))
        for failure in await asyncio.gather(*warm, return_exceptions=True):
            if isinstance(failure, BaseException) and not isinstance(failure, StoreUnavailable):
                await self.aclose()
                raise failure

    async def aclose(self) -> None:
        """Close every connection; idempotent, and never waits long for a server that is gone."""
        pool, self._pool = self._pool, None
        if pool is None:
            return
        try:
            async with asyncio.timeout(_CLOSE_SECONDS):
                await pool.close()
        except DRIVER_ERRORS:
            pool.terminate()

    async def __aenter__(self) -> Self:
        """Open."""
        await self.open()
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close."""
        await self.aclose()

    # Arguments and columns are whatever the statement says: SQL is not typed from here.
    async def fetch(self, statement: Statement, *arguments: Any) -> list[Record]:  # noqa: ANN401
        """Run one statement in its own transaction and return its rows.

        Raises:
            StoreUnavailable: no connection, or no answer in time; the effect is unknown.
            StoreConflict: another transaction won; nothing was kept.
            StoreRefused: the server refused it; nothing was kept.
        """
        if self._pool is None:
            raise StoreUnavailable(STORE, reason=f"{statement.name}: the pool is closed")
        try:
            async with asyncio.timeout(self._budget_seconds):
                return await _fetch(self._pool, statement, arguments)
        except DRIVER_ERRORS as exc:
            raise error_from(exc, statement=statement.name) from exc

    @asynccontextmanager
    async def transaction(self, *, purpose: str) -> AsyncGenerator[PooledConnection]:
        """Lend a connection in a transaction, which commits when the block ends without an error.

        What the body raises from asyncpg is translated like everything else.

        Raises:
            StoreUnavailable: no connection, or no answer in time. Only when the body had ended is
                it unknown whether the transaction was committed.
            StoreConflict: another transaction won; nothing was kept.
            StoreRefused: the server refused a statement; nothing was kept.
        """
        if self._pool is None:
            raise StoreUnavailable(STORE, reason=f"{purpose}: the pool is closed")
        try:
            connection = await self._pool.acquire(timeout=self._budget_seconds)
            try:
                async with connection.transaction():
                    yield connection
            except (asyncio.CancelledError, TimeoutError, asyncpg.InternalClientError):
                connection.terminate()  # what is still on the wire belongs to nobody
                raise
            finally:
                await self._pool.release(connection)
        except DRIVER_ERRORS as exc:
            raise error_from(exc, statement=purpose) from exc

    async def check(self) -> None:
        """Return when the server answered one trivial statement.

        Raises:
            StoreUnavailable: it did not.
        """
        await self.fetch(load_statements("upkeep")["check_server"])

    @asynccontextmanager
    async def dedicated(self, *, purpose: str) -> AsyncGenerator[Connection]:
        """Lend a connection outside the pool and without a statement timeout, then close it.

        What the body raises from asyncpg is translated like everything else.

        Raises:
            ConfigError: the DSN is wrong.
            StoreUnavailable: no connection.
        """
        try:
            connection = await asyncpg.connect(
                self._dsn,
                timeout=self._connect_timeout.total_seconds(),
                server_settings=_server_settings(f"{self._application_name} {purpose}", None),
            )
            try:
                yield connection
            finally:
                connection.terminate()
        except DRIVER_ERRORS as exc:
            raise error_from(exc, statement=purpose) from exc


async def _fetch(pool: _Pool, statement: Statement, arguments: tuple[Any, ...]) -> list[Record]:
    connection = await pool.acquire()
    try:
        return await connection.fetch(statement.text, *arguments)
    except asyncio.CancelledError:
        # Out of time or cancelled: what is still on the wire belongs to nobody.
        connection.terminate()
        await pool.expire_connections()
        raise
    except asyncpg.InternalClientError:
        connection.terminate()  # it waits for the end of an answer that will not come
        raise
    finally:
        await pool.release(connection)


async def _prefer_indexes(connection: Connection) -> None:
    """Prepare a new connection."""
    await connection.execute(load_statements("upkeep")["prefer_indexes"].text)


async def _keep_session(_connection: object) -> None:
    """Skip asyncpg's reset round trip: no statement here leaves session state behind."""


def _server_settings(application_name: str, query_timeout: timedelta | None) -> dict[str, str]:
    settings = {"application_name": application_name, "timezone": "UTC"}
    if query_timeout is not None:
        settings["statement_timeout"] = str(query_timeout // timedelta(milliseconds=1))
    return settings
