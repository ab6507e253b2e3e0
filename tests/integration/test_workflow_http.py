"""Workflows over HTTP on real servers: what is accepted stands in PostgreSQL, a letter in Redis.

What the edge decides is tested without servers in tests/unit/workers/test_workflow_routes.py.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest

import octoqueue
from octoqueue.primitives.ids import new_message_id, text_from_id
from octoqueue.primitives.messages import SessionId
from octoqueue.settings.postgres import PostgresSettings
from octoqueue.settings.redis import RedisSettings
from octoqueue.settings.root import Settings
from octoqueue.workflows.database import opened_workflow_store_of
from octoqueue.workflows.exports import history_from
from octoqueue.workflows.letters import Nudge, letter_from, queue_of
from octoqueue.workflows.states import SignalKind, StepKind
from tests.asgi import serving
from tests.contract.workflow_values import (
    Holder,
    a_step,
    a_workflow,
    begins,
    completes,
    ended,
    turn,
)
from tests.databases import fresh_database
from workers.reflex.app import create_app

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    import httpx

    from octoqueue.workflows.executions import NewExecution
    from octoqueue.workflows.protocol import WorkflowStore

WORKFLOWS = "/api/v1/workflows"


@pytest.fixture
async def settings(redis_url: str, postgres_dsn: str) -> AsyncGenerator[Settings]:
    async with fresh_database(postgres_dsn) as dsn:
        yield Settings(
            namespace=f"t{uuid4().hex[:12]}",
            redis=RedisSettings(url=redis_url),
            postgres=PostgresSettings(url=dsn),
        )


@pytest.fixture
async def client(settings: Settings) -> AsyncGenerator[httpx.AsyncClient]:
    async with serving(create_app(settings)) as client:
        yield client


@pytest.fixture
async def store(
    client: httpx.AsyncClient,
    settings: Settings,
) -> AsyncGenerator[WorkflowStore]:
    async with opened_workflow_store_of(settings, application_name="test") as store:
        yield store


@pytest.fixture
async def waiting(store: WorkflowStore) -> NewExecution:
    """An execution that waits for a signal."""
    new = a_workflow("order/1", signals=("approve",), tenant="acme")
    await store.start(new)
    holder = await Holder.of(store, lease=timedelta(seconds=60))
    call = a_step("1", name="reserve")
    wait = a_step("2", StepKind.SIGNAL, name="approve", input=None)
    await holder.wrote(begins(new, call), turn(new, ended(call, 1), wait))
    await store.leave(holder.agent_id)
    return new


async def letters(of: NewExecution) -> list[object]:
    session = SessionId(text_from_id(new_message_id()))
    lanes = octoqueue.get_broker().store()
    claimed = await lanes.claim(session, [queue_of(of.partition)], limit=10)
    return [letter_from(lease.payload) for lease in claimed]


async def test_an_execution_is_listed_shown_and_exported(
    client: httpx.AsyncClient, store: WorkflowStore, waiting: NewExecution
) -> None:
    await store.start(a_workflow("other"))
    listed = (await client.get(WORKFLOWS, params={"tenant": "acme", "status": "running"})).json()
    assert [each["workflow_id"] for each in listed["executions"]] == ["order/1"]
    shown = (await client.get(f"{WORKFLOWS}/order/1")).json()
    assert [wait["for"] for wait in shown["waits"]] == ["signal approve"]
    assert shown["held_by"] is None
    history = await client.get(f"{WORKFLOWS}/{waiting.execution_id}/history")
    assert history_from(history.content) == await store.history(waiting.execution_id)


async def test_a_signal_and_a_cancel_are_rows_and_letters(
    client: httpx.AsyncClient, store: WorkflowStore, waiting: NewExecution
) -> None:
    path = f"{WORKFLOWS}/order/1"
    assert (await client.post(f"{path}/signals/approve", json={"by": "ada"})).status_code == 202
    assert (await client.post(f"{path}/cancel", json={"reason": "late"})).status_code == 202
    kept = await store.history(waiting.execution_id)
    assert kept is not None
    assert [(signal.kind, signal.value) for signal in kept.signals] == [
        (SignalKind.SENT, b'{"by":"ada"}'),
        (SignalKind.CANCEL, b'"late"'),
    ]
    assert await letters(waiting) == [Nudge(waiting.execution_id)] * 2


@pytest.mark.parametrize("ident", ["none", "%00", "é", "'; drop table workflows", "a" * 300])
async def test_ids_that_nobody_has_are_not_found(client: httpx.AsyncClient, ident: str) -> None:
    for path in (ident, f"{ident}/history"):
        assert (await client.get(f"{WORKFLOWS}/{path}")).status_code == 404
    for path in (f"{ident}/signals/go", f"{ident}/cancel"):
        assert (await client.post(f"{WORKFLOWS}/{path}", json={})).status_code == 404


async def test_what_cannot_be_sent_is_refused_and_nothing_is_kept(
    client: httpx.AsyncClient, store: WorkflowStore, waiting: NewExecution
) -> None:
    path = f"{WORKFLOWS}/order/1/signals"
    assert (await client.post(f"{path}/aprove", json=1)).status_code == 422
    assert (await client.post(f"{path}/approve", content=b"{")).status_code == 422
    large = b'"' + b"x" * 2**20 + b'"'
    assert (await client.post(f"{path}/approve", content=large)).status_code == 413
    kept = await store.history(waiting.execution_id)
    assert kept is not None
    assert kept.signals == ()
    holder = await Holder.of(store, lease=timedelta(seconds=60))
    await holder.wrote(completes(waiting))
    assert (await client.post(f"{path}/approve", json=1)).status_code == 409
    assert await letters(waiting) == []


async def test_pages_follow_each_other_to_the_end(
    client: httpx.AsyncClient, store: WorkflowStore
) -> None:
    ids = [f"w-{number}" for number in range(7)]
    for ident in ids:
        await store.start(a_workflow(ident))
    found: list[str] = []
    before: str | None = None
    while True:
        params = {"limit": "3"} | ({} if before is None else {"before": before})
        page = (await client.get(WORKFLOWS, params=params)).json()
        found += [each["workflow_id"] for each in page["executions"]]
        before = page["next"]
        if before is None:
            break
    assert found == ids[::-1]
