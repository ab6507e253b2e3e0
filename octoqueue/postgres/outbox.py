"""`Outbox`: rows that wait to become messages, lent to one relay at a time.

    written in somebody's transaction ──► pending ──claimed──► enqueued ──► deleted
                                             ▲        │ └─the lane is full, later─┐
                                             ├────────┴────────────◄──────────────┘
                                           retry
                                             │
                                          failed: can never be enqueued as it is

A claim is a row lock, held in a transaction until what became of the rows is written with its
commit: a relay that dies holds nothing. A row can therefore be read again after its message was
enqueued, and by two relays when one was cut off; `primitives/once.py` says what makes one message
of it.
"""

from __future__ import annotations

from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from uuid import UUID

from octoqueue.postgres.statements import load_statements
from octoqueue.primitives.ids import MessageId, text_from_id

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Mapping, Sequence
    from datetime import datetime, timedelta

    from octoqueue.postgres.pool import PooledConnection, PostgresPool, Record

CHANNEL = "octoqueue_outbox"
"""Notified when a transaction that wrote rows commits."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OutboxRow:
    """One message on its way."""

    message_id: MessageId
    actor: str
    queue: str | None
    lane: str | None
    line: str
    """Rows of one line wait for the same room."""
    envelope: bytes | None
    call: str | None
    """Instead of an envelope, when no Python program wrote the row: what `octoqueue_enqueue` was
    given, as JSON. Not read here, since PostgreSQL takes JSON that Python cannot."""
    delay_ms: int
    created_ms: int
    attempts: int


@dataclass(frozen=True, slots=True, kw_only=True)
class OutboxEntry:
    """A row as it is shown."""

    message_id: str
    actor: str
    queue: str | None
    lane: str | None
    created_at: datetime
    due_at: datetime
    eta: datetime | None
    failed_at: datetime | None
    attempts: int
    last_error: str | None
    payload_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class OutboxSize:
    """How much waits."""

    pending: int
    failed: int
    oldest_seconds: float
    """Age of the oldest pending row, 0 when none is."""


class ClaimedRows:
    """Rows that are ours until the block ends; what is said of them is committed with it."""

    def __init__(self, connection: PooledConnection, rows: Sequence[OutboxRow]) -> None:
        self.rows = rows
        self._connection = connection
        self._sql = load_statements("outbox")

    async def delete(self, message_ids: Sequence[MessageId]) -> None:
        """Remove those that were enqueued."""
        if message_ids:
            await self._run("delete_messages", _uuids(message_ids))

    async def fail(self, reasons: Mapping[MessageId, str]) -> None:
        """Set aside those that can never be enqueued, each with its reason."""
        if reasons:
            await self._run("fail_messages", _uuids(list(reasons)), list(reasons.values()))

    async def put_off(self, reasons: Mapping[MessageId, str], *, wait: timedelta) -> None:
        """Let others go first for a while, each for its reason."""
        if reasons:
            ids = _uuids(list(reasons))
            await self._run("put_off_messages", ids, list(reasons.values()), wait)

    async def _run(self, name: str, *arguments: object) -> None:
        await self._connection.execute(self._sql[name].text, *arguments)


class Outbox:
    """The outbox of one database."""

    def __init__(self, pool: PostgresPool) -> None:
        self._pool = pool
        self._sql = load_statements("outbox")

    @asynccontextmanager
    async def claimed(
        self, *, limit: int, per_line: int, without: Sequence[str] = ()
    ) -> AsyncGenerator[ClaimedRows]:
        """Lend rows that are due, those of the lines `without` excepted, until the block ends.

        Raises:
            StoreUnavailable: the database is gone. After the block it is unknown whether what was
                said of the rows was committed.
        """
        async with self._pool.transaction(purpose="claim_messages") as connection:
            rows = await connection.fetch(
                self._sql["claim_messages"].text, limit, per_line, list(without)
            )
            yield ClaimedRows(connection, [_row_from(row) for row in rows])

    async def delete(self, message_ids: Sequence[MessageId]) -> None:
        """Remove rows whose messages were enqueued."""
        await self._pool.fetch(self._sql["delete_messages"], _uuids(message_ids))

    async def delete_in(
        self, connection: PooledConnection, message_ids: Sequence[MessageId]
    ) -> set[MessageId]:
        """Remove rows in a transaction; return which were there, and so are nobody else's now."""
        rows = await connection.fetch(self._sql["delete_messages"].text, _uuids(message_ids))
        return {MessageId(row["id"].bytes) for row in rows}

    async def size(self) -> OutboxSize:
        """Return how much waits."""
        (row,) = await self._pool.fetch(self._sql["measure_outbox"])
        return OutboxSize(
            pending=row["pending"], failed=row["failed"], oldest_seconds=row["oldest_seconds"]
        )

    async def entries(self, *, limit: int, failed_only: bool) -> list[OutboxEntry]:
        """Return rows, oldest first."""
        rows = await self._pool.fetch(self._sql["list_messages"], failed_only, limit)
        return [OutboxEntry(message_id=str(row["id"]), **_shown(row)) for row in rows]

    async def retry(self, message_ids: Sequence[MessageId] | None) -> list[str]:
        """Try failed rows again, all of them when None; return which."""
        wanted = None if message_ids is None else _uuids(message_ids)
        return _texts(await self._pool.fetch(self._sql["retry_messages"], wanted))

    async def drop(self, message_ids: Sequence[MessageId]) -> list[str]:
        """Remove failed rows for good; return which."""
        return _texts(await self._pool.fetch(self._sql["drop_messages"], _uuids(message_ids)))


def _uuids(message_ids: Sequence[MessageId]) -> list[UUID]:
    return [UUID(bytes=message_id) for message_id in message_ids]


def _texts(rows: Sequence[Record]) -> list[str]:
    return sorted(text_from_id(MessageId(row["id"].bytes)) for row in rows)


def _shown(row: Record) -> dict[str, Any]:
    return {name: value for name, value in row.items() if name != "id"}


def _row_from(row: Record) -> OutboxRow:
    return OutboxRow(
        message_id=MessageId(row["id"].bytes),
        actor=row["actor"],
        queue=row["queue"],
        lane=row["lane"],
        line=row["line"],
        envelope=row["envelope"],
        call=row["call"],
        delay_ms=row["delay_ms"] or 0,
        created_ms=row["created_ms"],
        attempts=row["attempts"],
    )
