"""A database of its own for a test, on the server of the session."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING
from urllib.parse import urlsplit, urlunsplit
from uuid import uuid4

import asyncpg

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator


@asynccontextmanager
async def fresh_database(postgres_dsn: str) -> AsyncGenerator[str]:
    """Lend the DSN of an empty database, and drop it afterwards, whoever is still connected."""
    name = f"test_{uuid4().hex}"
    parts = urlsplit(postgres_dsn)
    await _execute(postgres_dsn, f'create database "{name}"')
    try:
        yield urlunsplit(parts._replace(path=f"/{name}"))
    finally:
        await _execute(postgres_dsn, f'drop database "{name}" with (force)')


async def _execute(dsn: str, sql: str) -> None:
    connection = await asyncpg.connect(dsn)
    try:
        await connection.execute(sql)
    finally:
        await connection.close()
