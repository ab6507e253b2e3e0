"""What becomes of workflows when the answer to a call is lost, before or after its commit."""

from __future__ import annotations

from contextlib import suppress
from datetime import timedelta
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlsplit, urlunsplit

import pytest

from octoqueue.errors import StoreUnavailable, WorkflowNotFinished
from octoqueue.postgres.migrator import Migrator
from octoqueue.postgres.pool import PostgresPool
from octoqueue.workflows.postgres_workflows import PostgresWorkflowStore
from octoqueue.workflows.states import ExecutionStatus, StepKind
from octoqueue.workflows.turns import rounds_of
from tests.contract.workflow_given_up import given_up, kinds, waits_for
from tests.contract.workflow_turns import as_signal, child_of, next_of
from tests.contract.workflow_values import (
    Holder,
    a_signal,
    a_step,
    a_workflow,
    begins,
    completes,
    ended,
    fails,
    loaded,
    read,
    started,
    turn,
)
from tests.databases import fresh_database
from tests.links import Link

if TYPE_CHECKING:
    import asyncio
    from collections.abc import AsyncGenerator, Awaitable, Callable
    from pathlib import Path

    from octoqueue.workflows.journal import Turn

LEASE = timedelta(minutes=5)
ANSWERS = 4
"""Of a write with two rounds: that it begins, two statements, and that it is committed."""


class Losing(Link):
    """A link that loses one answer and breaks the connection on which it came."""

    def __init__(self, target: str, path: Path) -> None:
        super().__init__(target, path)
        self.kept: int | None = None
        """How many answers are passed on before one is lost; None: all are."""

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        is_answering = writer.get_extra_info("sockname") == str(self._path)
        try:
            while data := await reader.read(2**20):
                if is_answering and self.kept is not None:
                    self.kept -= 1
                    if self.kept < 0:
                        self.kept = None
                        break
                writer.write(data)
                await writer.drain()
        except OSError:
            pass
        finally:
            writer.close()


@pytest.fixture
async def dsn(postgres_dsn: str) -> AsyncGenerator[str]:
    async with fresh_database(postgres_dsn) as dsn:
        async with PostgresPool(dsn) as pool:
            await Migrator(pool).migrate()
        yield dsn


@pytest.fixture
async def link(dsn: str, tmp_path: Path) -> AsyncGenerator[Losing]:
    (folder,) = parse_qs(urlsplit(dsn).query)["host"]
    link = Losing(f"{folder}/.s.PGSQL.5432", tmp_path / ".s.PGSQL.5432")
    await link.mend()
    yield link
    await link.cut()


@pytest.fixture
async def store(dsn: str, link: Losing, tmp_path: Path) -> AsyncGenerator[PostgresWorkflowStore]:
    through = urlunsplit(urlsplit(dsn)._replace(query=f"host={tmp_path}"))
    async with PostgresPool(through, max_size=1) as pool:
        store = PostgresWorkflowStore(pool)
        yield store
        await store.aclose()


async def lost(link: Losing, call: Callable[[], Awaitable[object]], *, kept: int = 0) -> None:
    """Make a call whose answer is lost."""
    link.kept = kept
    with pytest.raises(StoreUnavailable):
        await call()
    assert link.kept is None, "no answer was lost"


async def test_a_start_whose_answer_was_lost_is_the_same_start_when_made_again(
    link: Losing, store: PostgresWorkflowStore
) -> None:
    await started(store)  # its statement is known to the connection, so one answer is all there is
    new = a_workflow(deadline_at_ms=7)
    await lost(link, lambda: store.start(new))
    again = await store.start(next_of(new))
    assert (again.is_new, again.execution.execution_id) == (False, new.execution_id)


async def test_a_signal_whose_answer_was_lost_is_told_once(
    link: Losing, store: PostgresWorkflowStore
) -> None:
    new, signal = await started(store), a_signal()
    await store.signal(new.workflow_id, a_signal("first"))
    await lost(link, lambda: store.signal(new.workflow_id, signal))
    await store.signal(new.workflow_id, signal)
    told = (await loaded(store, new)).signals
    assert sorted(each.name for each in told) == ["first", "go"]


async def test_a_retry_whose_answer_was_lost_is_made_once(
    link: Losing, store: PostgresWorkflowStore
) -> None:
    holder = await Holder.of(store, lease=LEASE)
    for kept in range(8):
        new = await started(store)
        await holder.wrote(fails(new, a_step("1")))
        if not kept:
            await store.retry_from(new.execution_id, "1")
            continue
        link.kept = kept
        try:
            await store.retry_from(new.execution_id, "1")
        except StoreUnavailable:
            with suppress(WorkflowNotFinished):
                await store.retry_from(new.execution_id, "1")
        link.kept = None
        newest = await store.newest(new.workflow_id)
        assert newest is not None
        assert (newest.run, newest.status) == (2, "queued")


@pytest.mark.parametrize("kept", range(ANSWERS))
async def test_a_write_whose_answer_was_lost_at_any_point_is_written_once_when_made_again(
    link: Losing, store: PostgresWorkflowStore, kept: int
) -> None:
    holder = await Holder.of(store, lease=LEASE)

    async def story() -> tuple[list[Turn], Callable[[], Awaitable[object]]]:
        parent, over = await started(store, deadline_at_ms=7), await started(store)
        signal = a_signal()
        await store.signal(parent.workflow_id, signal)
        here, gone = child_of(parent, "1"), child_of(parent, "2")
        after = next_of(over)
        turns = [
            begins(
                parent,
                waits_for(here),
                waits_for(gone),
                a_step("3", StepKind.SLEEP, due_at_ms=5),
                children=(here, gone),
                taken=(signal.signal_id,),
            ),
            turn(over, status=ExecutionStatus.CONTINUED, continued=after),
            completes(here),
            turn(parent, given_up(waits_for(gone)), ended(a_step("4"), 2)),
        ]

        async def seen() -> object:
            journal = await loaded(store, parent)
            assert [step.key for step in journal.steps] == ["2", "4", "1", "3"]
            assert [each.signal_id for each in journal.signals] == [as_signal(here)]
            assert (await read(store, here)).status is ExecutionStatus.COMPLETED
            assert await kinds(store, gone) == ["cancel"]
            assert (await read(store, after)).run == 2
            due = await store.timers([parent.partition], until_ms=7)
            return [
                (each.step, each.due_at_ms)
                for each in due
                if each.execution_id == parent.execution_id
            ]

        return turns, seen

    turns, seen = await story()
    assert len(rounds_of(turns)) == 2
    await holder.wrote(*turns)
    expected = await seen()
    turns, seen = await story()
    await lost(link, lambda: holder.write(*turns), kept=kept)
    await holder.wrote(*turns)
    assert await seen() == expected == [("3", 5), ("", 7)]
