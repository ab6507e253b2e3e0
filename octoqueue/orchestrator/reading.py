"""`Reader`: reads executions in batches, one at a time, while the next collect.

An input that is about what stands in the store (a nudge) waits for a read that begins after it
came; one that only needs the execution in memory is content with a read under way.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from octoqueue.orchestrator.pauses import insisted
from octoqueue.orchestrator.rounds import Rounds

if TYPE_CHECKING:
    from collections.abc import Callable

    from octoqueue.orchestrator.inbox import Input
    from octoqueue.orchestrator.tasks import Tasks
    from octoqueue.primitives.clock import Clock
    from octoqueue.workflows.executions import ExecutionId
    from octoqueue.workflows.protocol import Loaded, WorkflowStore

_AT_ONCE = 200
"""Executions in one read."""


class Reader:
    """Fetches executions that inputs wait for."""

    def __init__(
        self,
        store: WorkflowStore,
        arrived: Callable[[ExecutionId, Loaded | None, list[Input]], None],
        *,
        tasks: Tasks,
        clock: Clock,
    ) -> None:
        """Prepare; `arrived` is told what was read, None when there is no such execution."""
        self._store = store
        self._arrived = arrived
        self._tasks = tasks
        self._clock = clock
        self._waiting: dict[ExecutionId, list[Input]] = {}
        self._read: dict[ExecutionId, list[Input]] = {}
        """What the read under way will give."""
        self._wanted = 0
        """Executions that were to be read, since the beginning."""
        self._rounds = Rounds()
        self._task: asyncio.Task[None] | None = None

    def __contains__(self, execution_id: ExecutionId) -> bool:
        """Return whether something waits for a read of it."""
        return execution_id in self._waiting or execution_id in self._read

    def __len__(self) -> int:
        """Return how many executions are to be read."""
        return len(self._waiting) + len(self._read)

    def want(self, given: Input) -> None:
        """Have an execution read for an input."""
        if not given.needs_read and (under_way := self._read.get(given.execution_id)) is not None:
            under_way.append(given)
            return
        inputs = self._waiting.get(given.execution_id)
        if inputs is None:
            inputs = self._waiting[given.execution_id] = []
            self._wanted += 1
        inputs.append(given)
        if self._task is None:
            self._task = self._tasks.begin(self._fetch())

    def drop(self, partition: int) -> list[Input]:
        """Forget the inputs of a partition, and return them."""
        gone: list[Input] = []
        for place in (self._waiting, self._read):
            for ident in [
                each for each, inputs in place.items() if inputs[0].partition == partition
            ]:
                gone += place.pop(ident)
        return gone

    async def _fetch(self) -> None:
        try:
            while self._waiting:
                batch = list(self._waiting)[:_AT_ONCE]
                self._read = {ident: self._waiting.pop(ident) for ident in batch}
                found = {each.execution.execution_id: each for each in await self._load(batch)}
                for ident in batch:
                    inputs = self._read.pop(ident, None)
                    if inputs is not None:  # its partition may have been dropped meanwhile
                        self._arrived(ident, found.get(ident), inputs)
                self._rounds.over()
                await _turn()
        finally:
            self._task = None
            self._rounds.over()

    async def _load(self, batch: list[ExecutionId]) -> list[Loaded]:
        return await insisted(lambda: self._store.load(batch), what="reading", clock=self._clock)

    async def caught_up(self) -> None:
        """Return when all has been read that was to be read when this was called."""
        until = self._wanted
        while self._task is not None and self._wanted - len(self) < until:
            await self._rounds.end()


async def _turn() -> None:
    """Let everything else that is ready have its turn of the loop."""
    await asyncio.sleep(0)  # noqa: TID251 - no time
