"""What the server or the socket says, as `octoqueue.errors`; the only place that reads a SQLSTATE.

    what happened                                          becomes
    no connection, a broken one, one that died in the
    middle of an answer, shutdown, failover, out of
    connections or disk, no answer in time                 StoreUnavailable     retryable
    serialization failure, deadlock, lock not available    StoreConflict        retryable
    a bad DSN or URL                                       ConfigError          fix the settings
    anything else the server refuses                       StoreRefused         fix the call
    the client library was used wrongly                    StoreProtocolError   a bug of ours

Messages carry the server's one-line message only: its DETAIL quotes the row, which may be private.
"""

from __future__ import annotations

import asyncpg

from octoqueue.errors import (
    ConfigError,
    OctoqueueError,
    StoreConflict,
    StoreProtocolError,
    StoreRefused,
    StoreUnavailable,
)

STORE = "PostgreSQL"

_UNAVAILABLE_CLASSES = frozenset(
    {
        "08",  # connection exception
        "53",  # insufficient resources: connections, memory, disk
        "58",  # system error outside the server
        "XX",  # internal error, corrupted index or data
    }
)
_UNAVAILABLE_STATES = frozenset(
    {
        "25006",  # read_only_sql_transaction: a failover left us on a standby
        "57014",  # query_canceled: the statement timeout
        "57P01",  # admin_shutdown
        "57P02",  # crash_shutdown
        "57P03",  # cannot_connect_now: starting up or recovering
        "57P05",  # idle_session_timeout
    }
)
_LEFT_ALONE = "cannot switch to state"
"""How the message begins with which asyncpg refuses a connection that waits for an answer's end."""
_CONFLICT_STATES = frozenset(
    {
        "40001",  # serialization_failure
        "40P01",  # deadlock_detected
        "55P03",  # lock_not_available
    }
)


def is_unavailable(sqlstate: str) -> bool:
    """Return whether a SQLSTATE says that the server, not the statement, is the trouble."""
    return sqlstate in _UNAVAILABLE_STATES or sqlstate[:2] in _UNAVAILABLE_CLASSES


DRIVER_ERRORS = (
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    OSError,
    TimeoutError,
)
"""All that a call of asyncpg raises when its arguments are sound."""


def error_from(exc: Exception, *, statement: str) -> OctoqueueError:
    """Return our error for one of `DRIVER_ERRORS`.

    `statement` names what was being run; it appears in the message.
    """
    reason = _first_line(exc)
    match exc:
        case asyncpg.PostgresError():
            return _from_server(exc, statement)
        case asyncpg.exceptions.ClientConfigurationError():
            return ConfigError(f"the PostgreSQL URL is wrong: {reason}", key="postgres.url")
        case asyncpg.exceptions.DataError():
            return StoreRefused(statement, sqlstate="22000", reason=reason)
        case asyncpg.InternalClientError() if not reason.startswith(_LEFT_ALONE):
            return StoreProtocolError(f"{statement}: {reason}")
        case TimeoutError():
            return StoreUnavailable(STORE, reason=f"{statement} got no answer in time")
        case _:
            # A socket's error, or an InterfaceError: the connection or the pool was closed. Or the
            # server died, and the end of its last answer on this connection never came.
            return StoreUnavailable(STORE, reason=f"{statement}: {reason}")


def _from_server(exc: asyncpg.PostgresError, statement: str) -> OctoqueueError:
    sqlstate = str(exc.sqlstate or "")
    reason = _first_line(exc)
    if is_unavailable(sqlstate):
        return StoreUnavailable(STORE, reason=f"{statement}: {reason} ({sqlstate})")
    if sqlstate in _CONFLICT_STATES:
        return StoreConflict(statement, sqlstate=sqlstate, reason=reason)
    constraint = exc.constraint_name
    return StoreRefused(
        statement,
        sqlstate=sqlstate,
        reason=reason,
        constraint=str(constraint) if constraint else None,
    )


def _first_line(exc: BaseException) -> str:
    return (str(exc) or type(exc).__name__).partition("\n")[0]
