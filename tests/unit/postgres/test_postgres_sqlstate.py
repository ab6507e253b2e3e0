from __future__ import annotations

import asyncpg
import pytest

from octoqueue.errors import (
    ConfigError,
    StoreConflict,
    StoreProtocolError,
    StoreRefused,
    StoreUnavailable,
)
from octoqueue.postgres.sqlstate import error_from


def server_error(sqlstate: str, message: str = "no") -> asyncpg.PostgresError:
    return asyncpg.PostgresError.new({"C": sqlstate, "M": message, "S": "ERROR", "D": "secret"})


@pytest.mark.parametrize(
    ("raised", "expected"),
    [
        (server_error("08006"), StoreUnavailable),
        (server_error("53300"), StoreUnavailable),
        (server_error("53100"), StoreUnavailable),
        (server_error("57P01"), StoreUnavailable),
        (server_error("57P03"), StoreUnavailable),
        (server_error("57014"), StoreUnavailable),
        (server_error("25006"), StoreUnavailable),
        (server_error("40001"), StoreConflict),
        (server_error("40P01"), StoreConflict),
        (server_error("55P03"), StoreConflict),
        (server_error("23514"), StoreRefused),
        (server_error("42P01"), StoreRefused),
        (asyncpg.InterfaceError("connection is closed"), StoreUnavailable),
        (asyncpg.exceptions.DataError("invalid input"), StoreRefused),
        (asyncpg.exceptions.ClientConfigurationError("bad dsn"), ConfigError),
        (asyncpg.InternalClientError("bug"), StoreProtocolError),
        (asyncpg.InternalClientError("cannot switch to state 12; another"), StoreUnavailable),
        (ConnectionRefusedError("refused"), StoreUnavailable),
        (FileNotFoundError("no socket"), StoreUnavailable),
        (TimeoutError(), StoreUnavailable),
    ],
    ids=lambda value: getattr(value, "sqlstate", None) or getattr(value, "__name__", str(value)),
)
def test_what_the_driver_raises_becomes_one_of_our_errors(
    raised: Exception, expected: type[Exception]
) -> None:
    assert type(error_from(raised, statement="add_tasks")) is expected


def test_only_outages_and_lost_races_are_worth_another_try() -> None:
    def is_retryable(sqlstate: str) -> bool:
        return error_from(server_error(sqlstate), statement="add_tasks").retryable

    assert [is_retryable(each) for each in ("57P01", "40P01", "23514")] == [True, True, False]


def test_an_error_names_its_statement_and_never_quotes_the_row() -> None:
    error = error_from(server_error("23514", "violates a check"), statement="add_tasks")
    assert "add_tasks" in str(error)
    assert "violates a check" in str(error)
    assert "secret" not in str(error)
