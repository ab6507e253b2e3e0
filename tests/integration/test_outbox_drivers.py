"""`octoqueue_enqueue()` from other drivers, in transactions of their own."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING
from uuid import UUID

import psycopg
import pytest
import sqlalchemy
from psycopg.types.json import Jsonb
from sqlalchemy.dialects.postgresql import JSONB

from octoqueue.primitives.envelope import decode_body
from octoqueue.primitives.ids import text_from_id
from tests.outbox_world import QUEUE, OutboxWorld, outbox_world

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator


@pytest.fixture
async def world(postgres_dsn: str, redis_url: str) -> AsyncGenerator[OutboxWorld]:
    async with outbox_world(postgres_dsn, redis_url) as world:
        yield world


def with_psycopg(dsn: str) -> UUID:
    """Commit one message and roll back another."""
    call = "select octoqueue_enqueue('work', args => %s, queue => %s)"
    with psycopg.connect(dsn) as connection:
        row = connection.execute(call, (Jsonb([1]), QUEUE)).fetchone()
        connection.commit()
        connection.execute(call, (Jsonb([2]), QUEUE))
        connection.rollback()
    assert row is not None
    ident = row[0]
    assert isinstance(ident, UUID)
    return ident


def with_sqlalchemy(dsn: str) -> UUID:
    """Commit one message and roll back another."""
    engine = sqlalchemy.create_engine("postgresql+psycopg://", creator=lambda: psycopg.connect(dsn))
    enqueue = sqlalchemy.func.octoqueue_enqueue
    try:
        with engine.begin() as connection:
            args = sqlalchemy.cast([1], JSONB)
            kwargs = sqlalchemy.cast({}, JSONB)
            statement = sqlalchemy.select(enqueue("work", args, kwargs, QUEUE))
            ident = connection.execute(statement).scalar_one()
        with engine.connect() as connection:
            connection.execute(statement)
            connection.rollback()
    finally:
        engine.dispose()
    assert isinstance(ident, UUID)
    return ident


@pytest.mark.parametrize("driver", [with_psycopg, with_sqlalchemy])
async def test_a_commit_enqueues_and_a_rollback_does_not(
    world: OutboxWorld, driver: object
) -> None:
    assert callable(driver)
    ident = await asyncio.to_thread(driver, world.dsn)
    await world.drained()
    (lease,) = await world.claim()
    assert text_from_id(lease.message_id) == str(ident)
    assert decode_body(lease.payload).args == [1]


async def test_a_wrong_parameter_is_an_error_that_names_it(world: OutboxWorld) -> None:
    def call() -> None:
        with psycopg.connect(world.dsn) as connection:
            connection.execute("select octoqueue_enqueue('work', lane => 'urgent')")

    with pytest.raises(psycopg.errors.InvalidParameterValue, match="lane: 'urgent' is none of"):
        await asyncio.to_thread(call)
